// What a hostile text, page or person could try: nothing that the router answers becomes markup, nothing leaves for
// elsewhere, and no other page can make a browser change anything.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { applied, go, signIn, text, VIEWS, withConsole } from "./admin.mjs";
import { WWW } from "./support.mjs";

const { onPage, router } = withConsole();

const MARKUP = `<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>"'>&amp;{{7*7}}`;
const TURNED = "\u202egnihton\u202c\u2066\u200f";
const LONG = "W".repeat(300);
const HOSTILE = `${MARKUP}${TURNED}${LONG}`;

/** Keys whose values say what something is; with others in their place the view would show something else. */
const NAMES = new Set([
  "name",
  "key",
  "release",
  "id",
  "state",
  "status",
  "stage",
  "type",
  "role",
  "calls",
  "version",
  "stable",
  "metric",
  "arm",
  "group",
  "switch",
  "target",
  "severity",
  "pointer",
  "outcome",
  "versions",
  "cohorts",
  "scope",
  "kind",
]);
const isTime = (value) => /^\d{4}-\d\d-\d\d/.test(value);

/** The same answer with hostile texts; `all`: names too. */
function spoiled(value, all, key = "") {
  if (typeof value === "string")
    return isTime(value) || (!all && NAMES.has(key)) || key === "calls" ? value : `${value}${HOSTILE}`;
  if (Array.isArray(value)) return value.map((item) => spoiled(item, all, key));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, spoiled(item, all, name)]));
}

const spoil = (all) => async (page) => {
  for (const path of [
    "**/admin/*",
    "**/admin/*/*",
    "**/admin/*/*/*",
    "**/rollout/**",
    "**/ops/*",
    "**/status.json",
    "**/health",
  ]) {
    await page.route(path, async (route) => {
      if (route.request().resourceType() !== "fetch") return route.fallback();
      const answer = await route.fetch();
      return route.fulfill({ response: answer, json: spoiled(await answer.json(), all) });
    });
  }
};

/** That nothing came of it. */
async function unharmed(page, view) {
  const seen = await page.evaluate(() => ({
    harmed: window.harmed,
    planted: document.querySelectorAll(
      "#view img, #view script, dialog img, dialog script, #strip img, #who img, [onerror], [onclick], [style]",
    ).length,
    // What sticks out, by name: the innermost that is wider than the page and cannot be scrolled.
    wide: [...document.querySelectorAll("body *")]
      .filter(
        (node) =>
          document.documentElement.scrollWidth > document.documentElement.clientWidth &&
          node.getBoundingClientRect().right > innerWidth + 1 &&
          node.children.length === 0 &&
          !node.closest("pre, textarea, .gutter"),
      )
      .slice(0, 5)
      .map(
        (node) =>
          `${node.parentElement.tagName}.${node.parentElement.className} > ${node.tagName}.${node.className} ${node.textContent.slice(0, 30)}`,
      ),
  }));
  assert.deepEqual(seen, { harmed: undefined, planted: 0, wide: [] }, view);
}

for (const [name, all] of [
  ["texts", false],
  ["texts and names", true],
]) {
  for (const width of [360, 1280]) {
    onPage(
      `hostile ${name} in every answer stay text, ${width} px wide`,
      { context: { viewport: { width, height: 800 } }, before: spoil(all), expected: /40[049]/ },
      async ({ page }) => {
        let shown = 0;
        for (const view of VIEWS) {
          await go(page, view);
          if ((await text(page)).includes("<img src=x onerror=")) shown += 1;
          await unharmed(page, view);
          assert.equal(
            await page
              .locator("#view h2:has-text('This view failed'), #view strong:has-text('This view failed')")
              .count(),
            0,
            view,
          );
        }
        assert.ok(shown >= 12, `only ${shown} views showed it`);
        assert.ok((await text(page, "#who")).includes(width > 900 ? "<img" : "Sign out"));
      },
    );
  }
}

onPage(
  "hostile texts that the router keeps: labels, reasons, papers, a token's name",
  { at: "cohorts/friends" },
  async ({ page }) => {
    const label = `<b onclick=x>&quot;${TURNED}`;
    await page.click("#add-member");
    await page.fill("dialog [name=value]", "<script>alert(1)</script>");
    await page.fill("dialog [name=label]", label);
    await page.waitForSelector("dialog .summary");
    await applied(page, `because "<img src=x onerror=alert(1)>" ${TURNED}`);
    assert.ok((await text(page)).includes("<b onclick=x>&quot;"));
    const { admin } = router();
    await admin.mint("viewer", `<i>"it"</i>${TURNED}`);
    await admin.post("/features/*", {
      new_parser: { description: MARKUP, owner: MARKUP, tracking: MARKUP },
      reason: "papers",
    });
    for (const view of ["cohorts/friends", "audit", "tokens", "flags", "flags/*/new_parser"]) {
      await go(page, view);
      await unharmed(page, view);
      assert.match(await text(page), /<(img|b|i)[ >]/, view);
    }
    await page.click("#signout");
    const { token } = await admin.post(
      "/admin/tokens",
      { role: "viewer", label: MARKUP.slice(0, 60) },
      { status: 201 },
    );
    await signIn(page, token.secret);
    await unharmed(page, "signed in");
    assert.ok((await text(page, "#who")).includes("<img"));
  },
);

