// Evidence on the real Worker: what installers and clients tell is counted once, under the release that it is of, and
// nothing that was acknowledged is lost.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  CANARY,
  command,
  counted,
  event,
  forget,
  outcome,
  post,
  RELEASE,
  rows,
  STABLE,
  sendEvents,
  start as startOf,
  takes,
  told,
  total,
} from "../support/evidence.mjs";
import { ask, askJson, closeConnections, each, eventually, roomInMinute } from "../support/http.mjs";
import { folder, startOn, withHands } from "../support/ledger.mjs";
import { start } from "../support/router.mjs";
import { WORLD, world } from "../support/world.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const ago = (ms) => new Date(Date.now() - ms).toISOString();

/** With a router of its own. */
const fresh = (name, options, run) =>
  test(name, async () => {
    const router = await start({ config: WORLD, ...options });
    try {
      await run(router);
    } finally {
      await router.end();
    }
  });

fresh("a batch is counted under the version that its session told", {}, async (router) => {
  await takes(router, [
    command("a", { success: false, error_category: "timeout", duration_ms: 2_600 }),
    startOf("a", CANARY, { platform: "linux-x86_64", first_of_week: true, install_age_days: 3 }),
    startOf("a", CANARY, { platform: "linux", arch: "x86_64" }),
    startOf("b", `v${STABLE}`, { platform: "macOS" }),
    command("a", { repaired: true, repair_success: true, refined: true }),
    command("b"),
    event("session_end", { session_id: "a", crashed: true }),
    event("session_end", { session_id: "b" }),
    event("backend_error", { session_id: "b", anything: { else: [] } }),
    event("safety_validation", { session_id: "b" }),
  ]);
  const [list] = await rows(router);
  assert.deepEqual(counted(list), {
    active_weekly: [1, 1],
    "command_latency <= 600": [1, 1],
    "command_latency <= 3000": [1, 1],
    command_success: [2, 1],
    crashes: [1, 0],
    errors: [2, 1],
    refinements: [2, 1],
    repair_success: [1, 1],
    repairs: [2, 1],
    retention_3: [0, 1],
    sessions: [1, 1],
  });
  assert.deepEqual(counted(list, "control"), {
    "command_latency <= 600": [1, 1],
    command_success: [1, 1],
    crashes: [1, 1],
    errors: [2, 1],
    refinements: [1, 1],
    repairs: [1, 1],
    sessions: [1, 1],
  });
  assert.deepEqual([...new Set(list.map((row) => row.platform))].sort(), ["linux-amd64", "macos"]);
  const [other] = await rows(router, undefined, "another");
  assert.deepEqual(counted(other), {});
  assert.deepEqual(counted(other, "control"), counted(list, "control"), "the control is everybody's");
});

fresh("a command without a version: by its header, else by what its session said before", {}, async (router) => {
  await takes(router, [command("s1")], { ignored: 1 });
  await takes(router, [command("s1")], { accepted: 1 }, { "X-Caro-Version": CANARY });
  await takes(router, [command("s1")], { ignored: 1 });
  await takes(router, [startOf("s1", STABLE)]);
  await takes(router, [command("s1"), command("s2")], { accepted: 1, ignored: 1 });
  await takes(router, [command("s3"), startOf("s3", "9.9.9"), command("s1")], { accepted: 1, ignored: 2 });
  assert.deepEqual((await total(router)).command_success, [1, 1]);
  assert.deepEqual((await total(router, "control")).command_success, [2, 2]);
});

fresh("installations, and what is due of them later", {}, async (router) => {
  for (const [more, status, expected] of [
    [{}, 202, { accepted: 1 }],
    [{ outcome: "network", version: CANARY, duration_ms: undefined }, 202, { accepted: 1 }],
    [{ outcome: 2 }, 202, { accepted: 1 }],
    [{ version: STABLE, platform: undefined, os: "Darwin", arch: "arm64" }, 202, { accepted: 1 }],
    [{ version: "9.9.9" }, 202, { ignored: 1 }],
  ]) {
    const { json, ...answer } = await post(router, "/report", outcome(more));
    assert.equal(answer.status, status, JSON.stringify(json));
    assert.deepEqual(json, { accepted: 0, duplicates: 0, ignored: 0, refused: 0, errors: [], ...expected });
  }
  const again = outcome();
  await post(router, "/report", again);
  assert.equal((await post(router, "/report", again)).json.duplicates, 1);
  const now = Date.now();
  const spans = [now - HOUR, now + 24 * HOUR - HOUR, now + 7 * 24 * HOUR - HOUR].map((at) => [at, at + 2 * HOUR]);
  const [today, tomorrow, later] = await rows(router, spans);
  assert.deepEqual(counted(today), {
    exit_network: [1, 1],
    exit_ok: [2, 2],
    exit_usage: [1, 1],
    "install_latency <= 5000": [2, 2],
    install_success: [3, 2],
  });
  assert.deepEqual(counted(tomorrow), { retention_1: [2, 0] });
  assert.deepEqual(counted(later), { retention_7: [2, 0] });
  assert.equal(today.find(({ arm }) => arm === "control").platform, "macos-silicon");
});

