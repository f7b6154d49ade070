// KV failing, hanging, late, or answering nonsense; background work killed; many asking at once.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { LOCK, STALE, withFaults } from "../support/faults.mjs";
import { ask, askJson, closeConnections, each, eventually } from "../support/http.mjs";
import { start } from "../support/router.mjs";
import { at, WORLD } from "../support/world.mjs";

const KEY = "config";
const STOP = "emergency-stop";
/** Longer than any test: the router has to give up first. */
const NEVER = 600_000;
/** After a failed read the next one may follow this much later. */
const RETRY = 1_001;
const ERROR = { error: "KV GET failed: 500 Internal Server Error" };
const HANG = { delay: NEVER };
const both = (fault) => ({ [KEY]: fault, [STOP]: fault });

const INSIDE = { headers: { "X-Caro-Id": "inside" } };
const GOOD = "1.1.0-beta.2 bucket 7";
const FALLBACK = "1.0.4 fallback 0";
const STOPPED = "1.0.4 emergency_stop 7";

/** Runs `body` with a router of its own whose surroundings can fail. */
async function withRouter(options, body) {
  const router = await withFaults({ config: WORLD, ...options });
  const edge = {
    ...router,
    ask: (path, options) => ask(router.direct, path, options),
    health: async () => (await askJson(router.direct, "/health")).json,
    /** What the requester `inside` gets. */
    arm: async () => {
      const { status, headers } = await edge.ask("/", INSIDE);
      assert.equal(status, 200);
      return `${headers["x-caro-version"]} ${headers["x-caro-reason"]} ${headers["x-caro-revision"]}`;
    },
    is: async (wanted) => assert.equal(await edge.arm(), wanted),
    /** Ends every fault and waits until it is well again. */
    recover: async (wanted = GOOD) => {
      await edge.control({ kv: {}, advance: STALE });
      await eventually(edge.health, ({ status }) => assert.equal(status, "ok"));
      await edge.is(wanted);
    },
  };
  try {
    await body(edge);
  } finally {
    await router.end();
  }
}

const kvSays = (pattern) => (health) => {
  assert.equal(health.checks.kv.ok, false);
  assert.match(health.checks.kv.detail, pattern);
};

describe("KV from the first request on", { concurrency: 4 }, () => {
  /** Fault, what a first requester waits for (ms, at least and below), what /health says about KV. */
  const COLD = [
    ["fails", both(ERROR), [0, 1000], /^KV failed; never read$/],
    ["hangs", both(HANG), [3000, 3500], /^KV did not answer in time; never read$/],
    ["fails late", both({ delay: 1000, ...ERROR }), [1000, 1500], /^KV failed; never read$/],
    ["hangs on the configuration", { [KEY]: HANG }, [3000, 3500], /^KV did not answer in time; never read$/],
    ["hangs on the stop", { [STOP]: HANG }, [3000, 3500], /^KV did not answer in time; never read$/],
    ["fails on the configuration", { [KEY]: ERROR }, [0, 1000], /^KV failed; never read$/],
    // It could be set, so the configuration alone is not enough.
    ["fails on the stop", { [STOP]: ERROR }, [0, 1000], /^KV failed; never read$/],
  ];
  for (const [name, kv, [least, below], detail] of COLD) {
    test(`${name}: the safe defaults, and again at once`, async () => {
      await withRouter({ kv }, async (edge) => {
        await edge.is(FALLBACK);
        await each(Array.from({ length: 20 }), () => edge.is(FALLBACK));
        const { waits } = await edge.control();
        assert.equal(waits.length, 1, "only the first waited");
        const [{ ms, ticks }] = waits;
        assert.ok(ms >= least && ticks < below, `the first answer took ${ms} ms, ${ticks} of them in ticks`);
        const health = await edge.ask("/health");
        assert.equal(health.status, 503);
        assert.equal(JSON.parse(health.text).status, "fallback");
        kvSays(detail)(JSON.parse(health.text));
        assert.equal((await edge.ask("/beta")).status, 503);
        await edge.recover();
      });
    });
  }

  test("is slow: the first requester waits for it", async () => {
    await withRouter({ kv: both({ delay: 1500 }) }, async (edge) => {
      await edge.is(GOOD);
      const { waits } = await edge.control();
      assert.equal(waits.length, 1);
      assert.ok(waits[0].ms >= 1500 && waits[0].ticks < 3000, JSON.stringify(waits));
    });
  });

  test("fails for the configuration, and a stop is set: every feature off", async () => {
    await withRouter({ kv: { [KEY]: ERROR }, stop: "all" }, async (edge) => {
      await edge.is(FALLBACK);
      const features = (await askJson(edge.direct, "/features/v1.1.0-beta", INSIDE)).json;
      assert.ok(Object.values(features).every((on) => on === false));
      await edge.recover(STOPPED);
    });
  });

  const NONSENSE = [
    ["an error page", { value: "<!doctype html><title>502</title>" }],
    ["binary data", { value: "\u0000\u0001\ufffd\ud800\u007f", repeat: 1000 }],
    ["25 MiB", { value: "x", repeat: 25 << 20 }],
    ["25 MiB of JSON", { value: "[1,2],", repeat: 4 << 20 }],
  ];
  for (const [name, fault] of NONSENSE) {
    test(`answers with ${name}, cold and warm`, async () => {
      await withRouter({ kv: { [KEY]: fault } }, async (edge) => {
        await edge.is(FALLBACK);
        assert.equal((await edge.health()).checks.config.ok, false);
        await edge.recover();
        await edge.control({ kv: { [KEY]: fault }, advance: STALE });
        await eventually(edge.health, ({ status }) => assert.equal(status, "degraded"));
        await edge.is(GOOD);
        await edge.recover();
      });
    });
  }
});

