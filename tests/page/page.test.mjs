// `/` in a browser: where the rollout stands, in every state that it may be in, as a person sees it.
import assert from "node:assert/strict";
import { fits, history, plan, release, status, summary, visible, withPages } from "./support.mjs";

const onPage = withPages({ history: history(), at: "2026-01-15T09:00:00Z" });

const stopAll = { active: true, scope: "all", releases: [] };
const stoppedRelease = release({ stopped: true, state: "stopped", phase: "stopped", percentage: 0 });
const tone = (page) => page.getAttribute("#strip", "data-tone");
const figures = (page) => visible(page, "#figures");

onPage(
  "live figures come from the server that serves the page, under a policy without inline anything",
  { history: undefined, at: undefined },
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
  { status: status() },
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
    status: status({ revision: 12_345, releases: [release({ percentage: 0.125, configured_percentage: 12.345 })] }),
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
    status: status({
      releases: [release(), release({ name: "v1.2.0-beta", version: "1.2.0-beta.1", percentage: 0.5 })],
    }),
  },
  async ({ page }) => {
    assert.equal(await summary(page), "Right now 2 releases are being rolled out.");
    assert.deepEqual(await page.locator(".share strong").allInnerTexts(), ["25%", "0.5%"]);
    assert.deepEqual(await page.locator(".release .version").allInnerTexts(), ["1.1.0-beta.2", "1.2.0-beta.1"]);
  },
);

onPage("without a rollout everybody gets stable", { status: status({ releases: [] }) }, async ({ page }) => {
  assert.equal(await summary(page), "Everybody gets stable 1.0.4.");
  assert.match(await figures(page), /1\.0\.4 no rollout 100% of networks get stable/);
});

// ---------------------------------------------------------------- plans

const withPlan = (change) => history({ releases: [{ ...release(), plan: plan(change), history: [] }] });
const timeline = async (page) => {
  await page.waitForSelector(".stages, .plan > .soft:not(:has-text('Loading'))");
  return visible(page, ".plan");
};

onPage(
  "a plan: stages, soak, and the next decision in the reader's own time",
  { status: status() },
  async ({ page }) => {
    assert.equal(
      await timeline(page),
      [
        "Plan caro running: soaking",
        "canary (done) 5% 13 Jan 2026, 12:00 – 14 Jan 2026, 12:30",
        "small beta (now) 25% 21 hrs of 2 days, since 14 Jan 2026, 12:30",
        "large beta (to come) 50% for 2 days at least",
        "full (to come) 100% for 2 days at least",
        "Next decision 15 Jan 2026, 10:00 (in 60 mins)",
        "Complete at the earliest 20 Jan 2026, 12:30",
      ].join(" "),
    );
    assert.equal(await page.getAttribute(".coming time", "title"), "2026-01-15 10:00:00 UTC");
    assert.equal(await page.locator(".stages [aria-current=step]").count(), 1);
    assert.deepEqual(
      await page.locator(".stages progress").evaluateAll((bars) => bars.map(({ value, max }) => value / max)),
      [73_800 / 172_800],
    );
  },
);

onPage(
  "the next decision in another time zone",
  { status: status(), context: { locale: "en-US", timezoneId: "America/New_York" } },
  async ({ page }) => assert.match(await timeline(page), /Next decision Jan 15, 2026, 5:00\sAM \(in 60 min\)/),
);

onPage(
  "an announced step is told",
  {
    status: status(),
    history: withPlan({
      why: "the next step is announced",
      soaked_seconds: 180_000,
      pending: { percentage: 50, at: "2026-01-15T09:30:00Z" },
    }),
  },
  async ({ page }) => {
    const shown = await timeline(page);
    assert.match(shown, /running: the next step is announced/);
    assert.match(shown, /2\.1 days, longer than it has to, since/);
    assert.match(shown, /Announced 50%, 15 Jan 2026, 09:30 \(in 30 mins\)/);
  },
);

for (const [name, change, expected] of [
  [
    "paused",
    { status: "paused", why: "paused", next_decision_at: null, complete_at: null },
    /Plan caro paused canary \(done\)/,
  ],
  [
    "stopped",
    { status: "stopped", why: "stopped", next_decision_at: null, complete_at: null },
    /small beta \(ended here\) 25%/,
  ],
  ["complete", { status: "complete", why: "complete", stage: "full", next_decision_at: null }, /full \(done\) 100%/],
  [
    "not begun",
    { status: "draft", why: "not begun", stage: null, stages: plan().stages.slice(2) },
    /large beta \(to come\)/,
  ],
]) {
  onPage(`a plan that is ${name}`, { status: status(), history: withPlan(change) }, async ({ page }) =>
    assert.match(await timeline(page), expected),
  );
}

onPage(
  "without a plan, and without the history, the figures are there all the same",
  { status: status(), history: history({ releases: [{ ...release(), plan: null, history: [] }] }) },
  async ({ page }) => {
    assert.equal(await timeline(page), "It has no plan: people move it by hand.");
    assert.match(await figures(page), /25% of networks get the beta/);
  },
);

