// People editing in KV what the ledger published.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { askJson, closeConnections, eventually } from "../support/http.mjs";
import { call, isSound, landed, sha256 } from "../support/ledger.mjs";
import { KEY, SETTLED, STALE, STOP, withRouter } from "../support/published.mjs";
import { ADMIN_TOKEN } from "../support/router.mjs";
import { at, WORLD, world } from "../support/world.mjs";

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

after(closeConnections);
