// Asks the server for its model, then starts the panels.
import {Fault, get, useKey} from "./api.js";
import {startMeanings} from "./meanings.js";
import {startSentiment} from "./sentiment.js";
import {startSurprise} from "./surprise.js";

const RETRY_MS = 1000;

function compact(number) {
  return new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1}).format(
    number,
  );
}

function factsOf({model, compute}) {
  return (
    `${model.name} · ${compact(model.parameters)} parameters · ${model.layers} layers of ` +
    `${model.layer_dim} · ${compute.dtype}, ${compute.kernel}`
  );
}

/** Waits until the user has entered a key. */
function keyFromReader() {
  const form = document.getElementById("key");
  form.hidden = false;
  return new Promise((resolve) => {
    form.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        form.hidden = true;
        resolve(form.elements.key.value);
      },
      {once: true},
    );
  });
}

/** GET /info. Repeats it while the model is loading, and asks the user for a key if one is required. */
async function infoWhenReady(facts) {
  for (;;) {
    try {
      return await get("info");
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      facts.textContent = error.message;
      if (error.status === 503) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      else if (error.status === 401) useKey(await keyFromReader());
      else throw error;
    }
  }
}

async function start() {
  const facts = document.getElementById("facts");
  let info;
  try {
    info = await infoWhenReady(facts);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    facts.classList.add("fault");
    return;
  }
  facts.textContent = factsOf(info);
  document.querySelector("main").classList.remove("waiting");
  startMeanings(document.getElementById("meanings"), info);
  startSentiment(document.getElementById("sentiment"), info);
  startSurprise(document.getElementById("surprise"), info);
  if (location.hash.length > 1) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

start();
