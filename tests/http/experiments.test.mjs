// Experiments on the real Worker: who asks is counted once, what they tell is counted once, and the analysis says what
// that shows.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, askJson, closeConnections, each, eventually, roomInMinute } from "../support/http.mjs";
import { client as admin, tick } from "../support/ledger.mjs";
import { start } from "../support/router.mjs";
import { world } from "../support/world.mjs";

const METRICS = ["command_success", { name: "latency_ms", at_most: 2000 }];
const THRESHOLD = { variants: { control: 0.8, aggressive: 0.85 }, control: "control", metrics: METRICS };
const CONFIG = world({
  experiments: {
    threshold: THRESHOLD,
    routing: { ...THRESHOLD, release: "v1.1.0-beta", if: { attribute: "os", is: "linux" } },
    later: { ...THRESHOLD, start: "2999-01-01T00:00:00Z" },
  },
});

let router;
let api;
before(async () => {
  router = await start({ config: CONFIG });
  await tick(router);
  api = admin(router.direct);
});
after(async () => {
  closeConnections();
  await router.end();
});

const ids = (prefix, count) => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
const path = (name) => `/experiments/${name}/outcomes`;
const tell = (name, id, outcomes, more = {}) =>
  askJson(router.direct, path(name), {
    method: "POST",
    headers: { "X-Caro-Id": id, "Content-Type": "application/json" },
    body: JSON.stringify({ outcomes, ...more }),
  });

/** What an experiment shows. */
const shown = (name) => api.get(`/admin/experiments/${name}`);
const units = ({ arms }) => Object.fromEntries(arms.map((arm) => [arm.variant, arm.units]));

test("who is told a variant is counted once, however often and wherever they ask", async () => {
  const everybody = ids("seen", 300);
  const got = await each([...everybody, ...everybody], async (id) => {
    const { json } = await askJson(router.direct, "/features/1.0.4", { headers: { "X-Caro-Id": id } });
    return json.threshold;
  });
  const aggressive = new Set(everybody.filter((_, i) => got[i] === 0.85));
  assert.ok(aggressive.size > 110 && aggressive.size < 190, `${aggressive.size}`);
  // OFREP, all flags or this one, is the same requester again.
  await each(everybody.slice(0, 50), (id) =>
    ask(router.direct, "/ofrep/v1/evaluate/flags", {
      method: "POST",
      body: JSON.stringify({ context: { targetingKey: id } }),
    }),
  );
  await each(ids("one", 20), (id) =>
    ask(router.direct, "/ofrep/v1/evaluate/flags/threshold", {
      method: "POST",
      body: JSON.stringify({ context: { targetingKey: id } }),
    }),
  );
  const analysis = await eventually(
    () => shown("threshold"),
    (analysis) => {
      const { control, aggressive: other } = units(analysis);
      assert.equal(control + other, 320);
    },
  );
  assert.deepEqual(analysis.arms.map((arm) => arm.unit_days).sort(), Object.values(units(analysis)).sort());
  assert.equal(analysis.decision, "undecided");
  assert.equal(analysis.because, "samples");
  assert.equal(analysis.state, "running");
  assert.ok(analysis.sample_ratio.ok);
});

test("who asks for another flag, or for nothing in particular, is not counted", async () => {
  for (const flag of ["validation_retry", "later"]) {
    await ask(router.direct, `/ofrep/v1/evaluate/flags/${flag}`, {
      method: "POST",
      body: '{"context":{"targetingKey":"other"}}',
    });
  }
  await ask(router.direct, "/features/1.0.4");
  await ask(router.direct, "/features/1.0.4", { headers: { "X-Caro-Id": "last" } });
  await eventually(
    () => shown("threshold"),
    (analysis) => assert.equal(units(analysis).control + units(analysis).aggressive, 321),
  );
  assert.deepEqual(units(await shown("later")), { control: 0, aggressive: 0 });
});

test("what is told counts once for each metric, under the variant that the requester really got", async () => {
  const people = ids("told", 40);
  const variants = await each(people, async (id) => {
    const { status, json } = await tell("routing", id, { command_success: true }, { context: { os: "linux" } });
    assert.equal(status, 202);
    return json.variant;
  });
  await each(people, (id) => tell("routing", id, { command_success: false }, { context: { os: "linux" } }));
  await each(people.slice(0, 10), (id, i) =>
    tell("routing", id, { latency_ms: i < 4 ? 2000 : 2001 }, { context: { os: "linux" } }),
  );
  const elsewhere = await tell("routing", "told-0", { command_success: true }, { context: { os: "windows" } });
  assert.deepEqual([elsewhere.status, elsewhere.json.variant], [202, null]);
  const analysis = await shown("routing");
  for (const arm of analysis.arms) {
    const expected = variants.filter((variant) => variant === arm.variant).length;
    assert.equal(arm.units, expected);
    const [success] = arm.metrics;
    assert.deepEqual([success.samples, success.good, success.rate], [expected, expected, 1]);
  }
  const latency = analysis.arms.map((arm) => arm.metrics[1]);
  assert.equal(latency[0].samples + latency[1].samples, 10);
  assert.equal(latency[0].good + latency[1].good, 4);
});

