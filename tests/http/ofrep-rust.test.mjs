// The OpenFeature client for Rust against the real Worker: what an application sees of every type, of errors and of a kill.
// The client is tests/ofrep-client, run anew for each question, so that nothing is kept from one to the next.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { askJson, closeConnections, each, eventually } from "../support/http.mjs";
import { client as admin, landed, tick } from "../support/ledger.mjs";
import { root, start } from "../support/router.mjs";
import { world } from "../support/world.mjs";

/** Below .tools, so that it is kept, and ignored, like everything else that is built once. */
const TARGET = `${root}.tools/ofrep-client`;
const MANIFEST = `${root}tests/ofrep-client/Cargo.toml`;

const FEATURES = {
  plain: true,
  off: false,
  ramp: { percentage: 50 },
  ruled: { percentage: 0, rules: [{ if: { attribute: "plan", is: "pro" } }] },
  text: { variants: { short: "hi", long: "grüße" }, off: "short", serve: "long" },
  whole: { variants: { few: 3, many: 30 }, off: "few", serve: "many" },
  large: { variants: { least: -9007199254740991, most: 9007199254740991 }, off: "least", serve: "most" },
  part: { variants: { half: 0.5, one: 1 }, off: "one", serve: "half" },
  one: { variants: { half: 0.5, one: 1 }, off: "half", serve: "one" },
  tree: { variants: { a: { list: [1, 0.5, { deep: true }], text: "x" }, b: {} }, off: "b", serve: "a" },
  bare: { variants: { a: { b: 1 }, none: {} }, off: "none", serve: "none" },
  killed: true,
  later: { schedule: { start: "2999-01-01T00:00:00Z" } },
};
const CONFIG = world({
  features: { "*": FEATURES },
  kill_switches: { features: ["killed"], telemetry_disabled: true },
});

let router;
before(
  async () => {
    // Two minutes the first time, then a look at what has changed.
    const env = { ...process.env, CARGO_TARGET_DIR: TARGET };
    await promisify(execFile)("cargo", ["build", "--quiet", "--locked", "--manifest-path", MANIFEST], { env });
    router = await start({ config: CONFIG });
    await tick(router);
  },
  { timeout: 600_000 },
);
after(() => router?.end());
after(closeConnections);

/**
 * Runs the client.
 *
 * @param targetingKey empty: the context has none
 * @param context further members, all texts
 * @param flags `type:flag`
 * @returns what it printed of each flag
 */
async function run(targetingKey, flags, context = {}) {
  const members = Object.entries(context).map(([name, value]) => `${name}=${value}`);
  const words = [router.direct, targetingKey, ...members, ...flags];
  // A proxy that the machine names has no way to a router on loopback.
  const env = { ...process.env, NO_PROXY: "127.0.0.1" };
  const { stdout } = await promisify(execFile)(`${TARGET}/debug/ofrep-client`, words, { env, timeout: 20_000 });
  const lines = stdout.split("\n").slice(0, -1);
  assert.equal(lines.length, flags.length, "one line for each flag");
  return lines.map((line) => JSON.parse(line));
}

const runOne = async (...words) => (await run(...words))[0];

/** What the router itself says of a flag. */
async function wire(key, context) {
  const request = { method: "POST", body: JSON.stringify({ context }) };
  const { status, json } = await askJson(router.direct, `/ofrep/v1/evaluate/flags/${key}`, request);
  return { status, ...json };
}

/**
 * Asks the client and the router, and holds both to what is wanted.
 *
 * The client (0.1.2) does not read the answer's reason: it says STATIC of everything. So the reason is looked for in the
 * answer it was given, and that it says STATIC is pinned here, to be noticed when it changes.
 */
async function gives([flag, value, variant, reason], context) {
  const { targetingKey, ...members } = context;
  const key = flag.slice(flag.indexOf(":") + 1);
  assert.deepEqual(await runOne(targetingKey, [flag], members), { flag: key, value, variant, reason: "STATIC" });
  const answer = await wire(key, context);
  assert.deepEqual([answer.value, answer.variant, answer.reason], [value, variant, reason], key);
}

describe("every type", () => {
  const FLAGS = [
    ["bool:plain", true, "on", "STATIC"],
    ["bool:off", false, "off", "DISABLED"],
    ["bool:killed", false, "off", "DISABLED"],
    ["bool:later", false, "off", "DISABLED"],
    ["bool:telemetry_disabled", true, "on", "STATIC"],
    ["bool:telemetry_opt_in", false, "off", "DISABLED"],
    ["string:text", "grüße", "long", "STATIC"],
    ["int:whole", 30, "many", "STATIC"],
    ["int:large", 9007199254740991, "most", "STATIC"],
    ["float:part", 0.5, "half", "STATIC"],
    ["float:one", 1, "one", "STATIC"],
    ["float:whole", 30, "many", "STATIC"],
    ["struct:tree", { list: [1, 0.5, { deep: true }], text: "x" }, "a", "STATIC"],
    ["struct:bare", {}, "none", "STATIC"],
  ];
  for (const flag of FLAGS) {
    test(`${flag[0]} is ${JSON.stringify(flag[1])}`, () => gives(flag, { targetingKey: "alice" }));
  }

  test("many in one run are as they are alone", async () => {
    const said = await run(
      "alice",
      FLAGS.map(([flag]) => flag),
    );
    assert.deepEqual(
      said.map(({ value, variant }) => [value, variant]),
      FLAGS.map(([, value, variant]) => [value, variant]),
    );
  });
});

