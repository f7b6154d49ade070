// A router that fails, and one that says no: everything is said, nothing is lost, and the stop goes through.
import assert from "node:assert/strict";
import { askJson, eventually } from "../support/http.mjs";
import { applied, apply, go, ready, signIn, text, toast, VIEWS, withConsole } from "./admin.mjs";

const { onPage, router } = withConsole({ plan: false, patch: { releases: { "v1.1.1-beta": { percentage: 0 } } } });
const RELEASE = "releases/v1.1.0-beta";

const problem =
  (status, slug, more = {}, headers = {}) =>
  (route) =>
    route.fulfill({
      status,
      headers,
      contentType: "application/problem+json",
      body: JSON.stringify({
        type: `urn:caro-edge:problem:${slug}`,
        title: `Title of ${slug}`,
        status,
        detail: `Detail of ${slug}.`,
        ...more,
      }),
    });

/** Lifts the stop, and waits until the edge has heard of it: until then the strip of every page shows it. */
async function lifted() {
  const { admin, direct, later } = router();
  await admin.post("/rollout/all/clear-stop", { reason: "a drill" });
  // After so long without a question it looks before it answers.
  await later(31_000);
  await eventually(
    () => askJson(direct, "/status.json"),
    ({ json }) => assert.equal(json.emergency_stop.active, false),
  );
}

/** What the first `n` writes get; dry runs and later ones go through. */
async function writes(page, n, answer) {
  let left = n;
  await page.route(/\/(rollout|features|admin)\//, (route) => {
    const request = route.request();
    const isWrite = !["GET", "HEAD"].includes(request.method()) && !request.url().includes("dry_run");
    if (!isWrite || left === 0) return route.fallback();
    left -= 1;
    return answer(route);
  });
}

onPage(
  "a lost connection: the same key again, so that nothing is done twice",
  { at: "switches", expected: /ERR_FAILED|Failed to load/ },
  async ({ page, asked }) => {
    await writes(page, 1, async (route) => {
      // It is done, and the answer is lost.
      await route.fetch();
      await route.abort();
    });
    await page.click("#kill-canary");
    await page.waitForSelector("dialog .summary");
    await apply(page, "lost");
    await page.waitForSelector("dialog .note[data-tone=stop]");
    assert.match(await text(page, "dialog"), /cannot be reached .*trying again does nothing twice/);
    assert.equal(await page.textContent("#apply"), "Try again");
    await page.click("#apply");
    await page.waitForSelector("#on-canary");
    const keys = asked
      .filter((request) => request.method() === "POST" && !request.url().includes("dry_run"))
      .map((request) => request.headers()["idempotency-key"]);
    assert.equal(keys.length, 2);
    assert.equal(keys[0], keys[1]);
    const rows = (await router().admin.get("/admin/audit?limit=10")).rows.filter(({ reason }) => reason === "lost");
    assert.equal(rows.length, 1);
    await page.click("#on-canary");
    await applied(page, "found");
  },
);

onPage("too many requests: until when, and not before", { at: "switches", expected: /429/ }, async ({ page }) => {
  await writes(page, 1, problem(429, "rate-limited", {}, { "Retry-After": "2" }));
  await page.click("#kill-canary");
  await page.waitForSelector("dialog .summary");
  // Two seconds later it can be sent again: the page itself looks for both at once, from before it is sent.
  const held = () =>
    document.querySelector("dialog .note[data-tone=warn]") && document.querySelector("#apply").disabled;
  await Promise.all([page.waitForFunction(held), apply(page, "hurry")]);
  assert.match(await text(page, "dialog"), /Title of rate-limited .*It can be sent again at \d\d:\d\d:\d\d/);
  await page.waitForSelector("#apply:enabled");
  await page.click("#apply");
  await page.waitForSelector("#on-canary");
  await page.click("#on-canary");
  await applied(page, "slow");
});

