// The playground in a real browser, with a real elmod.
import assert from "node:assert/strict";
import {readFile} from "node:fs/promises";
import {createRequire} from "node:module";
import {after, before, describe, test} from "node:test";

import {openPage, openPlayground, settled, startBrowser, startElmod} from "./harness.mjs";
import {testMaths} from "./maths.mjs";
import {stubEmbed, stubInfo, stubProblem, stubScore, stubSentiment} from "./stubs.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WEB = new URL(`file://${process.env.ELMOD_SOURCE_ROOT}/server/web/`);

let elmod, browser;
before(async () => {
  [elmod, browser] = await Promise.all([
    startElmod("--threads", "1", "--max-tokens", "100", "--max-request-tokens", "150"),
    startBrowser(),
  ]);
});
after(async () => {
  await browser?.close();
  await elmod?.stop();
});

testMaths(
  await import(
    `data:text/javascript,${encodeURIComponent(await readFile(new URL("maths.js", WEB), "utf8"))}`
  ),
);

/** A test with its own page. It fails if the console has a message that `allowed` does not match. */
function pageTest(name, body, {allowed = /^$/, ...options} = {}) {
  test(name, async () => {
    const {page, faults, close} = await openPage(browser, elmod.origin, options);
    try {
      await body(page);
      assert.deepEqual(
        faults.filter((fault) => !allowed.test(fault)),
        [],
      );
    } finally {
      await close();
    }
  });
}

const HTTP_FAULT = /^error: Failed to load resource/; // for a status that the test causes

const matrixOf = (page) =>
  page
    .locator(".matrix tbody tr")
    .evaluateAll((rows) =>
      rows.map((row) => [...row.querySelectorAll("td")].map((cell) => Number(cell.textContent))),
    );
const layer = (page, name) => page.getByRole("radio", {name, exact: true});
const verdict = (page) => page.locator("#meanings .verdict").textContent();
const dots = (page) => page.locator("#meanings .views .dot:not(.piled)").count();

// ---- One word, many meanings ----

pageTest(
  "a word is one point in word_emb, and its meanings separate in the upper layers",
  async (page) => {
    await openPlayground(page, elmod.origin);
    for (const word of ["bear", "watch", "lie", "play", "saw", "leaves"]) {
      await page
        .locator("#meanings")
        .getByRole("group", {name: "Examples"})
        .getByRole("button", {name: word})
        .click();
      await settled(page);
      await layer(page, "word_emb").check();
      assert.equal(await dots(page), 0, word);
      await page.getByText("6 dots, one point").waitFor();
      assert.deepEqual(new Set((await matrixOf(page)).flat()), new Set([1]));
      await layer(page, "layer 2").check();
      assert.equal(await dots(page), 6, word);
      assert.match(await verdict(page), /For 6 of 6 dots the nearest has the same meaning/, word);
      const [, within, across] = /Similarity (\S+) within a meaning, (\S+) across/.exec(
        await verdict(page),
      );
      assert.ok(within - across > 0.05, `${word}: ${within}, ${across}`);
    }
  },
);

pageTest("the sliders mix the layers as the server does", async (page) => {
  await openPlayground(page, elmod.origin);
  await layer(page, "mix").check();
  const sliders = await page.getByRole("slider").all();
  assert.equal(sliders.length, 3);
  const logits = [0, 0, 0];
  const expected = async () =>
    page.evaluate(
      async ([weights]) => {
        const {cosines} = await import("/web/maths.js");
        const inputs = [...document.querySelectorAll(".sentences textarea")].map(
          (input) => input.value,
        );
        const response = await fetch("/embed", {
          method: "POST",
          headers: {"Content-Type": "application/json"},
          body: JSON.stringify({inputs, outputs: ["elmo"], mix: {weights}}),
        });
        const {data} = await response.json();
        return cosines(data.map(({tokens, elmo}) => elmo[tokens.indexOf("bear")]));
      },
      [logits],
    );
  for (const [k, value] of [
    [2, 4],
    [0, -3.5],
    [1, -4],
  ]) {
    await sliders[k].fill(String(value));
    logits[k] = value;
    const [shown, right] = [(await matrixOf(page)).flat(), (await expected()).flat()];
    shown.forEach((cosine, i) =>
      assert.ok(Math.abs(cosine - right[i]) < 0.006, `${cosine} for ${right[i]}`),
    );
  }
  assert.match(await page.locator("#meanings .mix").innerText(), /layer 2\s+99 %|layer 2\s+100 %/);
});