describe("who asks", () => {
  test("a share of all targeting keys: the client gets what the router says of each", async () => {
    const ids = Array.from({ length: 24 }, (_, i) => `user-${i}`);
    const said = await each(ids, (id) => runOne(id, ["bool:ramp"]), 4);
    const answers = await each(ids, (targetingKey) => wire("ramp", { targetingKey }));
    assert.deepEqual(
      said.map(({ value, variant }) => [value, variant]),
      answers.map(({ value, variant }) => [value, variant]),
    );
    assert.deepEqual(new Set(answers.map(({ reason }) => reason)), new Set(["SPLIT"]));
    assert.deepEqual(new Set(said.map(({ value }) => value)), new Set([true, false]), "some are in, some are not");
  });

  test("a rule holds for those it is about", async () => {
    await gives(["bool:ruled", true, "on", "TARGETING_MATCH"], { targetingKey: "alice", plan: "pro" });
    await gives(["bool:ruled", false, "off", "SPLIT"], { targetingKey: "alice", plan: "free" });
  });

  test("a release has features of its own", async () => {
    const context = { targetingKey: "member", release: "v1.1.0-beta" };
    await gives(["bool:embedded_backend", true, "on", "TARGETING_MATCH"], context);
    await gives(["bool:validation_retry", true, "on", "STATIC"], context);
  });

  test("without a targeting key there is what is the same for everybody, and nothing else", async () => {
    await gives(["bool:plain", true, "on", "STATIC"], { targetingKey: "" });
    await gives(["string:text", "grüße", "long", "STATIC"], { targetingKey: "" });
    // The client takes every 400 for one thing.
    const ramp = await runOne("", ["bool:ramp"]);
    assert.deepEqual([ramp.value, ramp.errorCode], [undefined, "INVALID_CONTEXT"]);
    const answer = await wire("ramp", {});
    assert.deepEqual([answer.status, answer.errorCode], [400, "TARGETING_KEY_MISSING"]);
  });
});

describe("errors", () => {
  const TOLD = [
    ["a flag that there is not", "bool:nothing", "FLAG_NOT_FOUND"],
    ["a name that no flag can have", "bool:grüße", "FLAG_NOT_FOUND"],
    ["a name with a slash", "bool:plain/on", "FLAG_NOT_FOUND"],
    ["a switch as a text", "string:plain", "PARSE_ERROR"],
    ["a text as a switch", "bool:text", "PARSE_ERROR"],
    ["a fraction as a whole number", "int:part", "PARSE_ERROR"],
    ["a fraction that happens to be whole, as a whole number", "int:one", "PARSE_ERROR"],
    ["a number as a structure", "struct:whole", "PARSE_ERROR"],
  ];
  for (const [name, flag, errorCode] of TOLD) {
    test(`${name}: ${errorCode}`, async () => {
      const { value, errorCode: code } = await runOne("alice", [flag]);
      assert.deepEqual([value, code], [undefined, errorCode]);
    });
  }

  test("a targeting key that is too long", async () => {
    assert.equal((await runOne("x".repeat(256), ["bool:plain"])).value, true);
    assert.equal((await runOne("x".repeat(257), ["bool:plain"])).errorCode, "INVALID_CONTEXT");
  });

  test("an error does not spoil what is asked after it", async () => {
    const [missing, mistyped, plain] = await run("alice", ["bool:nothing", "int:text", "bool:plain"]);
    assert.deepEqual([missing.errorCode, mistyped.errorCode, plain.value], ["FLAG_NOT_FOUND", "PARSE_ERROR", true]);
  });
});

test("a next run sees a kill, and that it was lifted", async () => {
  const api = admin(router.direct);
  const { revision } = await api.post("/admin/kill-switches", { features: { plain: true }, reason: "a test" });
  await landed(router, revision);
  await eventually(
    () => runOne("alice", ["bool:plain"]),
    ({ value, variant }) => assert.deepEqual([value, variant], [false, "off"]),
  );
  await gives(["bool:plain", false, "off", "DISABLED"], { targetingKey: "alice" });
  await api.post("/admin/kill-switches", { features: { plain: false }, reason: "a test" });
  await eventually(
    () => runOne("alice", ["bool:plain"]),
    ({ value, variant }) => assert.deepEqual([value, variant], [true, "on"]),
  );
});

test("a next run sees a feature that was switched on", async () => {
  assert.equal((await runOne("alice", ["bool:off"])).value, false);
  await admin(router.direct).post("/features/*", { off: true });
  await eventually(
    () => runOne("alice", ["bool:off"]),
    ({ value }) => assert.equal(value, true),
  );
  await gives(["bool:off", true, "on", "STATIC"], { targetingKey: "alice" });
});
