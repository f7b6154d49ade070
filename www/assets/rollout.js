// A release as everybody may see it: its share as a hundred squares, and where its plan stands.
import { h, show, svg } from "./dom.js";
import { duration, percent, relative, when, words } from "./format.js";
import { who } from "./strip.js";

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

const waffle = (share) =>
  svg(
    "svg",
    { class: "waffle", viewBox: "0 0 238 58", "aria-hidden": "true" },
    svg("path", { class: "waffle-all", d: squares(100) }),
    svg("path", { class: "waffle-in", d: squares(share ?? 0) }),
  );

function toneOf({ stopped, state }) {
  if (stopped) return "stop";
  if (state === "paused") return "warn";
  return state === "active" || state === "complete" ? "good" : "quiet";
}

/** A release; `plan`: where its plan stands, `null` if it has none, `undefined` if that is not known. */
export function card(release, plan, isKnown) {
  const differs = release.configured !== null && release.configured !== release.percentage;
  return h(
    "li",
    { class: "release" },
    h(
      "div",
      { class: "release-head" },
      h("h3", { class: "version" }, release.version || release.name || "–"),
      h("span", { class: "badge", data: { tone: toneOf(release) } }, words(release.state)),
    ),
    h(
      "p",
      { class: "share" },
      h("strong", {}, percent(release.percentage)),
      " ",
      h(
        "span",
        { class: "whom" },
        h("span", {}, who(release)),
        differs && [" ", h("small", {}, `set to ${percent(release.configured)}`)],
      ),
    ),
    waffle(release.percentage),
    release.name !== "" &&
      h(
        "dl",
        { class: "facts" },
        h("div", {}, h("dt", {}, "Release"), h("dd", {}, release.name)),
        h("div", {}, h("dt", {}, "Phase"), h("dd", {}, words(release.phase))),
      ),
    release.name !== "" && h("div", { class: "plan" }, planOf(plan, isKnown)),
  );
}

function planOf(plan, isKnown) {
  if (plan) return timeline(plan);
  const why = isKnown ? "It has no plan: people move it by hand." : "Where its plan stands could not be loaded.";
  return h("p", { class: "soft" }, plan === undefined && isKnown === null ? "Loading its plan …" : why);
}

/** Where a stage stands: left behind, at it, or still to come. */
function placeOf(plan, stage, index) {
  const at = plan.stages.findIndex(({ id }) => id === plan.stage);
  if (plan.status === "complete") return "done";
  if (stage.left !== null && index !== at) return "done";
  if (index === at) return plan.status === "running" || plan.status === "paused" ? "now" : "ended";
  return "next";
}

const PLACES = { done: "done", now: "now", ended: "ended here", next: "to come" };

/** Its stages one below the other, and what comes next. */
export function timeline(plan) {
  const state = words(plan.status);
  return [
    h(
      "p",
      { class: "plan-head" },
      h("strong", {}, `Plan ${plan.name}`),
      " ",
      h("span", { class: "soft" }, plan.why && plan.why !== state ? `${state}: ${plan.why}` : state),
    ),
    h(
      "ol",
      { class: "stages" },
      plan.stages.map((stage, index) => {
        const place = placeOf(plan, stage, index);
        return h(
          "li",
          { data: { place }, "aria-current": place === "now" ? "step" : undefined },
          h(
            "div",
            { class: "stage-head" },
            h("span", {}, h("b", {}, words(stage.id)), h("span", { class: "visually-hidden" }, ` (${PLACES[place]})`)),
            h("span", { class: "stage-share" }, percent(stage.percentage)),
          ),
          place === "now" ? soak(plan, stage) : h("p", { class: "soft" }, passed(stage, place)),
        );
      }),
    ),
    next(plan),
  ];
}

function passed(stage, place) {
  if (place === "next") return stage.soak > 0 ? `for ${duration(stage.soak)} at least` : "without a wait";
  return [stage.entered && when(stage.entered), stage.entered && stage.left && [" – ", when(stage.left)]];
}

/** How long it is at its stage, of how long it stays there at least. */
function soak(plan, stage) {
  const soaked = plan.soaked ?? 0;
  const needed = stage.soak ?? 0;
  const said =
    soaked >= needed ? `${duration(soaked)}, longer than it has to` : `${duration(soaked)} of ${duration(needed)}`;
  return [
    h("progress", {
      max: Math.max(needed, 1),
      value: Math.min(soaked, Math.max(needed, 1)),
      "aria-label": `Soak: ${said}`,
    }),
    h("p", { class: "soft" }, said, stage.entered && [", since ", when(stage.entered)]),
  ];
}

function next({ pending, next: decision, complete }) {
  const line = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const at = (moment) => [when(moment), " ", h("span", { class: "soft" }, `(${relative(moment)})`)];
  const lines = [
    pending && line("Announced", [percent(pending.percentage), pending.at && [", ", at(pending.at)]]),
    decision && line("Next decision", at(decision)),
    complete && line("Complete", ["at the earliest ", when(complete)]),
  ].filter(Boolean);
  return lines.length > 0 && h("dl", { class: "coming" }, lines);
}

/** Without a rollout everybody gets stable; shown like a release. */
const onlyStable = (status) => ({
  name: "",
  stopped: false,
  version: status.stable,
  channel: "stable",
  state: status.status === "fallback" ? "fallback" : "no rollout",
  phase: "off",
  percentage: 100,
  configured: null,
});

let drawn = "";

/** All releases. Only what changed is made anew, and what says how long something takes each minute. `history`: `undefined` while it is loading, `null` when it did not come. */
export function showReleases(node, status, history) {
  const shown = status.releases.length > 0 ? status.releases : [onlyStable(status)];
  const isKnown = history === undefined ? null : history !== null;
  const planned = (name) => history?.releases.find((release) => release.name === name)?.plan;
  const cards = shown.map((release) => [release, planned(release.name), isKnown]);
  const key = JSON.stringify([cards, Math.floor(Date.now() / 60_000)]);
  if (drawn === key) return;
  drawn = key;
  show(
    node,
    cards.map((of) => card(...of)),
  );
}
