// Answers that replace those of the server, for tests that need known digits or an answer that the
// built-in model does not give. Each stub answers all later requests of a page.

function json(route, body, more = {}) {
  return route.fulfill({
    headers: {
      "Server-Timing": "parse;dur=0.250, queue;dur=0.500, compute;dur=3.000, write;dur=0.250",
    },
    json: body,
    ...more,
  });
}

/** The server's answer to GET /info, changed by change(info). */
export async function stubInfo(page, change) {
  await page.route("**/info", async (route) => {
    const response = await route.fetch();
    const info = await response.json();
    change(info);
    await route.fulfill({response, json: info});
  });
}

export const TOKENS = ["Not", "bad", "xyzzy"];

/** POST /sentiment with these attributions, and a bias so that the logit is 0. */
export function stubSentiment(
  page,
  labels = ["negative", "positive"],
  attributions = [0.5, -1.5, 0.25],
) {
  const shares = labels.map(() => 1 / labels.length);
  return page.route("**/sentiment", (route) =>
    json(route, {
      model: "stub",
      labels,
      data: [
        {
          index: 0,
          label: labels[0],
          score: shares[0],
          probabilities: Object.fromEntries(labels.map((label, i) => [label, shares[i]])),
          truncated: false,
          tokens: TOKENS,
          attributions,
          explanation: {
            label: labels.at(-1),
            logit: 0,
            bias: -attributions.reduce((a, b) => a + b),
            method: "integrated_gradients",
          },
        },
      ],
      usage: {inputs: 1, tokens: 3},
    }),
  );
}

/** POST /score: 1, 8 and 16 bits forward, 2, 4 and 20 backward. The last token is unknown. */
export function stubScore(page) {
  const direction = (bits, perplexity) => ({
    log_probs: bits.map((n) => -n * Math.LN2),
    end_log_prob: -1,
    perplexity,
  });
  return page.route("**/score", (route) =>
    json(route, {
      model: "stub",
      data: [
        {
          index: 0,
          tokens: TOKENS,
          unknown: [2],
          truncated: false,
          forward: direction([1, 8, 16], 42.25),
          backward: direction([2, 4, 20], 1234.5),
          perplexity: 228.4,
        },
      ],
      usage: {inputs: 1, tokens: 3},
    }),
  );
}

/**
 * POST /embed of a model with one layer. A token of input i is [1, 0] in word_emb, and rotated by i
 * degrees in layer 1.
 */
export function stubEmbed(page) {
  const packed = (vectors) =>
    Buffer.from(Float32Array.from(vectors.flat()).buffer).toString("base64");
  return page.route("**/embed", (route) => {
    const {inputs} = route.request().postDataJSON();
    return json(route, {
      model: "stub",
      data: inputs.map((input, index) => {
        const tokens = input.match(/\w+/g) ?? [];
        const angle = (index * Math.PI) / 180;
        return {
          index,
          tokens,
          truncated: false,
          word_emb: packed(tokens.map(() => [1, 0])),
          lstm_outputs1: packed(tokens.map(() => [Math.cos(angle), Math.sin(angle), 0, 0])),
        };
      }),
      usage: {inputs: inputs.length, tokens: inputs.length},
    });
  });
}

/** Answers `path` with a problem, `times` times. */
export function stubProblem(page, path, status, code, detail, times = 1) {
  return page.route(
    `**${path}`,
    (route) =>
      route.fulfill({
        status,
        contentType: "application/problem+json",
        body: JSON.stringify({
          type: `urn:elmod:problem:${code}`,
          title: code,
          status,
          detail,
          instance: path,
          code,
          request_id: "stubbed-request",
        }),
      }),
    {times},
  );
}
