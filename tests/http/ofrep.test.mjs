// The OpenFeature clients that people use, against the real Worker: every type, reason and error, and what changes while
// they run.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature as Server } from "@openfeature/server-sdk";
import { OpenFeature as Web } from "@openfeature/web-sdk";
import { ask, closeConnections, each, eventually } from "../support/http.mjs";
import { client as admin, landed, tick } from "../support/ledger.mjs";
import { start } from "../support/router.mjs";
import { world } from "../support/world.mjs";

const FEATURES = {
  plain: true,
  off: false,
  ramp: { percentage: 50 },
  ruled: { percentage: 0, rules: [{ if: { attribute: "plan", is: "pro" } }] },
  text: { variants: { short: "hi", long: "hello" }, off: "short", serve: "long" },
  whole: { variants: { few: 3, many: 30 }, off: "few", serve: "many" },
  part: { variants: { half: 0.5, one: 1 }, off: "half", serve: "one" },
  tree: { variants: { a: { list: [1, { deep: true }] }, b: {} }, off: "b", serve: "a" },
  killed: true,
  later: { schedule: { start: "2999-01-01T00:00:00Z" } },
};
const CONFIG = world({
  features: { "*": FEATURES },
  kill_switches: { features: ["killed"], telemetry_disabled: true },
});

let router;
before(async () => {
  router = await start({ config: CONFIG });
  await tick(router);
});
after(() => router.end());

/** What a client says of a flag. */
const told = ({ value, variant, reason, errorCode }) => ({ value, variant, reason, errorCode });

describe("the server provider", () => {
  let client;
  before(async () => {
    await Server.setProviderAndWait(new OFREPProvider({ baseUrl: router.direct }));
    client = Server.getClient();
  });
  after(() => Server.close());

  test("every type", async () => {
    const context = { targetingKey: "alice" };
    const flags = [
      [await client.getBooleanDetails("plain", false, context), true, "on", "STATIC"],
      [await client.getBooleanDetails("off", true, context), false, "off", "DISABLED"],
      [await client.getBooleanDetails("killed", true, context), false, "off", "DISABLED"],
      [await client.getBooleanDetails("later", true, context), false, "off", "DISABLED"],
      [await client.getBooleanDetails("telemetry_disabled", false, context), true, "on", "STATIC"],
      [await client.getBooleanDetails("telemetry_opt_in", true, context), false, "off", "DISABLED"],
      [await client.getStringDetails("text", "", context), "hello", "long", "STATIC"],
      [await client.getNumberDetails("whole", 0, context), 30, "many", "STATIC"],
      [await client.getNumberDetails("part", 0, context), 1, "one", "STATIC"],
      [await client.getObjectDetails("tree", {}, context), { list: [1, { deep: true }] }, "a", "STATIC"],
    ];
    for (const [details, value, variant, reason] of flags) {
      assert.deepEqual(told(details), { value, variant, reason, errorCode: undefined }, details.flagKey);
      assert.equal(details.flagMetadata.revision, CONFIG.revision);
    }
  });

  test("by targeting key and by rule", async () => {
    const ids = Array.from({ length: 200 }, (_, i) => `user-${i}`);
    const get = (targetingKey) => client.getBooleanDetails("ramp", false, { targetingKey });
    const first = await each(ids, get, 16);
    const on = first.filter(({ value }) => value).length;
    // Five standard deviations of 200 fair coins.
    assert.ok(Math.abs(on - 100) < 36, `${on} of 200`);
    assert.ok(first.every(({ reason }) => reason === "SPLIT"));
    const again = await each(ids, get, 16);
    assert.deepEqual(again.map(told), first.map(told), "the same identity, the same arm");
    const pro = await client.getBooleanDetails("ruled", false, { targetingKey: "alice", plan: "pro" });
    assert.deepEqual([pro.value, pro.reason, pro.flagMetadata.why], [true, "TARGETING_MATCH", "rule"]);
    const free = await client.getBooleanDetails("ruled", true, { targetingKey: "alice", plan: "free" });
    assert.deepEqual([free.value, free.reason], [false, "SPLIT"]);
  });

  test("every error gives the caller's own default", async () => {
    const missing = await client.getBooleanDetails("nothing", true, { targetingKey: "alice" });
    assert.deepEqual([missing.value, missing.errorCode, missing.reason], [true, "FLAG_NOT_FOUND", "ERROR"]);
    const nobody = await client.getBooleanDetails("ramp", true, {});
    assert.deepEqual([nobody.value, nobody.errorCode], [true, "TARGETING_KEY_MISSING"]);
    const mistyped = await client.getStringDetails("plain", "mine", { targetingKey: "alice" });
    assert.deepEqual([mistyped.value, mistyped.errorCode], ["mine", "TYPE_MISMATCH"]);
    const long = await client.getBooleanDetails("plain", false, { targetingKey: "x".repeat(257) });
    assert.deepEqual([long.value, long.errorCode], [false, "INVALID_CONTEXT"]);
  });
});

