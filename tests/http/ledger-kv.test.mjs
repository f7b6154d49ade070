// The ledger and KV: KV failing while the ledger writes, and people editing what the ledger published.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { ask, askJson, closeConnections, eventually } from "../support/http.mjs";
import { call, folder, isSound, landed, sha256, tick, withHands } from "../support/ledger.mjs";
import { ADMIN_TOKEN } from "../support/router.mjs";
import { at, WORLD, world } from "../support/world.mjs";

/** Longer than a snapshot is served without looking at KV. */
const STALE = 5_001;
/** Longer than a replica of KV may answer with what was there before. */
const SETTLED = 121_000;
const KEY = "config";
const STOP = "emergency-stop";
const INSIDE = { headers: { "X-Caro-Id": "inside" } };
const REFUSE = { error: "KV PUT failed: 500 Internal Server Error" };
const HANG = { delay: 600_000 };
const both = (fault) => ({ [KEY]: fault, [STOP]: fault });
const seconds = (n) => new Promise((resolve) => setTimeout(resolve, n * 1000));

/** Runs `body` with a router whose ledger has taken in the shared configuration, at revision 7, and published it. */
async function withRouter(options, body) {
  const router = await withHands({ config: WORLD, ...options });
  const edge = {
    ...router,
    json: async (path, options) => (await askJson(router.direct, path, options)).json,
    /** What the requester `inside` (bucket 17,994) gets. */
    arm: async () => {
      const { headers } = await ask(router.direct, "/", INSIDE);
      return `${headers["x-caro-version"]} ${headers["x-caro-reason"]} ${headers["x-caro-revision"]}`;
    },
    /** Lets the snapshot age and waits until the edge answers as wanted. */
    serves: async (arm, wait = 10) => {
      await router.control({ advance: STALE });
      await eventually(edge.arm, (now) => assert.equal(now, arm), wait);
    },
    put: (config, options) => router.kv.put(KEY, typeof config === "string" ? config : JSON.stringify(config), options),
    ops: () => router.admin.get("/ops/status.json"),
    log: () => router.admin.log(),
    tick: () => tick(router),
  };
  try {
    await tick(router);
    await landed(router, WORLD.revision);
    await body(edge);
  } finally {
    await router.end();
  }
}

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

/** The last row of the log. */
const last = async (edge) => (await edge.log()).at(-1);

