// A panel that asks about one text.
import {chips, debounced} from "./dom.js";
import {panel} from "./panel.js";

/**
 * Asks `path` about what stands in ui.text, with the fields `more`, as the reader writes or picks
 * one of `examples` ({name, text}); show(item) gets what is said of it. Begins with the first.
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
