// When the public pages look again: at once when the stream tells of something, now and then without it, and never while hidden.
import assert from "node:assert/strict";
import { client } from "../support/ledger.mjs";
import { history, ownRouter, status, summary, visible, withPages } from "./support.mjs";

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

/** Answers of `/status.json`, counted. */
function counter(change = () => ({})) {
  const told = { calls: 0, broken: false };
  told.answer = (route) => {
    told.calls += 1;
    return told.broken ? route.abort() : route.fulfill({ json: status(change()) });
  };
  /** Waits until so many came, and sees that no more did. */
  told.called = async (n) => {
    for (let i = 0; i < 200 && told.calls < n; i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(told.calls, n);
  };
  return told;
}

/**
 * Turns the clock on bit by bit until another look came, since what a look sets in motion begins when its answers are in.
 *
 * @returns after how many milliseconds it came
 */
async function nextLook(page, told, atMost) {
  const before = told.calls;
  const step = Math.max(100, atMost / 100);
  for (let passed = 0; passed < atMost; passed += step) {
    await page.clock.runFor(step);
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (told.calls > before) return passed;
  }
  return assert.fail(`no look in ${atMost} ms`);
}

/** The looks with which a page that was opened makes sure that what it shows is not from before. */
async function opening(page, told) {
  await told.called(1);
  const first = await nextLook(page, told, 7_000);
  assert.ok(first >= 5_800, `${first} ms`);
  const second = await nextLook(page, told, 3_000);
  assert.ok(second >= 1_800, `${second} ms`);
}

/** A clock that is turned by hand; `stream` decides what becomes of the stream. */
const byHand = (stream) => async (page) => {
  await noteStreams(page);
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
  const told = counter();
  onPage(
    "without the stream: every half minute, less often after errors, with the last figures kept",
    { status: told.answer, history: history(), before: byHand(lost), expected: /Failed to load/ },
    async ({ page }) => {
      await page.clock.runFor(100);
      await summary(page);
      await opening(page, told);
      told.broken = true;
      assert.ok((await nextLook(page, told, 34_000)) >= 29_000);
      await page.waitForFunction(() => document.querySelector("#strip").dataset.tone === "warn");
      assert.match(await page.textContent("#summary"), /could not be loaded since .+ The figures are from then\.$/);
      assert.match(await visible(page, "#figures"), /25% of networks get the beta/);
      assert.ok((await nextLook(page, told, 68_000)) >= 59_000);
      told.broken = false;
      assert.ok((await nextLook(page, told, 134_000)) >= 118_000);
      await page.waitForFunction(() => document.querySelector("#strip").dataset.tone === "good");
      assert.equal(await page.getAttribute("#figures", "data-old"), null);
    },
  );
}

{
  const told = counter();
  onPage(
    "with the stream: each minute, for what it does not tell of",
    { status: told.answer, history: history(), before: byHand() },
    async ({ page }) => {
      await listening(page);
      await page.clock.runFor(100);
      await opening(page, told);
      assert.ok((await nextLook(page, told, 68_000)) >= 58_000);
    },
  );
}

{
  const told = counter();
  let tries = 0;
  const flaky = (route) => {
    tries += 1;
    return tries < 3 ? route.abort() : route.fallback();
  };
  onPage(
    "a stream that was lost is tried again, less and less often; then the page looks at once",
    { status: told.answer, history: history(), before: byHand(flaky), expected: /Failed to load/ },
    async ({ page }) => {
      await page.clock.runFor(100);
      await told.called(1);
      const isLost = (n) =>
        page.waitForFunction((n) => window.streams.length === n && window.streams.at(-1).readyState === 2, n);
      await isLost(1);
      await page.clock.runFor(4_000);
      assert.equal(tries, 1);
      await nextLook(page, told, 5_000);
      await nextLook(page, told, 4_000);
      await isLost(2);
      await page.clock.runFor(4_000);
      assert.equal(tries, 2);
      await page.clock.runFor(5_000);
      await listening(page);
      assert.equal(tries, 3);
      await told.called(3);
      await page.clock.runFor(1_100);
      await told.called(4);
    },
  );
}

for (const [name, stream, expected] of [
  ["with a stream", undefined, undefined],
  ["without one", lost, /Failed to load/],
]) {
  const told = counter();
  onPage(
    `a hidden page ${name} neither polls nor listens, and looks when it is seen again`,
    { status: told.answer, history: history(), before: byHand(stream), expected },
    async ({ page, asked }) => {
      await page.clock.runFor(100);
      await summary(page);
      await told.called(1);
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
      await told.called(2);
      if (!stream) await listening(page);
    },
  );
}

{
  const told = counter();
  onPage(
    "what the stream says is not believed to be as it should",
    {
      status: told.answer,
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
      await told.called(1);
    },
  );
}

for (const path of ["/", "/status"]) {
  let asked = 0;
  const told = counter(() => ({ revision: 8 }));
  onPage(
    `${path}: a history that is behind what is served is looked for again`,
    {
      path,
      status: told.answer,
      history: (route) => {
        asked += 1;
        return route.fulfill({ json: history({ revision: asked < 3 ? 7 : 8 }) });
      },
      before: byHand(),
    },
    async ({ page }) => {
      await listening(page);
      await page.clock.runFor(100);
      await told.called(1);
      assert.ok((await nextLook(page, told, 5_000)) >= 900);
      assert.ok((await nextLook(page, told, 5_000)) >= 1_800);
      await told.called(3);
      // It is calm again.
      await page.clock.runFor(10_000);
      await told.called(3);
    },
  );
}

{
  let revision = 7;
  const told = counter(() => ({ revision }));
  onPage(
    "a revision that the stream told of is looked for until it is served",
    {
      status: told.answer,
      history: (route) => route.fulfill({ json: history({ revision }) }),
      before: byHand(),
    },
    async ({ page }) => {
      await listening(page);
      await page.clock.runFor(100);
      await told.called(1);
      await page.evaluate(() => {
        const data = JSON.stringify({ type: "refetchEvaluation", etag: '"9"' });
        window.streams[0].dispatchEvent(new MessageEvent("message", { data }));
      });
      await nextLook(page, told, 1_200);
      assert.ok((await nextLook(page, told, 5_000)) >= 900);
      revision = 9;
      assert.ok((await nextLook(page, told, 5_000)) >= 1_800);
      await told.called(4);
      // It is calm again.
      await page.clock.runFor(10_000);
      await told.called(4);
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
