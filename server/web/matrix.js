// The similarity matrix, as a table.
import {html} from "./dom.js";
import {mark} from "./map.js";

const MOST_WITH_NUMBERS = 10; // with more occurrences the cells are too small for numbers

function heading(point, scope) {
  return html(
    "th",
    {scope, class: `sense-${point.sense}`, title: point.context, "data-sentence": point.sentence},
    mark(point.sense),
    point.name,
  );
}

/** The cosines of `points` with one another. `least` is the value with the palest colour. */
export function matrixTable(points, cosines, least) {
  const text = (value) => value.toFixed(2).replace(/^(-?)0/, "$1");
  const weight = (value) => (least < 1 ? Math.max(0, (value - least) / (1 - least)) : 1);
  const withNumbers = points.length <= MOST_WITH_NUMBERS;
  const cell = (value, i, j) =>
    html(
      "td",
      {
        "--w": weight(value),
        title: `${points[i].name} and ${points[j].name}: ${value.toFixed(3)}`,
      },
      withNumbers ? text(value) : "",
    );
  return html(
    "table",
    {class: "matrix"},
    html("thead", {}, html("tr", {}, html("td"), ...points.map((point) => heading(point, "col")))),
    html(
      "tbody",
      {},
      ...points.map((point, i) =>
        html("tr", {}, heading(point, "row"), ...cosines[i].map((value, j) => cell(value, i, j))),
      ),
    ),
  );
}
