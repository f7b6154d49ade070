// The rollout bot as its workflow runs it, against the real router.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { closeConnections } from "../support/http.mjs";
import { GOOD, HOUR, MINUTE, NUMBERS, stage } from "../support/plans.mjs";
import { root } from "../support/router.mjs";

const run = (env) =>
  new Promise((resolve) => {
    const options = { env: { PATH: process.env.PATH, HOME: "/nonexistent", ...env } };
    execFile("sh", [`${root}scripts/rollout-bot.sh`], options, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
  });

test("it tells, has it decided, and reports", { timeout: 60_000 }, async () => {
  const world = await stage();
  try {
    const token = await world.admin.mint("bot");
    const bot = (env = {}) => run({ CARO_API: world.direct, CARO_TOKEN: token, ...env });
    // Without a plan there is nothing to say.
    assert.deepEqual(await bot(), { code: 0, stdout: "", stderr: "" });
    await world.tell(GOOD);
    await world.post("plan", { preset: "caro", start: true });
    await world.signal(NUMBERS);
    // What came in the minute in which a stage began may be of before it.
    await world.pass(2 * MINUTE);
    await world.tell(GOOD, { ago: 0 });
    await world.pass(25 * HOUR);
    await world.pass(HOUR);
    const before = (await world.admin.log()).length;
    const dry = await bot({ DRY_RUN: "1" });
    assert.equal(dry.code, 0, dry.stderr);
    assert.equal((await world.admin.log()).length, before);
    const { code, stdout, stderr } = await bot({ ISSUES: "p0_open=1 p1_open=2" });
    assert.equal(stderr, "");
    assert.match(stdout, /^Decision: pause \(p0_open is 1, beyond 0/m);
    assert.match(stdout, /^- install_success: PASS/m);
    assert.match(stdout, /^Suggested: POST \/rollout\/v1\.1\.0-beta\/rollback$/m);
    assert.match(stdout, /^- Open P0: 1$/m);
    assert.equal(code, 3);
    assert.match(await world.stands(), /^paused /);
    const rows = await world.admin.log();
    assert.ok(rows.slice(before).every(({ actor }) => actor.label === "bot"));
  } finally {
    await world.end();
  }
});

test("what it cannot do it says", async () => {
  const none = await run({});
  assert.equal(none.code, 2);
  assert.match(none.stderr, /set CARO_TOKEN/);
  const world = await stage();
  try {
    const env = { CARO_API: world.direct, RELEASES: "v1.1.0-beta" };
    const wrong = await run({ ...env, CARO_TOKEN: "wrong-token-0123456789" });
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /evaluate: 401 The token is unknown/);
    const viewer = await run({ ...env, CARO_TOKEN: await world.admin.mint("viewer") });
    assert.equal(viewer.code, 1);
    assert.match(viewer.stderr, /needs bot/);
    const nobody = await run({ CARO_API: "http://127.0.0.1:1", CARO_TOKEN: "x" });
    assert.notEqual(nobody.code, 0);
    assert.match(nobody.stderr, /Failed to connect|Could not connect/i);
  } finally {
    await world.end();
  }
});

test("the workflow runs that script, each hour, and may do no more than read", () => {
  const text = readFileSync(`${root}.github/workflows/rollout.yml`, "utf8");
  assert.match(text, /cron: "\d+ \* \* \* \*"/);
  assert.match(text, /sh scripts\/rollout-bot\.sh/);
  assert.match(text, /permissions:\n {2}contents: read\n {2}issues: read\n/);
});

after(closeConnections);
