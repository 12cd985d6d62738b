// The 2-D map: a dot for each occurrence of the word. Its colour and shape show the meaning that the user
// intends. A map is made once for each answer. Later its dots are moved, so they travel between layers.
import {svg} from "./dom.js";

const SIZE = 100; // of the drawing, in its own units
const TOUCHING = 0.2; // dots nearer than this are drawn as one

/** Outlines with a radius of 1, one for each meaning. */
const SHAPES = [
  "M-1,0a1,1 0 1 0 2,0a1,1 0 1 0-2,0z",
  "M-.88,-.88h1.76v1.76h-1.76z",
  "M0,-1.15L1.1,.85h-2.2z",
  "M0,-1.2L1.2,0L0,1.2L-1.2,0z",
];
export const N_SENSES = SHAPES.length;

/** The mark of a meaning, as an SVG. */
export function mark(sense) {
  return svg(
    "svg",
    {viewBox: "-1.3 -1.3 2.6 2.6", class: `mark sense-${sense}`, "aria-hidden": "true"},
    svg("path", {d: SHAPES[sense]}),
  );
}

function dotOf(point, radius, isLarge) {
  const shape = svg("path", {d: SHAPES[point.sense], transform: `scale(${radius})`});
  const number = isLarge ? [svg("text", {dy: ".35em"}, point.name)] : [];
  const title = isLarge ? [svg("title", {}, point.context)] : [];
  return svg(
    "g",
    {class: `dot sense-${point.sense}`, "data-sentence": point.sentence},
    shape,
    ...number,
    ...title,
  );
}

/** Groups of dots at the same place: lists of at least two indices. */
function piles(places) {
  const found = [];
  const taken = new Set();
  places.forEach(([x, y], i) => {
    if (taken.has(i)) return;
    const pile = places
      .map((_, j) => j)
      .filter((j) => !taken.has(j) && Math.hypot(places[j][0] - x, places[j][1] - y) < TOUCHING);
    if (pile.length > 1) {
      pile.forEach((j) => taken.add(j));
      found.push(pile);
    }
  });
  return found;
}

/**
 * A map of `points` ({sense, sentence, name, context}): {node, move}. move(places, reach) moves each
 * point to its [x, y]. `reach` is the largest visible distance from the middle.
 */
export function makeMap(points, isLarge) {
  const radius = isLarge ? 3 : 5;
  const dots = points.map((point) => dotOf(point, radius, isLarge));
  const labels = svg("g", {class: "piles"});
  const node = svg(
    "svg",
    {viewBox: `0 0 ${SIZE} ${SIZE}`, class: "map", role: isLarge ? "img" : "presentation"},
    svg("path", {class: "axes", d: `M0 ${SIZE / 2}H${SIZE}M${SIZE / 2} 0V${SIZE}`}),
    ...dots,
    labels,
  );

  const pileAt = (pile, [x, y]) => [
    svg("circle", {cx: x, cy: y, r: radius}),
    ...(isLarge
      ? [svg("text", {x: x + radius + 2, y, dy: ".35em"}, `${pile.length} dots, one point`)]
      : []),
  ];

  const move = (places, reach) => {
    const scale = reach > 0 ? (SIZE / 2 - radius - 2) / reach : 0;
    const drawn = places.map(([x, y]) => [SIZE / 2 + x * scale, SIZE / 2 + y * scale]);
    const found = piles(drawn);
    const piled = new Set(found.flat());
    dots.forEach((dot, i) => {
      dot.style.transform = `translate(${drawn[i][0]}px, ${drawn[i][1]}px)`;
      dot.classList.toggle("piled", piled.has(i));
    });
    labels.replaceChildren(...found.flatMap((pile) => pileAt(pile, drawn[pile[0]])));
  };
  return {node, move};
}
