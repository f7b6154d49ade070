// Edits of the two keys by hand, while the router runs and before it starts.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { STALE, withFaults } from "../support/faults.mjs";
import { ask, askJson, closeConnections, each, eventually } from "../support/http.mjs";
import { start } from "../support/router.mjs";
import { at, WORLD, world } from "../support/world.mjs";

const KEY = "config";
const STOP = "emergency-stop";
const INSIDE = { headers: { "X-Caro-Id": "inside" } };

/** Runs `body` with a router of its own whose clock can be moved. */
async function withRouter(options, body) {
  const router = await withFaults(options);
  const edge = {
    ...router,
    ask: (path, options) => ask(router.direct, path, options),
    json: async (path, options) => (await askJson(router.direct, path, options)).json,
    /** Lets the snapshot age, so that the next request refreshes it, and waits until `path` is as wanted. */
    until: async (path, wanted) => {
      await router.control({ advance: STALE });
      return eventually(() => edge.json(path), wanted);
    },
    write: (config) => router.kv.put(KEY, typeof config === "string" ? config : JSON.stringify(config)),
  };
  try {
    await body(edge);
  } finally {
    await router.end();
  }
}

/** What the rollout gives the requester `inside` (bucket 17,994). */
const arm = async (edge) => {
  const { headers } = await edge.ask("/", INSIDE);
  return `${headers["x-caro-version"]} ${headers["x-caro-reason"]} ${headers["x-caro-revision"]}`;
};

const ok = (health) => assert.equal(health.status, "ok");
const isRevision = (revision) => (status) => assert.equal(status.revision, revision);

test("an edit is picked up within 15 s, and so is a stop", async () => {
  // The real clock and the entry that is deployed. Locally KV's own copies do not age, so this is the router's share.
  const router = await start({ config: at(25, 7) });
  try {
    const status = async () => (await askJson(router.direct, "/status.json")).json;
    assert.equal((await status()).releases[0].percentage, 25);
    await router.kv.put(KEY, JSON.stringify(at(50, 8)));
    await router.kv.put(STOP, "all");
    const seen = await eventually(status, isRevision(8));
    assert.equal(seen.emergency_stop.scope, "all");
    assert.equal(seen.releases[0].configured_percentage, 50);
  } finally {
    await router.end();
  }
});

test("a valid edit replaces every answer that was kept ready", async () => {
  await withRouter({ config: at(25, 7) }, async (edge) => {
    const etag = async () => (await edge.ask("/v1.1.0-beta")).headers.etag;
    const tag = await etag();
    assert.equal(await arm(edge), "1.1.0-beta.2 bucket 7");
    assert.equal((await edge.json("/rollout/v1.1.0-beta")).percentage, 25);
    await edge.write(at(10, 8));
    await edge.until("/status.json", isRevision(8));
    assert.equal(await arm(edge), "1.0.4 default 8");
    assert.equal((await edge.json("/rollout/v1.1.0-beta")).percentage, 10);
    assert.equal((await edge.ask("/v1.1.0-beta")).headers["x-caro-revision"], "8");
    assert.equal(await etag(), tag, "the script itself did not change");
  });
});

test("features follow an edit", async () => {
  await withRouter({ config: at(25, 7) }, async (edge) => {
    const features = () => edge.json("/features/v1.1.0-beta", INSIDE);
    assert.equal((await features()).validation_retry, true);
    await edge.write(world({ revision: 8, features: { "v1.1.0-beta": { validation_retry: false } } }));
    await edge.until("/status.json", isRevision(8));
    assert.equal((await features()).validation_retry, false);
  });
});

test("an edit that forgets to raise the revision is taken", async () => {
  await withRouter({ config: at(25, 7) }, async (edge) => {
    assert.equal(await arm(edge), "1.1.0-beta.2 bucket 7");
    await edge.write(at(0, 7));
    await edge.until("/status.json", (status) => assert.equal(status.releases[0].percentage, 0));
    assert.equal(await arm(edge), "1.0.4 default 7");
  });
});

