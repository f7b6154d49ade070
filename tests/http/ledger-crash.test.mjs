// The runtime killed while it writes: what was acknowledged is there, nothing is there by half, and KV is brought up to
// it without anybody asking.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeConnections, each, eventually } from "../support/http.mjs";
import { call, client, folder, isSound, landed, startOn, tick } from "../support/ledger.mjs";
import { random } from "../support/random.mjs";
import { ADMIN_TOKEN } from "../support/router.mjs";
import { WORLD } from "../support/world.mjs";

const WRITES = 500;
const KILLS = 8;
const SEED = 20_261_121;

/** What write `i` says: two features, which no reader may ever see apart, to a figure of its own. */
const figure = (i) => Number((1 + i / 1000).toFixed(3));
const slot = (i) => i % 40;
const change = (i) => ({
  [`first_${slot(i)}`]: { percentage: figure(i) },
  [`second_${slot(i)}`]: { percentage: figure(i) },
});

test(`${WRITES} writes, killed ${KILLS} times`, { timeout: 240_000 }, async (t) => {
  const chance = random(SEED);
  const path = folder();
  let router = await startOn(path, { config: WORLD });
  await tick(router);

  const acknowledged = new Map();
  let unanswered = 0;
  let replayed = 0;
  // Where it is killed, in acknowledged writes, and how long after that in milliseconds.
  const kills = Array.from({ length: KILLS - 1 }, (_, k) => [60 * (k + 1) + chance.below(30), chance.below(12)]);
  let restarting = Promise.resolve();
  let killed = 0;
  const kill = async () => {
    const old = router;
    old.kill();
    killed += 1;
    await old.end().catch(() => {});
    router = await startOn(path);
  };

  const write = async (i) => {
    const headers = { "Idempotency-Key": `write-${i}` };
    const isKill = i % 10 === 9;
    const [at, body] = isKill
      ? ["/admin/kill-switches?confirm=1", { features: { [`first_${i}`]: true }, reason: `write ${i}` }]
      : ["/features/*", change(i)];
    for (;;) {
      await restarting;
      const { direct } = router;
      let answer;
      try {
        answer = await call(direct, ADMIN_TOKEN, "POST", at, body, headers);
      } catch (error) {
        if (error.code === "ERR_ASSERTION") {
          throw error;
        }
        unanswered += 1;
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      assert.equal(answer.status, 200, `write ${i}: ${answer.text}`);
      replayed += answer.headers["idempotent-replayed"] === "true" ? 1 : 0;
      acknowledged.set(i, answer.json.revision);
      if (kills.length > 0 && acknowledged.size >= kills[0][0]) {
        const [, delay] = kills.shift();
        // The writers go on until it is dead.
        setTimeout(() => {
          restarting = kill();
        }, delay);
      }
      return;
    }
  };
  try {
    await each(
      Array.from({ length: WRITES }, (_, i) => i),
      write,
      8,
    );
    await eventually(
      () => restarting,
      () => assert.equal(killed, KILLS - 1),
    );
    await restarting;
    assert.equal(acknowledged.size, WRITES);
    const last = Math.max(...acknowledged.values());
    const before = (await router.kv.getWithMetadata("config")).metadata?.revision;
    await kill();
    assert.equal(killed, KILLS);

    // Nobody asks the ledger anything: its alarm is on the disk.
    const begin = performance.now();
    await eventually(
      () => router.kv.getWithMetadata("config"),
      ({ metadata }) => assert.ok(metadata?.revision >= last, `KV is at ${metadata?.revision}, the ledger at ${last}`),
      20,
    );
    t.diagnostic(
      `KV was at ${before} of ${last} when it was killed last, and healed ${Math.round(performance.now() - begin)} ms after the restart`,
    );
    t.diagnostic(
      `${unanswered} requests had no answer; ${replayed} of those had been carried out and were not repeated`,
    );

    const rows = await isSound(router);
    // One row for each write, and nothing else but the adoption.
    assert.equal(rows.length, WRITES + 1);
    assert.deepEqual(
      rows.map((row) => row.revision),
      rows.map((_, i) => WORLD.revision + i),
    );
    const made = new Map(rows.map((row) => [row.revision, row]));
    for (const [i, revision] of acknowledged) {
      const row = made.get(revision);
      if (i % 10 === 9) {
        assert.equal(row.reason, `write ${i}`);
      } else {
        const text = JSON.stringify(row.changes);
        for (const name of [`first_${slot(i)}`, `second_${slot(i)}`]) {
          assert.ok(
            text.includes(`"${name}":{"percentage":${figure(i)}}`),
            `write ${i} is not what row ${row.seq} says`,
          );
        }
      }
    }

    // The state is what the rows add up to, and nobody sees half a row.
    const config = await client(router.direct).get("/admin/config");
    const expected = {};
    for (const [i] of [...acknowledged].filter(([i]) => i % 10 !== 9).sort(([, a], [, b]) => a - b)) {
      Object.assign(expected, change(i));
    }
    assert.deepEqual(config.features["*"], { ...WORLD.features["*"], ...expected });
    assert.equal(config.kill_switches.features.length, WRITES / 10);
    // Each alert came with its row: the kills, and the adoption.
    const ops = await client(router.direct).get("/ops/status.json");
    assert.equal(ops.alerts.pending, WRITES / 10 + 1);
    await landed(router, rows.at(-1).revision);
  } finally {
    await router.end();
  }
});

test("killed between a write and its publication: KV heals by the alarm alone", { timeout: 120_000 }, async (t) => {
  const path = folder();
  let router = await startOn(path, { config: WORLD });
  try {
    await tick(router);
    for (const percentage of [30, 35, 40, 45, 50]) {
      const admin = client(router.direct);
      // The second write within a second has to wait for its turn in KV.
      await admin.post("/rollout/v1.1.0-beta", { percentage: percentage + 1 });
      const { revision } = await admin.post("/rollout/v1.1.0-beta", { percentage: percentage + 2 });
      router.kill();
      await router.end().catch(() => {});
      router = await startOn(path);
      const begin = performance.now();
      const then = (await router.kv.getWithMetadata("config")).metadata?.revision;
      await landed(router, revision, 10);
      t.diagnostic(`KV was at ${then} of ${revision}; healed in ${Math.round(performance.now() - begin)} ms`);
    }
  } finally {
    await router.end();
  }
});

after(closeConnections);