pageTest("sentences are written, marked and removed with the keyboard only", async (page) => {
  await openPlayground(page, elmod.origin);
  const sentences = page.locator(".sentences textarea");
  await page.getByLabel("Sentence 6", {exact: true}).focus();
  await page.keyboard.press("Enter");
  await page.keyboard.type("Bears and a bear: bear with me.");
  await settled(page);
  assert.equal(await sentences.count(), 7);
  assert.equal(await dots(page), 8); // "bear" is in it twice, "Bears" is another word
  await page.getByRole("button", {name: "Sentence 7: meaning B, change"}).focus();
  await page.keyboard.press("Space");
  await page.getByRole("button", {name: "Sentence 7: meaning C, change"}).waitFor();
  assert.equal(await page.locator("#meanings .views .dot.sense-2").count(), 2);
  await page.getByRole("button", {name: "Remove sentence 1", exact: true}).focus();
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal(await sentences.count(), 6);
  assert.equal(
    await page.evaluate(() => document.activeElement.getAttribute("aria-label")),
    "Sentence 1",
  );
  await page.locator("#meanings .layers input:checked").focus();
  await page.keyboard.press("ArrowLeft");
  assert.ok(await layer(page, "layer 1").isChecked());
});

pageTest("another word is chosen among those that the sentences share, or typed", async (page) => {
  await openPlayground(page, elmod.origin);
  await page
    .getByRole("group", {name: "Words that the sentences share"})
    .getByRole("button", {name: "the"})
    .click();
  assert.equal(await page.getByLabel("Word", {exact: true}).inputValue(), "the");
  assert.ok((await dots(page)) >= 2);
  await page.getByLabel("Word", {exact: true}).fill("hunters");
  await page.getByText("“hunters” is in only one sentence.").waitFor();
  await page.getByLabel("Word", {exact: true}).fill("zebra");
  await page.getByText("“zebra” is in none of the sentences.").waitFor();
  await page.getByLabel("Word", {exact: true}).fill("");
  await settled(page);
  assert.ok(!(await page.locator("#meanings .output").isVisible()));
  await page.getByLabel("Word", {exact: true}).fill("bear");
  await settled(page);
  assert.equal(await dots(page), 6);
});

pageTest("a model with another number of layers has as many maps and sliders", async (page) => {
  await stubInfo(page, ({model}) =>
    Object.assign(model, {layers: 1, outputs: ["word_emb", "lstm_outputs1", "elmo", "default"]}),
  );
  await stubEmbed(page);
  await openPlayground(page, elmod.origin);
  assert.deepEqual(await page.locator(".layers .name").allTextContents(), [
    "word_emb",
    "layer 1",
    "mix",
  ]);
  assert.equal(await page.locator(".mix input").count(), 2);
  const shown = await matrixOf(page); // of layer 1, where sentence i is rotated by i degrees
  shown.forEach((row, i) =>
    row.forEach((cosine, j) =>
      assert.equal(cosine.toFixed(2), Math.cos(((i - j) * Math.PI) / 180).toFixed(2)),
    ),
  );
});

// ---- Sentiment ----