describe("an edit of config by hand", { concurrency: 2 }, () => {
  /** The revision it names, when the ledger is at 8; what it becomes; what the edge says of it at first. */
  const EDITS = [
    ["the same revision", 8, 9],
    ["the next revision", 9, 9],
    ["a higher revision", 100, 100],
    ["a lower revision", 3, 9],
  ];
  for (const [name, named, becomes] of EDITS) {
    test(`${name}: adopted, and a write on top keeps both`, async () => {
      await withRouter({}, async (edge) => {
        await edge.admin.post("/features/*", { static_matcher: false });
        await landed(edge, 8);
        // 25 % → 10 %: `inside` is out.
        await edge.put(world({ revision: named, releases: { "v1.1.0-beta": { percentage: 10 } } }));
        // The edge finds it and tells the ledger; no tick.
        await edge.serves(`1.0.4 default ${becomes}`);
        await landed(edge, becomes);
        const row = await last(edge);
        assert.deepEqual([row.action, row.actor.id, row.revision], ["config.adopt", "kv", becomes]);
        const { revision } = await edge.admin.post("/features/*", { embedded_backend: false });
        assert.equal(revision, becomes + 1);
        const config = await landed(edge, revision);
        assert.equal(config.releases["v1.1.0-beta"].percentage, 10);
        assert.equal(config.features["*"].embedded_backend, false);
        // The edit was of the whole document, as it was before.
        assert.deepEqual(config.features["*"].static_matcher, WORLD.features["*"].static_matcher);
        await edge.serves(`1.0.4 default ${revision}`);
        assert.equal((await isSound(edge)).length, 4);
      });
    });
  }

  test("cron finds it where nobody asks the edge", async () => {
    await withRouter({}, async (edge) => {
      await edge.put(at(60, 8));
      await edge.tick();
      const row = await last(edge);
      assert.deepEqual([row.action, row.revision], ["config.adopt", 8]);
      await landed(edge, 8);
    });
  });

  test("just before a change: adopted first, and the change lands over it", async () => {
    await withRouter({}, async (edge) => {
      await edge.put(at(60, 7));
      const { revision } = await edge.admin.post("/features/*", { embedded_backend: false });
      assert.equal(revision, 9);
      const config = await landed(edge, 9);
      assert.deepEqual([config.releases["v1.1.0-beta"].percentage, config.features["*"].embedded_backend], [60, false]);
      const rows = await isSound(edge);
      assert.deepEqual(
        rows.map((row) => row.actor.id),
        ["kv", "kv", "admin"],
      );
      assert.ok(Date.parse(rows[2].at) >= Date.parse(rows[1].at), `${rows[2].at} was written after ${rows[1].at}`);
    });
  });

  test("just before a change that was made for the revision before: 412", async () => {
    await withRouter({}, async (edge) => {
      await edge.put(at(60, 7));
      const headers = { "If-Match": '"7"' };
      const answer = await call(edge.direct, ADMIN_TOKEN, "POST", "/features/*", { embedded_backend: false }, headers);
      assert.deepEqual([answer.status, answer.json.revision], [412, 8]);
      assert.equal((await landed(edge, 8)).releases["v1.1.0-beta"].percentage, 60);
    });
  });

  test("with metadata that is not of this text: an edit like any other", async () => {
    await withRouter({}, async (edge) => {
      const { metadata } = await edge.kv.getWithMetadata(KEY);
      await edge.put(at(60, 7), { metadata });
      await edge.tick();
      assert.equal((await last(edge)).action, "config.adopt");
      await edge.put(at(61, 8), { metadata: { revision: 8, hash: sha256(JSON.stringify(at(61, 8))) } });
      await edge.tick();
      assert.equal((await landed(edge, 9)).releases["v1.1.0-beta"].percentage, 61);
      await edge.put(at(62, 9), { metadata: "something else" });
      await edge.tick();
      assert.equal((await landed(edge, 10)).releases["v1.1.0-beta"].percentage, 62);
    });
  });

  test("an old value of the ledger's, with its metadata, is a stale replica: ignored, and mended when it stays", async () => {
    await withRouter({}, async (edge) => {
      const old = await edge.kv.getWithMetadata(KEY);
      await edge.admin.post("/rollout/v1.1.0-beta", { percentage: 10, confirm: true });
      await landed(edge, 8);
      await edge.serves("1.0.4 default 8");
      await edge.put(old.value, { metadata: old.metadata });
      await edge.tick();
      await edge.serves("1.0.4 default 8");
      assert.equal((await edge.log()).length, 2, "nothing was adopted");
      assert.equal((await edge.kv.getWithMetadata(KEY)).metadata.revision, 7, "it could be a replica");
      await edge.control({ advance: SETTLED, tick: true });
      await landed(edge, 8);
      assert.equal((await isSound(edge)).length, 2);
    });
  });

  test("the same edit twice, with something else in between", async () => {
    await withRouter({}, async (edge) => {
      await edge.put(at(60, 7));
      await edge.tick();
      await landed(edge, 8);
      await edge.admin.post("/rollout/v1.1.0-beta", { percentage: 65 });
      await landed(edge, 9);
      await edge.put(at(60, 7));
      // For two minutes it could be a replica's late answer.
      await edge.control({ advance: SETTLED, tick: true });
      assert.equal((await landed(edge, 10)).releases["v1.1.0-beta"].percentage, 60);
    });
  });

  const BAD = [
    ["no JSON", "{", ""],
    ["101 %", at(101, 8), "/releases/v1.1.0-beta/percentage"],
    ["a revision out of reach", at(10, 2 ** 50), "/revision"],
  ];
  for (const [name, edit, path] of BAD) {
    test(`${name}: left alone, reported, and mended when it is repaired`, async () => {
      await withRouter({}, async (edge) => {
        const alerts = async () => (await edge.ops()).alerts.pending;
        const before = await alerts();
        await edge.put(edit);
        const text = await edge.kv.get(KEY);
        await edge.tick();
        await edge.tick();
        await edge.control({ advance: SETTLED, tick: true });
        const { publishing } = await edge.ops();
        assert.equal(publishing.state, "bad_edit");
        assert.deepEqual(
          publishing.problems.map((problem) => problem.path),
          [path],
        );
        assert.equal(await alerts(), before + 1, "people are told once");
        assert.equal(await edge.kv.get(KEY), text, "it is left alone");
        assert.equal((await edge.log()).length, 1);
        const { status, json } = await askJson(edge.direct, "/health");
        assert.deepEqual([status, json.status, json.checks.ledger.ok], [200, "degraded", false]);

        await edge.put(at(10, 8));
        await edge.serves("1.0.4 default 8");
        await edge.tick();
        await landed(edge, 8);
        assert.equal((await edge.ops()).publishing.state, "in_sync");
        await eventually(
          async () => {
            await edge.control({ advance: STALE });
            return edge.json("/health");
          },
          ({ status }) => assert.equal(status, "ok"),
        );
      });
    });
  }

  test("a bad edit, and then a change: the change goes through", async () => {
    await withRouter({}, async (edge) => {
      await edge.serves("1.1.0-beta.2 bucket 7");
      await edge.put("{");
      await edge.tick();
      const { revision } = await edge.admin.post("/rollout/v1.1.0-beta", { percentage: 10, confirm: true });
      await landed(edge, revision);
      await edge.serves("1.0.4 default 8");
      await edge.control({ tick: true });
      assert.equal((await edge.ops()).publishing.state, "in_sync");
    });
  });

  test("a bad edit undone by putting back what was there", async () => {
    await withRouter({}, async (edge) => {
      const old = await edge.kv.getWithMetadata(KEY);
      await edge.put("{");
      await edge.tick();
      assert.equal((await edge.ops()).publishing.state, "bad_edit");
      // As `wrangler kv key put` does it: without the metadata.
      await edge.put(old.value);
      await edge.tick();
      await eventually(edge.ops, ({ publishing }) => assert.equal(publishing.state, "in_sync"));
      await isSound(edge);
    });
  });

  test("config deleted by hand: the edge serves on, and it comes back", async () => {
    await withRouter({}, async (edge) => {
      await edge.serves("1.1.0-beta.2 bucket 7");
      await edge.kv.delete(KEY);
      await edge.tick();
      await edge.serves("1.1.0-beta.2 bucket 7");
      await edge.control({ advance: SETTLED, tick: true });
      await landed(edge, 7);
      assert.equal((await edge.log()).length, 1);
      // And at once by the next change.
      await edge.kv.delete(KEY);
      await edge.admin.post("/rollout/v1.1.0-beta", { percentage: 10, confirm: true });
      await landed(edge, 8);
    });
  });
});

