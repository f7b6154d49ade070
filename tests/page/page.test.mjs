import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  assets,
  closeOrigin,
  launch,
  missingChromium,
  open,
  release,
  status,
  summary,
  visible,
  WWW,
} from "./support.mjs";

const missing = missingChromium();
const skip = missing !== null && process.env.CARO_TEST_ALLOW_MISSING === "1" ? missing : false;

let browser;

before(async () => {
  if (skip) return;
  if (missing) throw new Error(missing);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await closeOrigin();
});

/** A test with a page of its own; it fails on any console error, policy violation or request to elsewhere. */
function onPage(name, options, body) {
  test(name, { skip, timeout: 30_000 }, async () => {
    const opened = await open(browser, options);
    try {
      await body(opened);
      assert.deepEqual(
        opened.troubles.filter((t) => !options.expected?.test(t)),
        [],
      );
    } finally {
      await opened.context.close();
    }
  });
}

const stopAll = { active: true, scope: "all", releases: [] };
const stoppedRelease = release({ stopped: true, state: "stopped", phase: "stopped", percentage: 0 });
const tone = (page) => page.getAttribute("#strip", "data-tone");
const figures = async (page) => (await visible(page, "#figures")).replace(/\s+/g, " ");

test("the page is small and asks for nothing that the policy forbids", async () => {
  let bytes = 0;
  const own = (await assets()).filter((name) => name !== "openapi.json" && !/admin[./]/.test(name));
  for (const name of own) bytes += (await stat(join(WWW, name))).size;
  assert.ok(bytes < 50_000, `${bytes} bytes`);
  const html = await readFile(join(WWW, "index.html"), "utf8");
  assert.doesNotMatch(html, /\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc="\/)|<form|<base/i);
  for (const [, url] of html.matchAll(/(?:src|href)="([^"]*)"/g)) assert.match(url, /^[/#](?!\/)/);
});

test("crawlers are kept to the page", async () => {
  const robots = await readFile(join(WWW, "robots.txt"), "utf8");
  assert.match(robots, /^Allow: \/\$$/m);
  assert.match(robots, /^Disallow: \/$/m);
});

onPage(
  "live figures come from the server that serves the page, under a policy without inline anything",
  {},
  async ({ page, asked, base, policy }) => {
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    await summary(page);
    const answer = await (await fetch(`${base}/status.json`)).json();
    const shown = await figures(page);
    if (answer.stable?.version) assert.ok(shown.includes(answer.stable.version), shown);
    for (const item of answer.releases) assert.ok(shown.includes(item.version), shown);
    assert.ok(asked.includes(`${base}/status.json`));
  },
);

onPage(
  "a running rollout: share, version, phase, state and the note on networks",
  { answer: status() },
  async ({ page }) => {
    assert.equal(await summary(page), "Right now 25% of networks get the beta.");
    assert.equal(await tone(page), "good");
    const shown = await figures(page);
    for (const text of [
      "25% of networks get the beta",
      "1.1.0-beta.2",
      "v1.1.0-beta",
      "small beta",
      "active",
      "1.0.4",
    ]) {
      assert.ok(shown.includes(text), `${text} in ${shown}`);
    }
    assert.match(await visible(page, "#checked"), /15 Jan 2026, 09:00:00/);
    assert.match(await visible(page, ".live"), /A percentage of networks is not a percentage of people.+NAT/);
    const squares = await page.getAttribute(".waffle-in", "d");
    assert.equal(squares.match(/M/g).length, 25);
  },
);

onPage(
  "numbers and times are in the reader's locale",
  {
    answer: status({ revision: 12_345, releases: [release({ percentage: 0.125, configured_percentage: 12.345 })] }),
    context: { locale: "de-DE" },
  },
  async ({ page }) => {
    await summary(page);
    assert.match(await visible(page, ".share"), /^0,125\s%\s+of networks get the beta\s+set to 12,345\s%$/);
    assert.equal(await visible(page, "#revision"), "12.345");
    assert.match(await visible(page, "#checked"), /^15\.01\.2026, 09:00:00$/);
  },
);

onPage(
  "several releases are listed each with its own figures",
  {
    answer: status({
      releases: [release(), release({ name: "v1.2.0-beta", version: "1.2.0-beta.1", percentage: 0.5 })],
    }),
  },
  async ({ page }) => {
    assert.equal(await summary(page), "Right now 2 releases are being rolled out.");
    assert.deepEqual(await page.locator(".share strong").allInnerTexts(), ["25%", "0.5%"]);
    assert.deepEqual(await page.locator(".release .version").allInnerTexts(), ["1.1.0-beta.2", "1.2.0-beta.1"]);
  },
);

onPage("without a rollout everybody gets stable", { answer: status({ releases: [] }) }, async ({ page }) => {
  assert.equal(await summary(page), "Everybody gets stable 1.0.4.");
  assert.match(await figures(page), /1\.0\.4 no rollout 100% of networks get stable/);
});

// ---------------------------------------------------------------- stops and faults

onPage(
  "an emergency stop of everything takes over the strip",
  { answer: status({ emergency_stop: stopAll, releases: [stoppedRelease] }) },
  async ({ page }) => {
    assert.equal(await summary(page), "Emergency stop: every rollout is stopped. Everybody gets stable 1.0.4.");
    assert.equal(await tone(page), "stop");
    assert.match(await figures(page), /stopped 0% of networks get the beta set to 25%/);
    assert.equal(await page.getAttribute(".waffle-in", "d"), "");
    assert.match(await page.textContent("#c-exact"), /\/1\.0\.4 /, "the example does not name a stopped version");
  },
);

onPage(
  "an emergency stop of some releases names them and leaves the others",
  {
    answer: status({
      emergency_stop: { active: true, scope: "releases", releases: ["v1.1.0-beta"] },
      releases: [release(), release({ name: "v1.2.0-beta", version: "1.2.0-beta.1" })],
    }),
  },
  async ({ page }) => {
    assert.equal(await summary(page), "Emergency stop: v1.1.0-beta is no longer given out.");
    assert.deepEqual(await page.locator(".badge").allInnerTexts(), ["stopped", "active"]);
    assert.deepEqual(await page.locator(".share strong").allInnerTexts(), ["0%", "25%"]);
  },
);

onPage(
  "an active stop whose scope cannot be read counts as a stop of everything",
  { answer: status({ emergency_stop: { active: true, scope: "?" } }) },
  async ({ page }) => {
    assert.match(await summary(page), /every rollout is stopped/);
    assert.deepEqual(await page.locator(".share strong").allInnerTexts(), ["0%"]);
  },
);

onPage(
  "degraded says so and still shows the figures",
  { answer: status({ status: "degraded", age_seconds: 900 }) },
  async ({ page }) => {
    assert.match(await summary(page), /^Degraded: using the last good configuration, 15 mins? old\.$/);
    assert.equal(await tone(page), "warn");
    assert.match(await figures(page), /25% of networks get the beta/);
  },
);

onPage(
  "fallback shows stable for everybody and no invented values",
  { answer: status({ status: "fallback", revision: null, checked_at: null, age_seconds: null, releases: [] }) },
  async ({ page }) => {
    assert.equal(await summary(page), "Fallback: no configuration could be read. Everybody gets stable 1.0.4.");
    assert.match(await figures(page), /1\.0\.4 fallback 100% of networks get stable/);
    assert.equal(await visible(page, "#revision"), "–");
    assert.equal(await visible(page, "#checked"), "–");
  },
);

const faults = [
  ["a dropped connection", (route) => route.abort()],
  ["an error page", (route) => route.fulfill({ status: 500, contentType: "text/html", body: "<b>no</b>" })],
  [
    "a problem document",
    (route) => route.fulfill({ status: 429, json: { type: "about:blank", status: 429, title: "Too many" } }),
  ],
  ["JSON that is no status", (route) => route.fulfill({ json: [1] })],
];
for (const [name, answer] of faults) {
  onPage(
    `${name} is an error that leaves the page usable`,
    { answer, expected: /Failed to load resource/ },
    async ({ page }) => {
      assert.match(await summary(page), /^The live status could not be loaded/);
      assert.equal(await tone(page), "warn");
      assert.equal(await page.getAttribute("#figures", "aria-busy"), "false");
      assert.match(await page.textContent("#c-sh"), /^curl -fsS .+ \| sh$/);
    },
  );
}

{
  let calls = 0;
  let broken = false;
  const answer = (route) => {
    calls += 1;
    return broken ? route.abort() : route.fulfill({ json: status() });
  };
  const before = (page) => page.clock.install();
  onPage(
    "polls every 30 s, backs off after errors, keeps the last figures",
    { answer, before, expected: /Failed to load/ },
    async ({ page }) => {
      const called = async (n) => {
        for (let i = 0; i < 100 && calls < n; i += 1) await new Promise((resolve) => setTimeout(resolve, 20));
        assert.equal(calls, n);
      };
      await page.clock.runFor(100);
      await summary(page);
      await called(1);
      await page.clock.runFor(29_000);
      await called(1);
      broken = true;
      await page.clock.runFor(5000);
      await called(2);
      await page.waitForFunction(() => document.querySelector("#strip").dataset.tone === "warn");
      assert.match(await page.textContent("#summary"), /could not be loaded since .+ The figures are from then\.$/);
      assert.match(await figures(page), /25% of networks get the beta/);
      await page.clock.runFor(50_000);
      await called(2);
      broken = false;
      await page.clock.runFor(20_000);
      await called(3);
      await page.waitForFunction(() => document.querySelector("#strip").dataset.tone === "good");
      assert.equal(await page.getAttribute("#figures", "data-old"), null);

      const turn = (state) =>
        page.evaluate((value) => {
          Object.defineProperty(document, "visibilityState", { value, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }, state);
      await turn("hidden");
      await page.clock.runFor(600_000);
      await called(3);
      await turn("visible");
      await page.clock.runFor(100);
      await called(4);
    },
  );
}

// ---------------------------------------------------------------- hostile values

const evil = (where) =>
  `<img src=x onerror="document.title='${where}'"><script>document.title='${where}'</script>`.slice(0, 70);

onPage(
  "hostile strings in every field are text",
  {
    answer: status({
      product: evil("product"),
      status: evil("status"),
      revision: evil("revision"),
      checked_at: evil("checked"),
      age_seconds: evil("age"),
      stable: { version: evil("stable") },
      emergency_stop: { active: evil("active"), scope: evil("scope"), releases: [evil("stop")] },
      releases: [
        {
          name: evil("name"),
          version: `${evil("v")}; rm -rf ~`,
          channel: evil("channel"),
          state: evil("state"),
          percentage: evil("percentage"),
          configured_percentage: evil("configured"),
          phase: evil("phase"),
          stopped: evil("stopped"),
        },
        null,
        "text",
        { name: "__proto__", version: "$&", percentage: 1e300, channel: "x".repeat(10_000), phase: "constructor" },
      ],
    }),
    context: { viewport: { width: 360, height: 700 } },
  },
  async ({ page }) => {
    assert.ok((await summary(page)).includes(evil("status")));
    const shown = await page.textContent("#figures");
    for (const field of ["name", "state", "phase", "stable"])
      assert.ok(shown.includes(evil(field).replaceAll("_", " ")), field);
    assert.equal(await page.locator("#figures img, #figures script, #strip img, #strip script").count(), 0);
    assert.match(await page.title(), /^caro/);
    assert.match(await page.textContent("#c-exact"), /^curl -fsS https?:\/\/[^ ]+\/1\.1\.0-beta\.2 \| sh$/);
    assert.deepEqual(await page.locator(".share strong").allInnerTexts(), ["–", "100%"]);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "wider than the screen");
  },
);

onPage(
  "a hostile list of stopped releases is text",
  { answer: status({ emergency_stop: { active: true, scope: "releases", releases: [evil("stop"), 7, null] } }) },
  async ({ page }) => {
    assert.ok((await summary(page)).includes(evil("stop")));
    assert.equal(await page.locator("#strip img, #strip script").count(), 0);
  },
);

// ---------------------------------------------------------------- commands

onPage("every command names the host that serves the page", { answer: status() }, async ({ page, base }) => {
  await summary(page);
  const expected = {
    "c-sh": "curl -fsS ORIGIN | sh",
    "c-ps": "irm ORIGIN/install.ps1 | iex",
    "c-stable": "curl -fsS ORIGIN/stable | sh",
    "c-beta": "curl -fsS ORIGIN/beta | sh",
    "c-exact": "curl -fsS ORIGIN/1.1.0-beta.2 | sh",
    "c-read": "curl -fsS ORIGIN -o install.sh; less install.sh; sh install.sh --dry-run",
    "c-remove": "curl -fsS ORIGIN | sh -s -- --uninstall",
    "c-ps-stable": "irm ORIGIN/stable/install.ps1 | iex",
  };
  for (const [id, command] of Object.entries(expected)) {
    assert.equal(await page.textContent(`#${id}`), command.replace("ORIGIN", base));
  }
});

onPage(
  "copying writes the command and says so",
  { answer: status(), context: { permissions: ["clipboard-read", "clipboard-write"] } },
  async ({ page, base }) => {
    await summary(page);
    const button = page.getByRole("button", { name: "Copy the command for macOS and Linux" });
    await button.click();
    await page.waitForFunction(() => document.querySelector("#toast").textContent !== "");
    assert.equal(await page.textContent("#toast"), `Copied: curl -fsS ${base} | sh`);
    assert.equal(await button.textContent(), "Copied");
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `curl -fsS ${base} | sh`);
  },
);

onPage(
  "without the clipboard the command is selected",
  {
    answer: status(),
    before: (page) =>
      page.addInitScript(() => Object.defineProperty(navigator, "clipboard", { value: undefined, configurable: true })),
  },
  async ({ page, base }) => {
    await summary(page);
    for (const [button, command] of [
      ["Copy the command for PowerShell", `irm ${base}/install.ps1 | iex`],
      ["Copy the command that uninstalls caro", `curl -fsS ${base} | sh -s -- --uninstall`],
    ]) {
      await page.getByRole("button", { name: button }).click();
      await page.waitForFunction(() => document.querySelector("#toast").textContent !== "");
      assert.match(await page.textContent("#toast"), /^Selected\. Press Ctrl\+C/);
      assert.equal(await page.evaluate(() => getSelection().toString()), command);
    }
  },
);

onPage(
  "the keyboard reaches every copy button in the order of the page, visibly",
  { answer: status() },
  async ({ page }) => {
    await summary(page);
    const seen = [];
    for (let i = 0; i < 15; i += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const node = document.activeElement;
        return { copy: node.dataset?.copy, outline: getComputedStyle(node).outlineStyle, body: node === document.body };
      });
      if (at.body) break;
      assert.equal(at.outline, "solid");
      if (at.copy) seen.push(at.copy);
    }
    assert.deepEqual(seen, ["c-sh", "c-ps", "c-stable", "c-beta", "c-exact", "c-read", "c-remove"]);
    await page.focus("[data-copy=c-sh]");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#toast").textContent !== "");
  },
);