pageTest("sentiment is a bar for each label and a background colour for each token", async (page) => {
  await stubSentiment(page);
  await openPlayground(page, elmod.origin);
  const panel = page.locator("#sentiment");
  assert.deepEqual(await panel.locator(".probability .number").allTextContents(), [
    "50.0 %",
    "50.0 %",
  ]);
  const tokens = panel.locator(".tokens .token");
  assert.deepEqual(
    await tokens.evaluateAll((nodes) =>
      nodes.map((node) => [
        node.textContent,
        node.className,
        node.title,
        Number(node.style.getPropertyValue("--w")).toFixed(3),
      ]),
    ),
    [
      ["Not", "token plus", "+0.50", "0.333"],
      ["bad", "token minus", "−1.50", "1.000"],
      ["xyzzy", "token plus", "+0.25", "0.167"],
    ],
  );
  assert.notEqual(
    await tokens.nth(0).evaluate((node) => getComputedStyle(node).backgroundColor),
    await tokens.nth(1).evaluate((node) => getComputedStyle(node).backgroundColor),
  );
  await panel.getByText("As numbers").click();
  await panel
    .getByText("Words −0.75, bias +0.75: together +0.00, the log-odds of positive.")
    .waitFor();
});

pageTest("sentiment of many labels has a bar for each", async (page) => {
  const labels = ["bad", "so so", "good", "great"];
  await stubInfo(page, ({model}) => Object.assign(model, {labels}));
  await stubSentiment(page, labels);
  await openPlayground(page, elmod.origin);
  assert.deepEqual(await page.locator("#sentiment .probability .name").allTextContents(), labels);
  await page.locator("#sentiment").getByText("against great").waitFor();
});

// ---- Surprise ----

pageTest("surprise is in bits, forward and backward", async (page) => {
  await stubInfo(page, ({model}) => Object.assign(model, {language_model: true}));
  await stubScore(page);
  await openPlayground(page, elmod.origin);
  const panel = page.locator("#surprise");
  const weights = await panel
    .locator(".tokens")
    .evaluateAll((lines) =>
      lines.map((line) =>
        [...line.querySelectorAll(".token")].map((node) =>
          Number(node.style.getPropertyValue("--w")).toFixed(4),
        ),
      ),
    );
  assert.deepEqual(weights, [
    ["0.0625", "0.5000", "1.0000"],
    ["0.1250", "0.2500", "1.0000"],
  ]);
  assert.deepEqual(await panel.locator("h3 small").allTextContents(), [
    "perplexity 42.3",
    "perplexity 1235",
  ]);
  assert.deepEqual(
    await panel.locator(".unknown").evaluateAll((nodes) => nodes.map((node) => node.title)),
    ["16.0 bits, not in the vocabulary", "20.0 bits, not in the vocabulary"],
  );
  await panel.getByText("As numbers").click();
  await panel.getByRole("row", {name: "bad 8.0 4.0"}).waitFor();
});

pageTest("a panel that the model cannot fill says why", async (page) => {
  await stubInfo(page, ({model}) => Object.assign(model, {labels: [], language_model: false}));
  await openPlayground(page, elmod.origin);
  await page.locator("#sentiment").getByText("no sentiment head").waitFor();
  await page.locator("#surprise").getByText("no softmax").waitFor();
  assert.equal(await page.locator("#sentiment textarea, #surprise textarea").count(), 0);
  assert.equal(await dots(page), 6);
});

pageTest("the real answers fill the panels", async (page) => {
  await openPlayground(page, elmod.origin);
  for (const [panel, lines] of [
    ["#sentiment", 1],
    ["#surprise", 2],
  ]) {
    const examples = page.locator(panel).getByRole("group", {name: "Examples"});
    for (const example of await examples.getByRole("button").all()) {
      await example.click();
      await settled(page);
      const text = await page.locator(panel).getByLabel("Text").inputValue();
      const shown = await page.locator(`${panel} .tokens`).allTextContents();
      assert.deepEqual(shown, Array(lines).fill(text)); // the tokens are those of the text
      assert.ok(!(await page.locator(panel).getByRole("alert").isVisible()));
    }
  }
  await page.locator("#surprise").getByRole("button", {name: "elephants"}).click();
  await settled(page);
  const forward = page.locator("#surprise .tokens").first().locator(".token");
  const weights = await forward.evaluateAll((nodes) =>
    nodes.map((node) => Number(node.style.getPropertyValue("--w"))),
  );
  assert.equal(weights.indexOf(Math.max(...weights)), 7); // elephants
  await page.locator("#sentiment").getByText("As numbers").click();
  const details = await page.locator("#sentiment [data-part=numbers]").innerText();
  const sum = /Words (\S+), bias (\S+): together (\S+),/.exec(details);
  const [words, bias, logit] = sum.slice(1).map((text) => Number(text.replace("−", "-")));
  assert.ok(Math.abs(words + bias - logit) < 0.02, sum[0]);
});