for (const [status, slug] of [
  [503, "ledger-unavailable"],
  [500, "internal"],
  [403, "forbidden"],
  [409, "conflict"],
  [422, "reason-required"],
  [413, "body-too-large"],
]) {
  onPage(
    `${status} ${slug} is shown where it was asked, and the form stays`,
    { at: "switches", expected: new RegExp(status) },
    async ({ page }) => {
      await writes(page, 1, problem(status, slug, { errors: [{ pointer: "/reason", detail: "must be there" }] }));
      await page.click("#kill-canary");
      await page.waitForSelector("dialog .summary");
      await apply(page, "kept");
      await page.waitForSelector("dialog [role=alert]");
      assert.match(
        await text(page, "dialog"),
        new RegExp(`Title of ${slug} Detail of ${slug}\\. /reason must be there`),
      );
      assert.equal(await page.inputValue("dialog [name=reason]"), "kept");
      assert.equal(await page.isEnabled("#apply"), true);
      await page.click("#cancel");
      await page.waitForSelector("dialog", { state: "detached" });
      assert.equal(await page.evaluate(() => document.activeElement.id), "kill-canary");
    },
  );
}

onPage("401 in the middle of a change signs out", { at: "switches", expected: /401/ }, async ({ page }) => {
  await writes(page, 1, problem(401, "unauthorized"));
  await page.click("#kill-canary");
  await page.waitForSelector("dialog .summary");
  await apply(page, "too late");
  await page.waitForSelector("#signin:not([hidden])");
  assert.equal(await page.locator("dialog").count(), 0);
  assert.match(await text(page, "#signin"), /You were signed out: Detail of unauthorized\./);
});

onPage(
  "a view that cannot be read says so, and tries again",
  { expected: /503|ERR_FAILED|Failed to load/ },
  async ({ page }) => {
    let fails = true;
    await page.route("**/admin/cohorts", (route) =>
      fails ? problem(503, "ledger-unavailable", {}, { "Retry-After": "5" })(route) : route.fallback(),
    );
    await go(page, "cohorts");
    assert.match(await text(page), /Title of ledger-unavailable Detail of ledger-unavailable\. Try again in 5 s\./);
    fails = false;
    await page.click("#retry");
    await page.waitForSelector("#new-cohort");
    await page.route("**/admin/experiments", (route) => route.abort());
    await go(page, "experiments");
    assert.match(await text(page), /The router cannot be reached/);
  },
);

onPage("a view with a part that fails shows the rest", { at: "flags", expected: /503/ }, async ({ page }) => {
  await page.route("**/admin/lint", problem(503, "ledger-unavailable"));
  await page.route("**/admin/kill-switches", problem(503, "ledger-unavailable"));
  await go(page, "releases");
  await go(page, "flags");
  assert.match(await text(page), /new_parser/);
});

onPage(
  "every read fails and the stop goes through",
  { at: "releases", expected: /503|Failed to load|ERR_FAILED/ },
  async ({ page }) => {
    await page.route(/\/(admin|ops|rollout|health|status\.json)/, (route) =>
      route.request().method() === "GET" && route.request().resourceType() === "fetch"
        ? route.abort()
        : route.fallback(),
    );
    await go(page, "flags");
    assert.match(await text(page), /cannot be reached/);
    await page.click("#stop");
    await page.fill("dialog [name=typed]", "stop");
    await apply(page, "everything is on fire");
    await page.waitForSelector("#close");
    assert.match(await text(page, "dialog"), /Stopped\. KV has it/);
    const { stops } = await router().admin.get("/ops/status.json");
    assert.equal(stops[0].switch, "all");
    await lifted();
  },
);

onPage(
  "the stop is three steps from the end of every view, on a phone",
  { context: { viewport: { width: 360, height: 640 } }, expected: /40[49]/ },
  async ({ page }) => {
    for (const view of VIEWS) {
      await go(page, view);
      await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
      const { y, height } = await page.locator("#stop").boundingBox();
      assert.ok(y >= 0 && y + height <= 640, `${view}: the button is at ${y}`);
      await page.click("#stop");
      await page.keyboard.type("stop");
      await page.keyboard.press("Enter");
      await page.waitForSelector("#close");
      assert.match(await text(page, "dialog"), view === VIEWS[0] ? /Stopped\. KV has it/ : /It was stopped already/);
      await page.keyboard.press("Escape");
      await ready(page);
    }
    await lifted();
    const [, stopped] = (await router().admin.get("/admin/audit?limit=2")).rows;
    assert.equal(stopped.reason, "Emergency stop from the console");
  },
);

