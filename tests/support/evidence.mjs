// Reports as clients make them, and what the objects have counted of them. Nothing of that can be asked from outside, so
// it is read as the Worker itself does: from each object, through Miniflare.
import assert from "node:assert/strict";
import { ask, askJson } from "./http.mjs";

export const RELEASE = "v1.1.0-beta";
export const CANARY = "1.1.0-beta.2";
export const STABLE = "1.0.4";
const SHARDS = 4;

let last = 0;
const fresh = (prefix) => `${prefix}-${process.pid}-${++last}`;

/** An event; `more` is merged over it. */
export const event = (type, more = {}) => ({
  id: fresh("event"),
  session_id: fresh("session"),
  timestamp: new Date().toISOString(),
  type,
  ...more,
});

export const start = (session_id, version, more = {}) =>
  event("session_start", { session_id, version, platform: "linux", ...more });

export const command = (session_id, more = {}) =>
  event("command_generation", { session_id, success: true, duration_ms: 431, backend: "static", ...more });

export const outcome = (more = {}) => ({
  id: fresh("install"),
  version: CANARY,
  channel: "beta",
  platform: "linux-amd64",
  outcome: 0,
  duration_ms: 4_200,
  ...more,
});

/** Posts JSON, or a text as it is. */
export const post = (router, path, body, headers = {}) =>
  askJson(router.direct, path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

export const sendEvents = (router, list, headers) => post(router, "/api/events", list, headers);

/** Sends events of which all are to be taken. */
export async function takes(router, list, expected = { accepted: list.length }, headers = {}) {
  const { status, json } = await sendEvents(router, list, headers);
  assert.equal(status, 202, JSON.stringify(json));
  const { errors, ...counts } = json;
  assert.deepEqual(counts, { accepted: 0, duplicates: 0, ignored: 0, refused: 0, ...expected }, JSON.stringify(errors));
  return errors;
}

const HOUR = 3_600_000;

/** The rows of spans, summed over the objects. Without spans: of the last two days. */
export async function rows({ miniflare }, spans, release = RELEASE) {
  const now = Date.now();
  const time = (at) => new Date(at).toISOString().replace(/\.\d+/, "");
  const asked = (spans ?? [[now - 47 * HOUR, now + 60_000]]).map(([from, to]) => ({ from: time(from), to: time(to) }));
  const namespace = await miniflare.getDurableObjectNamespace("EVIDENCE");
  const sums = asked.map(() => []);
  for (let i = 0; i < SHARDS; i++) {
    const stub = namespace.get(namespace.idFromName(`evidence-${i}`));
    const body = JSON.stringify({ release, spans: asked });
    const answer = await stub.fetch("https://object/__evidence/read", { method: "POST", body });
    assert.equal(answer.status, 200);
    (await answer.json()).forEach((list, span) => {
      sums[span].push(...list);
    });
  }
  return sums;
}

/** Has every object of a router with a hand on its clock forget; gives how many rows are left in each table. */
export async function forget({ miniflare }) {
  const namespace = await miniflare.getDurableObjectNamespace("EVIDENCE");
  const left = {};
  for (let i = 0; i < SHARDS; i++) {
    const stub = namespace.get(namespace.idFromName(`evidence-${i}`));
    // Its tables are made when it is first asked.
    const body = JSON.stringify({ release: "", spans: [] });
    await (await stub.fetch("https://object/__evidence/read", { method: "POST", body })).text();
    for (const [table, count] of Object.entries(await (await stub.fetch("https://object/__forget")).json())) {
      left[table] = (left[table] ?? 0) + count;
    }
  }
  return left;
}

/** Adds up the rows of one arm: `{metric: [total, good]}`, latencies as `{"metric <= edge": [total, good]}`. */
export function counted(list, arm = "canary") {
  const sums = {};
  for (const row of list.filter((row) => row.arm === arm)) {
    const key = row.edge === 0 ? row.metric : `${row.metric} <= ${row.edge}`;
    const [total, good] = sums[key] ?? [0, 0];
    sums[key] = [total + row.total, good + row.good];
  }
  return sums;
}

/** What one arm has so far. */
export const total = async (router, arm) => counted((await rows(router))[0], arm);

/** The counters of reports of the isolate that answers `/metrics`. */
export async function told(router) {
  const { text } = await ask(router.direct, "/metrics");
  const lines = text.matchAll(/^caro_edge_reports\{outcome="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, name, count]) => [name, Number(count)]));
}
