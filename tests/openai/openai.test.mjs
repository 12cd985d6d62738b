// OpenAI's SDK, unchanged, with elmod.
import assert from "node:assert/strict";
import {execFile} from "node:child_process";
import {copyFile, mkdtemp, rm, writeFile} from "node:fs/promises";
import {tmpdir} from "node:os";
import {join} from "node:path";
import {after, before, describe, test} from "node:test";
import {promisify} from "node:util";

import OpenAI from "openai";

import {startElmod} from "./elmod.mjs";

const TEXTS = ["A gripping film.", "", "Two hours of nothing; \u{1F600} caf\u00e9!"];
const MODEL = "elmo-small";

/** A client that does not retry, unless `options` say so. */
function clientOf(origin, options = {}) {
  return new OpenAI({apiKey: "none", baseURL: `${origin}/v1`, maxRetries: 0, ...options});
}

/** Checks that the promise fails with this class, status and members of the error. */
async function failsWith(promise, type, status, members) {
  const error = await promise.then(() => assert.fail("it did not fail"), (fault) => fault);
  assert.ok(error instanceof type, `${error.constructor.name}: ${error.message}`);
  assert.equal(error.status, status);
  for (const [name, value] of Object.entries(members)) assert.equal(error[name], value, name);
  return error;
}

describe("with the built-in model", () => {
  let elmod, client;
  before(async () => {
    elmod = await startElmod(process.env.ELMOD_BINARY, ["--max-tokens", "50", "--max-inputs", "300"]);
    client = clientOf(elmod.origin);
  });
  after(() => elmod.stop());

  /** The vectors of /embed, bit for bit. */
  async function embed(inputs) {
    const answer = await fetch(`${elmod.origin}/embed`, {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({inputs, outputs: ["default"]}),
    });
    assert.equal(answer.status, 200);
    return (await answer.json()).data.map((item) => Float32Array.from(item.default));
  }

  function assertVectors(answer, vectors) {
    assert.equal(answer.object, "list");
    assert.equal(answer.model, MODEL);
    assert.deepEqual(answer.data.map((item) => item.index), vectors.map((_, index) => index));
    assert.ok(answer.data.every((item) => item.object === "embedding"));
    assert.deepEqual(answer.data.map((item) => Float32Array.from(item.embedding)), vectors);
  }

  test("one text, in the SDK's own encoding", async () => {
    const answer = await client.embeddings.create({model: MODEL, input: TEXTS[0]});
    assertVectors(answer, await embed(TEXTS[0]));
    assert.deepEqual(answer.usage, {prompt_tokens: 4, total_tokens: 4});
  });

  test("the example of deploy/examples runs", async () => {
    await copyFile(`${process.env.ELMOD_SOURCE_ROOT}/deploy/examples/openai.mjs`, "openai-example.mjs");
    const {stdout} = await promisify(execFile)(process.execPath, ["openai-example.mjs", elmod.origin]);
    const [, width, movie, train] = stdout.match(/^(\d+) numbers a text, \d+ tokens\nfilm, movie: ([\d.]+)\nfilm, train: ([\d.]+)\n$/);
    assert.equal(width, "1024");
    assert.ok(Number(movie) > Number(train), stdout);
  });

  test("the SDK asks for base64, and decodes it", async () => {
    const bodies = [];
    const listening = clientOf(elmod.origin, {
      fetch: async (url, init) => {
        const answer = await fetch(url, init);
        bodies.push(JSON.parse(init.body), await answer.clone().json());
        return answer;
      },
    });
    const answer = await listening.embeddings.create({model: MODEL, input: TEXTS[0]});
    assert.equal(bodies[0].encoding_format, "base64");
    assert.equal(typeof bodies[1].data[0].embedding, "string");
    assert.ok(Array.isArray(answer.data[0].embedding));
  });

  for (const encoding_format of [undefined, "float"]) {
    test(`several texts, encoding ${encoding_format ?? "left to the SDK"}`, async () => {
      const answer = await client.embeddings.create({model: MODEL, input: TEXTS, encoding_format});
      assertVectors(answer, await embed(TEXTS));
      assert.ok(answer.data[1].embedding.every((value) => value === 0));
    });
  }

  test("requested base64 stays base64", async () => {
    const answer = await client.embeddings.create({model: MODEL, input: TEXTS[0], encoding_format: "base64"});
    const bytes = Buffer.from(answer.data[0].embedding, "base64");
    const [vector] = await embed(TEXTS[0]);
    assert.deepEqual(Buffer.from(vector.buffer), bytes);
  });

  test("every field of the API", async () => {
    const {length} = (await embed("a"))[0];
    const answer = await client.embeddings.create({model: MODEL, input: "a", dimensions: length, user: "someone"});
    assertVectors(answer, await embed("a"));
  });

  test("an answer that is long enough to be streamed", async () => {
    const input = Array.from({length: 300}, (_, index) => `Text number ${index}.`);
    assertVectors(await client.embeddings.create({model: MODEL, input}), await embed(input));
  });

  test("models are listed and found", async () => {
    const listed = [];
    for await (const model of client.models.list()) listed.push(model);
    assert.deepEqual(listed.map((model) => [model.id, model.object]), [[MODEL, "model"]]);
    assert.deepEqual({...(await client.models.retrieve(MODEL))}, {...listed[0]});
  });

  const bad = "invalid_request_error";
  const faults = [
    ["another model", {model: "text-embedding-3-small"}, OpenAI.NotFoundError, 404, {code: "model_not_found", param: "model", type: bad}],
    ["shorter vectors", {dimensions: 256}, OpenAI.BadRequestError, 400, {code: "invalid_value", param: "dimensions", type: bad}],
    ["token ids", {input: [1, 2, 3]}, OpenAI.BadRequestError, 400, {code: "invalid_type", param: "input"}],
    ["lists of token ids", {input: [[1, 2], [3]]}, OpenAI.BadRequestError, 400, {code: "invalid_type", param: "input"}],
    ["no text", {input: []}, OpenAI.BadRequestError, 400, {code: "invalid_value", param: "input"}],
    ["a number among texts", {input: ["a", 7]}, OpenAI.BadRequestError, 400, {code: "invalid_type", param: "input[1]"}],
    ["too long a text", {input: ["a", "a ".repeat(51)]}, OpenAI.BadRequestError, 400, {code: "context_length_exceeded", param: "input[1]"}],
    ["too many texts", {input: Array(301).fill("a")}, OpenAI.BadRequestError, 400, {code: "too_many_inputs", param: "input"}],
    ["a field that OpenAI does not have", {pooling: "max"}, OpenAI.BadRequestError, 400, {code: "unknown_field", param: "pooling"}],
  ];
  for (const [what, fields, type, status, members] of faults) {
    test(`${what}: ${type.name}`, async () => {
      const error = await failsWith(client.embeddings.create({model: MODEL, input: "a", ...fields}), type, status, members);
      assert.match(error.requestID, /^[0-9a-f]{32}$/);
      assert.ok(error.error.message.length > 0);
    });
  }

  test("an unknown model: NotFoundError", () =>
    failsWith(client.models.retrieve("org/other model"), OpenAI.NotFoundError, 404, {code: "model_not_found", param: "model"}));

  test("an unknown path: NotFoundError", () =>
    failsWith(client.files.list(), OpenAI.NotFoundError, 404, {code: "not_found", type: bad}));
});

