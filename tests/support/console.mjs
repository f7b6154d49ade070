// A router with something of everything, for whoever looks at the console: a release whose plan runs, with evidence; flags
// with findings; people, tokens, an experiment, a change that waits.
import { RELEASE } from "./evidence.mjs";
import { client } from "./ledger.mjs";
import { GOOD, goesWell, HOUR, NUMBERS, stage } from "./plans.mjs";
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
    await router.post("plan", { preset: "caro", start: true, confirm: true, reason: "1.1 goes out" });
    await router.pass(3 * 60_000);
    await router.tell(GOOD);
    await router.pass(20 * HOUR);
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

const merged = (patch) => {
  const merge = (target, change) => {
    if (change === null || typeof change !== "object" || Array.isArray(change)) return change;
    const result = { ...target };
    for (const [key, value] of Object.entries(change)) result[key] = merge(target?.[key], value);
    return result;
  };
  return merge(CONFIG, patch);
};

/** Points that wander a little, the same each time. */
const wander = (n, from, width, phase) =>
  Array.from({ length: n }, (_, i) => from + width * Math.sin(i * 1.7 + phase) * Math.cos(i / 3 + phase));

/** What `GET /rollout/{release}/evidence` answers. */
export function evidence({ by = "arm", points = 24, now = Date.now() } = {}) {
  const groups = { arm: [""], platform: ["linux-amd64", "macos-silicon"], cohort: ["", "internal_test"] }[by] ?? [""];
  const rate = (metric, at, total, phase) => ({
    metric,
    total: total * points,
    good: Math.round((total * points * at) / 100),
    rate: at,
    low: at - 0.9,
    high: Math.min(100, at + 0.7),
    series: wander(points, at / 100, (100 - at) / 300, phase).map((share) => ({
      total,
      good: Math.min(total, Math.round(total * share)),
    })),
  });
  const latency = (metric, p50, total, phase) => ({
    metric,
    total: total * points,
    p50_ms: p50,
    p75_ms: p50 * 1.4,
    p95_ms: p50 * 2.4,
    p99_ms: p50 * 4,
    series: wander(points, p50, p50 / 9, phase).map((value) => ({
      total,
      p50_ms: Math.round(value),
      p95_ms: Math.round(value * 2.4),
    })),
  });
  const one = (arm, group, i) => {
    const [worse, phase] = arm === "canary" ? [0, i] : [0.7, i + 2];
    return {
      arm,
      group,
      rates: [
        rate("install_success", 97.4 - i + worse, 600, phase),
        rate("command_success", 93.2 - i + worse, 4_100, phase + 1),
        rate("crashes", 99.2, 1_200, phase + 2),
      ],
      latencies: [
        latency("command_latency", 310 + 30 * worse, 4_100, phase),
        latency("install_latency", 4_200 - 400 * worse, 600, phase + 1),
      ],
    };
  };
  return {
    release: RELEASE,
    from: new Date(now - 86_400_000).toISOString(),
    to: new Date(now).toISOString(),
    step_seconds: 86_400 / points,
    by,
    error: null,
    share: 5,
    groups: ["canary", "control"].flatMap((arm) => groups.map((group, i) => one(arm, group, i))),
  };
}

/** What `GET /admin/alerts` answers. */
export const alerts = (now = Date.now()) => ({
  webhook: true,
  alerts: [
    {
      id: 3,
      at: new Date(now - 600_000).toISOString(),
      text: `plan of ${RELEASE}: small_beta (25 %) is announced`,
      delivered_at: null,
      attempts: 2,
    },
    {
      id: 2,
      at: new Date(now - 7_200_000).toISOString(),
      text: `plan of ${RELEASE} begins at canary`,
      delivered_at: new Date(now - 7_199_000).toISOString(),
      attempts: 1,
    },
  ],
});
