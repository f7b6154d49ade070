// KV failing while the ledger writes: nothing is lost, nothing is hammered, and a stop waits for nothing.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { ask, askJson, closeConnections, eventually } from "../support/http.mjs";
import { folder, isSound, landed, tick, withHands } from "../support/ledger.mjs";
import { INSIDE, KEY, STALE, STOP, withRouter } from "../support/published.mjs";
import { WORLD } from "../support/world.mjs";

const REFUSE = { error: "KV PUT failed: 500 Internal Server Error" };
const HANG = { delay: 600_000 };
const both = (fault) => ({ [KEY]: fault, [STOP]: fault });
const seconds = (n) => new Promise((resolve) => setTimeout(resolve, n * 1000));

describe("KV refuses writes for a while", { concurrency: 2 }, () => {
  test("changes are kept, the edge serves on, and they are published when KV takes them", async () => {
    await withRouter({}, async (edge) => {
      await edge.serves("1.1.0-beta.2 bucket 7");
      await edge.control({ writes: both(REFUSE) });
      for (const percentage of [30, 35, 40]) {
        await edge.admin.post("/rollout/v1.1.0-beta", { percentage });
      }
      await edge.admin.post("/admin/kill-switches", { telemetry_disabled: true, reason: "during the outage" });
      const ops = await eventually(edge.ops, ({ publishing }) => assert.equal(publishing.state, "failing"));
      assert.equal(ops.revision, 11);
      assert.equal(ops.publishing.behind, 4);
      assert.match(ops.publishing.error, /^KV refused a write: KV PUT failed/);
      await edge.serves("1.1.0-beta.2 bucket 7");
      assert.equal((await edge.json("/health")).checks.ledger.ok, true, "half a minute is borne");

      await edge.control({ advance: 31_000 });
      const { status, json } = await askJson(edge.direct, "/health");
      assert.deepEqual([status, json.status, json.checks.ledger.ok], [200, "degraded", false]);
      assert.match(json.checks.ledger.detail, /KV refuses writes; 4 revision\(s\) are kept/);

      const begin = performance.now();
      const stop = await edge.admin.post("/rollout/v1.1.0-beta/emergency-stop", { reason: "and now this" });
      assert.deepEqual([stop.changed, stop.published], [true, false]);
      assert.ok(performance.now() - begin < 4_000, "a stop does not wait for KV for long");
      assert.equal(await edge.kv.get(STOP), null);
      await edge.serves("1.1.0-beta.2 bucket 7");

      await edge.control({ writes: {} });
      await landed(edge, 12, 30);
      assert.equal(await edge.kv.get(STOP), "v1.1.0-beta");
      await edge.serves("1.0.4 emergency_stop 12");
      assert.equal((await edge.ops()).publishing.state, "in_sync");
      await eventually(
        async () => {
          await edge.control({ advance: STALE });
          return edge.json("/health");
        },
        ({ status }) => assert.equal(status, "ok"),
      );
      assert.equal((await isSound(edge)).length, 6);
    });
  });

  test("retries wait longer each time", async () => {
    await withRouter({}, async (edge) => {
      await edge.control({ writes: both(REFUSE) });
      const { writes } = await edge.control();
      await edge.admin.post("/rollout/v1.1.0-beta", { percentage: 30 });
      await seconds(5);
      const attempts = (await edge.control()).writes.slice(writes.length);
      // At 0, 1 and 3 s.
      assert.ok(attempts.length >= 2 && attempts.length <= 4, `${attempts.length} attempts in 5 s`);
      const waits = attempts.slice(1).map(({ at }, i) => at - attempts[i].at);
      assert.ok(
        waits.every((wait, i) => wait >= 950 * 2 ** i),
        `${waits} ms`,
      );
    });
  });

  test("one key refused: the other is written", async () => {
    await withRouter({}, async (edge) => {
      await edge.control({ writes: { [KEY]: REFUSE } });
      const stop = await edge.admin.post("/rollout/all/emergency-stop", { reason: "only the key" });
      assert.equal(stop.published, true);
      assert.equal(await edge.kv.get(STOP), "all");
      await edge.serves("1.0.4 emergency_stop 7");
      await edge.control({ writes: {} });
      await landed(edge, 8);
    });
  });
});

