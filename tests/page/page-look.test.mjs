// How the public pages look: to axe, on any screen, in either theme, without motion, without weight.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  findings,
  fits,
  health,
  history,
  plan,
  release,
  status,
  summary,
  visible,
  WWW,
  withAxe,
  withPages,
} from "./support.mjs";

const onPage = withPages({ health: health(), history: history(), status: status(), at: "2026-01-15T09:00:00Z" });

const stopAll = { active: true, scope: "all", releases: [] };
const stopped = release({ stopped: true, state: "stopped", phase: "stopped", percentage: 0 });
const ended = plan({ status: "stopped", why: "stopped", next_decision_at: null, complete_at: null });
const broken = {
  ok: false,
  detail: "the document has 1 problem(s)",
  problems: [{ path: "/stable", message: "is missing" }],
};

/** What a router may answer, by name. */
const STATES = {
  running: {},
  stopped: {
    status: status({ emergency_stop: stopAll, releases: [stopped] }),
    history: history({ releases: [{ ...stopped, plan: ended, history: history().releases[0].history }] }),
  },
  degraded: {
    status: status({ status: "degraded", age_seconds: 900 }),
    health: health({ config: broken }, "degraded"),
  },
  empty: {
    status: status({ status: "fallback", revision: null, checked_at: null, age_seconds: null, releases: [] }),
    history: history({ releases: [], changes: [], convergence: null }),
  },
  failing: {
    status: (route) => route.abort(),
    history: (route) => route.abort(),
    health: (route) => route.abort(),
    expected: /Failed to load/,
  },
};

/** Waits until everything that was asked for is shown. */
async function settled(page) {
  await summary(page);
  await page.waitForFunction(() => !/Loading|Asking/.test(document.querySelector("main").textContent));
}

for (const colorScheme of ["light", "dark"]) {
  for (const viewport of [
    { width: 360, height: 740 },
    { width: 1280, height: 800 },
  ]) {
    for (const path of ["/", "/status"]) {
      for (const [name, answers] of Object.entries(STATES)) {
        // One state is seen on each screen in both themes, the others in one.
        if (name !== "running" && (colorScheme === "dark") !== (viewport.width === 1280)) continue;
        const context = { colorScheme, viewport, reducedMotion: "reduce", bypassCSP: true };
        onPage(
          `${path}, ${colorScheme}, ${viewport.width} px, ${name}: axe finds nothing, and nothing sticks out`,
          { path, context, ...answers },
          async ({ page }) => {
            await settled(page);
            for (const details of await page.locator("summary").all()) await details.click();
            await withAxe(page);
            assert.deepEqual(await findings(page), []);
            assert.ok(await fits(page), "wider than the screen");
            const isDark = await page.evaluate(
              () => getComputedStyle(document.documentElement).backgroundColor === "rgb(13, 21, 18)",
            );
            assert.equal(isDark, colorScheme === "dark");
          },
        );
      }
    }
  }
}

const late = (answer) => async (route) => {
  await new Promise((resolve) => setTimeout(resolve, 300));
  return typeof answer === "function" ? answer(route) : route.fulfill({ json: answer });
};
for (const path of ["/", "/status"]) {
  for (const width of [360, 768, 1280, 2560]) {
    for (const [name, { expected, ...answers }] of Object.entries(STATES)) {
      if (name !== "running" && width > 360) continue;
      const all = { status: status(), history: history(), health: health(), ...answers };
      const slow = Object.fromEntries(Object.entries(all).map(([look, answer]) => [look, late(answer)]));
      onPage(
        `${path}, ${width} px, ${name}: nothing jumps when the figures come`,
        { path, context: { viewport: { width, height: 900 } }, ...slow, expected },
        async ({ page }) => {
          await settled(page);
          const shift = await page.evaluate(
            () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(window.shift)))),
          );
          assert.ok(shift < 0.02, `layout shift ${shift}`);
          assert.ok(await fits(page), "wider than the screen");
        },
      );
    }
  }
}

