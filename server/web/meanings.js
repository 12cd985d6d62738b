// One word, many meanings: the vectors of one word in several sentences, for each layer.
import {matrix} from "./api.js";
import {chips, debounced, parts} from "./dom.js";
import {MEANINGS} from "./examples.js";
import {makeLayers} from "./layers.js";
import {makeMap} from "./map.js";
import {cosines, mixed, plane} from "./maths.js";
import {matrixTable} from "./matrix.js";
import {panel} from "./panel.js";
import {makeSentences} from "./sentences.js";
import {occurrences, plain, sharedWords, verdict} from "./words.js";

const MOST_SENTENCES = 24;
const EQUAL = 0.9999; // above this cosine two vectors differ only by rounding

/** The vectors of the occurrences, for each layer. */
function vectorsOf(data, points, outputs) {
  return outputs.map((name) => {
    const rows = data.map((item) => matrix(item[name], item.tokens.length));
    return points.map(({sentence, token}) => rows[sentence][token]);
  });
}

/** Highlights a sentence, its dot, and its row and column together. */
function lightTogether(section) {
  const light = (event) => {
    const sentence = event.target.closest("[data-sentence]")?.dataset.sentence;
    for (const node of section.querySelectorAll("[data-sentence]"))
      node.classList.toggle("lit", node.dataset.sentence === sentence);
  };
  section.addEventListener("pointerover", light);
  section.addEventListener("focusin", light);
}

/** The maps, the matrix and the verdict of one answer: show(answer, word, note) and draw(note). */
function makeViews(section, ui, layers, outputs, senseOf) {
  let points = [];
  let vectors = []; // [layer][point]
  let maps = null; // made for the current senses of the points

  function makeMaps() {
    maps = {large: makeMap(points, true), small: layers.pictures.map(() => makeMap(points, false))};
    ui.map.replaceChildren(maps.large.node);
    layers.pictures.forEach((picture, k) => picture.replaceChildren(maps.small[k].node));
  }

  function takeSenses() {
    const senses = points.map(({sentence}) => senseOf(sentence));
    if (maps && points.every((point, i) => point.sense === senses[i])) return;
    points.forEach((point, i) => {
      point.sense = senses[i];
    });
    makeMaps();
  }

  /** Draws the maps of all choices on one scale, so that they can be compared, and the matrix of one. */
  function draw(note) {
    if (points.length < 2) return;
    takeSenses();
    const weights = layers.weights();
    const mix = points.map((_, i) =>
      mixed(
        vectors.map((layer) => layer[i]),
        weights,
      ),
    );
    const all = [...vectors, mix];
    const planes = all.map(plane);
    const similar = all.map(cosines);
    const reach = Math.max(...planes.flatMap((own) => own.points.flat().map(Math.abs)));
    planes.forEach((own, k) => maps.small[k].move(own.points, reach));
    drawChosen(layers.chosen(), planes, similar, reach, note);
  }

  function drawChosen(k, planes, similar, reach, note) {
    const isOne = Math.min(...similar[k].flat()) > EQUAL;
    const share = Math.round(100 * (planes[k].shares[0] + planes[k].shares[1]));
    const name = `Map of ${layers.choices[k]}: ${points.length} dots`;
    maps.large.move(planes[k].points, reach);
    maps.large.node.setAttribute("aria-label", name);
    ui.variance.textContent = isOne ? "no variance" : `PCA, ${share} % of the variance`;
    ui.matrix.replaceChildren(matrixTable(points, similar[k], Math.min(...similar.flat(2))));
    ui.verdict.textContent = isOne
      ? "One point: this layer sees only the spelling of the word, not its sentence."
      : [verdict(points, similar[k]), note].filter(Boolean).join(" ");
  }

  function show({data}, word, note) {
    points = occurrences(data, word);
    vectors = vectorsOf(data, points, outputs);
    maps = null;
    section.classList.toggle("too-few", points.length < 2);
    if (points.length === 0) ui.verdict.textContent = `“${word}” is in none of the sentences.`;
    else if (points.length === 1)
      ui.verdict.textContent = `“${word}” is in only one sentence. Write another one with it.`;
    draw(note);
  }

  return {show, draw};
}

export function startMeanings(section, info) {
  const ui = parts(section);
  const outputs = info.model.outputs.slice(0, info.model.layers + 1);
  const names = outputs.map((_, k) => (k ? `layer ${k}` : "word_emb"));
  let word = "";
  let note = ""; // of the example, until the user changes it
  let answer = null;

  const run = panel(section, "embed", (newAnswer) => {
    answer = newAnswer;
    show();
  });
  const askNow = () => {
    const inputs = sentences.texts();
    run(word && inputs.some(Boolean) ? {inputs, outputs, encoding_format: "base64"} : null);
  };
  const ask = debounced(askNow);
  const written = () => {
    note = "";
    pressExample(null);
    ask();
  };
  const most = Math.min(MOST_SENTENCES, info.limits.max_inputs);
  const sentences = makeSentences(ui.sentences, ui.add, most, {
    onText: written,
    onRemove: askNow,
    onSense: () => views.draw(note),
  });
  const layers = makeLayers(ui.layers, ui.mix, names, () => views.draw(note));
  const views = makeViews(section, ui, layers, outputs, sentences.sense);
  const pressExample = chips(ui.examples, MEANINGS, (example) => example.word, load);

  function show() {
    const shared = sharedWords(answer.data);
    chips(ui.shared, shared, String, choose)(word);
    views.show(answer, word, note);
  }

  function choose(text) {
    ui.word.value = text;
    word = plain(text);
    show();
  }

  function load(example) {
    sentences.load(example.senses);
    pressExample(example);
    note = example.note ?? "";
    ui.word.value = word = example.word;
    askNow();
  }

  ui.word.addEventListener("input", () => {
    word = plain(ui.word.value);
    ask();
  });
  lightTogether(section);
  load(MEANINGS[0]);
}
