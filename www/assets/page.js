// The page works without this file; it adds copy buttons, the right origin and the live rollout.
// Everything that comes from /status.json goes into the page as text, never as markup.

const PUBLIC_ORIGIN = "https://get.caro.sh";
const POLL_MS = 30_000;
const POLL_MAX_MS = 300_000;
const TIMEOUT_MS = 10_000;
const OLD_SECONDS = 120;

const byId = (id) => document.getElementById(id);

// ---------------------------------------------------------------- commands

/** The text node that holds a command's address; the rest is in spans, for better line breaks. */
const address = (code) => code.firstChild;

/** Commands name the host the reader is looking at, so that a local or forked router installs from itself. */
function useThisOrigin() {
  if (location.origin === PUBLIC_ORIGIN || !/^https?:$/.test(location.protocol)) return;
  for (const code of document.querySelectorAll("code[id^='c-']")) {
    address(code).data = address(code).data.replace(PUBLIC_ORIGIN, location.origin);
  }
}

function select(node) {
  const selection = getSelection();
  selection.removeAllRanges();
  const range = document.createRange();
  range.selectNodeContents(node);
  selection.addRange(range);
}

const timers = new WeakMap();

/** Puts `text` on a button for two seconds; its box has a fixed width. */
function flash(button, text) {
  clearTimeout(timers.get(button));
  button.textContent = text;
  button.dataset.done = "";
  timers.set(
    button,
    setTimeout(() => {
      button.textContent = "Copy";
      delete button.dataset.done;
    }, 2000),
  );
}

let toastTimer = 0;

function announce(text) {
  const toast = byId("toast");
  clearTimeout(toastTimer);
  toast.textContent = "";
  // A live region speaks when its content changes: the same text twice needs an empty moment between.
  requestAnimationFrame(() => {
    toast.textContent = text;
  });
  toastTimer = setTimeout(() => {
    toast.textContent = "";
  }, 5000);
}

async function copy(button) {
  const code = byId(button.dataset.copy);
  const text = code.textContent;
  try {
    await navigator.clipboard.writeText(text);
    flash(button, "Copied");
    announce(`Copied: ${text}`);
  } catch {
    // No permission, or no clipboard at all on plain http: leave the reader one keystroke from a copy.
    select(code);
    flash(button, "Selected");
    announce("Selected. Press Ctrl+C or ⌘C to copy.");
  }
}

// ---------------------------------------------------------------- reading /status.json

const isObject = (v) => typeof v === "object" && v !== null && !Array.isArray(v);
const text = (v) => (typeof v === "string" ? v.slice(0, 80) : "");
const list = (v) => (Array.isArray(v) ? v.slice(0, 20) : []);
const percentage = (v) => (Number.isFinite(v) ? Math.min(100, Math.max(0, v)) : null);

/** Turns any JSON into the shape this page shows, or throws when it is not a status at all. */
function readStatus(json) {
  if (!isObject(json) || text(json.status) === "") throw new TypeError("not a status");
  const stop = isObject(json.emergency_stop) ? json.emergency_stop : {};
  const active = stop.active === true;
  // As at the edge: an active stop whose scope cannot be read counts as `all`.
  const scope = !active ? "none" : stop.scope === "releases" ? "releases" : "all";
  const named = list(stop.releases).map(text);
  const releases = list(json.releases)
    .filter(isObject)
    .map((r) => {
      const name = text(r.name);
      const stopped = r.stopped === true || scope === "all" || (scope === "releases" && named.includes(name));
      return {
        name,
        stopped,
        version: text(r.version),
        channel: text(r.channel),
        state: stopped ? "stopped" : text(r.state),
        phase: text(r.phase),
        percentage: stopped ? 0 : percentage(r.percentage),
        configured: percentage(r.configured_percentage),
      };
    });
  const checked = new Date(text(json.checked_at));
  return {
    status: text(json.status),
    revision: Number.isFinite(json.revision) ? json.revision : null,
    stable: text(isObject(json.stable) ? json.stable.version : ""),
    checked: Number.isNaN(checked.getTime()) ? null : checked,
    age: Number.isFinite(json.age_seconds) ? Math.max(0, json.age_seconds) : null,
    stop: { scope, named },
    releases,
  };
}

