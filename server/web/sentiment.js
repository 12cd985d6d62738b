// Sentiment: probabilities as bars, tokens coloured by what they add to the log-odds.
import {chips, debounced, html, parts, table} from "./dom.js";
import {SENTIMENTS} from "./examples.js";
import {explainAbsence, panel} from "./panel.js";
import {colouredTokens, shades} from "./tokens.js";

function signed(number) {
  return `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** Two labels: one bar, in two parts. More: a bar each. */
function bars(labels, {label, probabilities}) {
  const bar = (name, sense) =>
    html(
      "div",
      {class: `probability ${name === label ? "most" : ""}`},
      html("span", {class: "name"}, name),
      html(
        "span",
        {class: `level ${sense}`, "aria-hidden": "true"},
        html("i", {"--w": probabilities[name]}),
      ),
      html("span", {class: "number"}, percent(probabilities[name])),
    );
  if (labels.length !== 2) return labels.map((name) => bar(name, "plain"));
  return [bar(labels[0], "minus"), bar(labels[1], "plus")];
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
  const run = panel(section, "sentiment", show);
  const askNow = () => run(ui.text.value.trim() ? {inputs: ui.text.value, explain: true} : null);
  const ask = debounced(askNow);
  const pressExample = chips(
    ui.examples,
    SENTIMENTS,
    (example) => example.name,
    (example) => {
      ui.text.value = example.text;
      pressExample(example);
      askNow();
    },
  );
  ui.text.addEventListener("input", () => {
    pressExample(null);
    ask();
  });

  function show({data: [item]}) {
    const {tokens, attributions, explanation} = item;
    const most = Math.max(1e-6, ...attributions.map(Math.abs));
    ui.bars.replaceChildren(...bars(labels, item));
    ui.tokens.replaceChildren(
      ...colouredTokens(tokens, {
        classOf: (i) => (attributions[i] < 0 ? "minus" : "plus"),
        weightOf: (i) => Math.abs(attributions[i]) / most,
        titleOf: (i) => signed(attributions[i]),
      }),
    );
    const toward =
      labels.length === 2
        ? [`toward ${labels[0]}`, `toward ${labels[1]}`]
        : [`against ${explanation.label}`, `for ${explanation.label}`];
    ui.scale.replaceChildren(
      ...shades(
        toward[0],
        [
          ["minus", 1],
          ["minus", 0.6],
          ["minus", 0.25],
          ["plus", 0.25],
          ["plus", 0.6],
          ["plus", 1],
        ],
        toward[1],
      ),
    );
    const sum = attributions.reduce((a, b) => a + b, 0);
    ui.table.replaceChildren(
      html(
        "p",
        {},
        `Words ${signed(sum)}, without any ${signed(explanation.bias)}: together ${signed(explanation.logit)}, ` +
          `the ${labels.length === 2 ? "log-odds" : "logit"} of ${explanation.label}.`,
      ),
      table(
        ["Token", "Adds"],
        tokens.map((token, i) => [token, signed(attributions[i])]),
      ),
    );
  }

  ui.text.value = SENTIMENTS[0].text;
  pressExample(SENTIMENTS[0]);
  askNow();
}