// ---------------------------------------------------------------- how it looks

onPage("essentials without JavaScript", { context: { javaScriptEnabled: false } }, async ({ page }) => {
  const text = await visible(page, "body");
  assert.ok(text.includes("curl -fsS https://get.caro.sh | sh"));
  assert.ok(text.includes("irm https://get.caro.sh/install.ps1 | iex"));
  assert.ok(text.includes("need JavaScript"));
  assert.doesNotMatch(text, /Loading/);
  assert.ok(await page.locator("noscript a[href='/status.json']").first().isVisible());
  assert.equal(await page.locator("button:visible").count(), 0);
});

const arrivals = [
  [360, "stopped", { emergency_stop: stopAll, releases: [stoppedRelease] }],
  [360, "degraded", { status: "degraded", age_seconds: 900 }],
  [360, "fallback", { status: "fallback", revision: null, checked_at: null, age_seconds: null, releases: [] }],
  [768, "running", {}],
  [1280, "stopped", { emergency_stop: stopAll, releases: [stoppedRelease] }],
  [2560, "without a rollout", { releases: [] }],
];
for (const [width, name, change] of arrivals) {
  onPage(
    `${width} px wide, ${name}: nothing sticks out, nothing jumps when the figures come`,
    {
      context: { viewport: { width, height: 800 } },
      answer: async (route) => {
        await new Promise((resolve) => setTimeout(resolve, 300));
        await route.fulfill({ json: status(change) });
      },
    },
    async ({ page }) => {
      const heights = () =>
        page.evaluate(() => ["#strip", "main", "#rollout"].map((s) => document.querySelector(s).offsetHeight));
      const early = await heights();
      await summary(page);
      assert.deepEqual(await heights(), early);
      const shift = await page.evaluate(
        () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(window.shift)))),
      );
      assert.ok(shift < 0.01, `layout shift ${shift}`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "wider than the screen");
    },
  );
}

