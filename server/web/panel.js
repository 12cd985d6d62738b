// The common part of all panels: send a request, show the answer or the error, the time it took, and
// the same request as a curl command.
import {curl, Fault, post} from "./api.js";
import {html} from "./dom.js";

const STAGES = ["parse", "queue", "compute", "write"];

function ms(number) {
  return `${number < 10 ? number.toFixed(1) : Math.round(number)} ms`;
}

function costs(stages, trip) {
  const known = STAGES.filter((name) => name in stages);
  const total = known.reduce((sum, name) => sum + stages[name], 0);
  return [
    html("strong", {}, ms(total)),
    html(
      "span",
      {class: "bar", "aria-hidden": "true"},
      ...known.map((name) => html("i", {class: name, "--w": total > 0 ? stages[name] / total : 0})),
    ),
    html(
      "span",
      {class: "stages"},
      ...known.map((name) => html("span", {class: name}, `${name} ${ms(stages[name])}`)),
      html("span", {}, `round trip ${ms(trip)}`),
    ),
  ];
}

function faultText(fault) {
  const places = fault.places.map((place) => `${place.pointer}: ${place.detail}`);
  const text = places.length ? places.join(" ") : fault.message;
  const what = [fault.status || null, fault.code, fault.requestId && `request ${fault.requestId}`];
  return [text, html("small", {}, what.filter(Boolean).join(" · "))];
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select the text and copy it"; // no clipboard, for instance without HTTPS
  }
  setTimeout(() => {
    button.textContent = "Copy";
  }, 2000);
}

/**
 * Makes `section` a panel for POST `path`. Returns run(body), which sends the body and calls
 * show(answer, body), unless run was called again before the answer. run(null) empties the panel.
 */
export function panel(section, path, show) {
  const output = section.querySelector("[data-part=output]");
  const fault = html("p", {class: "fault", role: "alert", hidden: true});
  const timing = html("p", {class: "timing"});
  const code = html("code");
  const button = html(
    "button",
    {class: "quiet", type: "button", onclick: () => copy(button, code.textContent)},
    "Copy",
  );
  const request = html(
    "details",
    {class: "request"},
    html("summary", {}, "This request as curl"),
    html(
      "div",
      {class: "curl"},
      html("pre", {tabindex: "0", role: "region", "aria-label": `${path} by curl`}, code),
      button,
    ),
  );
  output.before(fault);
  section.append(html("div", {class: "foot"}, timing, request));
  for (const form of section.querySelectorAll("form"))
    form.addEventListener("submit", (event) => event.preventDefault());

  let running;
  const empty = (isEmpty) => section.classList.toggle("empty", isEmpty);
  empty(true);
  return async (body) => {
    running?.abort();
    const own = (running = new AbortController());
    if (!body) {
      fault.hidden = true;
      empty(true);
      return;
    }
    section.setAttribute("aria-busy", "true");
    code.textContent = curl(path, body);
    try {
      const {answer, stages, trip} = await post(path, body, own.signal);
      if (own !== running) return;
      fault.hidden = true;
      timing.replaceChildren(...costs(stages, trip));
      show(answer, body);
      empty(false);
    } catch (error) {
      if (own !== running) return;
      if (!(error instanceof Fault)) throw error; // a bug of this page
      fault.replaceChildren(...faultText(error));
      fault.hidden = false;
      empty(true);
    } finally {
      if (own === running) section.removeAttribute("aria-busy");
    }
  };
}

/** Shows `children` instead of a panel that this model cannot fill. */
export function explainAbsence(section, ...children) {
  section.classList.add("absent");
  section.querySelector(".columns").replaceChildren(html("p", {class: "note"}, ...children));
}