describe("what cannot be counted", () => {
  const cases = [
    ["no such experiment", "nothing", '{"outcomes":{"command_success":true}}', 404, "not-found"],
    ["no JSON", "threshold", "{", 400, "invalid-json"],
    ["no outcomes", "threshold", "{}", 422, "invalid-body"],
    ["an unknown metric", "threshold", '{"outcomes":{"speed":true}}', 422, "invalid-body"],
    ["a wrong type", "threshold", '{"outcomes":{"command_success":1}}', 422, "invalid-body"],
    [
      "a member too many",
      "threshold",
      '{"outcomes":{"command_success":true},"variant":"control"}',
      422,
      "invalid-body",
    ],
    ["too long", "threshold", `{"context":"${"x".repeat(70_000)}"}`, 413, "body-too-large"],
  ];
  for (const [name, experiment, body, status, type] of cases) {
    test(name, async () => {
      const answer = await askJson(router.direct, path(experiment), { method: "POST", body });
      assert.equal(answer.status, status);
      assert.equal(answer.json.type, `urn:caro-edge:problem:${type}`);
      assert.equal(answer.headers["access-control-allow-origin"], "*");
    });
  }

  test("a GET", async () => {
    const answer = await askJson(router.direct, path("threshold"));
    assert.deepEqual([answer.status, answer.headers.allow], [405, "POST, OPTIONS"]);
  });

  test("nothing of it was", async () => {
    const before = await shown("threshold");
    await tell("threshold", "last", { speed: true });
    assert.deepEqual((await shown("threshold")).arms, before.arms);
  });
});

test("an experiment is begun, changed and ended through the API", async () => {
  await api.post("/admin/experiments", { matcher: { ...THRESHOLD, traffic: 50 }, reason: "test 2" });
  await api.post("/admin/experiments", { matcher: false });
  const { experiments } = await api.get("/admin/experiments");
  const states = Object.fromEntries(experiments.map(({ name, state }) => [name, state]));
  assert.deepEqual(states, { threshold: "running", routing: "running", later: "scheduled", matcher: "off" });
  await api.post("/admin/experiments", { matcher: null });
  await api.get("/admin/experiments/matcher", { status: 404 });
  await api.post("/admin/experiments", { matcher: true }, { status: 422 });
  await api.post("/admin/experiments", { matcher: { variants: {} } }, { status: 422 });
});

test("reports of one address are limited", async () => {
  const limited = await start({
    config: CONFIG,
    ratelimits: { REPORT_LIMIT: { namespace_id: "2001", simple: { limit: 3, period: 60 } } },
  });
  try {
    await roomInMinute();
    const statuses = [];
    for (let i = 0; i < 5; i++) {
      const answer = await ask(limited.direct, path("threshold"), {
        method: "POST",
        headers: { "CF-Connecting-IP": "192.0.2.1" },
        body: '{"outcomes":{"command_success":true}}',
      });
      statuses.push(answer.status);
      assert.ok(answer.status !== 429 || answer.headers["retry-after"] === "60");
    }
    assert.deepEqual(statuses, [202, 202, 202, 429, 429]);
  } finally {
    await limited.end();
  }
});

test("without the tally features are answered, reports are refused, and /health says so", async () => {
  const lost = await start({
    config: CONFIG,
    durableObjects: { LEDGER: { className: "Ledger", useSQLite: true } },
  });
  try {
    const { json } = await askJson(lost.direct, "/features/1.0.4", { headers: { "X-Caro-Id": "a" } });
    assert.ok([0.8, 0.85].includes(json.threshold));
    const told = await askJson(lost.direct, path("threshold"), {
      method: "POST",
      headers: { "X-Caro-Id": "a" },
      body: '{"outcomes":{"command_success":true}}',
    });
    assert.deepEqual([told.status, told.json.type], [503, "urn:caro-edge:problem:tally-unavailable"]);
    await eventually(
      async () => (await askJson(lost.direct, "/health")).json,
      ({ status, checks }) => {
        assert.equal(checks.experiments.ok, false);
        assert.match(checks.experiments.detail, /the binding TALLY is missing/);
        assert.equal(status, "degraded");
      },
    );
    await tick(lost);
    await admin(lost.direct).get("/admin/experiments/threshold", { status: 503 });
  } finally {
    closeConnections();
    await lost.end();
  }
});
