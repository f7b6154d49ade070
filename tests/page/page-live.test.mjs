// When the public pages look again: at once when the stream tells of something, now and then without it, and never while hidden.
import assert from "node:assert/strict";
import { client } from "../support/ledger.mjs";
import { answered, history, noteLooks, ownRouter, status, summary, visible, withPages } from "./support.mjs";

const onPage = withPages();
const STREAM = "/ofrep/v1/events";

/** Has a page's streams in `window.streams`. */
function noteStreams(page) {
  return page.addInitScript(() => {
    window.streams = [];
    window.EventSource = class extends EventSource {
      constructor(...of) {
        super(...of);
        window.streams.push(this);
      }
    };
  });
}

const listening = (page) => page.waitForFunction(() => window.streams.at(-1)?.readyState === EventSource.OPEN);
const states = (page) => page.evaluate(() => window.streams.map(({ readyState }) => readyState));

const looks = () => window.looks.begun;
const streams = () => window.streams.length;

/** Waits until every look has its answers, and sees that there were so many. */
async function looked(page, n) {
  await answered(page);
  assert.equal(await page.evaluate(looks), n);
}

/**
 * Turns the clock on bit by bit until there is another one of something that begins in a timer.
 *
 * @returns after how many milliseconds, by a step too few at most
 */
async function next(page, count, atMost) {
  const before = await page.evaluate(count);
  const step = Math.max(100, atMost / 100);
  for (let passed = 0; passed < atMost; passed += step) {
    await page.clock.runFor(step);
    if ((await page.evaluate(count)) > before) return passed;
  }
  return assert.fail(`none in ${atMost} ms`);
}

/** The same for a look, between answers: when the one after it is due is counted from when they are in. */
async function nextLook(page, atMost) {
  await answered(page);
  const passed = await next(page, looks, atMost);
  await answered(page);
  return passed;
}

/** The looks with which a page that was opened makes sure that what it shows is not from before. */
async function opening(page) {
  await looked(page, 1);
  const first = await nextLook(page, 7_000);
  assert.ok(first >= 5_800, `${first} ms`);
  const second = await nextLook(page, 3_000);
  assert.ok(second >= 1_800, `${second} ms`);
}

/** A clock that is turned by hand; `stream` decides what becomes of the stream. */
const byHand = (stream) => async (page) => {
  await noteStreams(page);
  await noteLooks(page);
  await page.clock.install({ time: new Date("2026-01-15T08:59:59Z") });
  await page.clock.pauseAt(new Date("2026-01-15T09:00:00Z"));
  if (stream) await page.route(`**${STREAM}`, stream);
};

const lost = (route) => route.abort();

