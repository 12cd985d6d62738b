// One word, many meanings: vectors of one word in several sentences, layer by layer.
import {matrix} from "./api.js";
import {chips, debounced, html, parts} from "./dom.js";
import {MEANINGS} from "./examples.js";
import {makeMap, mark, N_SENSES} from "./map.js";
import {matrixTable} from "./matrix.js";
import {cosines, mixed, plane, softmax} from "./maths.js";
import {panel} from "./panel.js";

const MOST_SENTENCES = 24;
const MOST_SHARED = 8;
const SENSE_NAMES = ["A", "B", "C", "D"];

/** A token as words are compared: in small letters, without the marks around it. */
function plain(token) {
  return token.toLowerCase().replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
}

/** The occurrences of a word in the data of /embed: [{sentence, token, name, context}]. */
function occurrences(data, word) {
  const found = [];
  data.forEach(({tokens}, sentence) => {
    const places = tokens.flatMap((token, i) => (plain(token) === word ? [i] : []));
    places.forEach((token, k) => found.push({
      sentence,
      token,
      name: `${sentence + 1}${"′".repeat(k)}`,
      context: tokens.join(" "),
    }));
  });
  return found;
}

/** Words that at least two sentences have, the most frequent first. */
function sharedWords(data) {
  const counts = new Map();
  for (const {tokens} of data)
    for (const word of new Set(tokens.map(plain)))
      if (/\p{L}/u.test(word)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].filter(([, n]) => n > 1).sort((a, b) => b[1] - a[1]).slice(0, MOST_SHARED).map(([word]) => word);
}

function mean(numbers) {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}

/** What the numbers say of the meanings that the reader intends, or "" where there is but one. */
function verdictOf(points, similar) {
  const pairs = {within: [], across: []};
  let nRight = 0;
  points.forEach((a, i) => {
    const others = points.map((b, j) => ({b, cosine: similar[i][j]})).filter(({b}) => b !== a);
    for (const {b, cosine} of others) pairs[a.sense === b.sense ? "within" : "across"].push(cosine);
    const nearest = others.reduce((best, other) => (other.cosine > best.cosine ? other : best));
    nRight += nearest.b.sense === a.sense;
  });
  if (!pairs.within.length || !pairs.across.length) return "";
  return `Similarity ${mean(pairs.within).toFixed(2)} within a meaning, ${mean(pairs.across).toFixed(2)} across. ` +
    `For ${nRight} of ${points.length} dots the nearest has the same meaning.`;
}

