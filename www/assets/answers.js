// What the router's public looks answer, in the shape that these pages show. Any JSON becomes that shape or is refused: nothing
// that comes is believed to be as it should.

const TIMEOUT_MS = 10_000;
const MAX_LIST = 200;

const isObject = (v) => typeof v === "object" && v !== null && !Array.isArray(v);
const text = (v, most = 80) => (typeof v === "string" ? v.slice(0, most) : "");
const list = (v, most = MAX_LIST) => (Array.isArray(v) ? v.slice(0, most) : []);
const objects = (v, most) => list(v, most).filter(isObject);
const number = (v) => (Number.isFinite(v) ? v : null);
const positive = (v) => (Number.isFinite(v) ? Math.max(0, v) : null);
const percentage = (v) => (Number.isFinite(v) ? Math.min(100, Math.max(0, v)) : null);

/** A timestamp as it was written, if it is one; else `null`. */
const moment = (v) => (Number.isNaN(Date.parse(text(v))) ? null : text(v));

/** Asks one of them. An answer that says that the router is unwell comes with 503, and is an answer all the same. */
export async function ask(path) {
  const answer = await fetch(path, {
    cache: "no-cache",
    credentials: "omit",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  return answer.json();
}

/** `/status.json`. */
export function readStatus(json) {
  if (!isObject(json) || text(json.status) === "") throw new TypeError("not a status");
  const stop = isObject(json.emergency_stop) ? json.emergency_stop : {};
  // As at the edge: an active stop whose scope cannot be read counts as `all`.
  const scope = stop.active !== true ? "none" : stop.scope === "releases" ? "releases" : "all";
  const named = list(stop.releases, 20).map((name) => text(name));
  return {
    status: text(json.status),
    revision: number(json.revision),
    stable: text(isObject(json.stable) ? json.stable.version : ""),
    checked: moment(json.checked_at),
    age: positive(json.age_seconds),
    stop: { scope, named },
    releases: objects(json.releases, 20).map((release) => {
      const read = readRelease(release);
      const stopped = read.stopped || scope === "all" || (scope === "releases" && named.includes(read.name));
      return stopped ? { ...read, stopped, state: "stopped", phase: "stopped", percentage: 0 } : read;
    }),
  };
}

const readRelease = (release) => ({
  name: text(release.name),
  stopped: release.stopped === true,
  version: text(release.version),
  channel: text(release.channel),
  state: text(release.state),
  phase: text(release.phase),
  percentage: percentage(release.percentage),
  configured: percentage(release.configured_percentage),
});

/** `/history.json`. */
export function readHistory(json) {
  if (!isObject(json) || !Array.isArray(json.releases)) throw new TypeError("not a history");
  const took = isObject(json.convergence) ? json.convergence : null;
  return {
    made: moment(json.generated_at),
    revision: number(json.revision),
    releases: objects(json.releases, 20).map((release) => ({
      ...readRelease(release),
      plan: isObject(release.plan) ? readPlan(release.plan) : null,
      events: objects(release.history)
        .map((event) => ({
          at: moment(event.at),
          event: text(event.event),
          percentage: percentage(event.percentage),
          phase: text(event.phase),
        }))
        .filter(({ at }) => at !== null),
    })),
    changes: objects(json.changes, 50)
      .map((change) => ({ at: moment(change.at), revision: number(change.revision), text: text(change.text, 1000) }))
      .filter((change) => change.at !== null),
    convergence: took && {
      revision: number(took.revision),
      changed: moment(took.changed_at),
      published: moment(took.published_at),
      milliseconds: positive(took.milliseconds),
    },
  };
}

function readPlan(plan) {
  const pending = isObject(plan.pending) ? plan.pending : null;
  return {
    name: text(plan.name),
    status: text(plan.status),
    why: text(plan.why, 200),
    stage: text(plan.stage),
    soaked: positive(plan.soaked_seconds),
    next: moment(plan.next_decision_at),
    complete: moment(plan.complete_at),
    pending: pending && { percentage: percentage(pending.percentage), at: moment(pending.at) },
    stages: objects(plan.stages, 20).map((stage) => ({
      id: text(stage.id),
      percentage: percentage(stage.percentage),
      soak: positive(stage.soak_seconds),
      entered: moment(stage.entered_at),
      left: moment(stage.left_at),
    })),
  };
}

/** `/health`. */
export function readHealth(json) {
  if (!isObject(json) || !isObject(json.checks)) throw new TypeError("not a health");
  const checks = Object.entries(json.checks).slice(0, 30);
  return {
    status: text(json.status),
    checks: checks
      .filter(([, check]) => isObject(check))
      .map(([name, check]) => ({
        name: text(name),
        ok: check.ok === true,
        detail: text(check.detail, 400),
        problems: objects(check.problems, 20).map(({ path, message }) => ({
          path: text(path, 200),
          message: text(message, 400),
        })),
      })),
  };
}
