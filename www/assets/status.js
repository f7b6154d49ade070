// `/status`: what happened, whether the router is well, and how fast a change arrives.
import { ask, readHealth, readHistory, readStatus } from "./answers.js";
import { byId, h, show } from "./dom.js";
import { millis, num, time, when, words } from "./format.js";
import { watch } from "./live.js";
import { steps } from "./steps.js";
import { put, say, tell, tellError } from "./strip.js";

const FIRST = 12;

let last = null;
let isEverythingShown = false;
/** By revision: when this page was told of it, and when it was served here first; milliseconds of the page's own clock. */
const seen = new Map();

const shown = new Map();
/** Shows something in a place, unless it says the same already: a reader may be in it. */
function renew(id, of, make) {
  const key = JSON.stringify(of);
  if (shown.get(id) === key) return;
  shown.set(id, key);
  const node = byId(id);
  const open = [...node.querySelectorAll("details[open]")].map((details) => details.dataset.of);
  show(node, make());
  for (const details of node.querySelectorAll("details")) details.open = open.includes(details.dataset.of);
  node.setAttribute("aria-busy", "false");
}

const failed = (what) => h("p", { class: "soft" }, `${what} could not be loaded. It is tried again by itself.`);

function showHistory(history) {
  const { releases, changes, made } = history;
  // It grows to the right each minute.
  const minute = Math.floor(Date.now() / 60_000);
  renew("charts", [releases, minute], () =>
    releases.length > 0
      ? releases.map((release) => steps(release, Math.max(Date.parse(made) || 0, Date.now())))
      : h("p", { class: "soft" }, "There is no release: everybody gets the stable version."),
  );
  renew("changes", [changes, isEverythingShown], () => changesOf(changes, history));
}

function changesOf(changes, history) {
  if (changes.length === 0) return h("p", { class: "soft" }, "Nothing has happened yet.");
  const some = isEverythingShown ? changes : changes.slice(0, FIRST);
  const showAll = () => {
    isEverythingShown = true;
    showHistory(history);
    byId("changes").querySelectorAll("li")[FIRST]?.focus();
  };
  return [
    h(
      "ol",
      { class: "changes" },
      some.map(({ at, revision, text }) =>
        h(
          "li",
          { tabindex: -1 },
          h("p", {}, text),
          h("p", { class: "soft" }, when(at), revision !== null && ` · revision ${num(revision)}`),
        ),
      ),
    ),
    changes.length > some.length &&
      h("button", { type: "button", id: "all", on: { click: showAll } }, `Show all ${num(changes.length)}`),
  ];
}

const NAMES = { kv: "KV", vars: "Variables" };
const named = (name) => NAMES[name] ?? words(name).replace(/^./, (first) => first.toUpperCase());

function showHealth({ status, checks }) {
  const badge = byId("health-badge");
  badge.dataset.tone = status === "ok" ? "good" : "warn";
  put(badge, words(status));
  renew("health", checks, () =>
    h(
      "ul",
      { class: "checks" },
      checks.map(({ name, ok, detail, problems }) =>
        h(
          "li",
          { data: { tone: ok ? "good" : "warn" } },
          h(
            "h3",
            {},
            named(name),
            h("span", { class: ok ? "visually-hidden" : "verdict" }, ok ? " (ok)" : " needs a look"),
          ),
          h("p", { class: "soft" }, detail),
          problems.length > 0 &&
            h(
              "ul",
              { class: "problems" },
              problems.map(({ path, message }) => h("li", {}, h("code", {}, path || "/"), ` ${message}`)),
            ),
        ),
      ),
    ),
  );
}

function showSpeed(convergence, status) {
  const own = convergence && seen.get(convergence.revision);
  renew("speed", [convergence, status?.revision, own], () => {
    if (!convergence) return h("p", { class: "soft" }, "No change was published yet.");
    const line = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    return [
      h(
        "p",
        { class: "share" },
        h("strong", {}, millis(convergence.milliseconds)),
        " ",
        h("span", { class: "whom" }, "until KV had the last change"),
      ),
      h(
        "dl",
        { class: "facts" },
        line("Revision", num(convergence.revision)),
        line("Changed", when(convergence.changed, true)),
        line("In KV", when(convergence.published, true)),
        line("Seen by this page", seenBy(convergence.revision, status, own)),
      ),
      h(
        "p",
        { class: "hint" },
        "The edges look at KV every few seconds; KV itself may need a minute to reach another place.",
      ),
    ];
  });
}

/** What this page measured of a revision: from being told of it to seeing it served. */
function seenBy(revision, status, own) {
  if (own?.served !== undefined && own.told !== undefined)
    return `${millis(Math.max(0, own.served - own.told))} after it was told, at ${time(own.at)}`;
  if (own?.told !== undefined) return "told of it, not served here yet";
  if (own?.served !== undefined)
    return own.isFirst ? `served when it was opened, at ${time(own.at)}` : `at ${time(own.at)}`;
  return status && status.revision > revision ? "a newer one is served here" : "not served here yet";
}

/** Notes when a revision was told of or served first. */
function note(revision, what) {
  const own = seen.get(revision) ?? {};
  if (own[what] !== undefined) return;
  const isFirst = seen.size === 0;
  seen.set(revision, { ...own, [what]: performance.now(), ...(what === "served" ? { at: Date.now(), isFirst } : {}) });
}

async function look() {
  const history = ask("/history.json").then(readHistory);
  const health = ask("/health").then(readHealth);
  // They are waited for below, but may fail before that.
  for (const coming of [history, health]) coming.catch(() => {});
  let failure;
  try {
    const status = readStatus(await ask("/status.json"));
    last = { status, at: new Date() };
    if (status.revision !== null) note(status.revision, "served");
    tell(status);
  } catch (error) {
    failure = error;
    tellError(last);
  }
  await health.then(showHealth, () => {
    put(byId("health-badge"), "");
    renew("health", "failed", () => failed("The health"));
  });
  let told = null;
  await history.then(
    (answer) => {
      told = answer.revision;
      showHistory(answer);
      showSpeed(answer.convergence, last?.status);
    },
    () => {
      for (const [id, what] of [
        ["charts", "The history"],
        ["changes", "The changes"],
        ["speed", "This"],
      ])
        if (!shown.has(id)) renew(id, "failed", () => failed(what));
    },
  );
  if (failure) throw failure;
  return [last.status.revision, told];
}

say("quiet", "Loading the live status …");
watch(look, (revision) => note(revision, "told"));
