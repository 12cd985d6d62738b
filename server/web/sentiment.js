// Sentiment: probabilities as bars, and tokens coloured by the amount that they add to the log-odds.
import {html, parts, table} from "./dom.js";
import {SENTIMENTS} from "./examples.js";
import {explainAbsence} from "./panel.js";
import {startTextPanel} from "./text_panel.js";
import {colouredTokens, shades} from "./tokens.js";

const SHADES = [-1, -0.6, -0.25, 0.25, 0.6, 1];

function signed(number) {
  return `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;
}

function sideOf(number) {
  return number < 0 ? "minus" : "plus";
}

/** A bar for each label. Two labels have the colours of the tokens that speak for them. */
function bars(labels, {label, probabilities}) {
  const colours = labels.length === 2 ? ["minus", "plus"] : [];
  return labels.map((name, i) =>
    html(
      "div",
      {class: `probability ${name === label ? "most" : ""}`},
      html("span", {class: "name"}, name),
      html(
        "span",
        {class: `level ${colours[i] ?? ""}`, "aria-hidden": "true"},
        html("i", {"--w": probabilities[name]}),
      ),
      html("span", {class: "number"}, `${(100 * probabilities[name]).toFixed(1)} %`),
    ),
  );
}

function key(labels, {label}) {
  const [left, right] =
    labels.length === 2
      ? [`toward ${labels[0]}`, `toward ${labels[1]}`]
      : [`against ${label}`, `for ${label}`];
  const colours = SHADES.map((shade) => [sideOf(shade), Math.abs(shade)]);
  return shades(left, colours, right);
}

/** The sum of the attributions, in words. */
function sumText(labels, attributions, {label, logit, bias}) {
  const words = attributions.reduce((a, b) => a + b, 0);
  const what = labels.length === 2 ? "log-odds" : "logit";
  return (
    `Words ${signed(words)}, bias ${signed(bias)}: ` +
    `together ${signed(logit)}, the ${what} of ${label}.`
  );
}

export function startSentiment(section, info) {
  const {labels} = info.model;
  if (labels.length === 0) {
    explainAbsence(
      section,
      "This model file has no sentiment head. ",
      html("code", {}, "elmo-train sentiment"),
      " makes one from labelled texts.",
    );
    return;
  }
  const ui = parts(section);

  function show(item) {
    const {tokens, attributions, explanation} = item;
    const most = Math.max(1e-6, ...attributions.map(Math.abs));
    const colours = {
      classOf: (i) => sideOf(attributions[i]),
      weightOf: (i) => Math.abs(attributions[i]) / most,
      titleOf: (i) => signed(attributions[i]),
    };
    const rows = tokens.map((token, i) => [token, signed(attributions[i])]);
    ui.bars.replaceChildren(...bars(labels, item));
    ui.tokens.replaceChildren(...colouredTokens(tokens, colours));
    ui.scale.replaceChildren(...key(labels, explanation));
    ui.table.replaceChildren(
      html("p", {}, sumText(labels, attributions, explanation)),
      table(["Token", "Adds"], rows),
    );
  }

  const more = {explain: true};
  startTextPanel(section, ui, {path: "sentiment", more, examples: SENTIMENTS, show});
}
