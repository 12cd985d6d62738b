// A panel for one text.
import {chips, debounced} from "./dom.js";
import {panel} from "./panel.js";

/**
 * Sends the text of ui.text to `path`, with the fields `more`, when the user writes or selects one of
 * `examples` ({name, text}). Calls show(item) with the answer. Starts with the first example.
 */
export function startTextPanel(section, ui, {path, more, examples, show}) {
  const run = panel(section, path, ({data: [item]}) => show(item));
  const askNow = () => run(ui.text.value.trim() ? {inputs: ui.text.value, ...more} : null);
  const ask = debounced(askNow);
  const press = chips(ui.examples, examples, (example) => example.name, load);

  function load(example) {
    ui.text.value = example.text;
    press(example);
    askNow();
  }

  ui.text.addEventListener("input", () => {
    press(null);
    ask();
  });
  load(examples[0]);
}
