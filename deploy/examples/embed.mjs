#!/usr/bin/env node
// How similar are the vectors of one word in three sentences? Needs only Node 18 or later.
//
// usage: embed.mjs [URL]    of elmod; default http://127.0.0.1:8080
const url = process.argv[2] ?? "http://127.0.0.1:8080";
const word = "play";
const sentences = [
  "The children play in the garden all day.",
  "They play cards every evening.",
  "The play was performed in a small theatre.",
];

/** Returns [{tokens, rows: Float32Array[]}], an item for each text. */
async function embed(texts, output) {
  const answer = await fetch(`${url}/embed`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ inputs: texts, outputs: [output], encoding_format: "base64" }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${body.status} ${body.code}: ${body.detail}`);
  return body.data.map((item) => ({ tokens: item.tokens, rows: rowsOf(item[output], item.tokens.length) }));
}

/** The rows of a little-endian float32 matrix in base64 (every machine that runs Node is little-endian). */
function rowsOf(base64, nRows) {
  const bytes = Uint8Array.from(Buffer.from(base64, "base64"));
  const floats = new Float32Array(bytes.buffer);
  const width = nRows === 0 ? 0 : floats.length / nRows;
  return Array.from({ length: nRows }, (_, row) => floats.subarray(row * width, (row + 1) * width));
}

function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, k) => sum + value * y[k], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

const [verb, otherVerb, noun] = (await embed(sentences, "lstm_outputs2")).map(
  ({ tokens, rows }) => rows[tokens.indexOf(word)],
);
console.log(`verb, verb: ${cosine(verb, otherVerb).toFixed(3)}`);
console.log(`verb, noun: ${cosine(verb, noun).toFixed(3)}`);
