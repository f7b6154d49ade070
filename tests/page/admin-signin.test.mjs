// Signing in: with a token that stays in the tab's memory, and what a role may not do.
import assert from "node:assert/strict";
import { applied, go, signIn, text, toast, withConsole } from "./admin.mjs";

const { onPage } = withConsole();

/** Everything that a page can leave behind. */
const left = (page) =>
  page.evaluate(async () => ({
    local: JSON.stringify(localStorage),
    session: JSON.stringify(sessionStorage),
    cookie: document.cookie,
    databases: (await indexedDB.databases()).length,
    caches: (await caches.keys()).length,
    workers: (await navigator.serviceWorker.getRegistrations()).length,
    name: window.name,
    state: JSON.stringify(history.state),
    address: location.href,
  }));

onPage(
  "signed in, the token is in no storage, cookie or address, and goes to the control API alone",
  { at: "audit" },
  async ({ page, asked, router }) => {
    await go(page, "flags");
    const { address, ...rest } = await left(page);
    assert.deepEqual(rest, {
      local: "{}",
      session: "{}",
      cookie: "",
      databases: 0,
      caches: 0,
      workers: 0,
      name: "",
      state: "null",
    });
    assert.equal(address, `${router.origin}/admin#/flags`);
    assert.ok(!(await page.content()).includes(router.tokens.admin));
    assert.equal(await page.inputValue("#token"), "");
    const seen = await page.evaluate(() =>
      Object.values(window).some((value) => typeof value === "string" && value.startsWith("local-admin")),
    );
    assert.equal(seen, false);
    const bearers = asked.filter((request) => request.headers().authorization !== undefined);
    assert.ok(bearers.length > 3);
    for (const request of bearers) {
      assert.match(new URL(request.url()).pathname, /^\/(admin|ops|rollout|features)\//);
      assert.ok(!request.url().includes(router.tokens.admin));
      assert.equal(request.headers().cookie, undefined);
    }
    assert.ok(
      asked.some((request) => request.url().endsWith("/health") && request.headers().authorization === undefined),
    );
  },
);

onPage("a reload forgets the token and finds the view again", { at: "explain" }, async ({ page, router }) => {
  await page.reload();
  assert.equal(await page.isVisible("#signin"), true);
  assert.equal(await page.isVisible("#nav"), false);
  await signIn(page, router.tokens.viewer);
  assert.equal(await page.textContent("#view h1"), "Explain");
  assert.match(await text(page, "#who"), /viewer of the tests viewer Sign out/);
});

onPage("a token that the router does not know", { as: null, expected: /401/ }, async ({ page }) => {
  await page.fill("#token", "caro_0000000000");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#token[aria-invalid=true]");
  assert.match(await page.textContent("#signin-problem"), /does not know this token/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "token");
  await page.fill("#token", "no token at all €");
  await page.keyboard.press("Enter");
  assert.match(await page.textContent("#signin-problem"), /no blanks/);
});

onPage(
  "a token that was revoked signs out, and says why",
  { as: "viewer", expected: /401/ },
  async ({ page, router }) => {
    const secret = await router.admin.mint("viewer", "short-lived");
    await page.click("#signout");
    assert.equal(await page.isVisible("#signin"), true);
    await signIn(page, secret);
    const { tokens } = await router.admin.get("/admin/tokens");
    await router.admin.delete(`/admin/tokens/${tokens.find(({ label }) => label === "short-lived").id}`, {});
    await page.evaluate(() => {
      location.hash = "#/audit";
    });
    await page.waitForSelector("#signin:not([hidden])");
    assert.match(
      await page.textContent("#signin-problem"),
      /You were signed out: The token is unknown, was revoked or has expired\./,
    );
    assert.equal(await page.textContent("#view"), "");
  },
);

const REFUSED = {
  viewer: {
    "releases/v1.1.0-beta": [
      /may not pause, roll back, or change version, state or cohorts/,
      /may not set a percentage/,
    ],
    "releases/v1.1.0-beta/plan": [
      /may not pause, have it decide, promote, roll back, change the plan, or take the plan away/,
    ],
    flags: [/may not make flags/],
    "flags/*/new_parser": [/may not change flags/],
    switches: [/may not turn switches/],
    cohorts: [/may not make cohorts/, /may not turn canary mode off/, /may not add members or remove members/],
    tokens: [/may not see or make tokens/],
    config: [/may not see it/],
    "experiments/confidence_threshold": [/may not steer experiments/],
  },
  engineer: { "flags/*/answer_length": [/an engineer may change flags whose stage is development/] },
  bot: { "releases/v1.1.0-beta/plan": [/may not pause, promote, roll back/] },
};

for (const [role, views] of Object.entries(REFUSED)) {
  onPage(`what ${role} may not do is not offered, with why`, { as: role, expected: /403/ }, async ({ page, asked }) => {
    for (const [view, sentences] of Object.entries(views)) {
      await go(page, view);
      const shown = await text(page);
      for (const sentence of sentences) assert.match(shown, sentence, view);
      assert.match(shown, new RegExp(`Your role, ${role.replace("_", " ")}, may not`), view);
    }
    assert.deepEqual(asked.filter((request) => !["GET", "HEAD"].includes(request.method())).length, 0);
    await page.click("#stop");
    assert.match(
      await text(page, "dialog"),
      /may not stop releases; a release manager may\..*wrangler kv key put --remote --binding ROLLOUT emergency-stop all/,
    );
    assert.equal(await page.locator("dialog [type=submit]").count(), 0);
  });
}

onPage(
  "an engineering lead changes flags and sees no dial",
  { as: "engineering_lead", at: "flags/*/intent_bar" },
  async ({ page }) => {
    await page.click("#off");
    await Promise.all([toast(page, "Done: "), applied(page, "too early")]);
    assert.equal(await page.isVisible("#restore"), true);
    await page.click("#restore");
    await applied(page, "after all");
    await go(page, "releases/v1.1.0-beta");
    assert.equal(await page.locator("#slider").count(), 0);
  },
);

onPage(
  "an engineer changes a development flag",
  { as: "engineer", at: "flags/*/new_parser" },
  async ({ page, router }) => {
    const { features } = await router.admin.get("/admin/features");
    const { definition } = features.find(({ key }) => key === "new_parser");
    await page.fill("textarea", JSON.stringify({ ...definition, percentage: 11 }, null, 2));
    await page.click("#store");
    await page.waitForSelector("dialog .summary");
    assert.match(await text(page, "dialog .preview"), /turns on for/);
    await applied(page, "one more percent");
    const [row] = (await router.admin.get("/admin/audit?limit=1")).rows;
    assert.equal(row.reason, "one more percent");
    assert.equal(row.actor.label, "engineer of the tests");
    assert.match(JSON.stringify(row.changes), /11/);
  },
);

onPage("a bot has it decide", { as: "bot", at: "releases/v1.1.0-beta/plan" }, async ({ page }) => {
  await page.click("#evaluate");
  await page.waitForSelector("h3:has-text('What would be decided now')");
  assert.equal(await page.locator("#decide").count(), 1);
});
