// Surprise: how many bits each token costs the language model, forward and backward.
import {chips, debounced, html, parts, table} from "./dom.js";
import {SURPRISES} from "./examples.js";
import {explainAbsence, panel} from "./panel.js";
import {colouredTokens, shades} from "./tokens.js";

const MOST_BITS = 16; // drawn strongest

function bits(logProb) {
  return -logProb / Math.LN2;
}

export function startSurprise(section, info) {
  if (!info.model.language_model) {
    explainAbsence(
      section,
      "This model file has no softmax, so it gives no probabilities of words. ",
      html("code", {}, "elmo-train export"),
      " can put one in.",
    );
    return;
  }
  const ui = parts(section);
  const run = panel(section, "score", show);
  const askNow = () => run(ui.text.value.trim() ? {inputs: ui.text.value} : null);
  const ask = debounced(askNow);
  const pressExample = chips(
    ui.examples,
    SURPRISES,
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

  function direction(title, tokens, unknown, {log_probs: logProbs, perplexity}) {
    return [
      html(
        "h3",
        {},
        title,
        " ",
        html(
          "small",
          {},
          `perplexity ${perplexity < 100 ? perplexity.toFixed(1) : Math.round(perplexity)}`,
        ),
      ),
      html(
        "p",
        {class: "tokens"},
        ...colouredTokens(tokens, {
          classOf: (i) => (unknown.has(i) ? "bits unknown" : "bits"),
          weightOf: (i) => bits(logProbs[i]) / MOST_BITS,
          titleOf: (i) =>
            `${bits(logProbs[i]).toFixed(1)} bits${unknown.has(i) ? ", not in the vocabulary" : ""}`,
        }),
      ),
    ];
  }

  function show({data: [item]}) {
    const {tokens, forward, backward} = item;
    const unknown = new Set(item.unknown);
    ui.directions.replaceChildren(
      ...direction("Read forward →", tokens, unknown, forward),
      ...direction("← Read backward", tokens, unknown, backward),
    );
    ui.scale.replaceChildren(
      ...shades(
        "expected",
        [0, 0.25, 0.5, 0.75, 1].map((w) => ["bits", w]),
        `${MOST_BITS} bits or more${unknown.size ? "; dotted: not in the vocabulary" : ""}`,
      ),
    );
    ui.table.replaceChildren(
      table(
        ["Token", "Forward, bits", "Backward, bits"],
        tokens.map((token, i) => [
          token,
          bits(forward.log_probs[i]).toFixed(1),
          bits(backward.log_probs[i]).toFixed(1),
        ]),
      ),
    );
  }

  ui.text.value = SURPRISES[0].text;
  pressExample(SURPRISES[0]);
  askNow();
}