onPage(
  "a stop that does not get through says how it is done by hand",
  { expected: /ERR_FAILED|Failed to load/ },
  async ({ page }) => {
    await writes(page, 1, (route) => route.abort());
    await page.click("#stop");
    await page.fill("dialog [name=typed]", "stop");
    await apply(page, "no way");
    await page.waitForSelector("dialog pre");
    assert.match(
      await text(page, "dialog"),
      /cannot be reached .*npx wrangler kv key put --remote --binding ROLLOUT emergency-stop all/,
    );
    await page.click("#cancel");
  },
);

onPage("a stop is made for no revision: nobody is faster than it", { at: RELEASE }, async ({ page, asked }) => {
  await router().admin.post("/rollout/v1.1.0-beta", { percentage: 26, confirm: true, reason: "meanwhile" });
  await page.click("#stop");
  await page.fill("dialog [name=typed]", "stop");
  await apply(page, "a drill");
  await page.waitForSelector("#close");
  const sent = asked.findLast((request) => request.method() === "POST");
  assert.equal(sent.headers()["if-match"], undefined);
  assert.ok(sent.headers()["idempotency-key"]);
  await page.click("#close");
  await go(page, "releases");
  await page.click("#lift-all");
  await applied(page, "over");
  await lifted();
});

const health = (change) => (route) =>
  route.fulfill({ status: change.status === "fallback" ? 503 : 200, json: { revision: 9, checks: {}, ...change } });

onPage(
  "a degraded router shows what is wrong, everywhere",
  {
    as: null,
    before: (page) =>
      page.route(
        "**/health",
        health({ status: "degraded", checks: { config: { ok: false, detail: "/stable must be a version" } } }),
      ),
  },
  async ({ page, router: own }) => {
    await page.waitForSelector("#strip[data-tone=warn]");
    assert.match(await text(page, "#strip"), /Router degraded\. config: \/stable must be a version/);
    await signIn(page, own.tokens.viewer);
    await page.click("#strip a");
    await ready(page);
    assert.match(await text(page), /config not ok \/stable must be a version/i);
  },
);

onPage(
  "a router on its defaults, and one that is gone",
  {
    expected: /503|ERR_FAILED|Failed to load/,
    before: (page) => page.route("**/health", health({ status: "fallback", revision: null })),
  },
  async ({ page }) => {
    await page.waitForSelector("#strip[data-tone=warn]");
    assert.match(await text(page, "#strip"), /Fallback: only the compiled-in defaults are served/);
    await page.unroute("**/health");
    await page.route("**/health", (route) => route.abort());
    await page.click("#signout");
    await page.fill("#token", router().tokens.viewer);
    await page.click("#signin-form button");
    await page.waitForFunction(() => document.querySelector("#health").textContent.includes("cannot be reached since"));
  },
);

onPage("a stop that somebody else set takes over the strip", {}, async ({ page }) => {
  await page.route(/\d\/status\.json$/, (route) =>
    route.fulfill({
      json: { releases: [], emergency_stop: { active: true, scope: "releases", releases: ["v1.1.0-beta"] } },
    }),
  );
  await page.click("#signout");
  await page.fill("#token", router().tokens.viewer);
  await page.click("#signin-form button");
  await page.waitForSelector("#strip[data-tone=stop]");
  assert.match(await text(page, "#strip"), /Emergency stop of v1\.1\.0-beta\./);
});

onPage(
  "what somebody else changed is offered, not thrown in",
  { at: RELEASE, before: (page) => page.route("**/health", health({ status: "ok", revision: 9_999 })) },
  async ({ page }) => {
    await page.waitForSelector("#newer:visible");
    assert.equal(await page.textContent("#newer"), "Show revision 9,999");
    await page.fill("#percentage", "33");
    await router().admin.post("/rollout/v1.1.0-beta", { percentage: 27, confirm: true, reason: "another" });
    assert.equal(await page.inputValue("#percentage"), "33", "what is being written stays");
    await Promise.all([toast(page, "The newest revision is shown."), page.click("#newer")]);
    await page.waitForFunction(() => document.querySelector("#percentage")?.value === "27");
  },
);
