// Pictures of the playground for README.md, from a real elmod with the built-in model.
import {mkdir} from "node:fs/promises";
import {join} from "node:path";

import {openPage, openPlayground, settled, startBrowser, startElmod} from "./harness.mjs";

const MARGIN = 12; // around a panel

async function shoot(page, selector, file) {
  await page.evaluate(() => scrollTo(0, 0));
  const box = await page.locator(selector).boundingBox();
  await page.screenshot({
    path: file,
    fullPage: true,
    clip: {
      x: Math.max(0, box.x - MARGIN),
      y: box.y - MARGIN,
      width: box.width + 2 * MARGIN,
      height: box.height + 2 * MARGIN,
    },
  });
  console.log(file);
}

const out = process.argv[2];
await mkdir(out, {recursive: true});
const elmod = await startElmod();
const browser = await startBrowser();
const pages = {
  light: {viewport: {width: 1200, height: 900}, colorScheme: "light"},
  dark: {viewport: {width: 1200, height: 900}, colorScheme: "dark"},
  phone: {viewport: {width: 360, height: 740}, colorScheme: "light"},
};
for (const [name, options] of Object.entries(pages)) {
  const {page, faults, close} = await openPage(browser, elmod.origin, options);
  await openPlayground(page, elmod.origin);
  // A second time, so that the times are those of a warm server.
  for (const example of await page.locator("[data-part=examples] :first-child").all())
    await example.click();
  await settled(page);
  await page.mouse.move(0, 0); // not over a button
  // The bar at the top stays visible while the page scrolls, and would cover a part of a panel.
  await page.locator(".top").evaluate((top) => {
    top.style.position = "static";
  });
  if (name === "dark") await page.getByRole("radio", {name: "mix"}).check();
  if (name === "phone") {
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({path: join(out, "phone.png")});
    console.log(join(out, "phone.png"));
  } else {
    for (const panel of ["meanings", "sentiment", "surprise"])
      if (name === "light" || panel === "meanings")
        await shoot(page, `#${panel}`, join(out, `${panel}${name === "dark" ? "-dark" : ""}.png`));
  }
  if (faults.length) throw new Error(faults.join("\n"));
  await close();
}
await browser.close();
await elmod.stop();