export function startMeanings(section, info) {
  const ui = parts(section);
  const layerNames = Array.from({length: info.model.layers + 1}, (_, k) => (k ? `layer ${k}` : "word_emb"));
  const outputs = info.model.outputs.slice(0, layerNames.length);
  const choices = [...layerNames, "mix"];
  let chosen = info.model.layers; // of choices
  let word = "";
  let note = "";
  let seen = null; // what the last answer gave: points, layers, maps
  const run = panel(section, "embed", show);
  const ask = debounced(askNow);

  // ---- What is asked ----

  const rows = () => [...ui.sentences.children];
  const textOf = (row) => row.querySelector("textarea").value.trim();

  function askNow() {
    const inputs = rows().map(textOf);
    run(word && inputs.some(Boolean) ? {inputs, outputs, encoding_format: "base64"} : null);
  }

  function renumber() {
    rows().forEach((row, i) => {
      const [sense, , remove] = row.children;
      row.dataset.sentence = i;
      sense.replaceChildren(mark(Number(row.dataset.sense)), String(i + 1));
      sense.className = `sense sense-${row.dataset.sense}`;
      sense.setAttribute("aria-label", `Sentence ${i + 1}: meaning ${SENSE_NAMES[row.dataset.sense]}, change`);
      row.querySelector("textarea").setAttribute("aria-label", `Sentence ${i + 1}`);
      remove.setAttribute("aria-label", `Remove sentence ${i + 1}`);
    });
    ui.add.hidden = rows().length >= Math.min(MOST_SENTENCES, info.limits.max_inputs);
  }

  function addRow(text, sense, after = null) {
    const change = () => {
      row.dataset.sense = (Number(row.dataset.sense) + 1) % N_SENSES;
      renumber();
      draw();
    };
    const remove = () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      renumber();
      (next?.querySelector("textarea") ?? ui.add).focus();
      askNow();
    };
    // One line that wraps: Enter begins the next sentence instead.
    const input = html("textarea", {rows: 1, spellcheck: "false", oninput: ask, onkeydown: (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      if (!ui.add.hidden) addRow("", row.dataset.sense, row).focus();
    }}, text);
    const row = html("li", {"data-sense": sense},
      html("button", {type: "button", title: "Change its meaning", onclick: change}),
      input,
      html("button", {type: "button", class: "quiet", onclick: remove}, "×"));
    if (after) after.after(row);
    else ui.sentences.append(row);
    renumber();
    return input;
  }

  const pressExample = chips(ui.examples, MEANINGS, (example) => example.word, load);

  function load(example) {
    ui.sentences.replaceChildren();
    example.senses.forEach((sentences, sense) => sentences.forEach((text) => addRow(text, sense)));
    pressExample(example);
    note = example.note ?? "";
    choose(example.word);
    askNow();
  }

  function choose(text) {
    ui.word.value = text;
    word = plain(text);
    if (seen) show(seen.answer);
  }

  ui.word.addEventListener("input", () => {
    const wasEmpty = !word;
    word = plain(ui.word.value);
    if (seen && !wasEmpty && word) show(seen.answer);
    else ask();
  });
  ui.add.addEventListener("click", () => addRow("", rows().at(-1)?.dataset.sense ?? 0).focus());
  ui.sentences.addEventListener("input", () => {
    note = "";
    pressExample(null);
  });

  // ---- The layers ----

  const sliders = layerNames.map((name) => {
    const share = html("output");
    const slider = html("input", {type: "range", min: -4, max: 4, step: 0.1, value: 0, oninput: draw});
    ui.mix.append(html("label", {}, html("span", {}, name), slider, share));
    return {slider, share};
  });

  const thumbs = choices.map((name, k) => {
    const picture = html("span", {class: "picture"});
    const radio = html("input", {type: "radio", name: "layer", value: k, checked: k === chosen, onchange: () => {
      chosen = k;
      draw();
    }});
    ui.layers.append(html("label", {}, radio, picture, html("span", {class: "name"}, name)));
    return picture;
  });

  // ---- What is shown ----

  function show(answer) {
    const points = occurrences(answer.data, word);
    const layers = outputs.map((name) => {
      const decoded = new Map();
      return points.map(({sentence, token}) => {
        const {tokens, [name]: packed} = answer.data[sentence];
        if (!decoded.has(sentence)) decoded.set(sentence, matrix(packed, tokens.length));
        return decoded.get(sentence)[token];
      });
    });
    seen = {answer, points, layers, large: null, small: []};
    const pressShared = chips(ui.shared, sharedWords(answer.data), (shared) => shared, (shared) => choose(shared));
    pressShared(word);
    draw();
  }

  function makeMaps() {
    seen.large = makeMap(seen.points, true);
    seen.small = choices.map(() => makeMap(seen.points, false));
    ui.map.replaceChildren(seen.large.node);
    thumbs.forEach((thumb, k) => thumb.replaceChildren(seen.small[k].node));
  }

  /** The vectors of a choice, one for each occurrence. */
  function vectorsOf(k, weights) {
    if (k < layerNames.length) return seen.layers[k];
    return seen.points.map((_, i) => mixed(seen.layers.map((layer) => layer[i]), weights));
  }

  /** Maps of all choices, on one scale, and the matrix of the chosen one. */
  function draw() {
    const weights = softmax(sliders.map(({slider}) => Number(slider.value)));
    sliders.forEach(({share}, k) => { share.textContent = `${Math.round(100 * weights[k])} %`; });
    ui.mix.hidden = chosen < layerNames.length;
    if (!seen) return;
    const {points} = seen;
    section.classList.toggle("too-few", points.length < 2);
    if (points.length < 2) {
      ui.verdict.textContent = points.length
        ? `“${word}” stands in one sentence alone. Write another with it.`
        : `“${word}” is in none of the sentences.`;
      return;
    }
    const senses = points.map(({sentence}) => Number(rows()[sentence]?.dataset.sense ?? 0));
    if (!seen.large || points.some((point, i) => point.sense !== senses[i])) {
      points.forEach((point, i) => { point.sense = senses[i]; });
      makeMaps();
    }
    const planes = choices.map((_, k) => plane(vectorsOf(k, weights)));
    const reach = Math.max(...planes.flatMap(({points: places}) => places.map(([x, y]) => Math.max(Math.abs(x), Math.abs(y)))));
    planes.forEach(({points: places}, k) => seen.small[k].move(places, reach));
    drawChosen(planes[chosen], reach, weights);
  }

  function drawChosen({points: places, shares}, reach, weights) {
    const {points} = seen;
    const all = choices.map((_, k) => cosines(vectorsOf(k, weights)));
    const similar = all[chosen];
    const isOne = Math.min(...similar.flat()) > 0.9999;
    seen.large.move(places, reach);
    seen.large.node.setAttribute("aria-label", `Map of ${choices[chosen]}: ${points.length} dots`);
    ui.variance.textContent = isOne ? "no variance" : `PCA, ${Math.round(100 * (shares[0] + shares[1]))} % of the variance`;
    ui.matrix.replaceChildren(matrixTable(points, similar, Math.min(...all.flat(2))));
    ui.verdict.replaceChildren(isOne
      ? "One point: here the word is only spelled, whatever stands around it."
      : [verdictOf(points, similar), note].filter(Boolean).join(" "));
  }

  // A sentence, its dot, and its row and column show each other.
  const light = (event) => {
    const sentence = event.target.closest("[data-sentence]")?.dataset.sentence;
    for (const node of section.querySelectorAll("[data-sentence]"))
      node.classList.toggle("lit", node.dataset.sentence === sentence);
  };
  section.addEventListener("pointerover", light);
  section.addEventListener("focusin", light);

  load(MEANINGS[0]);
}
