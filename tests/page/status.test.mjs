// `/status`: what happened, whether the router is well, how fast a change arrives, as a person sees it.
import assert from "node:assert/strict";
import { client, landed } from "../support/ledger.mjs";
import {
  answered,
  fits,
  health,
  history,
  noteLooks,
  ownRouter,
  release,
  status,
  summary,
  visible,
  withPages,
} from "./support.mjs";

const onPage = withPages({
  path: "/status",
  status: status(),
  history: history(),
  health: health(),
  at: "2026-01-15T09:00:00Z",
});

/** Waits until a part is there, and gives its text. */
async function part(page, id) {
  await page.waitForSelector(`#${id}[aria-busy=false]`);
  return visible(page, `#${id}`);
}

const withEvents = (events, change = {}) =>
  history({ releases: [{ ...release(change), plan: null, history: events }] });

onPage("the percentage over time: a picture, and the same as a table", {}, async ({ page }) => {
  assert.equal(await part(page, "charts"), "v1.1.0-beta 25% now 50% 25% 0% 13 Jan 2026, 12:00 now As a table");
  assert.equal(
    await page.getAttribute("#charts svg", "aria-label"),
    "Percentage over time, with 2 changes: 5% at first, 25% now. The table below has each.",
  );
  // 24.5 of 45 hours at 5 %, then at 25 %, of a scale up to 50 %.
  assert.equal(await page.getAttribute("#charts .line", "d"), "M0 144H0V144H326.7V80V80H600");
  assert.equal(await page.locator("#charts .stopped").count(), 0);
  await page.locator("#charts summary").click();
  assert.deepEqual(await page.locator("#charts tbody tr").allInnerTexts(), [
    "14 Jan 2026, 12:30\traised\t25%\tsmall beta",
    "13 Jan 2026, 12:00\tcreated\t5%\t–",
  ]);
  assert.equal(await page.getAttribute("#charts td time", "title"), "2026-01-14 12:30:00 UTC");
});

onPage(
  "stops and rollbacks are marked, and named",
  {
    history: withEvents(
      [
        { at: "2026-01-13T12:00:00Z", percentage: 100, event: "created" },
        { at: "2026-01-14T12:00:00Z", percentage: 0, event: "stopped" },
        { at: "2026-01-14T13:00:00Z", percentage: 0, event: "stop_cleared" },
        { at: "2026-01-14T14:00:00Z", percentage: 5, event: "raised" },
        { at: "2026-01-14T15:00:00Z", percentage: 0, event: "rolled_back" },
      ],
      { percentage: 0 },
    ),
  },
  async ({ page }) => {
    assert.match(await part(page, "charts"), /0% now 100% 50% 0% .+ stopped, switched off, rolled back or ended/);
    assert.equal(await page.locator("#charts .stopped").count(), 2);
    await page.locator("#charts summary").click();
    assert.match(
      await visible(page, "#charts tbody"),
      /rolled back 0% .+ emergency stop lifted 0% .+ emergency stop 0%/,
    );
  },
);

onPage("changes, with their time, and the feed", {}, async ({ page }) => {
  assert.equal(
    await part(page, "changes"),
    "v1.1.0-beta: 5 % → 25 %, small_beta 14 Jan 2026, 12:30 · revision 7 v1.1.0-beta: version 1.1.0-beta.2 at 5 % 13 Jan 2026, 12:00 · revision 6",
  );
  assert.ok(await page.locator("main a[href='/feed.atom']").first().isVisible());
});

const many = Array.from({ length: 50 }, (_, i) => ({
  at: "2026-01-14T12:30:00Z",
  revision: 60 - i,
  text: `change ${60 - i}`,
}));
onPage(
  "many changes come in two parts; the keyboard goes on where the second begins",
  { history: history({ changes: many }) },
  async ({ page }) => {
    await part(page, "changes");
    assert.equal(await page.locator("#changes li").count(), 12);
    await page.focus("#all");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#changes li").count(), 50);
    assert.match(await page.evaluate(() => document.activeElement.textContent), /^change 48/);
    assert.equal(await page.locator("#all").count(), 0);
  },
);

onPage(
  "health: each check, and what is wrong with its place",
  {
    status: status({ status: "degraded" }),
    health: (route) =>
      route.fulfill({
        status: 503,
        json: health(
          { config: { ok: false, detail: "not used", problems: [{ path: "/stable", message: "is missing" }] } },
          "degraded",
        ),
      }),
    expected: /503/,
  },
  async ({ page }) => {
    assert.equal(
      await part(page, "health"),
      "KV (ok) last read 3 s ago Config needs a look not used /stable is missing",
    );
    assert.equal(await visible(page, "#health-badge"), "degraded");
    assert.match(await summary(page), /^Degraded: /);
  },
);

onPage("how fast the last change was", {}, async ({ page }) => {
  assert.match(
    await part(page, "speed"),
    /^412 ms until KV had the last change Revision 7 Changed 14 Jan 2026, 12:30:00 In KV 14 Jan 2026, 12:30:00 Seen by this page served when it was opened, at 09:00:00 /,
  );
});