describe("KV does not answer", { concurrency: 2 }, () => {
  test("a stop is answered, and lands soon after KV is back", async () => {
    await withRouter({}, async (edge) => {
      await edge.control({ writes: both(HANG) });
      const begin = performance.now();
      const stop = await edge.admin.post("/rollout/all/emergency-stop", { reason: "KV hangs" });
      assert.equal(stop.published, false);
      assert.ok(performance.now() - begin < 4_000);
      await edge.control({ writes: {} });
      const back = performance.now();
      await eventually(
        () => edge.kv.get(STOP),
        (value) => assert.equal(value, "all"),
        30,
      );
      const took = performance.now() - back;
      assert.ok(took < 10_000, `it landed ${Math.round(took)} ms after KV was back`);
    });
  });

  for (const [name, fault] of [
    ["writes hang", { writes: both(HANG) }],
    ["reads hang", { reads: both(HANG) }],
    ["reads fail", { reads: both(REFUSE) }],
    ["both fail", { reads: both(REFUSE), writes: both(REFUSE) }],
  ]) {
    test(`${name}: the ledger is not kept busy`, async () => {
      await withRouter({}, async (edge) => {
        await edge.control({ ...fault, advance: 61_000 });
        const before = await edge.control();
        await edge.admin.post("/rollout/all/emergency-stop", { reason: name });
        await seconds(4);
        const after = await edge.control();
        const alarms = after.alarms - before.alarms;
        const reads = after.reads[KEY] - before.reads[KEY];
        assert.ok(alarms <= 12, `${alarms} alarms and ${reads} reads in some seconds`);
        assert.ok(reads <= 12, `${reads} reads in some seconds`);
        await edge.control({ reads: {}, writes: {} });
        await eventually(
          () => edge.kv.get(STOP),
          (value) => assert.equal(value, "all"),
          30,
        );
      });
    });
  }

  test("reads fail: writes are acknowledged and published all the same", async () => {
    await withRouter({}, async (edge) => {
      await edge.control({ reads: both(REFUSE) });
      const { revision } = await edge.admin.post("/rollout/v1.1.0-beta", { percentage: 30 });
      await landed(edge, revision);
      await edge.control({ reads: {} });
      await edge.tick();
      assert.equal((await edge.ops()).publishing.state, "in_sync");
    });
  });

  test("reads hang: a write waits for two seconds at most", async () => {
    await withRouter({}, async (edge) => {
      await edge.control({ reads: both(HANG) });
      const begin = performance.now();
      await edge.admin.post("/rollout/v1.1.0-beta", { percentage: 30 });
      const took = performance.now() - begin;
      assert.ok(took < 2_500, `${took} ms`);
    });
  });
});

test("a clock that was set back by an hour does not hold up a stop, or what lifts it", async () => {
  await withRouter({}, async (edge) => {
    await edge.control({ advance: 3_600_000, tick: true });
    await edge.admin.post("/rollout/all/emergency-stop", { reason: "the clock is ahead" });
    await landed(edge, 8);
    await edge.control({ advance: -3_600_000 });
    await edge.admin.post("/rollout/all/clear-stop", { reason: "the clock is right" });
    await edge.tick();
    await landed(edge, 9, 5);
    assert.equal(await edge.kv.get(STOP), null);
    const stop = await edge.admin.post("/rollout/all/emergency-stop", { reason: "again" });
    await landed(edge, 10, 5);
    assert.equal(await edge.kv.get(STOP), "all", `published: ${stop.published}`);
  });
});

test("a cold isolate that meets an invalid document serves the ledger's last good one", async () => {
  const persist = folder();
  let router = await withHands({ persist, config: WORLD });
  try {
    await tick(router);
    await router.admin.post("/rollout/v1.1.0-beta", { percentage: 40 });
    await landed(router, 8);
    await router.kv.put(KEY, "{");
    await router.end();
    router = await withHands({ persist });
    const { headers } = await ask(router.direct, "/", INSIDE);
    assert.deepEqual([headers["x-caro-version"], headers["x-caro-revision"]], ["1.1.0-beta.2", "8"]);
    const { status, json } = await askJson(router.direct, "/health");
    assert.deepEqual([status, json.status, json.checks.config.ok], [200, "degraded", false]);
    await router.kv.delete(KEY);
    await router.end();
    router = await withHands({ persist });
    const again = await ask(router.direct, "/", INSIDE);
    assert.deepEqual([again.headers["x-caro-version"], again.headers["x-caro-revision"]], ["1.1.0-beta.2", "8"]);
  } finally {
    await router.end();
  }
});

after(closeConnections);