describe("KV after it was read", { concurrency: 4 }, () => {
  /** Faults, and what /health says about KV once they were noticed. */
  const WARM = [
    ["fails", both(ERROR), /^KV failed; last read \d+ s ago$/],
    ["hangs", both(HANG), /^KV did not answer in time; last read \d+ s ago$/],
    ["fails on the configuration", { [KEY]: ERROR }, /^KV failed; last read \d+ s ago$/],
    ["fails on the stop", { [STOP]: ERROR }, /^KV failed; last read \d+ s ago$/],
    ["hangs on the stop", { [STOP]: HANG }, /^KV did not answer in time; last read \d+ s ago$/],
  ];
  for (const [stop, wanted] of [
    [undefined, GOOD],
    ["all", STOPPED],
  ]) {
    for (const [name, kv, detail] of WARM) {
      test(`${name}, with the stop ${stop ? "set" : "not set"}: what was read last is kept`, async () => {
        await withRouter({ stop }, async (edge) => {
          await edge.is(wanted);
          await edge.control({ kv, advance: STALE });
          // Nobody waits for a refresh, so all of these are answered while KV fails or hangs.
          await each(Array.from({ length: 50 }), () => edge.is(wanted));
          const health = await eventually(edge.health, kvSays(detail));
          assert.equal(health.status, "degraded");
          assert.equal((await edge.ask("/health")).status, 200);
          await edge.is(wanted);
          await edge.recover(wanted);
          assert.equal((await edge.control()).waits.length, 1, "only the very first waited");
        });
      });
    }
  }

  test("a stop is obeyed although the configuration cannot be read", async () => {
    await withRouter({}, async (edge) => {
      await edge.is(GOOD);
      await edge.kv.put(STOP, "all");
      await edge.control({ kv: { [KEY]: ERROR }, advance: STALE });
      await eventually(edge.arm, (arm) => assert.equal(arm, STOPPED));
      await edge.recover(STOPPED);
    });
  });

  test("a failed read is repeated after a second, and not for every request", async () => {
    await withRouter({ kv: both(ERROR) }, async (edge) => {
      await edge.control({ still: true });
      for (const reads of [1, 2, 3]) {
        await each(Array.from({ length: 100 }), () => edge.is(FALLBACK), 1);
        assert.equal((await edge.control()).reads[KEY], reads);
        await edge.control({ advance: RETRY });
      }
    });
  });

  test("a replica that goes back is not followed", async () => {
    await withRouter({ config: at(25, 7) }, async (edge) => {
      const says = (config) => edge.control({ kv: { [KEY]: { value: JSON.stringify(config) } }, advance: STALE });
      await edge.is(GOOD);
      await says(at(50, 8));
      await eventually(edge.arm, (arm) => assert.equal(arm, "1.1.0-beta.2 bucket 8"));
      for (const _ of [1, 2]) {
        await says(at(25, 7));
        await eventually(edge.health, ({ checks }) => assert.equal(checks.config.ok, false));
        await edge.is("1.1.0-beta.2 bucket 8");
        await says(at(50, 8));
        await eventually(edge.health, ({ status }) => assert.equal(status, "ok"));
      }
    });
  });
});

test("a refresh that the runtime killed does not keep the next one from starting", async () => {
  await withRouter({ config: at(25, 7) }, async (edge) => {
    await edge.is(GOOD);
    await edge.kv.put(KEY, JSON.stringify(at(50, 8)));
    await edge.control({ waitUntil: false, kv: both({ delay: 50 }), advance: STALE });
    const begin = performance.now();
    // Until long after the read would have ended, had its request not.
    await eventually(
      () => edge.is(GOOD),
      () => assert.ok(performance.now() - begin > 250),
    );
    assert.equal((await edge.control({ waitUntil: true, kv: {}, advance: 10_000 })).reads[KEY], 2);
    await edge.is(GOOD);
    assert.equal((await edge.control({ advance: LOCK - 10_000 })).reads[KEY], 2, "the lock still held");
    await eventually(edge.arm, (arm) => assert.equal(arm, "1.1.0-beta.2 bucket 8"));
    assert.equal((await edge.control()).reads[KEY], 3);
  });
});

