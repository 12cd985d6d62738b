// The tokens of a text, each with a background colour.
import {html} from "./dom.js";

const CLOSING = /^[\p{Pe}\p{Pf}.,;:!?%…]+$/u; // no space before such a token

/** Token i has the classes classOf(i) and a background of strength weightOf(i), from 0 to 1. */
export function colouredTokens(tokens, {classOf, weightOf, titleOf}) {
  return tokens.flatMap((token, i) => [
    i === 0 || CLOSING.test(token) ? "" : " ",
    html(
      "span",
      {class: `token ${classOf(i)}`, title: titleOf(i), "--w": Math.min(1, weightOf(i))},
      token,
    ),
  ]);
}

/** The key to the colours: a text, some shades, a text. */
export function shades(left, classes, right) {
  return [
    html("span", {}, left),
    html(
      "span",
      {class: "shades", "aria-hidden": "true"},
      ...classes.map(([name, weight]) => html("i", {class: `token ${name}`, "--w": weight})),
    ),
    html("span", {}, right),
  ];
}