for (const path of ["/", "/status"]) {
  onPage(`${path}: reduced motion is honoured`, { path, context: { reducedMotion: "reduce" } }, async ({ page }) => {
    await settled(page);
    const moving = await page.evaluate(
      () =>
        [...document.querySelectorAll("*")].filter((node) => {
          const style = getComputedStyle(node);
          return (
            style.transitionDuration !== "0s" || style.animationName !== "none" || style.scrollBehavior === "smooth"
          );
        }).length,
    );
    assert.equal(moving, 0);
  });

  onPage(`${path}: structure: one h1, landmarks, unique ids, what is spoken`, { path }, async ({ page }) => {
    await settled(page);
    const seen = await page.evaluate(() => ({
      lang: document.documentElement.lang,
      description: document.querySelector("meta[name=description]").content.length,
      feed: document.querySelector("link[type='application/atom+xml']").getAttribute("href"),
      h1: document.querySelectorAll("h1").length,
      landmarks: ["header", "main", "footer"].map((name) => document.querySelectorAll(`body > ${name}`).length),
      labels: [...document.querySelectorAll("button")].map((button) => button.getAttribute("aria-label")),
      ids: [...document.querySelectorAll("[id]")].map(({ id }) => id),
      live: [...document.querySelectorAll("[role=status]")].map(({ id }) => id),
    }));
    assert.equal(seen.lang, "en");
    assert.ok(seen.description > 50);
    assert.equal(seen.feed, "/feed.atom");
    assert.equal(seen.h1, 1);
    assert.deepEqual(seen.landmarks, [1, 1, 1]);
    assert.equal(new Set(seen.labels).size, seen.labels.length);
    assert.equal(new Set(seen.ids).size, seen.ids.length);
    assert.deepEqual(seen.live, path === "/" ? ["summary", "toast"] : ["summary"]);
  });

  onPage(`${path}: the skip link leads to the content`, { path }, async ({ page }) => {
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.id === "main");
  });

  onPage(
    `${path}: the first paint waits for no answer, and all that it loads is small`,
    {
      path,
      at: undefined,
      ...Object.fromEntries(["status", "history", "health"].map((look) => [look, () => new Promise(() => {})])),
    },
    async ({ page, asked, base, policy }) => {
      assert.match(policy, /default-src 'none'.+require-trusted-types-for 'script'; trusted-types 'none'/);
      assert.doesNotMatch(policy, /unsafe|\*|https?:/);
      assert.ok((await visible(page, "h1")).length > 0);
      await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length === 1);
      const files = [...new Set(asked)]
        .map((url) => url.slice(base.length))
        .filter((name) => name.startsWith("/assets/"));
      assert.ok(files.length > 8, `${files}`);
      let bytes = gzipSync(readFileSync(`${WWW}${path === "/" ? "index" : "status"}.html`)).length;
      for (const name of files) bytes += gzipSync(readFileSync(WWW + name)).length;
      assert.ok(bytes < 24_000, `${bytes} bytes compressed`);
    },
  );
}

test("no markup has code or style in it, and no script makes markup", () => {
  const names = ["index.html", "status.html"];
  for (const name of names) {
    const html = readFileSync(WWW + name, "utf8");
    assert.doesNotMatch(html, /\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc="\/)|<form|<base/i, name);
    for (const [, url] of html.matchAll(/(?:src|href)="([^"]*)"/g)) assert.match(url, /^[/#](?!\/)/, name);
    // Each script is announced, so that none waits for another.
    const loaded = [...html.matchAll(/(?:"modulepreload" href|"module" src)="\/([^"]+)"/g)].map(([, file]) => file);
    const needed = new Set();
    const visit = (file) => {
      if (needed.has(file)) return;
      needed.add(file);
      const script = readFileSync(WWW + file, "utf8");
      assert.doesNotMatch(
        script,
        /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|Storage|\.cookie/,
      );
      for (const [, other] of script.matchAll(/from "\.\/([\w.]+)"/g)) visit(`assets/${other}`);
    };
    const entries = [...html.matchAll(/<script type="module" src="\/([^"]+)"/g)].map(([, file]) => file);
    for (const file of entries) visit(file);
    assert.deepEqual([...needed].sort(), loaded.sort(), name);
  }
});

test("crawlers are kept to the pages", () => {
  const robots = readFileSync(`${WWW}robots.txt`, "utf8");
  assert.match(robots, /^Allow: \/\$$/m);
  assert.match(robots, /^Allow: \/status\$$/m);
  assert.match(robots, /^Disallow: \/$/m);
});