/** WCAG 2 contrast of each text on the page against the nearest background, as the worst per colour pair. */
function contrasts() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (color) => {
    const [r, g, b] = [...color]
      .slice(0, 3)
      .map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !parent.checkVisibility({ visibilityProperty: true })) continue;
    let back = parent;
    while (back && rgba(getComputedStyle(back).backgroundColor)[3] < 255) back = back.parentElement;
    const [a, b] = [
      getComputedStyle(parent).color,
      getComputedStyle(back ?? document.documentElement).backgroundColor,
    ].map((c) => luminance(rgba(c)));
    found.push({
      text: walker.currentNode.data.trim().slice(0, 40),
      ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05),
    });
  }
  return found;
}

const schemes = new Set();
for (const colorScheme of ["light", "dark"]) {
  for (const [name, answer] of [
    ["running", status()],
    ["degraded", status({ status: "degraded" })],
    ["stopped", status({ emergency_stop: stopAll, releases: [stoppedRelease] })],
  ]) {
    onPage(
      `${colorScheme}, ${name}: every text has AA contrast`,
      { answer, context: { colorScheme, reducedMotion: "reduce" } },
      async ({ page }) => {
        await summary(page);
        const found = await page.evaluate(contrasts);
        assert.ok(found.length > 30);
        assert.deepEqual(
          found.filter((f) => f.ratio < 4.5),
          [],
        );
        schemes.add(
          await page.evaluate(
            () =>
              `${matchMedia("(prefers-color-scheme: dark)").matches} ${getComputedStyle(document.documentElement).backgroundColor}`,
          ),
        );
      },
    );
  }
}

