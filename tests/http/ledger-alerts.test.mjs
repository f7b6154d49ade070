// Alerts: each is told once, however often the webhook fails, and says nothing that is nobody's business.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { askJson, closeConnections, eventually } from "../support/http.mjs";
import { call, folder, landed, tick, withHands } from "../support/ledger.mjs";
import { ADMIN_TOKEN } from "../support/router.mjs";
import { at, WORLD } from "../support/world.mjs";

/** A webhook that writes down what it is sent. `answer` gives a status, or nothing: then it never answers. */
async function webhook(answer) {
  const taken = [];
  const asked = [];
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      asked.push({ at: performance.now(), body });
      const status = answer(asked.length, body);
      if (status === undefined) {
        return;
      }
      if (status === 200) {
        const { method, headers } = request;
        taken.push({ method, type: headers["content-type"], ...JSON.parse(body) });
      }
      response.writeHead(status).end(status === 200 ? "ok" : "no");
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/services/T0/B0/secret-of-the-webhook`;
  const end = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url, taken, asked, end, texts: () => taken.map(({ text }) => text) };
}

async function withAlerts({ answer, ...options }, body) {
  const hook = await webhook(answer);
  let router;
  try {
    const bindings = { ORIGIN: "https://get.caro.sh", ADMIN_TOKEN, ALERT_WEBHOOK: hook.url };
    router = await withHands({ config: WORLD, bindings, ...options });
    await tick(router);
    await body({ ...router, hook, ops: () => router.admin.get("/ops/status.json") });
  } finally {
    await router?.end();
    await hook.end();
  }
}

const SECRET = `caro_${"Zx9".repeat(14)}`;
const PRIVATE = [ADMIN_TOKEN, SECRET, "203.0.113.77", "2001:db8::77", "person-77", "secret-of-the-webhook"];

test("each is told once, after as many failures as it takes", async () => {
  await withAlerts(
    { answer: (n) => (n <= 4 ? 500 : 200) },
    async ({ admin, control, hook, kv, ops, miniflare, direct }) => {
      const release = "/rollout/v1.1.0-beta";
      const reason = `it crashes for 203.0.113.77, (2001:db8::77), token ${SECRET}`;
      await admin.post("/admin/cohorts/internal_test/members", { add: [{ id: "person-77", label: "a tester" }] });
      await admin.post("/admin/kill-switches", { telemetry_disabled: true, reason });
      await admin.post("/admin/kill-switches", { telemetry_disabled: false, reason });
      await admin.post(`${release}/rollback`, { percentage: 5, reason });
      await admin.post(`${release}/emergency-stop`, { reason });
      await admin.post(`${release}/clear-stop`, { reason });
      await landed({ kv, direct }, 13);
      await kv.put("config", JSON.stringify(at(2, 13)));
      await tick({ miniflare });
      const told = [
        /^configuration edited by hand in KV, by edit of KV\..* Revision 7\.$/,
        /^kill switches: telemetry_disabled on, by admin \(release_manager\)\. Reason: .* Revision 9\.$/,
        /^kill switches: telemetry_disabled off, by admin .* Revision 10\.$/,
        /roll.* Revision 11\.$/,
        /^emergency stop of v1\.1\.0-beta, by admin .* Revision 12\.$/,
        /^emergency stop of v1\.1\.0-beta cleared.* Revision 13\.$/,
        /^configuration edited by hand in KV, by edit of KV\..* Revision 14\.$/,
      ];
      // The clock is moved so that retries are due.
      await eventually(
        async () => {
          await control({ advance: 5_000, tick: true });
          return hook.texts();
        },
        (texts) => assert.ok(texts.length >= told.length, `${texts.length} arrived: ${texts.join("\n")}`),
        30,
      );
      await control({ advance: 3_700_000, tick: true });
      const texts = hook.texts();
      assert.equal(texts.length, told.length, texts.join("\n"));
      for (const wanted of told) {
        assert.equal(texts.filter((text) => wanted.test(text)).length, 1, `${wanted} in\n${texts.join("\n")}`);
      }
      for (const { method, type } of hook.taken) {
        assert.deepEqual([method, type], ["POST", "application/json"]);
      }
      for (const { body } of hook.asked) {
        assert.deepEqual(Object.keys(JSON.parse(body)), ["text"]);
        for (const secret of PRIVATE) {
          assert.ok(!body.includes(secret), `${secret} in ${body}`);
        }
      }
      const { alerts } = await ops();
      assert.deepEqual([alerts.webhook, alerts.pending, alerts.delivered], [true, 0, told.length]);
      assert.equal(alerts.last_error, null);
    },
  );
});

test("a switch that stays on is called to mind after a day, once", async () => {
  await withAlerts({ answer: () => 200 }, async ({ admin, control, hook, ops }) => {
    await admin.post("/admin/kill-switches", { canary: true, reason: "crashes" });
    await eventually(ops, ({ alerts }) => assert.equal(alerts.pending, 0));
    const before = hook.texts().length;
    await control({ advance: 23 * 3_600_000, tick: true });
    assert.equal(hook.texts().length, before);
    await control({ advance: 2 * 3_600_000, tick: true });
    await control({ advance: 48 * 3_600_000, tick: true });
    assert.equal(hook.texts().length, before + 1, hook.texts().join("\n"));
    assert.match(hook.texts().at(-1), /^kill switch canary has been on for 24 h, by ledger/);
    await admin.post("/admin/kill-switches", { canary: false, reason: "mended" });
    await eventually(hook.texts, (texts) => assert.match(texts.at(-1), /canary off/));
  });
});

test("retries wait longer each time, and what failed is told without the webhook's address", async () => {
  await withAlerts({ answer: () => 503 }, async ({ admin, hook, ops, control, direct }) => {
    await eventually(
      () => hook.asked.length,
      (n) => assert.ok(n >= 3),
      20,
    );
    const [first, second, third] = hook.asked.map(({ at }) => at);
    assert.ok(second - first >= 1_900 && third - second >= 3_800, `${second - first}, ${third - second} ms`);
    const { alerts } = await ops();
    assert.equal(alerts.last_error, "the webhook answered 503");
    await control({ advance: 301_000 });
    const { json } = await askJson(direct, "/health");
    assert.equal(json.checks.alerts.ok, false, json.checks.alerts.detail);
    assert.equal((await admin.get("/ops/status.json")).alerts.pending, 1);
  });
});

test("a webhook that never answers: changes are published all the same, and nothing is sent twice at once", async () => {
  await withAlerts({ answer: () => undefined }, async ({ admin, hook, kv, direct }) => {
    for (const name of ["one", "two", "three"]) {
      await admin.post("/admin/kill-switches?confirm=1", { features: { [name]: true }, reason: name });
    }
    await eventually(
      () => hook.asked.length,
      (n) => assert.ok(n >= 1),
    );
    const { revision } = await admin.post("/rollout/v1.1.0-beta", { percentage: 30 });
    const begin = performance.now();
    await landed({ kv, direct }, revision, 60);
    const took = Math.round(performance.now() - begin);
    assert.ok(took < 5_000, `KV had the change after ${took} ms, because the webhook was waited for`);
  });
});

test("a slow webhook gets each alert once", { timeout: 120_000 }, async () => {
  const hook = await webhook(() => undefined);
  // Takes them, each after six seconds: together longer than the ledger's lock.
  const late = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      hook.taken.push(JSON.parse(Buffer.concat(chunks).toString()));
      setTimeout(() => response.end("ok"), 6_000);
    });
  });
  await new Promise((resolve) => late.listen(0, "127.0.0.1", resolve));
  const bindings = {
    ORIGIN: "https://get.caro.sh",
    ADMIN_TOKEN,
    ALERT_WEBHOOK: `http://127.0.0.1:${late.address().port}/`,
  };
  const router = await withHands({ config: WORLD, bindings });
  try {
    for (const name of ["one", "two", "three", "four", "five"]) {
      await router.admin.post("/admin/kill-switches?confirm=1", { features: { [name]: true }, reason: name });
    }
    // As cron does, while they are under way.
    const ticks = setInterval(() => tick(router).catch(() => {}), 5_000);
    await eventually(
      () => router.admin.get("/ops/status.json"),
      ({ alerts }) => assert.equal(alerts.pending, 0),
      90,
    );
    clearInterval(ticks);
    const texts = hook.texts();
    assert.equal(texts.length, new Set(texts).size, texts.join("\n"));
    assert.equal(texts.length, 6);
  } finally {
    await router.end();
    late.closeAllConnections();
    late.close();
    await hook.end();
  }
});

