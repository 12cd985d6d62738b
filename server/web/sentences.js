// The list of sentences, each with the meaning that the user intends.
import {html} from "./dom.js";
import {mark, N_SENSES} from "./map.js";

const SENSE_NAMES = ["A", "B", "C", "D"];

/**
 * Makes `list` and the button `add` an editor of at most `most` sentences. It calls onText while the
 * user writes, onRemove after a sentence is removed, and onSense after its meaning is changed. Returns
 * {texts, sense, load}: texts() returns the sentences, sense(i) the meaning of sentence i, and
 * load(senses) replaces all sentences.
 */
export function makeSentences(list, add, most, {onText, onRemove, onSense}) {
  const rows = () => [...list.children];
  const senseOf = (row) => Number(row.dataset.sense);
  const inputOf = (row) => row.querySelector("textarea");

  function renumber() {
    rows().forEach((row, i) => {
      const [sense, input, remove] = row.children;
      row.dataset.sentence = i;
      sense.replaceChildren(mark(senseOf(row)), String(i + 1));
      sense.className = `sense sense-${senseOf(row)}`;
      const meaning = SENSE_NAMES[senseOf(row)];
      sense.setAttribute("aria-label", `Sentence ${i + 1}: meaning ${meaning}, change`);
      input.setAttribute("aria-label", `Sentence ${i + 1}`);
      remove.setAttribute("aria-label", `Remove sentence ${i + 1}`);
    });
    add.hidden = rows().length >= most;
  }

  function change(row) {
    row.dataset.sense = (senseOf(row) + 1) % N_SENSES;
    renumber();
    onSense();
  }

  function remove(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    renumber();
    (next ? inputOf(next) : add).focus();
    onRemove();
  }

  /** Enter begins the next sentence. Long sentences wrap by themselves. */
  function press(event, row) {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (!add.hidden) inputOf(insert("", senseOf(row), row)).focus();
  }

  function insert(text, sense, after) {
    const row = html("li", {"data-sense": sense});
    const onkeydown = (event) => press(event, row);
    row.append(
      html("button", {type: "button", title: "Change its meaning", onclick: () => change(row)}),
      html("textarea", {rows: 1, spellcheck: "false", oninput: onText, onkeydown}, text),
      html("button", {type: "button", class: "quiet", onclick: () => remove(row)}, "×"),
    );
    if (after) after.after(row);
    else list.append(row);
    renumber();
    return row;
  }

  add.addEventListener("click", () => {
    const last = rows().at(-1);
    inputOf(insert("", last ? senseOf(last) : 0)).focus();
  });

  return {
    texts: () => rows().map((row) => inputOf(row).value.trim()),
    sense: (i) => (rows()[i] ? senseOf(rows()[i]) : 0),
    load(senses) {
      list.replaceChildren();
      senses.forEach((texts, sense) => texts.forEach((text) => insert(text, sense)));
    },
  };
}
