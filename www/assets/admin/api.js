// The control API as this tab asks it. The token lives in this module and nowhere else: no storage, no cookie, no
// address. It goes out in one header, which no other page can make a browser send.

// Longer than the router waits for its ledger.
const PATIENCE_MS = 20_000;

let token = "";
let me = null;
let onSignOut = () => {};

/** Anything but a success. `kind` is `network`, `problem` or `gone` (the view was left meanwhile). */
export class Refused extends Error {
  constructor(kind, problem) {
    super(problem.detail || problem.title);
    this.kind = kind;
    this.title = problem.title;
    this.status = problem.status ?? 0;
    this.type = String(problem.type ?? "").replace(/^urn:caro-edge:problem:/, "");
    this.detail = problem.detail ?? "";
    this.errors = Array.isArray(problem.errors) ? problem.errors : [];
    this.impact = problem.impact ?? null;
    this.revision = problem.revision ?? null;
    this.role = problem.required_role ?? null;
    this.wait = problem.wait ?? null;
  }
}

const network = (error) =>
  new Refused("network", {
    title: "The router cannot be reached",
    detail:
      error?.name === "TimeoutError"
        ? "It did not answer in time. What was sent may have been done: trying again does nothing twice."
        : "The connection failed. What was sent may have been done: trying again does nothing twice.",
  });

async function problem(answer) {
  let body = {};
  try {
    body = await answer.json();
  } catch {
    body = { title: `The router answered ${answer.status}`, detail: "" };
  }
  const wait = Number(answer.headers.get("Retry-After"));
  return new Refused("problem", {
    ...body,
    status: answer.status,
    wait: Number.isFinite(wait) && wait > 0 ? wait : null,
  });
}

/** One request. */
async function ask(method, path, { headers = {}, body, signal, secret = token } = {}) {
  const given = { ...headers };
  if (secret) given.Authorization = `Bearer ${secret}`;
  if (body !== undefined) given["Content-Type"] = "application/json";
  const late = AbortSignal.timeout(PATIENCE_MS);
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: given,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
  } catch (error) {
    if (signal?.aborted) throw new Refused("gone", { title: "This was left" });
    throw network(error);
  }
  return answer;
}

async function read(answer) {
  if (!answer.ok) {
    const refused = await problem(answer);
    if (answer.status === 401 && token) signOut(refused.detail);
    throw refused;
  }
  const revision = Number(answer.headers.get("X-Caro-Revision"));
  const type = answer.headers.get("Content-Type") ?? "";
  try {
    const data = /json$/.test(type) ? await answer.json() : await answer.text();
    return { data, status: answer.status, revision: Number.isInteger(revision) && revision > 0 ? revision : null };
  } catch (error) {
    throw network(error);
  }
}

const withQuery = (path, query = {}) => {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
};

/** A part of a path. */
export const at = (strings, ...names) =>
  strings.reduce((path, text, i) => path + encodeURIComponent(names[i - 1]).replaceAll("%2A", "*") + text);

/** Reads. @returns `{ data, revision, status }` */
export async function get(path, query, signal) {
  return read(await ask("GET", withQuery(path, query), { signal }));
}

/** A file, with the token that a link could not send. */
export async function download(path, query) {
  const answer = await ask("GET", withQuery(path, query), {});
  if (!answer.ok) return read(answer);
  return answer.blob();
}

/**
 * Writes.
 *
 * @param options.revision what the reader was shown; `null` leaves the condition out, which only a stop does
 * @param options.key the same for each try of one change
 */
export async function send(method, path, body, { revision, key, reason, dryRun, confirm } = {}) {
  const headers = {};
  if (revision !== null && revision !== undefined) headers["If-Match"] = `"${revision}"`;
  if (key && !dryRun) headers["Idempotency-Key"] = key;
  // A configuration is a document of its own: what is said about it stands beside it.
  const isDocument = path === "/admin/config";
  const query = { dry_run: dryRun ? "1" : null, confirm: confirm ? "1" : null, reason: isDocument ? reason : null };
  const given = isDocument || !reason ? body : { ...body, reason };
  return read(await ask(method, withQuery(path, query), { headers, body: given }));
}

/** A name for one try and its repetitions. */
export const freshKey = () => crypto.randomUUID();

/** Takes a token when the router does. */
export async function signIn(secret) {
  const answer = await ask("GET", "/admin/whoami", { secret });
  if (!answer.ok) throw await problem(answer);
  const { data } = await read(answer);
  token = secret;
  me = data;
  return me;
}

/** Forgets the token. */
export function signOut(why = "") {
  token = "";
  me = null;
  onSignOut(why);
}

export const whenSignedOut = (run) => {
  onSignOut = run;
};

export const who = () => me;
/** Whether the role may make a call, by its name. */
export const may = (call) => me?.calls.includes(call) ?? false;
