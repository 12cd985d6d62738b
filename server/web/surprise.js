// Surprise: the bits that each token costs the language model, forward and backward.
import {html, parts, table} from "./dom.js";
import {SURPRISES} from "./examples.js";
import {explainAbsence} from "./panel.js";
import {startTextPanel} from "./text_panel.js";
import {colouredTokens, shades} from "./tokens.js";

const MOST_BITS = 16; // drawn with the strongest colour
const UNKNOWN = "not in the vocabulary";

function bitsOf(logProbs) {
  return logProbs.map((logProb) => -logProb / Math.LN2);
}

/** One direction: a title, the perplexity, and the coloured tokens. */
function reading(title, tokens, unknown, {log_probs: logProbs, perplexity}) {
  const bits = bitsOf(logProbs);
  const short = perplexity < 100 ? perplexity.toFixed(1) : Math.round(perplexity);
  const colours = {
    classOf: (i) => (unknown.has(i) ? "bits unknown" : "bits"),
    weightOf: (i) => bits[i] / MOST_BITS,
    titleOf: (i) => `${bits[i].toFixed(1)} bits${unknown.has(i) ? `, ${UNKNOWN}` : ""}`,
  };
  return [
    html("h3", {}, title, " ", html("small", {}, `perplexity ${short}`)),
    html("p", {class: "tokens"}, ...colouredTokens(tokens, colours)),
  ];
}

export function startSurprise(section, info) {
  if (!info.model.language_model) {
    explainAbsence(
      section,
      "The server has no softmax for this model, so it cannot compute probabilities of words: ",
      html("code", {}, "elmod --softmax FILE"),
      " adds one.",
    );
    return;
  }
  const ui = parts(section);

  function show({tokens, forward, backward, unknown: places}) {
    const unknown = new Set(places);
    const key = `${MOST_BITS} bits or more${unknown.size ? `; dotted: ${UNKNOWN}` : ""}`;
    const [ahead, behind] = [forward, backward].map(({log_probs: own}) =>
      bitsOf(own).map((bits) => bits.toFixed(1)),
    );
    const rows = tokens.map((token, i) => [token, ahead[i], behind[i]]);
    const colours = [0, 0.25, 0.5, 0.75, 1].map((weight) => ["bits", weight]);
    ui.directions.replaceChildren(
      ...reading("Read forward →", tokens, unknown, forward),
      ...reading("← Read backward", tokens, unknown, backward),
    );
    ui.scale.replaceChildren(...shades("expected", colours, key));
    ui.table.replaceChildren(table(["Token", "Forward, bits", "Backward, bits"], rows));
  }

  startTextPanel(section, ui, {path: "score", examples: SURPRISES, show});
}
