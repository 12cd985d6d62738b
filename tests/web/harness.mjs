// A running elmod and a browser for the tests and the screenshots.
import {spawn} from "node:child_process";
import {mkdtemp, readFile, rm} from "node:fs/promises";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {setTimeout as sleep} from "node:timers/promises";

import {chromium} from "playwright-core";

const PATIENCE_MS = 60_000; // for what surely comes; reached only when something is broken

const SOFTMAX = `${process.env.ELMOD_SOURCE_ROOT}/model/weights/elmo-small.softmax.safetensors`;

/** Starts elmod on a free port, its model with its softmax: {origin, stop}. */
export async function startElmod(...flags) {
  const folder = await mkdtemp(join(tmpdir(), "elmod-web-"));
  const portFile = join(folder, "address");
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("ELMOD_")),
  );
  const elmod = spawn(
    process.env.ELMOD_BINARY,
    ["--listen", "127.0.0.1:0", "--port-file", portFile, "--softmax", SOFTMAX, ...flags],
    {stdio: ["ignore", "ignore", "ignore"], env},
  );
  const ended = new Promise((resolve, reject) => {
    elmod.on("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(`elmod ended with ${code}`)),
    );
    elmod.on("error", reject);
  });
  ended.catch(() => {}); // stop() says it
  const stop = async () => {
    elmod.kill("SIGTERM");
    await ended;
    await rm(folder, {recursive: true});
  };
  for (
    const giveUp = Date.now() + PATIENCE_MS;
    Date.now() < giveUp && elmod.exitCode === null;
    await sleep(20)
  ) {
    const address = await readFile(portFile, "ascii").catch(() => "");
    if (!address.endsWith("\n")) continue;
    const origin = `http://${address.trim()}`;
    if ((await fetch(`${origin}/health/ready`).catch(() => ({}))).ok) return {origin, stop};
  }
  elmod.kill("SIGKILL");
  throw new Error("elmod did not get ready");
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
 * A new page in a context of its own, with the faults that no test may have: what the console says,
 * scripts that threw, requests to elsewhere.
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

/** Waits until no panel is asking, or about to. */
export async function settled(page) {
  await page.locator("#facts", {hasText: "layers"}).waitFor();
  await page.waitForTimeout(300); // longer than the pause after which a panel asks
  await page.locator("[aria-busy]").first().waitFor({state: "detached"});
}