test("light and dark differ", { skip }, () => assert.equal(schemes.size, 2));

onPage("reduced motion is honoured", { answer: status(), context: { reducedMotion: "reduce" } }, async ({ page }) => {
  const moving = await page.evaluate(
    () =>
      [...document.querySelectorAll("*")].filter((e) => {
        const style = getComputedStyle(e);
        return style.transitionDuration !== "0s" || style.animationName !== "none" || style.scrollBehavior === "smooth";
      }).length,
  );
  assert.equal(moving, 0);
});

onPage(
  "structure: one h1, landmarks, named buttons, a language, unique ids",
  { answer: status() },
  async ({ page }) => {
    await summary(page);
    const seen = await page.evaluate(() => ({
      lang: document.documentElement.lang,
      description: document.querySelector("meta[name=description]").content.length,
      h1: document.querySelectorAll("h1").length,
      landmarks: ["header", "main", "footer"].map((n) => document.querySelectorAll(`body > ${n}`).length),
      levels: [...document.querySelectorAll("h1,h2,h3,h4")].map((h) => Number(h.tagName[1])),
      empty: [...document.querySelectorAll("h1,h2,h3,button,a")].filter((n) => !n.textContent.trim()).length,
      labels: [...document.querySelectorAll("button")].map((b) => b.getAttribute("aria-label")),
      ids: [...document.querySelectorAll("[id]")].map((n) => n.id),
      live: [...document.querySelectorAll("[role=status]")].map((n) => n.id),
    }));
    assert.equal(seen.lang, "en");
    assert.ok(seen.description > 50);
    assert.equal(seen.h1, 1);
    assert.deepEqual(seen.landmarks, [1, 1, 1]);
    for (const [i, level] of seen.levels.entries())
      assert.ok(i === 0 || level <= seen.levels[i - 1] + 1, `heading ${i} skips a level`);
    assert.equal(seen.empty, 0);
    assert.equal(new Set(seen.labels).size, seen.labels.length);
    assert.ok(seen.labels.every((label) => label.startsWith("Copy ")));
    assert.equal(new Set(seen.ids).size, seen.ids.length);
    assert.deepEqual(seen.live, ["summary", "toast"]);
  },
);