describe("emergency-stop set by hand", { concurrency: 2 }, () => {
  for (const [name, value, scope] of [
    ["all", "all", "all"],
    ["a release", "v1.1.0-beta", "v1.1.0-beta"],
    ["a release and blanks", " v1.1.0-beta\n", "v1.1.0-beta"],
    ["an unknown release", "v9.9.9", "all"],
    ["nonsense", "please stop it!", "all"],
    ["nothing", "", undefined],
  ]) {
    test(`${name}: a stop in the ledger, which only clear-stop lifts`, async () => {
      await withRouter({}, async (edge) => {
        await edge.serves("1.1.0-beta.2 bucket 7");
        await edge.kv.put(STOP, value);
        const scopes = async () => (await edge.ops()).stops.map((stop) => stop.switch);
        // The edge obeys and tells the ledger; no tick.
        await edge.control({ advance: STALE });
        await eventually(edge.arm, (arm) => assert.match(arm, /^1\.0\.4 emergency_stop /));
        const expected = scope ?? "all";
        await eventually(scopes, (now) => assert.deepEqual(now, [expected]));
        const row = await last(edge);
        assert.deepEqual([row.action, row.actor.id, row.target], ["stop.set", "kv", expected]);
        assert.equal((await edge.log()).length, 2);
        await landed(edge, 8);
        await eventually(
          () => edge.kv.get(STOP),
          (now) => assert.equal(now, expected),
        );

        // Removed by hand: nothing starts again, and the key comes back.
        await edge.kv.delete(STOP);
        await edge.control({ advance: STALE });
        for (let i = 0; i < 20; i += 1) {
          assert.match(await edge.arm(), /^1\.0\.4 /);
        }
        await edge.control({ advance: SETTLED, tick: true });
        await eventually(
          () => edge.kv.get(STOP),
          (now) => assert.equal(now, expected),
        );
        assert.equal((await edge.log()).length, 2, "no row says that it was lifted");
        await edge.control({ advance: STALE });
        await eventually(edge.arm, (arm) => assert.match(arm, /^1\.0\.4 emergency_stop /));

        await edge.admin.post(`/rollout/${expected}/clear-stop`, { reason: "it is well again" });
        await eventually(
          () => edge.kv.get(STOP),
          (now) => assert.equal(now, null),
        );
        const { revision } = await edge.admin.post("/rollout/v1.1.0-beta", { percentage: 25 });
        await landed(edge, revision);
        await edge.serves(`1.1.0-beta.2 bucket ${revision}`);
        await isSound(edge);
      });
    });
  }

  test("set again right after it was cleared: it holds, and is taken in when it cannot be a replica's any more", async () => {
    await withRouter({}, async (edge) => {
      await edge.kv.put(STOP, "all");
      await edge.tick();
      await edge.admin.post("/rollout/all/clear-stop", { reason: "a mistake" });
      await edge.admin.post("/rollout/v1.1.0-beta", { percentage: 25 });
      await landed(edge, 10);
      await edge.kv.put(STOP, "all");
      await edge.tick();
      await edge.tick();
      assert.equal(await edge.kv.get(STOP), "all", "it is not deleted");
      await edge.serves("1.0.4 emergency_stop 10");
      await edge.control({ advance: SETTLED, tick: true });
      assert.equal((await last(edge)).action, "stop.set");
      await landed(edge, 11);
    });
  });

  test("set by hand just before a change: the change meets the stop", async () => {
    await withRouter({}, async (edge) => {
      await edge.kv.put(STOP, "v1.1.0-beta");
      const raise = await call(edge.direct, ADMIN_TOKEN, "POST", "/rollout/v1.1.0-beta", { percentage: 90 });
      assert.equal(raise.status, 409, raise.text);
      assert.equal((await last(edge)).action, "stop.set");
      await landed(edge, 8);
    });
  });

  test("an edit of config while a stop stands does not lift it", async () => {
    await withRouter({}, async (edge) => {
      await edge.admin.post("/rollout/v1.1.0-beta/emergency-stop", { reason: "it crashes" });
      await landed(edge, 8);
      await edge.put(at(100, 9));
      await edge.tick();
      const config = await landed(edge, 9);
      assert.deepEqual(
        [config.releases["v1.1.0-beta"].percentage, config.releases["v1.1.0-beta"].state],
        [0, "stopped"],
      );
      await edge.serves("1.0.4 emergency_stop 9");
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