for (const [name, answer] of [
  ["a dropped connection", (route) => route.abort()],
  ["503", (route) => route.fulfill({ status: 503, json: { type: "about:blank", status: 503, title: "No ledger" } })],
]) {
  onPage(
    `a history that does not come (${name}) costs the plan alone`,
    { status: status(), history: answer, expected: /Failed to load resource/ },
    async ({ page }) => {
      await page.waitForFunction(() => document.querySelector(".plan")?.textContent.includes("could not be loaded"));
      assert.match(await figures(page), /25% of networks get the beta.+Where its plan stands could not be loaded\./);
      assert.equal(await tone(page), "good");
    },
  );
}

// ---------------------------------------------------------------- stops and faults

onPage(
  "an emergency stop of everything takes over the strip",
  { status: status({ emergency_stop: stopAll, releases: [stoppedRelease] }) },
  async ({ page }) => {
    assert.equal(await summary(page), "Emergency stop: every rollout is stopped. Everybody gets stable 1.0.4.");
    assert.equal(await tone(page), "stop");
    assert.match(await figures(page), /stopped 0% of networks get the beta set to 25%/);
    assert.equal(await page.getAttribute(".waffle-in", "d"), "");
    assert.match(await page.textContent("#c-pinned"), /\/1\.0\.4 /, "the example does not name a stopped version");
  },
);

onPage(
  "an emergency stop of some releases names them and leaves the others",
  {
    status: status({
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
  { status: status({ emergency_stop: { active: true, scope: "?" } }) },
  async ({ page }) => {
    assert.match(await summary(page), /every rollout is stopped/);
    assert.deepEqual(await page.locator(".share strong").allInnerTexts(), ["0%"]);
  },
);

onPage(
  "degraded says so and still shows the figures",
  { status: status({ status: "degraded", age_seconds: 900 }) },
  async ({ page }) => {
    assert.match(await summary(page), /^Degraded: using the last good configuration, 15 mins? old\.$/);
    assert.equal(await tone(page), "warn");
    assert.match(await figures(page), /25% of networks get the beta/);
  },
);

onPage(
  "fallback shows stable for everybody and no invented values",
  { status: status({ status: "fallback", revision: null, checked_at: null, age_seconds: null, releases: [] }) },
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
    { status: answer, expected: /Failed to load resource/ },
    async ({ page }) => {
      assert.match(await summary(page), /^The live status could not be loaded/);
      assert.equal(await tone(page), "warn");
      assert.equal(await page.getAttribute("#figures", "aria-busy"), "false");
      assert.equal(await visible(page, "#releases"), "Where the rollout stands could not be loaded.");
      assert.match(await page.textContent("#c-sh"), /^curl -fsS .+ \| sh$/);
    },
  );
}

// ---------------------------------------------------------------- hostile values

const evil = (where) =>
  `<img src=x onerror="document.title='${where}'"><script>document.title='${where}'</script>`.slice(0, 70);

onPage(
  "hostile strings in every field are text",
  {
    status: status({
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
    assert.match(await page.textContent("#c-pinned"), /^curl -fsS https?:\/\/[^ ]+\/v1\.1\.0-beta \| sh$/);
    assert.deepEqual(await page.locator(".share strong").allInnerTexts(), ["–", "100%"]);
    assert.ok(await fits(page), "wider than the screen");
  },
);

onPage(
  "a hostile list of stopped releases is text",
  { status: status({ emergency_stop: { active: true, scope: "releases", releases: [evil("stop"), 7, null] } }) },
  async ({ page }) => {
    assert.ok((await summary(page)).includes(evil("stop")));
    assert.equal(await page.locator("#strip img, #strip script").count(), 0);
  },
);

onPage(
  "a hostile history is text",
  {
    status: status(),
    history: history({
      generated_at: evil("made"),
      releases: [
        null,
        {
          ...release(),
          plan: plan({
            name: evil("plan"),
            status: evil("state"),
            why: evil("why"),
            stage: evil("stage"),
            soaked_seconds: evil("soaked"),
            next_decision_at: evil("next"),
            complete_at: 7,
            pending: { percentage: evil("pending"), at: evil("at") },
            stages: [
              { id: evil("stage"), percentage: 1e300, soak_seconds: -1, entered_at: evil("entered"), left_at: {} },
              7,
              { id: "\u202egnp" },
            ],
          }),
        },
      ],
    }),
    context: { viewport: { width: 360, height: 700 } },
  },
  async ({ page }) => {
    const shown = await timeline(page);
    for (const field of ["plan", "state", "why", "stage"])
      assert.ok(shown.includes(evil(field).replaceAll("_", " ")), field);
    assert.equal(await page.locator("#figures img, #figures script").count(), 0);
    assert.match(await page.title(), /^caro/);
    assert.ok(await fits(page), "wider than the screen");
  },
);