const turn = (page, state) =>
  page.evaluate((value) => {
    Object.defineProperty(document, "visibilityState", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);

{
  let isBroken = false;
  const answer = (route) => (isBroken ? route.abort() : route.fulfill({ json: status() }));
  onPage(
    "without the stream: every half minute, less often after errors, with the last figures kept",
    { status: answer, history: history(), before: byHand(lost), expected: /Failed to load/ },
    async ({ page }) => {
      await page.clock.runFor(100);
      await summary(page);
      await opening(page);
      isBroken = true;
      assert.ok((await nextLook(page, 34_000)) >= 29_000);
      await page.waitForFunction(() => document.querySelector("#strip").dataset.tone === "warn");
      assert.match(await page.textContent("#summary"), /could not be loaded since .+ The figures are from then\.$/);
      assert.match(await visible(page, "#figures"), /25% of networks get the beta/);
      assert.ok((await nextLook(page, 68_000)) >= 59_000);
      isBroken = false;
      assert.ok((await nextLook(page, 134_000)) >= 118_000);
      await page.waitForFunction(() => document.querySelector("#strip").dataset.tone === "good");
      assert.equal(await page.getAttribute("#figures", "data-old"), null);
    },
  );
}

onPage(
  "with the stream: each minute, for what it does not tell of",
  { status: status(), history: history(), before: byHand() },
  async ({ page }) => {
    await listening(page);
    await page.clock.runFor(100);
    await opening(page);
    assert.ok((await nextLook(page, 68_000)) >= 58_000);
  },
);

{
  let tries = 0;
  const flaky = (route) => {
    tries += 1;
    return tries < 3 ? route.abort() : route.fallback();
  };
  onPage(
    "a stream that was lost is tried again, less and less often; then the page looks at once",
    { status: status(), history: history(), before: byHand(flaky), expected: /Failed to load/ },
    async ({ page }) => {
      await page.clock.runFor(100);
      await looked(page, 1);
      // When it is tried again is counted from when the page hears that it is lost.
      const isLost = (n) =>
        page.waitForFunction((n) => window.streams.length === n && window.streams.at(-1).readyState === 2, n);
      await isLost(1);
      const second = await next(page, streams, 6_000);
      assert.ok(second >= 4_800, `${second} ms`);
      await isLost(2);
      let third = await nextLook(page, 5_000);
      third += await nextLook(page, 4_000);
      third += await next(page, streams, 9_000);
      assert.ok(third >= 9_600, `${third} ms`);
      await listening(page);
      assert.equal(tries, 3);
      // Without the stream the fourth would come half a minute after the third.
      await page.clock.runFor(1_100);
      await looked(page, 4);
    },
  );
}

for (const [name, stream, expected] of [
  ["with a stream", undefined, undefined],
  ["without one", lost, /Failed to load/],
]) {
  onPage(
    `a hidden page ${name} neither polls nor listens, and looks when it is seen again`,
    { status: status(), history: history(), before: byHand(stream), expected },
    async ({ page, asked }) => {
      await page.clock.runFor(100);
      await looked(page, 1);
      if (!stream) await listening(page);
      await turn(page, "hidden");
      const before = asked.length;
      await page.clock.runFor(600_000);
      assert.ok(
        (await states(page)).every((state) => state === 2),
        "a stream is open",
      );
      assert.equal(asked.length, before);
      await turn(page, "visible");
      await page.clock.runFor(100);
      await looked(page, 2);
      if (!stream) await listening(page);
    },
  );
}

onPage(
  "what the stream says is not believed to be as it should",
  {
    status: status(),
    history: history(),
    expected: /Failed to load/,
    before: byHand((route) =>
      route.fulfill({
        contentType: "text/event-stream",
        body: ["no json", '{"type":"other"}', "[]", "null", '{"type":7,"etag":{}}']
          .map((data) => `data: ${data}\n\n`)
          .join(""),
      }),
    ),
  },
  async ({ page }) => {
    await page.waitForFunction(() => window.streams[0]?.readyState === 2);
    await page.clock.runFor(4_000);
    await looked(page, 1);
  },
);

for (const path of ["/", "/status"]) {
  let asked = 0;
  onPage(
    `${path}: a history that is behind what is served is looked for again`,
    {
      path,
      status: status({ revision: 8 }),
      history: (route) => {
        asked += 1;
        return route.fulfill({ json: history({ revision: asked < 3 ? 7 : 8 }) });
      },
      before: byHand(),
    },
    async ({ page }) => {
      await listening(page);
      await page.clock.runFor(100);
      await looked(page, 1);
      assert.ok((await nextLook(page, 5_000)) >= 900);
      assert.ok((await nextLook(page, 5_000)) >= 1_800);
      await looked(page, 3);
      // It is calm again.
      await page.clock.runFor(10_000);
      await looked(page, 3);
    },
  );
}

{
  let revision = 7;
  onPage(
    "a revision that the stream told of is looked for until it is served",
    {
      status: (route) => route.fulfill({ json: status({ revision }) }),
      history: (route) => route.fulfill({ json: history({ revision }) }),
      before: byHand(),
    },
    async ({ page }) => {
      await listening(page);
      await page.clock.runFor(100);
      await looked(page, 1);
      await page.evaluate(() => {
        const data = JSON.stringify({ type: "refetchEvaluation", etag: '"9"' });
        window.streams[0].dispatchEvent(new MessageEvent("message", { data }));
      });
      await nextLook(page, 1_200);
      assert.ok((await nextLook(page, 5_000)) >= 900);
      revision = 9;
      assert.ok((await nextLook(page, 5_000)) >= 1_800);
      await looked(page, 4);
      // It is calm again.
      await page.clock.runFor(10_000);
      await looked(page, 4);
    },
  );
}

// Last: what is changed here, the router goes on to tell of for a while.
for (const path of ["/", "/status"]) {
  onPage(`${path}: a change is shown when the router tells of it`, { path, before: noteStreams }, async (opened) => {
    const { page, asked } = opened;
    const { direct } = await ownRouter();
    const admin = client(direct);
    await summary(page);
    await listening(page);
    for (const percentage of [30, 25]) {
      await admin.post("/rollout/v1.1.0-beta", { percentage, reason: "a test", confirm: true });
      // Without the stream it would take half a minute.
      await page.waitForFunction(
        (share) => document.querySelector("#summary").textContent === `Right now ${share}% of networks get the beta.`,
        percentage,
        { timeout: 20_000 },
      );
    }
    assert.equal(asked.filter((url) => url.endsWith(STREAM)).length, 1, "one stream is enough");
    if (path === "/") assert.equal(await visible(page, ".share strong"), "25%");
    else await page.waitForFunction(() => /after it was told/.test(document.querySelector("#speed").textContent));
  });
}