test("without a webhook they wait, and are told when there is one", async () => {
  const persist = folder();
  const router = await withHands({ config: WORLD, persist });
  try {
    await tick(router);
    await router.admin.post("/rollout/all/emergency-stop", { reason: "nobody is told yet" });
    const { alerts } = await router.admin.get("/ops/status.json");
    assert.deepEqual([alerts.webhook, alerts.pending, alerts.delivered], [false, 2, 0]);
    assert.equal((await (await fetch(`${router.direct}/health`)).json()).checks.alerts.ok, true);
  } finally {
    await router.end();
  }
  await withAlerts({ answer: () => 200, persist, config: undefined }, async ({ hook, ops }) => {
    await eventually(hook.texts, (texts) => assert.equal(texts.length, 2));
    await eventually(ops, ({ alerts }) => assert.deepEqual([alerts.pending, alerts.delivered], [0, 2]));
  });
});

test("they can be read, and of what was delivered the newest are kept", async () => {
  await withAlerts({ answer: () => 200 }, async ({ admin, ops, direct, miniflare }) => {
    const before = (await ops()).alerts.delivered;
    const [first] = (await admin.get("/admin/alerts?limit=1")).alerts;
    assert.ok(first.delivered_at >= first.at && first.attempts === 1, JSON.stringify(first));
    // Each switch that a document turns is told of.
    const features = Array.from({ length: 210 }, (_, i) => `feature_${i}`);
    const config = await admin.get("/admin/config");
    config.kill_switches = { ...config.kill_switches, features };
    await admin.put("/admin/config?confirm=1&reason=many", config);
    await tick({ miniflare });
    await eventually(ops, ({ alerts }) => assert.deepEqual([alerts.pending, alerts.delivered], [0, before + 210]));
    const { webhook, alerts } = await admin.get("/admin/alerts?limit=200");
    assert.equal(webhook, true);
    assert.deepEqual(
      alerts.map(({ id }) => id),
      Array.from({ length: 200 }, (_, i) => before + 210 - i),
    );
    assert.ok(
      alerts.every(({ delivered_at, attempts, next_attempt_at }) => delivered_at && attempts === 1 && !next_attempt_at),
    );
    const viewer = await admin.mint("viewer");
    const answer = await call(direct, viewer, "GET", "/admin/alerts");
    assert.deepEqual([answer.status, answer.json.alerts.length], [200, 50]);
    // What is no longer kept is not there to be read, and is still counted.
    await admin.post("/rollout/all/emergency-stop", { reason: "one more" });
    await eventually(ops, (now) => assert.ok(now.alerts.delivered > before + 210 && now.alerts.pending === 0));
  });
});

after(closeConnections);
