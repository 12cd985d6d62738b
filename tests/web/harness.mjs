// A running elmod and a browser for the tests and the screenshots.
import {chromium} from "playwright-core";

import {startElmod as start} from "./elmod.mjs";

const SOFTMAX = `${process.env.ELMOD_SOURCE_ROOT}/model/weights/elmo-small.softmax.safetensors`;

/** Starts elmod on a free port, with the softmax of its model: {origin, stop}. */
export function startElmod(...flags) {
  return start(process.env.ELMOD_BINARY, ["--softmax", SOFTMAX, ...flags]);
}

export function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/**
 * A new page in its own context, and the list of its faults: errors and warnings on the console,
 * uncaught exceptions, and requests to other servers.
 */
export async function openPage(browser, origin, options = {}) {
  const context = await browser.newContext({
    viewport: {width: 1200, height: 900},
    reducedMotion: "reduce",
    ...options,
  });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()))
      faults.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`thrown: ${error.stack}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`)) faults.push(`asked elsewhere: ${request.url()}`);
  });
  return {page, faults, close: () => context.close()};
}

/** Goes to the playground and waits until every panel has an answer. */
export async function openPlayground(page, origin) {
  await page.goto(`${origin}/`);
  await settled(page);
}

/** Waits until no panel has an open request or is about to send one. */
export async function settled(page) {
  await page.locator("#facts", {hasText: "layers"}).waitFor();
  await page.waitForTimeout(300); // longer than the delay of a panel's request
  await page.locator("[aria-busy]").first().waitFor({state: "detached"});
}
