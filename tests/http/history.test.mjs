// What anybody may know of what happened, on the real Worker: right, open, kept, and nothing that could tire the ledger.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, askJson, closeConnections, each, eventually } from "../support/http.mjs";
import { landed, tick, withHands } from "../support/ledger.mjs";
import { start } from "../support/router.mjs";
import { WORLD } from "../support/world.mjs";

const RELEASE = "/rollout/v1.1.0-beta";
const PATHS = ["/history.json", "/feed.atom"];

describe("a release that is steered", () => {
  let router;
  let history;
  before(async () => {
    router = await withHands({ config: WORLD });
    await tick(router);
    const { admin } = router;
    await admin.post(RELEASE, { percentage: 30, reason: "private reason <&>" });
    await admin.post(`${RELEASE}/plan`, { preset: "caro", start: true });
    await admin.post(`${RELEASE}/pause`, { reason: "private reason" });
    const { revision } = await admin.post(`${RELEASE}/emergency-stop`, { reason: "private reason" });
    await landed(router, revision);
    ({ json: history } = await eventually(
      async () => {
        await router.control({ advance: 6_000 });
        return askJson(router.direct, "/history.json");
      },
      ({ json }) => assert.equal(json.convergence?.revision, revision),
    ));
  });
  after(() => router.end());

  test("says what happened", () => {
    assert.deepEqual([history.product, history.stable, history.releases.length], ["caro", "1.0.4", 1]);
    const [{ history: happened, plan, ...release }] = history.releases;
    assert.deepEqual(release, {
      name: "v1.1.0-beta",
      version: "1.1.0-beta.2",
      channel: "beta",
      state: "stopped",
      percentage: 0,
      configured_percentage: 0,
      phase: "stopped",
      stopped: true,
    });
    assert.deepEqual(
      happened.map(({ event, percentage, phase }) => [event, percentage, phase].filter((part) => part !== undefined)),
      [
        ["created", 25],
        ["raised", 30],
        ["stage", 30, "small_beta"],
        ["paused", 30, "small_beta"],
        ["stopped", 0],
      ],
    );
    assert.deepEqual([plan.name, plan.status, plan.why, plan.stage], ["caro", "stopped", "stopped", "small_beta"]);
    assert.deepEqual(
      plan.stages.map(({ id, percentage }) => [id, percentage]),
      [
        ["canary", 5],
        ["small_beta", 25],
        ["large_beta", 50],
        ["full", 100],
      ],
    );
    const [, entered] = plan.stages;
    assert.equal(entered.entered_at, happened[2].at);
    assert.equal(entered.left_at, happened[4].at);
    assert.deepEqual(
      history.changes.map(({ text }) => text),
      [
        "v1.1.0-beta: emergency stop",
        "v1.1.0-beta: paused at 30 %",
        "v1.1.0-beta: small_beta at 30 %",
        "v1.1.0-beta: 25 % → 30 %",
        "the stable version is 1.0.4; v1.1.0-beta: version 1.1.0-beta.2 at 25 %",
      ],
    );
    const { revision, changed_at, published_at, milliseconds } = history.convergence;
    assert.equal(revision, history.changes[0].revision);
    assert.equal(milliseconds, Date.parse(published_at) - Date.parse(changed_at));
    assert.ok(milliseconds >= 0 && milliseconds < 15_000, `${milliseconds} ms`);
  });

  test("and nothing that people wrote", async () => {
    for (const path of PATHS) {
      const { text } = await ask(router.direct, path);
      assert.doesNotMatch(text, /private|reason|admin/, path);
    }
  });

  test("as a feed", async () => {
    const { headers, text } = await ask(router.direct, "/feed.atom");
    assert.equal(headers["content-type"], "application/atom+xml; charset=utf-8");
    const all = (name) => [...text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, "g"))].map(([, value]) => value);
    const ids = history.changes.map(({ revision }) => `https://get.caro.sh/feed.atom#revision-${revision}`);
    assert.deepEqual(all("id"), ["https://get.caro.sh/feed.atom", ...ids]);
    assert.deepEqual(all("updated"), [history.changes[0].at, ...history.changes.map(({ at }) => at)]);
    assert.deepEqual(
      all("title").slice(1),
      history.changes.map(({ text }) => text),
    );
    assert.ok(text.includes('<link rel="self" type="application/atom+xml" href="https://get.caro.sh/feed.atom"/>'));
    assert.ok(text.includes('<link rel="alternate" type="text/html" href="https://get.caro.sh/status"/>'));
  });

  test("to anybody, for GET and HEAD, and not twice", async () => {
    for (const path of PATHS) {
      const { status, headers, body } = await ask(router.direct, path);
      assert.deepEqual(
        [status, headers["cache-control"], headers["access-control-allow-origin"]],
        [200, "public, max-age=30", "*"],
      );
      assert.equal(headers["x-caro-revision"], String(history.revision));
      const head = await ask(router.direct, path, { method: "HEAD" });
      assert.deepEqual([head.status, head.headers["content-length"]], [200, String(body.length)]);
      const known = await ask(router.direct, path, { headers: { "If-None-Match": headers.etag } });
      assert.equal(known.status, 304);
      const open = await ask(router.direct, path, { method: "OPTIONS" });
      assert.deepEqual([open.status, open.headers.allow], [204, "GET, HEAD, OPTIONS"]);
      const wrong = await askJson(router.direct, path, { method: "POST" });
      assert.deepEqual([wrong.status, wrong.headers.allow], [405, "GET, HEAD, OPTIONS"]);
    }
  });

  test("without asking the ledger each time", async () => {
    await ask(router.direct, "/history.json");
    const { histories: before } = await router.control({ advance: 21_000 });
    await router.control({ history: { delay: 300 } });
    const answers = await each(Array.from({ length: 200 }), () => ask(router.direct, "/history.json"), 64);
    assert.ok(answers.every(({ status }) => status === 200));
    await each(Array.from({ length: 200 }), (_, i) => ask(router.direct, PATHS[i % 2]), 64);
    const { histories } = await router.control({ history: {} });
    assert.equal(histories - before, 1);
  });

  test("and without the ledger, what it said last", async () => {
    await ask(router.direct, "/history.json");
    await router.control({ advance: 21_000, history: { error: "no ledger today" } });
    const { status, text } = await ask(router.direct, "/history.json");
    assert.equal(status, 200);
    assert.equal(JSON.parse(text).revision, history.revision);
    await router.control({ history: {} });
  });
});

test("a cold isolate has all of its requests wait for one", async () => {
  const router = await withHands({ config: WORLD, faults: { history: { delay: 500 } } });
  try {
    const answers = await each(Array.from({ length: 100 }), (_, i) => ask(router.direct, PATHS[i % 2]), 100);
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    assert.equal((await router.control()).histories, 1);
  } finally {
    await router.end();
  }
});

test("without a ledger, and without anything that it said: 503", async () => {
  const router = await start({ config: WORLD, durableObjects: {} });
  try {
    for (const path of PATHS) {
      const { status, headers, json } = await askJson(router.direct, path);
      assert.deepEqual([status, json.type], [503, "urn:caro-edge:problem:ledger-unavailable"]);
      assert.equal(headers["retry-after"], "5");
    }
  } finally {
    await router.end();
  }
});

after(closeConnections);