/** Each is refused; `problems` are the paths that /health names. */
const REFUSED = [
  ["no JSON", "{", [""]],
  ["an empty text", "", [""]],
  ["a list", "[]", [""]],
  ["not UTF-8 when it was written", "\ufffd\u0000", [""]],
  ["a key twice", `{"revision": 8, ${JSON.stringify(WORLD).slice(1)}`, ["/revision"]],
  ["an unknown field", world({ revision: 8, percentage: 5 }), ["/percentage"]],
  ["101 %", at(101, 8), ["/releases/v1.1.0-beta/percentage"]],
  ["a fourth decimal", at(0.0001, 8), ["/releases/v1.1.0-beta/percentage"]],
  ["a percentage in quotes", at("25", 8), ["/releases/v1.1.0-beta/percentage"]],
  ["an unlisted version", world({ revision: 8, stable: "1.0.5" }), ["/stable"]],
  ["two mistakes", world({ revision: 8, stable: "1.0.5", schema: 2 }), ["/schema", "/stable"]],
  ["an older revision", at(50, 6), [""]],
  ["nesting without end", `${"[".repeat(100_000)}`, [""]],
  ["more than is read", `"${"x".repeat(1 << 20)}"`, [""]],
];

test("a refused edit changes nothing, and /health says which member is wrong", async () => {
  await withRouter({ config: at(25, 7) }, async (edge) => {
    assert.equal(await arm(edge), "1.1.0-beta.2 bucket 7");
    for (const [name, config, problems] of REFUSED) {
      await edge.write(config);
      const health = await edge.until("/health", ({ checks }) => {
        assert.deepEqual(checks.config.problems?.map((problem) => problem.path).sort(), problems, name);
      });
      assert.equal(health.status, "degraded", name);
      assert.equal(health.revision, 7, name);
      assert.equal(health.checks.config.ok, false, name);
      assert.equal(health.checks.kv.ok, true, name);
      assert.ok(
        health.checks.config.problems.every(({ message }) => message.length > 10),
        name,
      );
      assert.equal((await edge.ask("/health")).status, 200, `${name}: it still serves as it should`);
      assert.equal((await edge.json("/status.json")).status, "degraded", name);
      assert.equal(await arm(edge), "1.1.0-beta.2 bucket 7", name);

      // Back to good between two cases, so that each is seen to arrive and to end.
      await edge.write(at(25, 7));
      await edge.until("/health", ok);
    }
  });
});

test("deleting the configuration keeps the last good one", async () => {
  await withRouter({ config: at(25, 7) }, async (edge) => {
    assert.equal(await arm(edge), "1.1.0-beta.2 bucket 7");
    await edge.kv.delete(KEY);
    const health = await edge.until("/health", ({ status }) => assert.equal(status, "degraded"));
    assert.match(health.checks.config.problems[0].message, /missing/);
    assert.equal((await edge.ask("/health")).status, 200);
    assert.equal(await arm(edge), "1.1.0-beta.2 bucket 7");
    await edge.write(at(50, 6));
    await edge.until("/health", ({ checks }) =>
      assert.match(checks.config.problems[0].message, /older than revision 7/),
    );
    await edge.write(at(25, 7));
    await edge.until("/health", ok);
  });
});

/** What is under the key, and how it is understood. */
const STOPS = [
  ["all", "all", true],
  [" all\n", "all", true],
  ["v1.1.0-beta", "releases", true],
  ["v1.1.0-beta,\n v1.1.0-beta ,", "releases", true],
  ["1.1.0-beta.2", "releases", true],
  ["v1.1.0-bta", "all", false],
  ["v1.1.0-beta v9.9.9", "all", false],
  ["ALL", "all", false],
  ["false", "all", false],
  ["", "all", false],
  [" ,\n", "all", false],
  ["\ufffd\u0000", "all", false],
  ["x".repeat(100_000), "all", false],
];

