// A plan played on the real Worker: its clock is moved, what happens is told to the counters, and cron is fired.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { RELEASE } from "./evidence.mjs";
import { tick, withHands } from "./ledger.mjs";
import { ADMIN_TOKEN, root } from "./router.mjs";
import { world } from "./world.mjs";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
const SHARDS = 4;

export const preset = (name) => JSON.parse(readFileSync(`${root}src/core/plan/presets/${name}.json`, "utf8"));

/** Cohorts that presets name. */
const cohorts = Object.fromEntries(
  ["internal_test", "friendly_gp", "beta", "internal", "beta_users"].map((name) => [name, { enabled: true }]),
);

/** Where the release begins: at nothing, with every cohort there. */
export const START = world({ cohorts, releases: { [RELEASE]: { percentage: 0, cohorts: [] } } });

/** What goes well. Rates are of what went well. */
export const GOOD = { install_success: 0.98, command_success: 0.97, errors: 0.9995, crashes: 1, denials: 0.95 };
export const BAD = { ...GOOD, install_success: 0.5, command_success: 0.6, errors: 0.6, crashes: 0.9 };

/** Every number that a preset's gates ask for, as it should be. */
export const NUMBERS = {
  p0_open: 0,
  p1_open: 0,
  p1_affected_percent: 0,
  awu: 160,
  positive_feedback_percent: 90,
  satisfaction_percent: 90,
  satisfaction: 4.5,
  retention_percent: 70,
  critical_errors: 0,
  crash_reports: 0,
  smoke_tests_failed: 0,
  negative_feedback: 0,
  canary_diff_percent: 0.1,
  sev1_open: 0,
  sev2_open: 0,
  slos_missed: 0,
  adoption_percent: 15,
  business_change_percent: 1,
};

let last = 0;

/** A router with a release that can be given a plan; `play` goes on with it. */
export async function stage(options = {}) {
  const router = await withHands({ config: START, ...options });
  await tick(router);
  const { admin } = router;
  let moved = 0;
  const now = () => Date.now() + moved;

  /** The clock goes on. */
  const later = async (ms) => {
    moved += ms;
    await router.control({ advance: ms });
  };

  /** The clock goes on, and cron fires. */
  const pass = async (ms) => {
    await later(ms);
    await tick(router);
  };

  /** The counters are told of so many of each, in both arms, `ago` milliseconds before now. */
  const tell = async (canary, { control = GOOD, many = 4_000, ago = MINUTE, latency = 300 } = {}) => {
    const namespace = await router.miniflare.getDurableObjectNamespace("EVIDENCE");
    const cells = (rates) => [
      ...Object.entries(rates).map(([metric, rate]) => [metric, 0, many, Math.round(many * rate)]),
      ["command_latency", latency, many, many],
      ["install_latency", 10_000, many, many],
    ];
    const arms = [
      [canary, { release: RELEASE, arm: "canary" }],
      [control, { release: "", arm: "control" }],
    ].filter(([rates]) => rates !== undefined);
    const platforms = ["linux-amd64", "macos-silicon", "windows-amd64"];
    const observations = arms.flatMap(([rates, of]) =>
      platforms.map((platform, i) => ({
        id: ++last,
        key: last,
        of: { ...of, cohort: "", platform },
        begins: false,
        revision: 7,
        at: Math.floor((now() - ago) / MINUTE),
        // All of it under one, and one install for each of the others.
        cells: i === 0 ? cells(rates) : [["install_success", 0, 30, 30]],
      })),
    );
    for (let shard = 0; shard < SHARDS; shard++) {
      const own = observations.filter(({ key }) => key % SHARDS === shard);
      if (own.length > 0) {
        const stub = namespace.get(namespace.idFromName(`evidence-${shard}`));
        const answer = await stub.fetch("https://object/__evidence/add", { method: "POST", body: JSON.stringify(own) });
        assert.equal(await answer.text(), "c".repeat(own.length));
      }
    }
  };

  const signal = (numbers, checks = {}) => admin.post(`/rollout/${RELEASE}/signals`, { numbers, checks });
  const plan = () => admin.get(`/rollout/${RELEASE}/plan`);
  const post = (call, body = {}, options = {}) => admin.post(`/rollout/${RELEASE}/${call}`, body, options);

  /** Where it stands: `running canary 5 active`. */
  const stands = async () => {
    const { status, stage } = await plan();
    const { releases } = await admin.get("/admin/config");
    const { percentage, state } = releases[RELEASE];
    return `${status} ${stage.id} ${percentage} ${state}`;
  };

  /** What people were told, oldest first. Nobody takes the alerts away: there is no webhook. */
  const summaries = async () => (await admin.log()).map(({ action, summary }) => `${action}: ${summary}`);

  return { ...router, now, later, pass, tell, signal, plan, post, stands, summaries, token: ADMIN_TOKEN };
}

/** Every number, and good counts of both arms, of a minute ago. */
export async function goesWell(world) {
  await world.tell(GOOD);
  await world.signal(NUMBERS);
}

/** Several times: what happens, and so many hours. */
export async function play(world, hours, each, step = 6) {
  for (let at = 0; at < hours; at += step) {
    await each(at);
    await world.pass(step * HOUR);
  }
}

/**
 * Lets a plan go through its stages while everything goes well, up to the one named or to its end. Nothing happens before
 * the soak is over.
 *
 * @returns the lines of `stands` as they came
 */
export async function through(world, document, until) {
  const lines = [await world.stands()];
  for (const [i, { id, soak }] of document.stages.entries()) {
    if (id === until) {
      break;
    }
    const isLast = i + 1 === document.stages.length;
    const hours = Math.max(soak?.min_hours ?? 0, isLast ? (document.watch_hours ?? 0) : 0);
    // What comes in the minute in which a stage begins may be of before it.
    await world.pass(3 * MINUTE);
    await world.tell(GOOD);
    if (hours > 0) {
      await world.pass(hours * HOUR - 5 * MINUTE);
      await goesWell(world);
      assert.equal(await world.stands(), lines.at(-1), "not before the soak is over");
    } else {
      await world.signal(NUMBERS);
    }
    // The decision of the next hour, perhaps an approval and the next one, and what was announced.
    for (let rounds = 0; rounds < 5 && (await world.stands()) === lines.at(-1); rounds++) {
      await world.pass(61 * MINUTE);
      const { last } = await world.plan();
      if (last.suggestion?.includes("/approve")) {
        await world.post("approve", { stage: id });
      }
      await world.signal(NUMBERS);
    }
    const line = await world.stands();
    assert.notEqual(line, lines.at(-1), (await world.plan()).last.why);
    lines.push(line);
  }
  return lines;
}
