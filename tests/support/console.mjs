// A router with something of everything, for whoever looks at the console: a release whose plan runs, with evidence; flags
// with findings; people, tokens, an experiment, a change that waits.
import assert from "node:assert/strict";
import { CANARY, command, event, outcome, post, RELEASE, STABLE, start, takes } from "./evidence.mjs";
import { client } from "./ledger.mjs";
import { GOOD, goesWell, HOUR, NUMBERS, stage } from "./plans.mjs";
import { random } from "./random.mjs";
import { ADMIN_TOKEN } from "./router.mjs";
import { world } from "./world.mjs";

export const ROLES = ["release_manager", "engineering_lead", "engineer", "bot", "viewer"];

/** A second release beside the one that is steered. */
const CONFIG = world({
  cohorts: {
    internal_test: { enabled: true, percentage: 0.5, features: ["all"] },
    friends: { enabled: true, percentage: 2 },
  },
  releases: {
    [RELEASE]: { percentage: 0, cohorts: ["internal_test"] },
    "v1.1.1-beta": { version: "1.1.0-beta.1", percentage: 2.5, state: "paused", cohorts: [] },
  },
  features: {
    "*": {
      new_parser: {
        description: "Reads commands with the parser of 1.2.",
        owner: "shell",
        stage: "development",
        kind: "release",
        percentage: 10,
        added: "2026-01-02",
        expires: "2026-03-01",
        rules: [{ if: { attribute: "os", is: "linux" }, percentage: 40 }],
      },
      answer_length: {
        description: "How long answers are.",
        owner: "models",
        stage: "beta",
        kind: "ops",
        variants: { short: 200, long: 800 },
        off: "short",
        serve: "long",
        percentage: 25,
        added: "2026-01-05",
        expires: "2027-02-01",
      },
      intent_bar: {
        description: "Shows what was understood.",
        owner: "shell",
        stage: "ga",
        kind: "release",
        percentage: 100,
      },
    },
  },
  experiments: {
    confidence_threshold: {
      variants: { control: 0.8, aggressive: 0.85 },
      control: "control",
      metrics: ["command_success", { name: "latency_ms", at_most: 2000 }],
    },
  },
});

/**
 * Starts it. `tokens` has one of each role.
 *
 * @param options of `stage`, and `plan: false` for one without a plan
 */
export async function furnished({ plan = true, patch = {}, ...options } = {}) {
  const config = Object.keys(patch).length > 0 ? merged(patch) : CONFIG;
  const router = await stage({ config, ...options });
  const { admin } = router;
  const tokens = { admin: ADMIN_TOKEN };
  for (const role of ROLES) tokens[role] = await admin.mint(role, `${role} of the tests`);
  if (plan) {
    await admin.post("/admin/cohorts/internal_test/members", {
      add: [{ id: TESTER }],
      confirm: true,
      reason: "tries it first",
    });
    await router.post("plan", { preset: "caro", start: true, confirm: true, reason: "1.1 goes out" });
    await router.pass(3 * 60_000);
    await router.tell(GOOD);
    await reports(router, 20);
    await router.pass(0);
    await goesWell(router);
    await router.signal({ ...NUMBERS, positive_feedback_percent: 82 });
    await router.post("evaluate");
  }
  await admin.post("/admin/cohorts/friends/members", {
    add: [
      { id: "alice", label: "alice" },
      { ip: "192.0.2.7", label: "build machine" },
    ],
    reason: "they asked for it",
  });
  return { ...router, tokens, as: (role) => client(router.direct, tokens[role]) };
}

/** Somebody whose sessions are a cohort's. */
const TESTER = "a-tester";

/** What sessions and installers of each arm say, and how much of it goes wrong. */
const ARMS = [
  { version: CANARY, channel: "beta", wrong: 0.03, slow: 1 },
  { version: STABLE, channel: "stable", wrong: 0.04, slow: 1.25 },
];
const SYSTEMS = [
  { platform: "linux", arch: "x86_64", installer: "linux-amd64" },
  { platform: "macos", arch: "arm64", installer: "macos-silicon" },
];
const COMMANDS = 40;
const INSTALLS = 4;

/** Lets so many hours pass in which clients and installers report, as they do everywhere: a few each hour. */
async function reports(router, hours) {
  const dice = random(7);
  for (let at = 0; at < hours; at += 1) {
    await router.later(HOUR);
    const timestamp = new Date(router.now()).toISOString();
    const session = (arm, { platform, arch }, name, commands) => {
      const id = `${name}-${at}-${arm.version}-${platform}`;
      const wrong = arm.wrong * (0.5 + dice.below(100) / 60);
      return [
        start(id, arm.version, { platform, arch, timestamp }),
        ...Array.from({ length: commands }, () =>
          command(id, {
            timestamp,
            success: !dice.chance(wrong),
            // Most take a few tenths of a second, and some a lot longer.
            duration_ms: arm.slow * (dice.chance(0.1) ? 900 + dice.below(1_400) : 120 + dice.below(500)),
          }),
        ),
        event("session_end", { session_id: id, timestamp, crashed: dice.chance(0.01) }),
      ];
    };
    const many = ARMS.flatMap((arm) => SYSTEMS.flatMap((system) => session(arm, system, "somebody", COMMANDS)));
    const few = session(ARMS[0], SYSTEMS[0], "tester", COMMANDS / 2);
    const installs = ARMS.flatMap(({ version, channel, slow }) =>
      Array.from({ length: INSTALLS }, (_, i) => ({
        version,
        channel,
        platform: SYSTEMS[i % SYSTEMS.length].installer,
        outcome: i === 0 && dice.chance(0.15) ? "network" : "ok",
        duration_ms: slow * (2_000 + dice.below(6_000)),
      })),
    );
    await Promise.all([
      takes(router, many),
      takes(router, few, undefined, { "X-Caro-Id": TESTER }),
      ...installs.map(async (told) => {
        const { status, text } = await post(router, "/report", outcome(told));
        assert.equal(status, 202, text);
      }),
    ]);
  }
}

const merged = (patch) => {
  const merge = (target, change) => {
    if (change === null || typeof change !== "object" || Array.isArray(change)) return change;
    const result = { ...target };
    for (const [key, value] of Object.entries(change)) result[key] = merge(target?.[key], value);
    return result;
  };
  return merge(CONFIG, patch);
};
