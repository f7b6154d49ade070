// The strip at the top of the public pages: one sentence, and how bad it is.
import { byId } from "./dom.js";
import { duration, num, percent, time } from "./format.js";

// Older than this, it is worth saying.
const OLD_SECONDS = 120;

/** Writes only what changed: a live region would speak again, and a reader's selection would be lost. */
export function put(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** Whom a release's percentage is about. */
export function who({ channel, version }) {
  const what = channel === "beta" ? "the beta" : channel === "stable" ? "stable" : version || "it";
  return `of networks get ${what}`;
}

const everybody = ({ stable }) => `Everybody gets stable${stable ? ` ${stable}` : ""}.`;

/** The worst news wins. */
function summary(status) {
  if (status.stop.scope === "all") return ["stop", `Emergency stop: every rollout is stopped. ${everybody(status)}`];
  if (status.stop.scope === "releases")
    return ["stop", `Emergency stop: ${status.stop.named.join(", ") || "a release"} is no longer given out.`];
  if (status.status === "fallback") return ["warn", `Fallback: no configuration could be read. ${everybody(status)}`];
  if (status.status === "degraded") {
    const old = status.age !== null && status.age >= OLD_SECONDS ? `, ${duration(status.age)} old` : "";
    return ["warn", `Degraded: using the last good configuration${old}.`];
  }
  if (status.status !== "ok") return ["warn", `The router reports: ${status.status}`];
  const live = status.releases.filter((release) => !release.stopped && release.percentage > 0);
  if (live.length === 1) return ["good", `Right now ${percent(live[0].percentage)} ${who(live[0])}.`];
  if (live.length > 1) return ["good", `Right now ${num(live.length)} releases are being rolled out.`];
  return ["good", everybody(status)];
}

export function say(tone, sentence) {
  byId("strip").dataset.tone = tone;
  put(byId("summary"), sentence);
}

export const tell = (status) => say(...summary(status));

/** When nothing came. `last`: the status that came last, and when; `null` if none did. */
export function tellError(last) {
  if (!last) {
    say("warn", "The live status could not be loaded. It is tried again by itself.");
    return;
  }
  const [tone, sentence] = summary(last.status);
  const news = tone === "stop" ? sentence : "The figures are from then.";
  say(tone === "stop" ? tone : "warn", `The live status could not be loaded since ${time(last.at)}. ${news}`);
}