describe("the web provider", () => {
  let client;
  before(async () => {
    const provider = new OFREPWebProvider({ baseUrl: router.direct, pollInterval: 300 });
    await Web.setContext({ targetingKey: "alice", plan: "free" });
    await Web.setProviderAndWait(provider);
    client = Web.getClient();
  });
  after(() => Web.close());

  test("every type, from one request", () => {
    const flags = [
      [client.getBooleanDetails("plain", false), true, "on", "STATIC"],
      [client.getBooleanDetails("killed", true), false, "off", "DISABLED"],
      [client.getStringDetails("text", ""), "hello", "long", "STATIC"],
      [client.getNumberDetails("whole", 0), 30, "many", "STATIC"],
      [client.getNumberDetails("part", 0), 1, "one", "STATIC"],
      [client.getObjectDetails("tree", {}), { list: [1, { deep: true }] }, "a", "STATIC"],
      [client.getBooleanDetails("ruled", true), false, "off", "SPLIT"],
    ];
    for (const [details, value, variant, reason] of flags) {
      assert.deepEqual(told(details), { value, variant, reason, errorCode: undefined }, details.flagKey);
    }
    assert.equal(client.getBooleanDetails("nothing", true).errorCode, "FLAG_NOT_FOUND");
  });

  test("another context, other values", async () => {
    await Web.setContext({ targetingKey: "alice", plan: "pro" });
    assert.equal(client.getBooleanValue("ruled", false), true);
    await Web.setContext({ targetingKey: "alice", plan: "free" });
    assert.equal(client.getBooleanValue("ruled", true), false);
  });

  test("a kill reaches it, and what it lifts", async () => {
    const api = admin(router.direct);
    const { revision } = await api.post("/admin/kill-switches", { features: { plain: true }, reason: "a test" });
    await landed(router, revision);
    await eventually(
      () => client.getBooleanDetails("plain", true),
      ({ value, reason }) => assert.deepEqual([value, reason], [false, "DISABLED"]),
    );
    await api.post("/admin/kill-switches", { features: { plain: false }, reason: "a test" });
    await eventually(
      () => client.getBooleanValue("plain", false),
      (value) => assert.equal(value, true),
    );
  });
});

test("asked again with its ETag it has nothing to say, until the context or a flag changes", async () => {
  const path = "/ofrep/v1/evaluate/flags";
  const post = (context, tag) =>
    ask(router.direct, path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(tag && { "If-None-Match": tag }) },
      body: JSON.stringify({ context }),
    });
  const first = await post({ targetingKey: "alice", plan: "free" });
  assert.equal(first.status, 200);
  assert.equal((await post({ targetingKey: "alice", plan: "free" }, first.headers.etag)).status, 304);
  const other = await post({ targetingKey: "alice", plan: "pro" }, first.headers.etag);
  assert.equal(other.status, 200);
  assert.notEqual(other.headers.etag, first.headers.etag);
  const large = await ask(router.direct, path, { method: "POST", body: " ".repeat(65_537) });
  assert.equal(large.status, 413);
});

after(closeConnections);