test("an emergency stop holds until it is deleted, however it is written", async () => {
  await withRouter({ config: WORLD }, async (edge) => {
    const features = () => edge.json("/features/v1.1.0-beta", INSIDE);
    const running = await features();
    assert.ok(Object.values(running).filter(Boolean).length > 1);
    for (const [value, scope, understood] of STOPS) {
      const name = JSON.stringify(value.slice(0, 40));
      await edge.kv.put(STOP, value);
      const status = await edge.until("/status.json", ({ emergency_stop }) =>
        assert.equal(emergency_stop.scope, scope),
      );
      assert.deepEqual(
        status.releases.map(({ stopped, percentage, phase }) => [stopped, percentage, phase]),
        [[true, 0, "stopped"]],
        name,
      );
      const { status: condition, checks } = await edge.json("/health");
      assert.equal(checks.emergency_stop.ok, understood, name);
      assert.equal(condition, understood ? "ok" : "degraded", name);

      assert.equal(await arm(edge), "1.0.4 emergency_stop 7", name);
      // `static_matcher` is the one feature that says on_emergency: keep.
      const on = Object.entries(await features()).filter(([, value]) => value);
      assert.deepEqual(on, [["static_matcher", true]], name);
      for (const path of ["/beta", "/v1.1.0-beta", "/1.1.0-beta.2", "/1.1.0-beta.1/install.ps1"]) {
        assert.equal((await edge.ask(path)).status, 410, `${name}: ${path}`);
      }
      assert.equal((await edge.ask("/stable")).status, 200, name);

      await edge.kv.delete(STOP);
      await edge.until("/status.json", ({ emergency_stop }) => assert.equal(emergency_stop.active, false));
      assert.equal(await arm(edge), "1.1.0-beta.2 bucket 7", name);
      assert.deepEqual(await features(), running, name);
    }
  });
});

test("a stop of one release leaves the others", async () => {
  const config = world({ releases: { "v1.0.3": { version: "1.0.3", percentage: 100, state: "active" } } });
  await withRouter({ config, stop: "v1.1.0-beta" }, async (edge) => {
    assert.equal(await arm(edge), "1.0.3 bucket 7");
    assert.equal((await edge.ask("/v1.1.0-beta")).status, 410);
    assert.equal((await edge.ask("/v1.0.3")).status, 200);
  });
});

test("KV is read once every five seconds, however many ask", async () => {
  await withRouter({ config: WORLD }, async (edge) => {
    const asked = () => each(Array.from({ length: 200 }), () => edge.ask("/", INSIDE));
    const read = async (times) => {
      assert.deepEqual((await edge.control()).reads, { config: times, "emergency-stop": times });
    };
    await edge.control({ still: true });
    await edge.ask("/");
    for (const times of [1, 2, 3]) {
      await edge.control({ advance: STALE - 2 });
      await asked();
      await read(times);
      await edge.control({ advance: 2 });
      await asked();
      await read(times + 1);
    }
  });
});

describe("with nothing good ever read", () => {
  /** Name, what KV holds, and what /health complains about. */
  const COLD = [
    ["no configuration", {}, [""]],
    ["an invalid one", { config: world({ stable: "1.0.5" }) }, ["/stable"]],
    ["no JSON", { config: "{" }, [""]],
  ];
  for (const [name, kv, problems] of COLD) {
    test(name, async () => {
      await withRouter(kv, async (edge) => {
        const health = await edge.ask("/health");
        assert.equal(health.status, 503);
        const { status, revision, checks } = JSON.parse(health.text);
        assert.deepEqual([status, revision, checks.kv.ok, checks.config.ok], ["fallback", null, true, false]);
        assert.deepEqual(
          checks.config.problems.map(({ path }) => path),
          problems,
        );
        assert.equal(await arm(edge), "1.0.4 fallback 0");
        const script = await edge.ask("/", INSIDE);
        assert.match(script.text, /^caro_version='1\.0\.4'$/m);
        assert.match(script.text, /^caro_choice='fallback'$/m);
        for (const path of ["/beta", "/v1.1.0-beta"]) {
          assert.equal((await edge.ask(path)).status, 503, path);
        }

        await edge.write(WORLD);
        await edge.until("/health", ok);
        assert.equal(await arm(edge), "1.1.0-beta.2 bucket 7", "a good document ends it");
      });
    });
  }

  test("a stop and no configuration: stable, every feature off", async () => {
    await withRouter({ stop: "all" }, async (edge) => {
      assert.equal(await arm(edge), "1.0.4 fallback 0");
      assert.ok(Object.values(await edge.json("/features/v1.1.0-beta")).every((on) => on === false));
    });
  });

  test("a stop before the first request", async () => {
    await withRouter({ config: WORLD, stop: "all" }, async (edge) => {
      assert.equal(await arm(edge), "1.0.4 emergency_stop 7");
      assert.equal((await edge.ask("/beta")).status, 410);
    });
  });
});

after(closeConnections);