describe("with a model that the test controls", () => {
  const NAME = 'fake "elmo"'; // the SDK escapes this in paths
  const start = (flags, options) => startElmod(process.env.ELMOD_FAKE_BINARY, ["--threads", "1", ...flags], options);

  /** Starts elmod with `flags` and a request that occupies its only worker: {elmod, held}. */
  async function startHeld(flags) {
    const elmod = await start(flags);
    await elmod.tell("s");
    const held = clientOf(elmod.origin).embeddings.create({model: NAME, input: "a b"});
    await elmod.tell("w");
    return {elmod, held};
  }

  test("a model is found by the name that the SDK escapes", async () => {
    const elmod = await start([]);
    const model = await clientOf(elmod.origin).models.retrieve(NAME);
    assert.equal(model.id, NAME);
    await elmod.stop();
  });

  test("a wrong key: AuthenticationError", async () => {
    const folder = await mkdtemp(join(tmpdir(), "elmod-keys-"));
    const keys = join(folder, "keys");
    await writeFile(keys, "sk-0123456789abcdef\n", {mode: 0o600});
    const elmod = await start(["--api-keys", keys]);
    const embed = (apiKey) => clientOf(elmod.origin, {apiKey}).embeddings.create({model: NAME, input: "a"});
    await failsWith(embed("sk-another-key-000"), OpenAI.AuthenticationError, 401, {code: "invalid_api_key"});
    assert.equal((await embed("sk-0123456789abcdef")).data.length, 1);
    await elmod.stop();
    await rm(folder, {recursive: true});
  });

  test("a full server: RateLimitError, and the SDK retries after Retry-After", async () => {
    const {elmod, held} = await startHeld(["--answer-bytes", "1"]);
    const request = {model: NAME, input: "a"};
    const error = await failsWith(clientOf(elmod.origin).embeddings.create(request), OpenAI.RateLimitError, 429,
      {code: "rate_limit_exceeded", type: "rate_limit_error"});
    assert.equal(error.headers.get("retry-after"), "1");

    const statuses = [];
    const patient = clientOf(elmod.origin, {
      maxRetries: 3,
      fetch: async (url, init) => {
        const answer = await fetch(url, init);
        statuses.push(answer.status);
        if (statuses.length === 1) {
          await elmod.tell("o"); // there is room at the second try
          await held;
        }
        return answer;
      },
    });
    const answer = await patient.embeddings.create(request);
    assert.equal(answer.data.length, 1);
    assert.equal(statuses[0], 429);
    assert.equal(statuses.at(-1), 200);
    await elmod.stop();
  });

  test("a passed deadline: InternalServerError", async () => {
    const {elmod, held} = await startHeld([]);
    const request = clientOf(elmod.origin).embeddings.create({model: NAME, input: "a"}, {headers: {"X-Request-Timeout-Ms": "20"}});
    await failsWith(request, OpenAI.InternalServerError, 504, {code: "deadline_exceeded", type: "server_error"});
    await elmod.tell("o");
    await held;
    await elmod.stop();
  });

  test("a model that is loading: InternalServerError until it is loaded", async () => {
    const elmod = await start([], {env: {FAKE_ELMO_LOADS: "when told"}, path: "/health/live"});
    const client = clientOf(elmod.origin);
    const error = await failsWith(client.models.list(), OpenAI.InternalServerError, 503, {code: "loading"});
    assert.equal(error.headers.get("retry-after"), "1");
    await elmod.tell("l");
    const answer = await clientOf(elmod.origin, {maxRetries: 10}).embeddings.create({model: NAME, input: "a"});
    assert.equal(answer.data.length, 1);
    await elmod.stop();
  });
});
