// A running elmod for tests in JavaScript.
import {spawn} from "node:child_process";
import {once} from "node:events";
import {mkdtemp, readFile, rm} from "node:fs/promises";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {setTimeout as sleep} from "node:timers/promises";

const PATIENCE_MS = 60_000; // for what surely comes; reached only when something is broken
const CONTROL_FD = 3;

/**
 * Starts a program, elmod or elmod-fake, on a free port and waits for `path`. Returns origin, stop(),
 * which demands that it ended well, and tell(command), which elmod-fake obeys (see gated_model.c).
 */
export async function startElmod(program, flags = [], {env = {}, path = "/health/ready"} = {}) {
  const folder = await mkdtemp(join(tmpdir(), "elmod-node-"));
  const portFile = join(folder, "address");
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("ELMOD_"));
  const elmod = spawn(program, ["--listen", "127.0.0.1:0", "--port-file", portFile, "--drain-grace-ms", "0", ...flags], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    env: {...Object.fromEntries(clean), ...env},
  });
  const ended = once(elmod, "exit");
  const control = elmod.stdio[CONTROL_FD];
  control.on("error", () => {}); // it has come to its end
  const tell = async (command) => {
    const done = once(control, "data");
    control.write(command);
    await done;
  };
  const stop = async () => {
    elmod.kill("SIGTERM");
    const [code] = await ended;
    await rm(folder, {recursive: true});
    if (code !== 0) throw new Error(`elmod ended with ${code}`);
  };
  for (const giveUp = Date.now() + PATIENCE_MS; Date.now() < giveUp && elmod.exitCode === null; await sleep(20)) {
    const address = await readFile(portFile, "ascii").catch(() => "");
    if (!address.endsWith("\n")) continue;
    const origin = `http://${address.trim()}`;
    if ((await fetch(origin + path).catch(() => ({}))).ok) return {origin, stop, tell};
  }
  elmod.kill("SIGKILL");
  throw new Error("elmod did not get ready");
}