describe("fifty requests to a new isolate at once", { concurrency: 4 }, () => {
  const PATHS = [
    "/",
    "/stable",
    "/v1.1.0-beta",
    "/features/v1.1.0-beta",
    "/health",
    "/status.json",
    "/nothing",
    "/robots.txt",
  ];
  const RUNNING = { "/": 200, "/v1.1.0-beta": 200, "/health": 200 };
  const FAILING = { "/": 200, "/v1.1.0-beta": 503, "/health": 503 };
  for (const [name, kv, statuses] of [
    ["KV answers", {}, RUNNING],
    ["KV is late, differently for each key", { [KEY]: { delay: 300 }, [STOP]: { delay: 100 } }, RUNNING],
    ["KV fails", both(ERROR), FAILING],
    ["KV hangs", both(HANG), FAILING],
  ]) {
    test(`${name}: each gets its own answer`, async () => {
      await withRouter({ kv }, async (edge) => {
        const asked = Array.from({ length: 50 }, (_, i) => PATHS[i % PATHS.length]);
        const answers = await each(asked, (path) => edge.ask(path, INSIDE), 50);
        for (const [i, { status }] of answers.entries()) {
          const expected = statuses[asked[i]] ?? (asked[i] === "/nothing" ? 400 : 200);
          assert.equal(status, expected, asked[i]);
        }
        await edge.recover();
      });
    });
  }
});

test("requests over a series of changes: the old or the new, and never back", async () => {
  const ARMS = { 50: "1.1.0-beta.2 bucket", 10: "1.0.4 default" };
  const revisions = Array.from({ length: 8 }, (_, i) => 7 + i);
  const percentage = (revision) => (revision % 2 ? 50 : 10);
  await withRouter({ config: at(percentage(7), 7) }, async (edge) => {
    let newest = 7;
    const seen = new Set();
    const asker = async () => {
      // A request that begins after any answer of a revision may not get an older one.
      const floor = newest;
      const arm = await edge.arm();
      const [, shown, revision] = /^(.*) (\d+)$/.exec(arm);
      assert.equal(shown, ARMS[percentage(Number(revision))], `revision ${revision} mixes with another`);
      assert.ok(Number(revision) >= floor, `revision ${revision} after ${floor}`);
      newest = Math.max(newest, Number(revision));
      seen.add(Number(revision));
    };
    for (const revision of revisions.slice(1)) {
      await each(Array.from({ length: 500 }), asker, 50);
      const asking = each(Array.from({ length: 500 }), asker, 50);
      await edge.kv.put(KEY, JSON.stringify(at(percentage(revision), revision)));
      await edge.control({ advance: STALE });
      await asking;
      await eventually(asker, () => assert.equal(newest, revision));
    }
    assert.deepEqual([...seen], revisions);
  });
});

test("without the KV binding: the safe defaults, and /health says what is missing", async () => {
  const router = await start({ kvNamespaces: [] });
  try {
    assert.equal((await ask(router.direct, "/", INSIDE)).headers["x-caro-reason"], "fallback");
    const { status, json } = await askJson(router.direct, "/health");
    assert.equal(status, 503);
    kvSays(/^the KV binding ROLLOUT is missing; see wrangler\.toml; never read$/)(json);
  } finally {
    await router.end();
  }
});

test("without the static files: 404, and scripts as ever", async () => {
  const router = await start({ config: WORLD, assets: undefined });
  try {
    for (const path of ["/assets/page.js", "/robots.txt"]) {
      assert.equal((await ask(router.direct, path)).status, 404, path);
    }
    assert.equal((await ask(router.direct, "/", INSIDE)).headers["x-caro-version"], "1.1.0-beta.2");
  } finally {
    await router.end();
  }
});

test("variables that cannot be used are reported, and caro's own stand in", async () => {
  const bindings = {
    PRODUCT: "it's",
    ORIGIN: "https://get.caro.sh/$(id)",
    STABLE_VERSION: "one",
    ASSET_URL_TEMPLATE: "ftp://example.org/{version}",
    FEATURE_DEFAULTS: { validation_retry: 1 },
  };
  const router = await start({ config: WORLD, bindings });
  try {
    const { status, json } = await askJson(router.direct, "/health");
    assert.deepEqual([status, json.status, json.checks.vars.ok], [200, "degraded", false]);
    const named = new Set(json.checks.vars.problems.map(({ path }) => path.split("/")[1]));
    assert.deepEqual([...named].sort(), Object.keys(bindings).sort());
    const { text } = await ask(router.direct, "/stable");
    assert.match(text, /^caro_product='caro'$/m);
    assert.match(text, /^caro_origin='https:\/\/get\.caro\.sh'$/m);
  } finally {
    await router.end();
  }
});

after(closeConnections);
