// A thousand events a second, as many clients send them: none that was acknowledged is lost, none counts twice.
import assert from "node:assert/strict";
import { Agent } from "node:http";
import { after, test } from "node:test";
import { CANARY, command, outcome, STABLE, start as startOf, total } from "../support/evidence.mjs";
import { askJson, closeConnections } from "../support/http.mjs";
import { folder, startOn } from "../support/ledger.mjs";
import { WORLD } from "../support/world.mjs";

const RATE = 1_000;
const SECONDS = 6;
const BATCH = 20;
const BATCHES = (RATE / BATCH) * SECONDS;

test(`${RATE} events a second for ${SECONDS} seconds`, { timeout: 120_000 }, async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const path = folder();
  let router = await startOn(path, { config: WORLD });
  const sent = { canary: 0, control: 0, installs: 0 };
  let failed = 0;
  /** One client sends what it has, until it hears that it was taken; every tenth hears nothing the first time. */
  const deliver = async (path, body, i, { expected, count }) => {
    for (let attempt = 0; ; attempt++) {
      assert.ok(attempt < 50, "it was never taken");
      const { status, json } = await askJson(router.direct, path, {
        method: "POST",
        headers: { "Content-Type": "application/json", "CF-Connecting-IP": `192.0.2.${i % 250}` },
        body,
        agent,
      });
      if (status === 503) {
        failed += 1;
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      assert.equal(status, 202, JSON.stringify(json));
      assert.equal(json.accepted + json.duplicates, expected);
      if (i % 10 !== 0 || attempt > 0) {
        return count();
      }
    }
  };
  try {
    const begin = performance.now();
    const waiting = [];
    let latest = 0;
    for (let i = 0; i < BATCHES; i++) {
      // At its time, whether or not those before it were answered.
      const wait = begin + (i * BATCH * 1_000) / RATE - performance.now();
      if (wait > 0) {
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
      const session = `load-${i}`;
      const arm = i % 3 === 0 ? "control" : "canary";
      const first = startOf(session, arm === "control" ? STABLE : CANARY);
      const rest = Array.from({ length: BATCH - 1 }, (_, n) => command(session, { success: n % 4 !== 0 }));
      const events = JSON.stringify([first, ...rest]);
      const told = { expected: BATCH, count: () => (sent[arm] += BATCH - 1) };
      waiting.push(
        deliver("/api/events", events, i, told).then(() => {
          latest = performance.now();
        }),
      );
      if (i % 5 === 0) {
        const install = { expected: 1, count: () => (sent.installs += 1) };
        waiting.push(deliver("/report", JSON.stringify(outcome()), i, install));
      }
    }
    await Promise.all(waiting);
    const events = BATCHES * BATCH;
    t.diagnostic(`${events} events, the last answered after ${Math.round(latest - begin)} ms; ${failed} calls failed`);
    const check = async () => {
      const [canary, control] = [await total(router), await total(router, "control")];
      assert.deepEqual([canary.command_success[0], control.command_success[0]], [sent.canary, sent.control]);
      assert.equal(sent.canary + sent.control, BATCHES * (BATCH - 1));
      assert.equal(canary.sessions[0] + control.sessions[0], BATCHES);
      assert.equal(canary.install_success[0], sent.installs);
      assert.equal(canary.command_success[1] + control.command_success[1], BATCHES * 14);
    };
    await check();
    // What is safe is so on the disk.
    router.kill();
    await router.end().catch(() => {});
    router = await startOn(path);
    await check();
  } finally {
    agent.destroy();
    await router.end();
  }
});

after(closeConnections);
