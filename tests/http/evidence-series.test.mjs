// What is told of installations and sessions, asked for in parts of a span: GET /rollout/{release}/evidence.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  CANARY,
  command,
  event,
  outcome,
  post,
  RELEASE,
  STABLE,
  start as startOf,
  takes,
} from "../support/evidence.mjs";
import { ask, closeConnections, eventually } from "../support/http.mjs";
import { call, client, tick } from "../support/ledger.mjs";
import { start } from "../support/router.mjs";
import { WORLD, world } from "../support/world.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const PATH = `/rollout/${RELEASE}/evidence`;

const sum = (series, name) => series.reduce((all, part) => all + part[name], 0);
const group = ({ groups }, arm, name = "") => groups.find((own) => own.arm === arm && own.group === name);
const rate = (answer, metric, arm = "canary", name = "") =>
  group(answer, arm, name)?.rates.find((own) => own.metric === metric);

describe("told, then asked", () => {
  let router;
  let admin;
  const told = Date.now();
  before(async () => {
    router = await start({
      config: world({ cohorts: { friends: { enabled: true } }, releases: { [RELEASE]: { cohorts: ["friends"] } } }),
    });
    admin = client(router.direct);
    await tick(router);
    const { revision } = await admin.post("/admin/cohorts/friends/members", { add: [{ id: "a-friend" }] });
    await eventually(
      () => ask(router.direct, `/features/${RELEASE}`),
      ({ headers }) => assert.equal(headers["x-caro-revision"], String(revision), "the edge does not know the friend"),
    );
    const at = (ms) => ({ timestamp: new Date(told - ms).toISOString() });
    await takes(router, [
      startOf("now", CANARY, { platform: "linux", arch: "x86_64", ...at(0) }),
      ...Array.from({ length: 9 }, () => command("now", { duration_ms: 90, ...at(0) })),
      command("now", { success: false, duration_ms: 700_000, ...at(0) }),
      startOf("then", CANARY, { platform: "macos", arch: "arm64", ...at(2 * HOUR) }),
      command("then", { duration_ms: 2_600, ...at(2 * HOUR) }),
      startOf("long-ago", CANARY, at(30 * HOUR)),
      command("long-ago", at(30 * HOUR)),
      startOf("stable", STABLE, { platform: "linux", arch: "aarch64" }),
      command("stable", { success: false, duration_ms: 90 }),
      event("session_end", { session_id: "stable" }),
    ]);
    await post(router, "/report", outcome({ platform: "windows-amd64" }));
  });
  after(() => router.end());

  test("a day by the hour, unless it is said", async () => {
    const answer = await admin.get(PATH);
    assert.deepEqual(
      [answer.release, answer.step_seconds, answer.by, answer.error, answer.share],
      [RELEASE, 3600, "arm", null, 25],
    );
    const [from, to] = [answer.from, answer.to].map((time) => Date.parse(time));
    assert.equal(to - from, 24 * HOUR);
    assert.ok(to % HOUR === 0 && to > told && to <= Date.now() + HOUR);
    const commands = rate(answer, "command_success");
    assert.deepEqual([commands.total, commands.good, commands.rate], [11, 10, 90.909]);
    assert.ok(commands.low > 60 && commands.low < 63 && commands.high > 98 && commands.high < 99);
    assert.equal(commands.series.length, 24);
    const part = (ms) => commands.series[Math.floor((told - ms - from) / HOUR)];
    assert.deepEqual(part(0), { total: 10, good: 9 });
    assert.deepEqual(part(2 * HOUR), { total: 1, good: 1 });
    assert.equal(sum(commands.series, "total"), 11, "what is older than a day is not in it");
    const [latency] = group(answer, "canary").latencies.filter(({ metric }) => metric === "command_latency");
    const { series, ...whole } = latency;
    assert.deepEqual(whole, {
      metric: "command_latency",
      total: 11,
      p50_ms: 100,
      p75_ms: 100,
      p95_ms: null,
      p99_ms: null,
    });
    assert.deepEqual(series[Math.floor((told - 2 * HOUR - from) / HOUR)], { total: 1, p50_ms: 3000, p95_ms: 3000 });
    assert.deepEqual(series[0], { total: 0, p50_ms: null, p95_ms: null });
    const { total, good, rate: percent } = rate(answer, "command_success", "control");
    assert.deepEqual([total, good, percent], [1, 0, 0]);
    assert.deepEqual(
      answer.groups.map(({ arm, group }) => [arm, group]),
      [
        ["canary", ""],
        ["control", ""],
      ],
    );
  });

  test("by the minute where parts are short, and all of the week", async () => {
    const minutes = await admin.get(`${PATH}?seconds=10800&points=45`);
    assert.equal(minutes.step_seconds, 240);
    const { series } = rate(minutes, "command_success");
    assert.equal(series.length, 45);
    const place = (ms) => Math.floor((told - ms - Date.parse(minutes.from)) / (4 * MINUTE));
    assert.equal(sum(series.slice(place(0) - 1), "total"), 10);
    assert.equal(series[place(2 * HOUR)].total, 1);
    assert.equal(sum(series, "total"), 11);
    const week = await admin.get(`${PATH}?seconds=604800&points=7`);
    assert.equal(week.step_seconds, 86_400);
    assert.equal(sum(rate(week, "command_success").series, "total"), 12);
    const short = await admin.get(`${PATH}?seconds=300`);
    assert.deepEqual([short.step_seconds, rate(short, "sessions").series.length], [60, 5]);
    assert.equal(rate(short, "sessions").total, 1);
  });

  test("by platform, and of one", async () => {
    const answer = await admin.get(`${PATH}?by=platform`);
    assert.deepEqual(
      answer.groups.map(({ arm, group }) => `${arm} ${group}`),
      ["canary linux-amd64", "canary macos-silicon", "canary windows-amd64", "control linux-arm64"],
    );
    assert.equal(rate(answer, "command_success", "canary", "macos-silicon").total, 1);
    const linux = await admin.get(`${PATH}?platform=linux`);
    assert.deepEqual([rate(linux, "command_success").total, rate(linux, "command_success", "control").total], [10, 1]);
    const intel = await admin.get(`${PATH}?platform=linux-amd64`);
    assert.equal(rate(intel, "command_success", "control"), undefined);
  });

  test("by cohort, and of one", async () => {
    await takes(router, [startOf("friend", CANARY), command("friend")], { accepted: 2 }, { "X-Caro-Id": "a-friend" });
    const answer = await admin.get(`${PATH}?by=cohort`);
    assert.equal(rate(answer, "command_success", "canary", "friends").total, 1);
    assert.equal(rate(answer, "command_success").total, 11);
    const friends = await admin.get(`${PATH}?cohort=friends`);
    assert.deepEqual(
      [rate(friends, "command_success").total, rate(friends, "command_success", "control").total],
      [1, 1],
      "the control stays whole",
    );
  });

  test("by whoever has a token", async () => {
    const viewer = await admin.mint("viewer");
    assert.equal((await call(router.direct, viewer, "GET", PATH)).status, 200);
    assert.equal((await call(router.direct, undefined, "GET", PATH)).status, 401);
    const wrong = await call(router.direct, viewer, "GET", `${PATH}?points=49`);
    assert.deepEqual([wrong.status, wrong.json.type], [400, "urn:caro-edge:problem:bad-query"]);
    assert.equal((await call(router.direct, viewer, "GET", "/rollout/v9/evidence")).status, 404);
  });
});

test("without the counters it says why", async () => {
  const router = await start({
    config: WORLD,
    durableObjects: { LEDGER: { className: "Ledger", useSQLite: true } },
  });
  try {
    await tick(router);
    const answer = await client(router.direct).get(PATH);
    assert.deepEqual([answer.groups, answer.error], [[], "the binding EVIDENCE is missing; see wrangler.toml"]);
  } finally {
    await router.end();
  }
});

after(closeConnections);
