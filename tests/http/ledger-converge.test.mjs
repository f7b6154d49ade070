// How long a change takes to reach every isolate: the time from its answer to the last of them serving it. KV's own
// replication is not in it: locally every isolate reads what was written last.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Miniflare } from "miniflare";
import { ask, closeConnections, each, eventually } from "../support/http.mjs";
import { client, isSound, tick } from "../support/ledger.mjs";
import { random } from "../support/random.mjs";
import { options } from "../support/router.mjs";
import { WORLD } from "../support/world.mjs";

const ISOLATES = 8;
const CHANGES = Number(process.env.CHANGES ?? 4);
/** Between two requests to one isolate, ms: a light load. */
const PAUSE = 100;

/** Several Workers on one runtime, each with isolate and socket of its own, with one KV namespace and one ledger. */
async function start() {
  const names = Array.from({ length: ISOLATES }, (_, i) => `router-${i}`);
  const routers = names.map((name, i) =>
    options({
      name,
      kvNamespaces: { ROLLOUT: "rollout" },
      durableObjects: { LEDGER: { className: "Ledger", useSQLite: true, ...(i > 0 && { scriptName: names[0] }) } },
      assets: undefined,
    }),
  );
  const miniflare = new Miniflare({ ...routers[0], port: 0, workers: routers.flatMap(({ workers }) => workers) });
  try {
    await miniflare.ready;
    const urls = await each(names, async (name) => (await miniflare.unsafeGetDirectURL(name)).origin);
    const kv = await miniflare.getKVNamespace("ROLLOUT");
    await kv.put("config", JSON.stringify(WORLD));
    return { miniflare, urls, direct: urls[0], kv, end: () => miniflare.dispose() };
  } catch (error) {
    await miniflare.dispose().catch(() => {});
    throw error;
  }
}

const revisionOf = async (url) =>
  Number((await ask(url, "/", { headers: { "X-Caro-Id": "inside" } })).headers["x-caro-revision"]);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test(`${ISOLATES} isolates follow ${CHANGES} changes and a stop`, { timeout: 240_000 }, async (t) => {
  const chance = random(7);
  const router = await start();
  let running = true;
  const seen = router.urls.map(() => 0);
  try {
    const admin = client(router.direct);
    await tick(router);
    const pollers = router.urls.map(async (url, i) => {
      while (running) {
        const revision = await revisionOf(url);
        assert.ok(revision >= seen[i], `isolate ${i} went back from ${seen[i]} to ${revision}`);
        seen[i] = revision;
        await pause(PAUSE);
      }
    });
    const polling = Promise.all(pollers);
    polling.catch(() => {});
    const all = (revision) =>
      eventually(
        () => seen,
        (now) =>
          assert.ok(
            now.every((r) => r >= revision),
            `${now} of ${revision}`,
          ),
        30,
      );
    await all(WORLD.revision);

    const times = [];
    for (let i = 0; i < CHANGES; i += 1) {
      // Anywhere within the five seconds for which a snapshot is served without looking.
      await pause(chance.below(5_000));
      const { revision } = await admin.post("/rollout/v1.1.0-beta", { percentage: 30 + i });
      const begin = performance.now();
      await all(revision);
      times.push(Math.round(performance.now() - begin));
    }
    const stop = await admin.post("/rollout/all/emergency-stop", { reason: "how fast is it" });
    assert.equal(stop.published, true);
    const begin = performance.now();
    const stopped = async (url) =>
      eventually(
        () => ask(url, "/", { headers: { "X-Caro-Id": "inside" } }),
        ({ headers }) => assert.equal(headers["x-caro-reason"], "emergency_stop"),
        30,
      );
    await Promise.all(router.urls.map(stopped));
    const stopTime = Math.round(performance.now() - begin);
    running = false;
    await polling;
    const sorted = [...times].sort((a, b) => a - b);
    t.diagnostic(
      `from a change's answer to the last of ${ISOLATES} isolates: median ${sorted[CHANGES >> 1]} ms, longest ${sorted.at(-1)} ms (${times.join(", ")})`,
    );
    t.diagnostic(`from a stop's answer to the last of them: ${stopTime} ms`);
    await isSound(router);
  } finally {
    running = false;
    await router.end();
  }
});

after(closeConnections);