// ---- Cost, curl, faults ----

pageTest("the time of a request and its curl command are shown", async (page) => {
  await stubSentiment(page);
  await openPlayground(page, elmod.origin);
  const panel = page.locator("#sentiment");
  await panel.getByLabel("Text").fill('It\'s "fine" <b>&');
  await settled(page);
  assert.match(
    await panel.locator(".timing").innerText(),
    /4\.0 ms\s+parse 0\.3 ms\s+queue 0\.5 ms\s+compute 3\.0 ms\s+write 0\.3 ms\s+round trip/,
  );
  await panel.getByText("This request as curl").click();
  assert.equal(
    await panel.locator(".curl code").innerText(),
    `curl ${elmod.origin}/sentiment --json '{"inputs":"It'\\''s \\"fine\\" <b>&","explain":true}'`,
  );
});

pageTest(
  "an error is shown with the text of the server, and disappears",
  async (page) => {
    await stubSentiment(page);
    await openPlayground(page, elmod.origin);
    const alert = page.locator("#sentiment").getByRole("alert");
    await stubProblem(page, "/sentiment", 429, "queue_full", "The queue is full; try again soon.");
    await page.locator("#sentiment").getByLabel("Text").fill("Once");
    await alert.getByText("The queue is full; try again soon.").waitFor();
    await alert.getByText("429 · queue_full · request stubbed-request").waitFor();
    assert.ok(!(await page.locator("#sentiment .output").isVisible()));
    await page.locator("#sentiment").getByLabel("Text").fill("Twice");
    await alert.waitFor({state: "hidden"});
    assert.ok(await page.locator("#sentiment .output").isVisible());
  },
  {allowed: HTTP_FAULT},
);

pageTest(
  "an error of the real server is shown with its place",
  async (page) => {
    await openPlayground(page, elmod.origin);
    await page.getByLabel("Sentence 1", {exact: true}).fill("bear ".repeat(80));
    await page.getByLabel("Sentence 2", {exact: true}).fill("bear ".repeat(80));
    const alert = page.locator("#meanings").getByRole("alert");
    await alert.getByText("413 · too_many_tokens").waitFor();
    assert.match(await alert.innerText(), /150/);
  },
  {allowed: HTTP_FAULT},
);

pageTest(
  "a server that cannot be reached is reported, and one that is loading is waited for",
  async (page) => {
    await stubSentiment(page);
    await stubProblem(page, "/info", 503, "loading", "The model is being loaded; try again soon.");
    await page.goto(`${elmod.origin}/`);
    await page.locator("#facts").getByText("being loaded").waitFor();
    await settled(page);
    await page.route("**/sentiment", (route) => route.abort());
    await page.locator("#sentiment").getByLabel("Text").fill("Anyone there?");
    await page.locator("#sentiment").getByRole("alert").getByText("cannot be reached").waitFor();
  },
  {allowed: HTTP_FAULT},
);

pageTest(
  "a server that requires a key gets the key of the user",
  async (page) => {
    await stubInfo(page, () => {});
    await stubSentiment(page);
    await stubProblem(page, "/info", 401, "unauthorized", "An API key is wanted.");
    await page.goto(`${elmod.origin}/`);
    await page.locator("#facts").getByText("An API key is wanted.").waitFor();
    await page.getByLabel("API key").fill("s3cret");
    const asked = page.waitForRequest("**/embed");
    await page.getByLabel("API key").press("Enter");
    assert.equal((await asked).headers().authorization, "Bearer s3cret");
    await settled(page);
    assert.ok(!(await page.getByLabel("API key").isVisible()));
    assert.match(
      await page.locator("#meanings .curl code").textContent(),
      /^curl \S+ --oauth2-bearer "\$ELMOD_KEY" --json/,
    );
    assert.ok(!(await page.content()).includes("s3cret"));
  },
  {allowed: HTTP_FAULT},
);

