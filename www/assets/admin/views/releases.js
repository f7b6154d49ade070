// Every release, with what is stopped, held or waits.

import { h } from "../../dom.js";
import { duration, num, percent, when, words } from "../../format.js";
import { at } from "../api.js";
import { change } from "../change.js";
import { actions, actorName, badge, card, empty, facts, link, meter, note, soft, stateBadge, table } from "../parts.js";
import { href } from "../routes.js";

/** A stop, with the only call that lifts it. */
function stopNote(view, { switch: scope, by, reason, since, active_seconds }) {
  const lift = () =>
    change(view, {
      title: `Lift the stop of ${scope === "all" ? "everything" : scope}`,
      submit: "Lift the stop",
      danger: true,
      method: "POST",
      path: at`/rollout/${scope}/clear-stop`,
      body: () => ({}),
      intro: h("p", {}, "A release stays at 0 % until somebody raises it; its plan is begun anew by a person."),
    });
  return note(
    "stop",
    h(
      "p",
      {},
      h("strong", {}, `Emergency stop of ${scope === "all" ? "everything" : scope}`),
      `, by ${actorName(by)}, `,
      when(since),
      ` (${duration(active_seconds)} ago): ${reason}`,
    ),
    actions([{ id: `lift-${scope}`, text: "Lift the stop", call: "clear_stop", what: "lift a stop", run: lift }]),
  );
}

export const stopNotes = (view, ops) => (ops?.stops ?? []).map((stop) => stopNote(view, stop));

const drainLine = (drain) =>
  h("p", { class: "soft" }, `Going from ${percent(drain.from)} to ${percent(drain.to)} until `, when(drain.end), ".");

function release(item) {
  return [
    [link(href(`releases/${item.name}`), item.name), item.channel === "stable" && badge("stable")],
    h("code", {}, item.version ?? "–"),
    item.stopped ? stateBadge("stopped") : stateBadge(item.state),
    [
      h(
        "span",
        { class: "share" },
        meter(item.percentage, `${item.name} is offered to ${percent(item.percentage)} of networks`),
        h("strong", {}, percent(item.percentage)),
      ),
      item.configured_percentage !== item.percentage && soft(`set to ${percent(item.configured_percentage)}`),
      item.drain && drainLine(item.drain),
    ],
    words(item.phase),
    item.plan
      ? [link(href(`releases/${item.name}/plan`), item.plan.name || "a plan"), " ", stateBadge(item.plan.status)]
      : "none",
  ];
}

export async function view(view) {
  const [list, ops] = await Promise.all([view.read("/admin/releases"), view.perhaps("/ops/status.json")]);
  const waiting = ops?.approvals?.length ?? 0;
  return [
    stopNotes(view, ops),
    waiting > 0 &&
      note(
        "warn",
        h(
          "p",
          {},
          `${num(waiting)} ${waiting === 1 ? "change waits" : "changes wait"} for somebody else’s approval. `,
          link("#/approvals", "Look at them"),
        ),
      ),
    card(
      "On offer",
      list.releases.length === 0
        ? empty("There is no release: everybody gets stable.")
        : table(
            "Releases",
            ["Release", "Version", "State", "Of networks", "Phase", "Plan"],
            list.releases.map(release),
          ),
      soft("A percentage of networks is not a percentage of people: behind carrier NAT hundreds share one address."),
    ),
    card(
      "Everything else",
      facts([
        ["Stable version", h("code", {}, list.stable)],
        ["Listed versions", num(list.versions.length)],
        ops && ["Features", num(ops.counts.features)],
        ops && ["Cohorts", num(ops.counts.cohorts)],
        ops && ["People on lists", num(ops.counts.members)],
        ops && ["Tokens in use", num(ops.counts.active_tokens)],
        ops && ["Changes so far", num(ops.rows)],
        ops && ["Kill switches on", num(ops.kill_switches.length)],
      ]),
    ),
  ];
}
