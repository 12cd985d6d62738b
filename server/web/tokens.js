// Tokens of a text, each with a colour behind it.
import {html} from "./dom.js";

const CLOSING = /^[\p{Pe}\p{Pf}.,;:!?%…]+$/u; // stands close to the token before it

/** Token i gets the classes of classOf(i), its background as strong as weightOf(i), from 0 to 1. */
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
