// The choice of a layer or of the mix: a small map for each, and sliders for the mix.
import {html} from "./dom.js";
import {softmax} from "./maths.js";

/**
 * Fills `where` with a radio button for each layer and one for the mix, and `mix` with sliders. Calls
 * onChange when the choice changes or a slider moves. Returns {choices, chosen, weights, pictures}:
 * the names, a function for the index of the choice, one for the weights of the mix, and the elements
 * of the small maps.
 */
export function makeLayers(where, mix, names, onChange) {
  const choices = [...names, "mix"];
  let chosen = names.length - 1;

  const sliders = names.map((name) => {
    const slider = html("input", {
      type: "range",
      min: -4,
      max: 4,
      step: 0.1,
      value: 0,
      oninput: changed,
    });
    const share = html("output");
    mix.append(html("label", {}, html("span", {}, name), slider, share));
    return {slider, share};
  });

  const pictures = choices.map((name, k) => {
    const picture = html("span", {class: "picture"});
    const onchange = () => {
      chosen = k;
      changed();
    };
    const isFirst = k === chosen;
    where.append(
      html(
        "label",
        {},
        html("input", {type: "radio", name: "layer", value: k, checked: isFirst, onchange}),
        picture,
        html("span", {class: "name"}, name),
      ),
    );
    return picture;
  });

  const weights = () => softmax(sliders.map(({slider}) => Number(slider.value)));

  function show() {
    const shares = weights();
    sliders.forEach(({share}, k) => {
      share.textContent = `${Math.round(100 * shares[k])} %`;
    });
    mix.hidden = chosen < names.length;
  }

  function changed() {
    show();
    onChange();
  }

  show();
  return {choices, chosen: () => chosen, weights, pictures};
}
