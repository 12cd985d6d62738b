#!/usr/bin/env node
// Sentence vectors through OpenAI's SDK: npm install openai. A program that uses OpenAI's embeddings
// needs only another address.
//
// usage: openai.mjs [URL]    of elmod; default http://127.0.0.1:8080
import OpenAI from "openai";

const url = process.argv[2] ?? "http://127.0.0.1:8080";
const client = new OpenAI({
  baseURL: `${url}/v1`,
  apiKey: process.env.ELMOD_API_KEY ?? "none", // elmod requires a key only with --api-keys
});

const [model] = (await client.models.list()).data;
const answer = await client.embeddings.create({
  model: model.id,
  input: ["A gripping, funny and moving film.", "A warm, clever and beautiful movie.", "The train leaves at nine."],
});
const [film, movie, train] = answer.data.map((item) => item.embedding);

function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, k) => sum + value * y[k], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

console.log(`${film.length} numbers a text, ${answer.usage.total_tokens} tokens`);
console.log(`film, movie: ${cosine(film, movie).toFixed(3)}`);
console.log(`film, train: ${cosine(film, train).toFixed(3)}`);