onPage("an address with anything in it is a view or nothing", { expected: /40[04]/ }, async ({ page }) => {
  for (const view of [
    "releases/<img src=x onerror=alert(1)>",
    "flags/*/__proto__",
    "releases/..%2f..%2fadmin",
    "nowhere",
    "releases/v1.1.0-beta/plan/x",
    "constructor",
    "releases/%zz",
  ]) {
    await go(page, view);
    await unharmed(page, view);
    assert.match(await text(page), /There is no such|names no view|Nothing is written/, view);
  }
});

onPage(
  "the policy allows own files alone, and refuses text as markup",
  { as: null, expected: /policy|Trusted|TrustedHTML|document\.write|inline/i },
  async ({ page, answer }) => {
    const policy = answer.headers()["content-security-policy"];
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "form-action 'none'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ]) {
      assert.ok(policy.includes(part), part);
    }
    assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/);
    assert.equal(answer.headers()["cache-control"], "no-cache");
    assert.ok(answer.headers().etag);
    assert.equal(answer.headers()["set-cookie"], undefined);
    const refused = await page.evaluate(() => {
      try {
        document.body.innerHTML = "<p>no</p>";
        return false;
      } catch (error) {
        return error instanceof TypeError;
      }
    });
    assert.equal(refused, true);
  },
);

onPage(
  "another page can change nothing: it has no token, and may not ask",
  { as: null, expected: /CORS|Failed to load|access control/i },
  async ({ page, context }) => {
    const { admin, origin } = router();
    const before = (await admin.get("/admin/audit?limit=1")).rows[0].seq;
    await page.close();
    const other = await context.newPage();
    const elsewhere = createServer((_, answer) =>
      answer.setHeader("Content-Type", "text/html").end("<p>elsewhere</p>"),
    );
    await new Promise((listening) => elsewhere.listen(0, "127.0.0.1", listening));
    await other.goto(`http://127.0.0.1:${elsewhere.address().port}/`);
    const outcomes = await other.evaluate(async (target) => {
      const tries = [
        () =>
          fetch(`${target}/rollout/all/emergency-stop?reason=x`, {
            method: "POST",
            credentials: "include",
            mode: "no-cors",
          }).then((answer) => answer.type),
        () =>
          fetch(`${target}/rollout/all/emergency-stop?reason=x`, {
            method: "POST",
            headers: { Authorization: "Bearer x" },
          }).then((answer) => answer.status),
        () => fetch(`${target}/admin/releases`, { credentials: "include" }).then((answer) => answer.text()),
      ];
      return Promise.all(tries.map((attempt) => attempt().catch((error) => error.name)));
    }, origin);
    assert.deepEqual(outcomes, ["opaque", "TypeError", "TypeError"]);
    assert.equal((await admin.get("/admin/audit?limit=1")).rows[0].seq, before);
    const framed = await other.evaluate(
      (target) =>
        new Promise((done) => {
          const frame = document.createElement("iframe");
          frame.src = `${target}/admin`;
          frame.onload = () => done(frame.contentDocument === null ? "closed" : "open");
          document.body.append(frame);
        }),
      origin,
    );
    assert.equal(framed, "closed");
    await other.close();
    elsewhere.closeAllConnections();
    elsewhere.close();
  },
);

test("the console is small, and its markup has neither code nor style in it", async () => {
  const folder = join(WWW, "assets/admin");
  const files = (await readdir(folder, { recursive: true }))
    .filter((name) => /\.\w+$/.test(name))
    .map((name) => join(folder, name));
  let bytes = 0;
  const shared = ["base.css", "dom.js", "favicon.svg", "format.js"].map((name) => join(WWW, "assets", name));
  for (const path of [...files, ...shared, join(WWW, "admin.html")]) {
    const content = await readFile(path);
    bytes += gzipSync(content).length;
    if (path.endsWith(".js")) {
      assert.doesNotMatch(
        String(content),
        /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|localStorage|sessionStorage|document\.cookie|indexedDB/,
        path,
      );
      assert.doesNotMatch(
        String(content).replaceAll("http://www.w3.org/2000/svg", ""),
        /https?:\/\/(?!\$)/,
        `${path} names another host`,
      );
    }
  }
  assert.ok(files.length > 30);
  assert.ok(bytes < 75_000, `${bytes} bytes compressed`);
  const html = await readFile(join(WWW, "admin.html"), "utf8");
  assert.doesNotMatch(html, /\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc="\/)|<base|action=/i);
});

onPage(
  "the first paint waits for no answer of the API",
  {
    as: null,
    before: (page) => page.route("**", (route) => route.request().resourceType() !== "fetch" && route.fallback()),
  },
  async ({ page, asked }) => {
    assert.equal(await page.isVisible("#token"), true);
    assert.equal(await page.isVisible("#stop"), true);
    await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length === 1);
    const isHealth = (request) => request.url().endsWith("/health");
    if (!asked.some(isHealth)) await page.waitForRequest(isHealth);
  },
);