onPage("what was not seen yet is not called seen", { status: status({ revision: 6 }) }, async ({ page }) =>
  assert.match(await part(page, "speed"), /Seen by this page not served here yet/),
);

onPage(
  "nothing has happened yet",
  {
    status: status({ releases: [] }),
    history: history({ releases: [], changes: [], convergence: null }),
  },
  async ({ page }) => {
    assert.equal(await part(page, "charts"), "There is no release: everybody gets the stable version.");
    assert.equal(await part(page, "changes"), "Nothing has happened yet.");
    assert.equal(await part(page, "speed"), "No change was published yet.");
    assert.equal(await summary(page), "Everybody gets stable 1.0.4.");
  },
);

onPage(
  "each part fails for itself",
  {
    history: (route) => route.fulfill({ status: 503, json: { status: 503, title: "No ledger" } }),
    health: (route) => route.abort(),
    expected: /Failed to load/,
  },
  async ({ page }) => {
    assert.equal(await part(page, "charts"), "The history could not be loaded. It is tried again by itself.");
    assert.equal(await part(page, "health"), "The health could not be loaded. It is tried again by itself.");
    assert.equal(await summary(page), "Right now 25% of networks get the beta.");
  },
);

const evil = (where) => `<img src=x onerror="document.title='${where}'"><b>\u202e${where}</b>`;
onPage(
  "hostile texts in every field are text",
  {
    context: { viewport: { width: 360, height: 700 } },
    history: {
      generated_at: evil("made"),
      releases: [
        {
          name: evil("name"),
          percentage: "7",
          history: [
            { at: "2026-01-14T12:30:00Z", event: evil("event"), phase: evil("phase"), percentage: 1e300 },
            null,
            { at: evil("at") },
          ],
        },
        7,
        { name: "x".repeat(10_000), history: { length: 3 } },
      ],
      changes: [
        { at: "2026-01-14T12:30:00Z", revision: evil("revision"), text: evil("text") },
        { at: 7, text: evil("late") },
      ],
      convergence: { revision: evil("revision"), changed_at: evil("changed"), milliseconds: -5 },
    },
    health: {
      status: evil("status"),
      checks: {
        [evil("check")]: {
          ok: "true",
          detail: evil("detail"),
          problems: [{ path: evil("path"), message: evil("message") }, 7],
        },
        other: null,
      },
    },
  },
  async ({ page }) => {
    for (const [id, ...fields] of [
      ["charts", "name", "event", "phase"],
      ["changes", "text"],
      ["health", "check", "detail", "path", "message"],
    ]) {
      await part(page, id);
      const shown = await page.textContent(`#${id}`);
      for (const field of fields)
        assert.ok(
          shown.includes(`<b>\u202e${field}</b>`) || shown.includes(`onerror="document.title='${field}'`),
          `${field} in ${shown}`,
        );
    }
    assert.equal(await page.locator("main img, main b, main script").count(), 0);
    assert.equal(await page.title(), "Status – caro");
    assert.ok(await fits(page), "wider than the screen");
  },
);

onPage(
  "a table that is open stays open when something comes",
  {
    history: (route) => route.fulfill({ json: history() }),
    before: async (page) => {
      await noteLooks(page);
      await page.clock.install();
    },
  },
  async ({ page }) => {
    await part(page, "charts");
    await page.locator("#charts summary").click();
    const before = await page.$("#charts table");
    for (let i = 0; i < 20 && (await before.evaluate((old) => old.isConnected)); i += 1) {
      await page.clock.runFor(10_000);
      // The clock would run past the page's patience with an answer.
      await answered(page);
    }
    assert.equal(await before.evaluate((old) => old.isConnected), false);
    assert.equal(await page.locator("#charts table").isVisible(), true);
  },
);

onPage(
  "without JavaScript it says what it is, and where the rest is",
  { context: { javaScriptEnabled: false } },
  async ({ page }) => {
    const text = await visible(page, "body");
    assert.match(text, /Status How the rollout went so far/);
    assert.match(text, /a percentage of networks is not a percentage of people/);
    assert.doesNotMatch(text, /Loading|Health/);
    for (const path of ["/status.json", "/history.json", "/feed.atom", "/health"])
      assert.ok(await page.locator(`main a[href='${path}']`).first().isVisible(), path);
  },
);

onPage(
  "the router's own answers",
  { status: undefined, history: undefined, health: undefined, at: undefined },
  async ({ page }) => {
    const own = await ownRouter();
    const admin = client(own.direct);
    const { revision } = await admin.post("/rollout/v1.1.0-beta", { percentage: 40, reason: "private", confirm: true });
    await landed(own, revision);
    await page.waitForFunction(() => document.querySelector("#changes").textContent.includes("25 % → 40 %"), null, {
      timeout: 30_000,
    });
    assert.match(await part(page, "charts"), /v1\.1\.0-beta 40% now/);
    assert.match(await part(page, "health"), /KV.+Emergency stop.+Ledger/);
    assert.equal(await visible(page, "#health-badge"), "ok");
    assert.doesNotMatch(await visible(page, "body"), /private/);
  },
);