describe("what cannot be used", () => {
  let router;
  before(async () => {
    router = await start({ config: WORLD });
  });
  after(() => router.end());

  const good = () => startOf("x", CANARY);
  const bad = [
    ["a type that nobody knows", { type: "nonsense" }, "type"],
    ["no id", { id: undefined }, "id"],
    ["an id that is a number", { id: 7 }, "id"],
    ["an id with a blank", { id: "a b" }, "id"],
    ["a long id", { id: "x".repeat(129) }, "id"],
    ["no session", { session_id: null }, "session_id"],
    ["no time", { timestamp: undefined }, "timestamp"],
    ["a time that is none", { timestamp: "yesterday" }, "timestamp"],
    ["six minutes ahead", { timestamp: ago(-6 * MINUTE) }, "timestamp is more than five minutes ahead"],
    ["49 hours late", { timestamp: ago(49 * HOUR) }, "timestamp is more than two days ago"],
    ["a negative duration", { duration_ms: -1 }, "duration_ms is no number"],
    ["a huge duration", { duration_ms: 1e15 }, "duration_ms is no number"],
    ["a duration that is no number", { duration_ms: null }, "duration_ms is missing"],
    ["a duration that is a text", { duration_ms: "1" }, "duration_ms must be a number"],
    ["success as a text", { success: "yes" }, "success"],
    ["repaired as a number", { repaired: 1 }, "repaired"],
    ["an error that is a number", { success: false, error_category: 7 }, "error_category"],
    ["not an object", "event", "An event must be an object"],
  ];
  for (const [name, more, detail] of bad) {
    test(`${name}: refused alone, and beside a good one`, async () => {
      const broken = typeof more === "string" ? more : { ...command("x"), ...more };
      const alone = await sendEvents(router, [broken]);
      assert.deepEqual([alone.status, alone.json.type], [422, "urn:caro-edge:problem:invalid-body"]);
      assert.equal(alone.json.errors[0].pointer, "/0");
      assert.ok(alone.json.errors[0].detail.startsWith(detail), alone.json.errors[0].detail);
      assert.equal(alone.headers["access-control-allow-origin"], "*");
      const errors = await takes(router, [good(), broken], { accepted: 1, refused: 1 });
      assert.deepEqual(errors, [{ index: 1, detail: alone.json.errors[0].detail }]);
    });
  }

  const whole = [
    ["no JSON", "/api/events", "[", 400, "invalid-json"],
    ["a number beyond all", "/api/events", '[{"duration_ms":1e999}]', 400, "invalid-json"],
    ["no array", "/api/events", "{}", 422, "invalid-body"],
    ["nothing", "/api/events", "[]", 422, "invalid-body"],
    ["501 events", "/api/events", JSON.stringify(Array(501).fill({})), 422, "invalid-body"],
    ["too long", "/api/events", `["${"x".repeat(270_000)}"]`, 413, "body-too-large"],
    ["too long", "/report", `{"id":"${"x".repeat(270_000)}"}`, 413, "body-too-large"],
    ["no object", "/report", "[]", 422, "invalid-body"],
    ["a member too many", "/report", outcome({ user: "alice" }), 422, "invalid-body"],
    ["an outcome that is none", "/report", outcome({ outcome: 9 }), 422, "invalid-body"],
    ["a negative duration", "/report", outcome({ duration_ms: -5 }), 422, "invalid-body"],
    ["no version", "/report", outcome({ version: undefined }), 422, "invalid-body"],
    ["a bad channel", "/report", outcome({ channel: "nightly" }), 422, "invalid-body"],
  ];
  for (const [name, path, body, status, type] of whole) {
    test(`${path}: ${name}`, async () => {
      const answer = await post(router, path, body);
      assert.deepEqual([answer.status, answer.json.type], [status, `urn:caro-edge:problem:${type}`]);
      assert.equal(answer.headers["access-control-allow-origin"], "*");
    });
  }

  test("a GET, and a browser that asks first", async () => {
    for (const path of ["/report", "/api/events"]) {
      const got = await askJson(router.direct, path);
      assert.deepEqual([got.status, got.headers.allow], [405, "POST, OPTIONS"]);
      const asked = await ask(router.direct, path, { method: "OPTIONS" });
      assert.deepEqual([asked.status, asked.headers["access-control-allow-methods"]], [204, "POST, OPTIONS"]);
    }
    const { headers } = await ask(router.direct, "/api/events", { method: "OPTIONS" });
    assert.match(headers["access-control-allow-headers"], /X-Caro-Version/);
  });

  test("nothing inside can be asked from outside", async () => {
    for (const path of ["/__evidence/add", "/__evidence/read"]) {
      const { status } = await ask(router.direct, path, { method: "POST", body: "{}" });
      assert.ok([404, 405].includes(status), `${path}: ${status}`);
    }
  });

  test("each was counted by its reason, and nothing of them as evidence", async () => {
    const counts = await told(router);
    assert.deepEqual([counts.future, counts.late, counts.oversized], [2, 2, 2]);
    assert.equal(counts.absurd, 5);
    assert.equal(counts.accepted, bad.length);
    assert.ok(counts.malformed > 20);
    assert.deepEqual(Object.keys(await total(router)), ["sessions"]);
  });
});