// ---------------------------------------------------------------- showing it

const numbers = new Intl.NumberFormat();
const percents = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 3 });
const times = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

const share = (p) => (p === null ? "–" : percents.format(p / 100));
const words = (s) => s.replaceAll("_", " ") || "–";

/** A length of time in the reader's language, in the largest unit that fits. */
function duration(seconds) {
  const [n, unit] =
    seconds < 90
      ? [seconds, "second"]
      : seconds < 5400
        ? [seconds / 60, "minute"]
        : seconds < 129_600
          ? [seconds / 3600, "hour"]
          : [seconds / 86_400, "day"];
  return new Intl.NumberFormat(undefined, {
    style: "unit",
    unit,
    unitDisplay: "short",
    maximumFractionDigits: 0,
  }).format(n);
}

/** Writes only what changed: a live region would speak again, and a reader's selection would be lost. */
function put(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/**
 * The outline of the first `n` of a hundred squares, column by column in five rows, as SVG path data.
 * The last square is filled from below by the fraction, so 0.5 is half a square.
 */
function squares(n) {
  let d = "";
  for (let i = 0; i < n; i += 1) {
    const part = n - i >= 1 ? 1 : Math.max(0.12, n - i);
    const x = Math.floor(i / 5) * 12;
    const y = (i % 5) * 12;
    d += `M${x} ${(y + 10 * (1 - part)).toFixed(2)}h10v${(10 * part).toFixed(2)}h-10z`;
  }
  return d;
}

function who(release) {
  const what =
    release.channel === "beta" ? "the beta" : release.channel === "stable" ? "stable" : release.version || "it";
  return `of networks get ${what}`;
}

function releaseItem() {
  return byId("release-template").content.firstElementChild.cloneNode(true);
}

function fillRelease(item, release) {
  const find = (selector) => item.querySelector(selector);
  const tone = release.stopped ? "stop" : release.state === "active" || release.state === "complete" ? "good" : "quiet";
  item.dataset.tone = tone;
  put(find(".version"), release.version || release.name || "–");
  put(find(".badge"), words(release.state));
  put(find(".share strong"), share(release.percentage));
  put(find("[data-f=who]"), who(release));
  const differs = release.configured !== null && release.configured !== release.percentage;
  put(find("[data-f=set]"), differs ? `set to ${share(release.configured)}` : "");
  find(".waffle-all").setAttribute("d", squares(100));
  find(".waffle-in").setAttribute("d", squares(release.percentage ?? 0));
  put(find("[data-f=phase]"), words(release.stopped ? "stopped" : release.phase));
  put(find("[data-f=name]"), release.name || "–");
}

/** Without a rollout everybody gets stable; shown like a release, so that the page keeps its shape. */
function onlyStable(status) {
  return {
    name: "",
    stopped: false,
    version: status.stable,
    channel: "stable",
    state: status.status === "fallback" ? "fallback" : "no rollout",
    phase: "off",
    percentage: 100,
    configured: null,
  };
}

const everybody = (status) => `Everybody gets stable${status.stable ? ` ${status.stable}` : ""}.`;

/** One sentence and a tone for the strip at the top of the page; the worst news wins. */
function summary(status) {
  if (status.stop.scope === "all") return ["stop", `Emergency stop: every rollout is stopped. ${everybody(status)}`];
  if (status.stop.scope === "releases") {
    return ["stop", `Emergency stop: ${status.stop.named.join(", ") || "a release"} is no longer given out.`];
  }
  if (status.status === "fallback") return ["warn", `Fallback: no configuration could be read. ${everybody(status)}`];
  if (status.status === "degraded") {
    const old = status.age !== null && status.age >= OLD_SECONDS ? `, ${duration(status.age)} old` : "";
    return ["warn", `Degraded: using the last good configuration${old}.`];
  }
  if (status.status !== "ok") return ["warn", `The router reports: ${status.status}`];
  const live = status.releases.filter((r) => !r.stopped && r.percentage > 0);
  if (live.length === 1) return ["good", `Right now ${share(live[0].percentage)} ${who(live[0])}.`];
  if (live.length > 1) return ["good", `Right now ${numbers.format(live.length)} releases are being rolled out.`];
  return ["good", everybody(status)];
}

function showStrip(tone, sentence) {
  byId("strip").dataset.tone = tone;
  put(byId("summary"), sentence);
}

/** The example names a version that exists, once one is known; nothing but a plain version may enter a command. */
function showExactVersion(status) {
  const offered = status.releases.find((r) => !r.stopped && r.state === "active");
  const version = offered?.version || status.stable;
  if (!/^\d{1,9}\.\d{1,9}\.\d{1,9}(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?$/.test(version)) return;
  const node = address(byId("c-exact"));
  const command = node.data.replace(/(:\/\/[^/ ]+\/)[^ ]+/, (_, site) => site + version);
  if (node.data !== command) node.data = command;
}

function show(status) {
  const releases = byId("releases");
  const shown = status.releases.length > 0 ? status.releases : [onlyStable(status)];
  const items = shown.map((release, i) => {
    const old = releases.children[i];
    const item = old?.querySelector(".waffle-in") ? old : releaseItem();
    fillRelease(item, release);
    return item;
  });
  releases.replaceChildren(...items);
  put(byId("stable"), status.stable || "–");
  put(byId("revision"), status.revision === null ? "–" : numbers.format(status.revision));
  const age = status.age === null ? "–" : `${duration(status.age)} ago`;
  put(byId("checked"), status.checked ? times.format(status.checked) : age);
  byId("figures").setAttribute("aria-busy", "false");
  delete byId("figures").dataset.old;
  showExactVersion(status);
  showStrip(...summary(status));
}

function showError(last) {
  byId("figures").setAttribute("aria-busy", "false");
  if (!last) {
    showStrip("warn", "The live status could not be loaded. It is tried again by itself.");
    return;
  }
  byId("figures").dataset.old = "";
  const [tone, sentence] = summary(last.status);
  showStrip(
    tone === "stop" ? tone : "warn",
    `The live status could not be loaded since ${clock.format(last.at)}. ${tone === "stop" ? sentence : "The figures are from then."}`,
  );
}

// ---------------------------------------------------------------- asking for it

let failures = 0;
let last = null;
let timer = 0;
let due = 0;
let asking = false;

async function ask() {
  asking = true;
  try {
    const answer = await fetch("/status.json", {
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    // A fallback may come with an error code and still be a status; anything else fails to read.
    const status = readStatus(await answer.json());
    failures = 0;
    last = { status, at: new Date() };
    show(status);
  } catch {
    failures += 1;
    showError(last);
  }
  asking = false;
  // Up to a tenth more, so that pages opened at the same moment drift apart.
  due = Date.now() + Math.min(POLL_MS * 2 ** failures, POLL_MAX_MS) * (1 + Math.random() / 10);
  schedule();
}

/** A hidden page does not ask; shown again, it asks when it is due, at once if that has passed. */
function schedule() {
  clearTimeout(timer);
  if (document.visibilityState === "hidden" || asking) return;
  timer = setTimeout(ask, Math.max(0, due - Date.now()));
}

function start() {
  useThisOrigin();
  for (const button of document.querySelectorAll("button.copy")) button.addEventListener("click", () => copy(button));
  document.documentElement.dataset.js = "";
  document.querySelector(".waffle-all").setAttribute("d", squares(100));
  showStrip("quiet", "Loading the live status …");
  document.addEventListener("visibilitychange", schedule);
  schedule();
}

start();
