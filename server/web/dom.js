// Small helpers that make elements. Text is always set as text, so text of the server or of the user
// cannot become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--"))
      node.style.setProperty(name, value); // the Content-Security-Policy forbids style attributes
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** An element: html("p", {class: "hint", onclick: f, "--w": 0.5}, "text", other). */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** The elements of a section by their data-part. */
export function parts(section) {
  const found = {};
  for (const node of section.querySelectorAll("[data-part]")) found[node.dataset.part] = node;
  return found;
}

/** Returns a function that calls f once, `ms` milliseconds after its own last call. */
export function debounced(f, ms = 250) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(f, ms);
  };
}

/**
 * Fills `where` with a button for each of `items`; a click calls choose(item). Returns press(item),
 * which shows the button of this item, and no other, as pressed.
 */
export function chips(where, items, name, choose) {
  const buttons = items.map((item) =>
    html(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        onclick: () => choose(item),
      },
      name(item),
    ),
  );
  where.replaceChildren(...buttons);
  return (pressed) => {
    buttons.forEach((button, i) =>
      button.setAttribute("aria-pressed", String(items[i] === pressed)),
    );
  };
}

/** A table of `rows` under `head`. The first cell of a row is its header. */
export function table(head, rows) {
  return html(
    "table",
    {},
    html("thead", {}, html("tr", {}, ...head.map((text) => html("th", {scope: "col"}, text)))),
    html(
      "tbody",
      {},
      ...rows.map(([first, ...rest]) =>
        html(
          "tr",
          {},
          html("th", {scope: "row"}, first),
          ...rest.map((text) => html("td", {}, text)),
        ),
      ),
    ),
  );
}
