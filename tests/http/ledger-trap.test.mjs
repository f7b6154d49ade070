// The wasm module of the ledger's own isolate trapping: one call is lost, the ledger is not.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ask, closeConnections, eventually } from "../support/http.mjs";
import { call, isSound, landed, tick, withHands } from "../support/ledger.mjs";
import { ADMIN_TOKEN } from "../support/router.mjs";
import { WORLD } from "../support/world.mjs";

test("a trap in a call: that one fails, the next ones are answered, nothing is half there", {
  timeout: 120_000,
}, async () => {
  const router = await withHands({ config: WORLD });
  try {
    await tick(router);
    await landed(router, 7);
    for (let i = 0; i < 1; i += 1) {
      // Nothing else is under way.
      await landed(router, 7 + i, 8);
      await router.control({ trap: true });
      const headers = { "Idempotency-Key": `trapped-${i}` };
      const send = () =>
        call(router.direct, ADMIN_TOKEN, "POST", "/rollout/v1.1.0-beta", { percentage: 30 + i }, headers);
      const trapped = await send();
      assert.ok([200, 500, 503].includes(trapped.status), trapped.text);
      await router.control({ trap: false });
      await eventually(send, ({ status, text }) => assert.equal(status, 200, text), 15);
      const { headers: edge } = await ask(router.direct, "/", { headers: { "X-Caro-Id": "inside" } });
      assert.equal(edge["x-caro-version"], "1.1.0-beta.2");
    }
    const rows = await isSound(router, 8);
    assert.equal(rows.length, 2);
    const stop = await router.admin.post("/rollout/all/emergency-stop", { reason: "after the traps" });
    assert.equal(stop.published, true);
  } finally {
    await router.end();
  }
});

test("a trap while the alarm publishes: what was acknowledged is in KV after the next minute's look", {
  timeout: 120_000,
}, async (t) => {
  const router = await withHands({ config: WORLD, handleStructuredLogs: () => {} });
  try {
    await tick(router);
    await landed(router, 7);
    await router.control({ reads: { config: { delay: 700 } } });
    const { revision } = await router.admin.post("/rollout/v1.1.0-beta", { percentage: 30 });
    await router.control({ trap: true });
    const read = call(router.direct, ADMIN_TOKEN, "GET", "/admin/audit");
    assert.ok([200, 500, 503].includes((await read).status));
    await router.control({ reads: {}, trap: false });
    const begin = performance.now();
    await eventually(
      async () => {
        await tick(router).catch(() => {});
        return router.kv.getWithMetadata("config");
      },
      ({ metadata }) => assert.equal(metadata?.revision, revision),
      30,
    );
    t.diagnostic(`published ${Math.round(performance.now() - begin)} ms later`);
    const next = await router.admin.post("/rollout/v1.1.0-beta", { percentage: 35 });
    // By the alarm, again. If the trap left one hanging, the runtime tries it again after 2, 4, 8 seconds.
    await landed(router, next.revision, 30);
  } finally {
    await router.end();
  }
});

after(closeConnections);