fresh("what is sent again counts once, in a batch, beside others, and after all", {}, async (router) => {
  const list = [startOf("r", CANARY), ...Array.from({ length: 20 }, () => command("r"))];
  await takes(router, [...list, list[3]], { accepted: 21, duplicates: 1 });
  await takes(router, list, { duplicates: 21 });
  await takes(router, [...list, command("r")], { accepted: 1, duplicates: 21 });
  const sums = await total(router);
  assert.deepEqual(
    [sums.command_success, sums.sessions],
    [
      [21, 21],
      [1, 1],
    ],
  );
});

fresh("500 events at once, of a client that says a lot", {}, async (router) => {
  const more = { backend: "embedded", notes: "x".repeat(250) };
  const list = [startOf("much", CANARY), ...Array.from({ length: 499 }, () => command("much", more))];
  await takes(router, list);
  assert.deepEqual((await total(router)).command_success, [499, 499]);
});

fresh("an event counts in the minute that it says, and none from before a span", {}, async (router) => {
  const at = (ms) => command("t", { timestamp: ago(ms).replace("Z", "123456+00:00") });
  await takes(router, [startOf("t", CANARY), at(0), at(-4 * MINUTE), at(90 * MINUTE), at(30 * HOUR), at(47 * HOUR)]);
  const now = Date.now();
  const spans = [HOUR, 2 * HOUR, 40 * HOUR, 47.9 * HOUR, 72 * HOUR].map((ms) => [now - ms, now + 60_000]);
  const seen = (await rows(router, spans)).map((list) => counted(list).command_success[0]);
  assert.deepEqual(seen, [2, 3, 4, 5, 5]);
});

fresh(
  "cohorts and revisions are the router's to say",
  {
    config: world({
      cohorts: { trial: { enabled: true, percentage: 100, features: ["all"] } },
      releases: { [RELEASE]: { cohorts: ["trial"] } },
    }),
  },
  async (router) => {
    await takes(router, [startOf("c", CANARY), command("c")], undefined, { "X-Caro-Id": "somebody" });
    await takes(router, [command("d")], undefined, { "X-Caro-Version": CANARY });
    const [list] = await rows(router);
    const cohorts = list.filter((row) => row.metric === "command_success").map((row) => row.cohort);
    assert.deepEqual(cohorts.sort(), ["", "trial"]);
  },
);

fresh("requesters of scripts are counted by arm, each once a day", {}, async (router) => {
  const people = Array.from({ length: 200 }, (_, i) => ({ headers: { "X-Caro-Id": `person-${i}` } }));
  const versions = await each([...people, ...people], async (who) => {
    const { headers } = await ask(router.direct, "/", who);
    return headers["x-caro-version"];
  });
  const canary = versions.slice(0, 200).filter((version) => version === CANARY).length;
  assert.ok(canary > 25 && canary < 75, `${canary}`);
  // These are nobody's, or not by rollout.
  await ask(router.direct, "/", { headers: { "X-Caro-Id": "head" }, method: "HEAD" });
  await ask(router.direct, "/stable", { headers: { "X-Caro-Id": "pinned" } });
  await ask(router.direct, "/install.sh");
  await eventually(
    () => rows(router),
    ([list]) => {
      const sum = (arm) => counted(list, arm).requests;
      assert.deepEqual(sum("canary"), [canary, canary]);
      assert.deepEqual(sum("control"), [200 - canary, 200 - canary]);
    },
  );
  const { json } = await askJson(router.direct, "/health");
  assert.equal(json.checks.evidence.ok, true);
});

