// Clients of the control plane, and what every test of the ledger checks.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, eventually } from "./http.mjs";
import { ADMIN_TOKEN, start } from "./router.mjs";

export const sha256 = (text) => createHash("sha256").update(text).digest("hex");

/**
 * Makes one call.
 *
 * @param token the bearer's; `undefined` sends none
 * @param body sent as JSON unless it is a string, which is sent as it is
 * @returns the answer, with `json` where it is JSON
 */
export async function call(origin, token, method, path, body, headers = {}, more = {}) {
  const sent = { ...headers };
  if (token !== undefined) {
    sent.Authorization = `Bearer ${token}`;
  }
  if (body !== undefined && !Object.keys(sent).some((name) => name.toLowerCase() === "content-type")) {
    sent["Content-Type"] = "application/json";
  }
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  if (text !== undefined && sent["Transfer-Encoding"] === undefined) {
    // Node does not say it for DELETE.
    sent["Content-Length"] = String(Buffer.byteLength(text));
  }
  const answer = await ask(origin, path, { method, headers: sent, body: text, ...more });
  const isJson = /^application\/(problem\+)?json$/.test(answer.headers["content-type"] ?? "");
  return { ...answer, json: isJson && answer.body.length > 0 ? JSON.parse(answer.text) : undefined };
}

/** The same with an origin and a token in hand. Each wants the status given last and gives the JSON. */
export function client(origin, token = ADMIN_TOKEN) {
  const ask = async (method, path, body, { status = 200, ...headers } = {}) => {
    const answer = await call(origin, token, method, path, body, headers);
    assert.equal(answer.status, status, `${method} ${path}: ${answer.text.slice(0, 500)}`);
    return answer.json;
  };
  return {
    get: (path, options) => ask("GET", path, undefined, options),
    post: (path, body = {}, options = {}) => ask("POST", path, body, options),
    put: (path, body, options) => ask("PUT", path, body, options),
    delete: (path, body, options) => ask("DELETE", path, body, options),
    /** Mints a token. */
    mint: async (role, label = role) =>
      (await ask("POST", "/admin/tokens", { role, label }, { status: 201 })).token.secret,
    /** The whole log, oldest first. */
    log: () => log(origin, token),
  };
}

const GENESIS = "0".repeat(64);

/** Exports the log and recomputes its chain; gives the rows, oldest first. */
export async function log(origin, token = ADMIN_TOKEN) {
  const { status, text } = await call(origin, token, "GET", "/admin/audit?format=ndjson");
  assert.equal(status, 200);
  const lines = text.split("\n").slice(0, -1).reverse();
  return chained(lines);
}

/** Recomputes the chain of lines, oldest first, from the text alone; gives the rows. */
export function chained(lines) {
  let prev = GENESIS;
  return lines.map((line, i) => {
    const [, text, hash] = /^(.*),"hash":"([0-9a-f]{64})"\}$/s.exec(line);
    assert.equal(sha256(`${text}}`), hash, `row ${i + 1} does not have its hash`);
    const row = JSON.parse(`${text}}`);
    assert.equal(row.prev, prev, `row ${i + 1} does not follow the one before`);
    assert.equal(row.seq, i + 1, "rows are numbered from 1 without gaps");
    prev = hash;
    return { ...row, hash };
  });
}

/**
 * What holds of any ledger: its chain, its own opinion of that, and KV in the end.
 *
 * @returns the rows
 */
export async function isSound(router, seconds = 15) {
  const rows = await log(router.direct);
  const admin = client(router.direct);
  const verified = await admin.get("/admin/audit/verify");
  assert.deepEqual([verified.ok, verified.rows], [true, rows.length], verified.detail);
  assert.equal(verified.head, rows.at(-1)?.hash ?? GENESIS);
  await landed(router, rows.at(-1)?.revision, seconds);
  return rows;
}

/** Waits until KV holds what the ledger says, at the revision. */
export async function landed(router, revision, seconds = 15) {
  await eventually(
    () => router.kv.getWithMetadata("config"),
    ({ metadata }) => assert.equal(metadata?.revision, revision, "KV's revision"),
    seconds,
  );
  const { value, metadata } = await router.kv.getWithMetadata("config");
  const { text, headers } = await call(router.direct, ADMIN_TOKEN, "GET", "/admin/config");
  assert.deepEqual(metadata, { revision, hash: sha256(value) });
  assert.ok(value === text, "KV's text is the ledger's");
  assert.equal(headers.etag, `"${revision}"`);
  return JSON.parse(value);
}

/** What cron does each minute. */
export const tick = async ({ miniflare }) => (await miniflare.getWorker()).scheduled({ cron: "* * * * *" });

/** A folder that is gone when the process ends. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), "caro-ledger-"));
  process.once("exit", () => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The processes that this one started. */
const children = () =>
  readdirSync("/proc/self/task").flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );

/** Starts a router whose storage is in a folder, and that can be killed. */
export async function startOn(path, { start: begin = start, ...options } = {}) {
  const before = new Set(children());
  const router = await begin({ resourcePersistencePath: path, ...options });
  const pids = children().filter(
    (pid) => !before.has(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("workerd"),
  );
  assert.equal(pids.length, 1, "one workerd was started");
  const [pid] = pids;
  /** As when the machine fails: nothing is told, nothing is finished. */
  const kill = () => process.kill(pid, "SIGKILL");
  return { ...router, pid, kill };
}

/** The parts of a router with a hand on its clock, KV and alarms; see ledger.worker.mjs. */
export async function withHands({ faults = {}, ...options } = {}) {
  const begin = (options) =>
    start({
      modules: [
        { type: "ESModule", path: "tests/support/ledger.worker.mjs" },
        { type: "ESModule", path: "entry.js" },
        { type: "ESModule", path: "build/index.js" },
        { type: "CompiledWasm", path: "build/index_bg.wasm" },
      ],
      ...options,
    });
  const { persist, config, stop, ...rest } = options;
  const router = persist === undefined ? await begin(rest) : await startOn(persist, { start: begin, ...rest });
  const control = async (change = {}) => {
    const request = { method: "POST", body: JSON.stringify(change), signal: AbortSignal.timeout(30_000) };
    return (await fetch(`${router.direct}/__control`, request)).json();
  };
  try {
    await control(faults);
    if (config !== undefined) {
      await router.kv.put("config", typeof config === "string" ? config : JSON.stringify(config));
    }
    if (stop !== undefined) {
      await router.kv.put("emergency-stop", stop);
    }
    return { ...router, control, admin: client(router.direct) };
  } catch (error) {
    await router.end();
    throw error;
  }
}
