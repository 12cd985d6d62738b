// The mathematics of the page: similarities, the map, the mix. Vectors are arrays of numbers or
// Float32Array. There are at most a few dozen of them.

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** The vector scaled to length 1. A zero vector is not changed. */
export function unit(vector) {
  const length = Math.sqrt(dot(vector, vector));
  return Float64Array.from(vector, (x) => (length > 0 ? x / length : 0));
}

/** The cosine of every vector with every other: rows of numbers. */
export function cosines(vectors) {
  const units = vectors.map(unit);
  return units.map((a) => units.map((b) => Math.max(-1, Math.min(1, dot(a, b)))));
}

export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

/** sum_k weights[k] * layers[k]. Layer 0 has half the width and is repeated, as in ELMo. */
export function mixed(layers, weights) {
  const width = Math.max(...layers.map((layer) => layer.length));
  const sum = new Float64Array(width);
  layers.forEach((layer, k) => {
    for (let i = 0; i < width; i++) sum[i] += weights[k] * layer[i % layer.length];
  });
  return sum;
}

/**
 * Eigenvalues and eigenvectors of a small symmetric matrix (rows of numbers), largest first, by
 * Jacobi rotations: {values, vectors}. vectors[k][i] is entry i of eigenvector k.
 */
export function eigen(matrix) {
  const n = matrix.length;
  const a = matrix.map((row) => Float64Array.from(row));
  const v = a.map((_, i) => Float64Array.from({length: n}, (_, j) => Number(i === j)));
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) off += a[p][q] ** 2;
    if (off < 1e-24) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, v, p, q);
  }
  const order = a.map((_, i) => i).sort((i, j) => a[j][j] - a[i][i]);
  return {
    values: order.map((k) => a[k][k]),
    vectors: order.map((k) => v.map((row) => row[k])),
  };
}

/** Rotates the plane of p and q so that a[p][q] becomes 0. */
function rotate(a, v, p, q) {
  if (a[p][q] === 0) return;
  const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  const turn = (row, i, j) => {
    const [x, y] = [row[i], row[j]];
    row[i] = c * x - s * y;
    row[j] = s * x + c * y;
  };
  for (const row of a) turn(row, p, q);
  for (let k = 0; k < a.length; k++) {
    const [x, y] = [a[p][k], a[q][k]];
    a[p][k] = c * x - s * y;
    a[q][k] = s * x + c * y;
  }
  for (const row of v) turn(row, p, q);
}

/**
 * PCA of the vectors scaled to length 1: {points: [[x, y]...], shares: parts of the variance}. It uses
 * the Gram matrix, n by n, because there are far fewer vectors than dimensions. The sign of an axis is
 * arbitrary: it is chosen so that the first point is left and above, and the maps of all layers look
 * similar.
 */
export function plane(vectors) {
  const units = vectors.map(unit);
  const n = units.length;
  const mean = new Float64Array(n ? units[0].length : 0);
  for (const u of units)
    u.forEach((x, i) => {
      mean[i] += x / n;
    });
  const centred = units.map((u) => u.map((x, i) => x - mean[i]));
  const {values, vectors: axes} = eigen(centred.map((a) => centred.map((b) => dot(a, b))));
  const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
  const coordinates = [0, 1].map((k) => {
    const scale = Math.sqrt(Math.max(0, values[k] ?? 0));
    const sign = axes[k]?.[0] > 0 ? -1 : 1;
    return units.map((_, i) => (axes[k]?.[i] ?? 0) * scale * sign);
  });
  return {
    points: units.map((_, i) => [coordinates[0][i], coordinates[1][i]]),
    shares: [0, 1].map((k) => (total > 1e-9 ? Math.max(0, values[k] ?? 0) / total : 0)),
  };
}