fresh(
  "people who want to hear nothing hear nothing",
  {
    config: world({ kill_switches: { telemetry_disabled: true } }),
  },
  async (router) => {
    await takes(router, [startOf("k", CANARY), command("k")], { ignored: 2 });
    assert.equal((await post(router, "/report", outcome())).json.ignored, 1);
    assert.deepEqual(await total(router), {});
  },
);

fresh(
  "reports of one address are limited",
  {
    ratelimits: { REPORT_LIMIT: { namespace_id: "2001", simple: { limit: 3, period: 60 } } },
  },
  async (router) => {
    await roomInMinute();
    const statuses = [];
    for (let i = 0; i < 6; i++) {
      const [path, body] = i % 2 ? ["/report", outcome()] : ["/api/events", [startOf("l", CANARY)]];
      const answer = await post(router, path, body, { "CF-Connecting-IP": "192.0.2.1" });
      statuses.push(answer.status);
      assert.ok(answer.status !== 429 || answer.headers["retry-after"] === "60");
    }
    assert.deepEqual(statuses, [202, 202, 202, 429, 429, 429]);
    const other = await post(router, "/report", outcome(), { "CF-Connecting-IP": "192.0.2.2" });
    assert.equal(other.status, 202);
    assert.equal((await told(router)).limited, 3);
  },
);

fresh(
  "without the objects nothing is acknowledged, scripts are served, and /health says so",
  {
    durableObjects: { LEDGER: { className: "Ledger", useSQLite: true } },
  },
  async (router) => {
    const { status, json, headers } = await sendEvents(router, [startOf("n", CANARY)]);
    assert.deepEqual([status, json.type], [503, "urn:caro-edge:problem:tally-unavailable"]);
    assert.ok(headers["retry-after"]);
    const { json: health } = await askJson(router.direct, "/health");
    assert.equal(health.status, "degraded");
    assert.match(health.checks.evidence.detail, /the binding EVIDENCE is missing/);
    assert.equal((await ask(router.direct, "/", { headers: { "X-Caro-Id": "a" } })).status, 200);
    assert.ok((await told(router)).failed >= 1);
  },
);

test("marks are forgotten after two days, minutes after three, everything after ninety", async () => {
  const router = await withHands({ config: WORLD });
  try {
    const list = [startOf("old", CANARY), command("old")];
    const before = Date.now();
    await takes(router, list);
    const hours = async (count) => {
      await router.control({ advance: count * HOUR });
      return forget(router);
    };
    const some = await hours(49);
    assert.ok(some.seen === 3 && some.session === 1 && some.minute > 5 && some.hour === some.minute);
    const none = { seen: 0, session: 0, meta: 0 };
    assert.deepEqual(await hours(3), { ...some, ...none });
    assert.deepEqual(await hours(22), { ...some, ...none, minute: 0 });
    const [far] = await rows(router, [[before - HOUR, before + 74 * HOUR]]);
    assert.deepEqual(counted(far).command_success, [1, 1], "it is still known by hour");
    assert.deepEqual(await hours(89 * 24), { ...none, minute: 0, hour: 0 });
  } finally {
    await router.end();
  }
});

test("killed in the middle: what was acknowledged is there, once", { timeout: 120_000 }, async () => {
  const path = folder();
  let router = await startOn(path, { config: WORLD });
  try {
    let acknowledged = 0;
    let unanswered = [];
    for (let round = 0; round < 3; round++) {
      const batches = Array.from({ length: 60 }, (_, i) => {
        const session = `crash-${round}-${i}`;
        return [startOf(session, CANARY), ...Array.from({ length: 9 }, () => command(session))];
      });
      const { kill } = router;
      let answered = 0;
      const failed = await each([...unanswered, ...batches], async (batch) => {
        try {
          const { status, json } = await sendEvents(router, batch);
          assert.equal(status, 202);
          acknowledged += json.accepted;
          // What was written and not answered.
          acknowledged += json.duplicates;
        } catch (error) {
          if (error.code === "ERR_ASSERTION") {
            throw error;
          }
          return batch;
        }
        answered += 1;
        if (answered === 25) {
          kill();
        }
        return undefined;
      });
      unanswered = failed.filter(Boolean);
      assert.ok(unanswered.length > 0, "it was killed too late");
      await router.end().catch(() => {});
      router = await startOn(path);
    }
    for (const batch of unanswered) {
      const { json } = await sendEvents(router, batch);
      acknowledged += json.accepted + json.duplicates;
    }
    assert.equal(acknowledged, 1_800);
    const sums = await total(router);
    assert.deepEqual(
      [sums.command_success, sums.sessions],
      [
        [1_620, 1_620],
        [180, 180],
      ],
    );
  } finally {
    await router.end();
  }
});

after(closeConnections);
