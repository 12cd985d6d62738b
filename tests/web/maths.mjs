// The mathematics of the page.
import assert from "node:assert/strict";
import {test} from "node:test";

export function testMaths({cosines, dot, eigen, mixed, plane, softmax, unit}) {
  const near = (a, b, error = 1e-9) => assert.ok(Math.abs(a - b) <= error, `${a} is not ${b}`);
  let seed = 1;
  const random = () => {
    seed = (seed * 48271) % 2147483647;
    return seed / 2147483647 - 0.5;
  };
  const vectors = (n, width) => Array.from({length: n}, () => Array.from({length: width}, random));

  test("eigenvectors of symmetric matrices", () => {
    for (const n of [1, 2, 3, 7, 24]) {
      const rows = vectors(n, n);
      const matrix = rows.map((row, i) => row.map((x, j) => x + rows[j][i]));
      const {values, vectors: axes} = eigen(matrix);
      for (let k = 0; k < n; k++) {
        if (k > 0) assert.ok(values[k] <= values[k - 1]);
        for (let l = 0; l <= k; l++) near(dot(axes[k], axes[l]), Number(k === l));
        matrix.forEach((row, i) => near(dot(row, axes[k]), values[k] * axes[k][i]));
      }
    }
  });

  test("a map of three vectors keeps their distances", () => {
    const three = vectors(3, 50);
    const units = three.map(unit);
    const {points, shares} = plane(three);
    for (const [i, j] of [
      [0, 1],
      [0, 2],
      [1, 2],
    ])
      near(
        Math.hypot(points[i][0] - points[j][0], points[i][1] - points[j][1]),
        Math.sqrt(units[i].reduce((sum, x, k) => sum + (x - units[j][k]) ** 2, 0)),
      );
    near(shares[0] + shares[1], 1);
  });

  test("a map of equal vectors, of one and of none is one point, or none", () => {
    const [vector] = vectors(1, 9);
    for (const [x, y] of plane([vector, vector, vector]).points) near(Math.hypot(x, y), 0, 1e-7);
    assert.deepEqual(plane([vector, vector]).shares, [0, 0]);
    assert.deepEqual(
      plane([vector]).points.map((point) => point.map(Math.abs)),
      [[0, 0]],
    );
    assert.deepEqual(plane([]).points, []);
  });

  test("cosines do not depend on lengths, and softmax not on a shift", () => {
    near(
      cosines([
        [1, 0],
        [3, 3],
      ])[0][1],
      Math.SQRT1_2,
    );
    near(
      cosines([
        [0, 0],
        [3, 3],
      ])[0][1],
      0,
    );
    softmax([1000, 1001]).forEach((share, i) => near(share, softmax([0, 1])[i]));
  });

  test("the mix takes a layer of half the width twice", () => {
    assert.deepEqual(
      [
        ...mixed(
          [
            [1, 2],
            [10, 20, 30, 40],
          ],
          [0.5, 0.25],
        ),
      ],
      [3, 6, 8, 11],
    );
  });
}
