// Requests to the server of this page, and the time they take.

/** A request without an answer (status 0) or with an error: `problem` is its application/problem+json. */
export class Fault extends Error {
  constructor(status, problem) {
    super(problem.detail ?? "The answer of the server is not JSON.");
    this.status = status;
    this.code = problem.code;
    this.requestId = problem.request_id;
    this.places = problem.errors ?? [];
  }
}

let apiKey = null;

/** Sets the key for all later requests, if the server requires one. Only this page stores it. */
export function useKey(key) {
  apiKey = key;
}

/** fetch() with the key. Throws a Fault if the server cannot be reached, but passes on an AbortError. */
async function send(path, options = {}) {
  try {
    const headers = {...options.headers, ...(apiKey && {Authorization: `Bearer ${apiKey}`})};
    return await fetch(path, {...options, headers});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault(0, {detail: "The server cannot be reached. Is it running?"});
  }
}

async function read(response) {
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Fault(response.status, {});
  }
  if (!response.ok) throw new Fault(response.status, body);
  return body;
}

/** Server-Timing as {parse: 0.1, ...} in milliseconds. */
export function stages(header) {
  const found = {};
  for (const part of (header ?? "").split(",")) {
    const match = /^\s*([\w-]+);dur=([\d.]+)/.exec(part);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}

export async function get(path) {
  return read(await send(path));
}

/** {answer, stages, trip}: the JSON, the milliseconds of Server-Timing, and those measured here. */
export async function post(path, body, signal) {
  const begun = performance.now();
  const response = await send(path, {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body),
    signal,
  });
  const answer = await read(response);
  return {
    answer,
    stages: stages(response.headers.get("Server-Timing")),
    trip: performance.now() - begun,
  };
}

/** The request as a shell command. */
export function curl(path, body) {
  const url = new URL(path, document.baseURI);
  const json = JSON.stringify(body).replaceAll("'", `'\\''`);
  const key = apiKey ? ' --oauth2-bearer "$ELMOD_KEY"' : "";
  return `curl ${url}${key} --json '${json}'`;
}

/** The rows of a float32 matrix in base64 that has `rows` rows. */
export function matrix(base64, rows) {
  const text = atob(base64);
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const columns = rows ? bytes.length / 4 / rows : 0;
  return Array.from({length: rows}, (_, i) =>
    Float32Array.from({length: columns}, (_, j) => view.getFloat32(4 * (i * columns + j), true)),
  );
}
