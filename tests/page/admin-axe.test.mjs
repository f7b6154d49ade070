// Everybody: axe finds nothing on any view, in either theme, on a phone and on a desk; the keyboard gets everywhere.
import assert from "node:assert/strict";
import { ready, signIn, text, VIEWS, withConsole } from "./admin.mjs";
import { COLOURS, EVERYTHING, findings, withAxe } from "./support.mjs";

const { onPage } = withConsole();

/** What axe finds in both themes, a line each. Of a second theme only what looks at colours can find something else. */
async function inBoth(page) {
  const all = [];
  for (const [colorScheme, rules] of [
    ["light", EVERYTHING],
    ["dark", COLOURS],
  ]) {
    await page.emulateMedia({ colorScheme });
    const found = await findings(page, rules);
    assert.equal(await page.evaluate(() => matchMedia("(prefers-color-scheme: dark)").matches), colorScheme === "dark");
    all.push(...found.map((line) => `${colorScheme}: ${line}`));
  }
  return all;
}

for (const [name, viewport] of [
  ["phone", { width: 360, height: 740 }],
  ["desk", { width: 1280, height: 800 }],
]) {
  // axe looks at computed colours, so nothing may be on its way. It is put in past the policy, which the page keeps to in every other test.
  const context = { viewport, reducedMotion: "reduce", bypassCSP: true };
  onPage(`${name}: axe finds nothing on any view, in either theme`, { context }, async ({ page, go }) => {
    await withAxe(page);
    const found = {};
    for (const view of VIEWS) {
      await go(view);
      const own = await inBoth(page);
      if (own.length > 0) found[view] = own;
      const wide = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert.ok(wide <= 0, `${view} sticks out by ${wide} px`);
    }
    assert.deepEqual(found, {});
  });

  onPage(
    `${name}: axe finds nothing in signing in and in dialogs, in either theme`,
    { as: null, context, expected: /409/ },
    async ({ page, router, go }) => {
      await withAxe(page);
      assert.deepEqual(await inBoth(page), []);
      await signIn(page, router.tokens.admin);
      for (const [view, opener] of [
        ["releases", "#stop"],
        ["releases/v1.1.0-beta", "#rollback"],
        ["releases/v1.1.0-beta", "#edit"],
        ["releases/v1.1.0-beta/plan", "#choose"],
        ["flags", "#new-flag"],
        ["cohorts", "#new-cohort"],
        ["cohorts/friends", "#add-member"],
        ["tokens", "#mint"],
      ]) {
        await go(view);
        await page.click(opener);
        await page.waitForSelector("dialog[open]");
        assert.deepEqual(await inBoth(page), [], opener);
        await page.keyboard.press("Escape");
        await page.waitForSelector("dialog", { state: "detached" });
      }
    },
  );
}

onPage(
  "the keyboard alone: sign in, go somewhere, change something",
  { as: null, at: "switches" },
  async ({ page, router }) => {
    await page.keyboard.press("Tab");
    const seen = [];
    for (let i = 0; i < 8; i += 1) {
      seen.push(await page.evaluate(() => document.activeElement.id));
      if (seen.at(-1) === "token") break;
      await page.keyboard.press("Tab");
    }
    assert.equal(seen.at(-1), "token", `reached ${seen}`);
    await page.keyboard.type(router.tokens.admin);
    await page.keyboard.press("Enter");
    await ready(page);
    assert.equal(
      await page.evaluate(() => document.activeElement.textContent),
      "Kill switches",
      "the focus goes along",
    );
    const reach = async (id) => {
      for (let i = 0; i < 60; i += 1) {
        await page.keyboard.press("Tab");
        const at = await page.evaluate(() => {
          const node = document.activeElement;
          return { id: node.id, outline: getComputedStyle(node).outlineStyle };
        });
        assert.notEqual(at.outline, "none", `${at.id} shows no focus`);
        if (at.id === id) return;
      }
      assert.fail(`#${id} is not reached`);
    };
    await reach("kill-canary");
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog[open]");
    assert.equal(await page.evaluate(() => document.activeElement.name), "reason");
    await page.keyboard.type("by keyboard");
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog", { state: "detached" });
    await page.waitForSelector("#on-canary");
    assert.match(await text(page), /by keyboard/);
    await page.click("#on-canary");
    await page.fill("dialog [name=reason]", "over");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#kill-canary");
  },
);

onPage(
  "the skip link leads to the content, and the menu opens on a phone",
  { context: { viewport: { width: 360, height: 740 } } },
  async ({ page }) => {
    await page.focus("#skip");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    assert.ok(page.url().includes("#/releases"), "the address stays");
    assert.equal(await page.isVisible("#nav"), false);
    await page.click("#menu");
    assert.equal(await page.getAttribute("#menu", "aria-expanded"), "true");
    await page.click("#nav a[href='#/audit']");
    await page.waitForSelector("#view h1:has-text('Audit log')");
    await ready(page);
    assert.equal(await page.isVisible("#nav"), false);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Audit log");
  },
);

const drawn = (page) =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

for (const width of [360, 768, 1440]) {
  onPage(
    `${width} px wide: nothing jumps while a view comes`,
    { as: null, context: { viewport: { width, height: 900 } } },
    async ({ page, router, go }) => {
      await page.route("**/admin/releases", async (route) => {
        const answer = await route.fetch();
        await new Promise((resolve) => setTimeout(resolve, 400));
        await route.fulfill({ response: answer });
      });
      await page.waitForFunction(() => document.querySelector("#health").textContent.includes("Router"));
      await drawn(page);
      const opening = await page.evaluate(() => window.shift);
      await signIn(page, router.tokens.admin);
      await drawn(page);
      // Signing in makes room for the menu, which counts as a jump when it takes longer than half a second: that is not meant.
      await page.evaluate(() => {
        window.jumped = 0;
        new PerformanceObserver((entries) => {
          for (const { value } of entries.getEntries()) window.jumped += value;
        }).observe({ type: "layout-shift" });
      });
      for (const view of ["releases", "releases/v1.1.0-beta"]) await go(view);
      await drawn(page);
      const shift = opening + (await page.evaluate(() => window.jumped));
      assert.ok(shift < 0.02, `layout shift ${shift}`);
    },
  );
}

onPage("reduced motion is honoured", { context: { reducedMotion: "reduce" } }, async ({ page }) => {
  const moving = await page.evaluate(
    () =>
      [...document.querySelectorAll("*")].filter((node) => {
        const style = getComputedStyle(node);
        return style.transitionDuration !== "0s" || style.animationName !== "none";
      }).length,
  );
  assert.equal(moving, 0);
});