// ---- The pages as pages ----

const SCHEMES = ["light", "dark"];

async function stubAll(page) {
  await stubInfo(page, ({model}) => Object.assign(model, {language_model: true}));
  await stubSentiment(page, undefined, [1.5, -1.5, 0.25]);
  await stubScore(page);
}

for (const colorScheme of SCHEMES) {
  pageTest(
    `axe finds no violation in ${colorScheme}`,
    async (page) => {
      await stubAll(page);
      for (const path of ["/", "/docs"]) {
        await page.goto(elmod.origin + path);
        if (path === "/") {
          await settled(page);
          await layer(page, "mix").check();
          for (const summary of await page.locator("summary").all()) await summary.click();
        }
        await page.evaluate(AXE);
        // All sections of the API page have the same form, so axe, which is slow, checks one.
        const {violations} = await page.evaluate(() => {
          for (const section of document.querySelectorAll(".docs > .panel[id]:not(#embed)"))
            section.remove();
          return axe.run();
        });
        assert.deepEqual(
          violations.map(
            ({id, nodes}) =>
              `${path} ${id}: ${nodes.map((node) => node.html.slice(0, 150)).join("\n")}`,
          ),
          [],
        );
      }
    },
    {colorScheme},
  );
}

pageTest(
  "on a phone nothing is wider than the screen",
  async (page) => {
    await stubAll(page);
    for (const path of ["/", "/docs"]) {
      await page.goto(elmod.origin + path);
      if (path === "/") {
        await settled(page);
        await layer(page, "mix").check();
        for (const summary of await page.locator("summary").all()) await summary.click();
      }
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, path);
    }
  },
  {viewport: {width: 360, height: 740}},
);

pageTest("the choice of light or dark is kept on both pages", async (page) => {
  await stubAll(page);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await openPlayground(page, elmod.origin);
  const light = await paper();
  await page.getByRole("button", {name: "Light or dark"}).click();
  const dark = await paper();
  assert.notEqual(light, dark);
  await page.goto(`${elmod.origin}/docs`);
  assert.equal(await paper(), dark);
  await page.getByRole("button", {name: "Light or dark"}).click();
  assert.equal(await paper(), light);
});

pageTest(
  "the API page has every path of the document, and needs no script",
  async (page) => {
    await page.goto(`${elmod.origin}/docs`);
    const document = await (await fetch(`${elmod.origin}/openapi.yaml`)).text();
    const [, section] = /^paths:\n((?:[ #].*\n|\n)+)/m.exec(document);
    const paths = [...section.matchAll(/^ {2}'?(\/[^':]*)'?:$/gm)].map(([, path]) => path);
    assert.ok(paths.length > 9);
    assert.deepEqual(await page.locator("h2 code").allTextContents(), paths);
    for (const link of await page.locator(".toc a").all())
      assert.equal(
        await page
          .locator(`section[id="${(await link.getAttribute("href")).split("#")[1]}"]`)
          .count(),
        1,
      );
    await page.getByText("curl http://127.0.0.1:8080/sentiment --json").first().waitFor();
  },
  {javaScriptEnabled: false},
);

pageTest(
  "the Content-Security-Policy forbids what the pages do not need",
  async (page) => {
    await stubAll(page);
    await openPlayground(page, elmod.origin);
    const blocked = await page.evaluate(async () => {
      const found = [];
      document.addEventListener("securitypolicyviolation", (event) =>
        found.push(event.effectiveDirective),
      );
      document.body.insertAdjacentHTML(
        "beforeend",
        '<p style="color: red"></p><img src="https://elsewhere.invalid/x.png">',
      );
      const script = document.createElement("script");
      script.textContent = "window.ranInline = true";
      document.body.append(script);
      await fetch("https://elsewhere.invalid/").catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 100));
      return [window.ranInline === true, ...[...new Set(found)].sort()];
    });
    assert.deepEqual(blocked, [
      false,
      "connect-src",
      "img-src",
      "script-src-elem",
      "style-src-attr",
    ]);
  },
  {allowed: /Content Security Policy|asked elsewhere: https:\/\/elsewhere\.invalid/},
);
