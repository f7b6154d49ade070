// What a change does to requesters, as the router's dry run says it.

import { h, svg } from "../dom.js";
import { num, percent, share } from "../format.js";
import { decision } from "./decision.js";

const PARTS = [
  ["enter", "get a beta instead of stable"],
  ["leave", "go back to stable"],
  ["switch", "get another build"],
  ["stay", "keep what they have"],
];

/** A bar of the four shares. A share that is not zero can be seen. */
function bar(impact) {
  let x = 0;
  const rects = PARTS.map(([name]) => {
    const value = Math.max(0, Number(impact[name]) || 0);
    const width = value > 0 ? Math.max(0.6, value) : 0;
    const rect = svg("rect", { class: `i-${name}`, x, y: 0, width, height: 6 });
    x += width;
    return rect;
  });
  return svg(
    "svg",
    { class: "impact-bar", viewBox: `0 0 ${Math.max(x, 1)} 6`, preserveAspectRatio: "none", "aria-hidden": "true" },
    rects,
  );
}

const listed = ({ people, enter, leave, switch: other }) =>
  people > 0 &&
  h(
    "p",
    { class: "soft" },
    `Of ${num(people)} people on lists, ${num(enter)} enter, ${num(leave)} leave and ${num(other)} switch.`,
  );

export function impactOf(impact) {
  if (!impact) return null;
  return h(
    "div",
    { class: "impact" },
    bar(impact),
    h(
      "dl",
      { class: "impact-shares" },
      PARTS.map(([name, what]) =>
        h(
          "div",
          { data: { zero: impact[name] === 0 ? "1" : "" } },
          h("dt", { class: `i-${name}` }, name),
          h("dd", {}, h("strong", {}, share(impact[name])), ` ${what}`),
        ),
      ),
    ),
    impact.moves?.length > 0 &&
      h(
        "ul",
        { class: "moves" },
        impact.moves.map((move) =>
          h("li", {}, share(move.share), ": ", h("code", {}, move.from), " → ", h("code", {}, move.to)),
        ),
      ),
    impact.listed && listed(impact.listed),
  );
}

/** Everything that an answer to a change says. `plan` is the plan's document, where a decision is among it. */
export function changedOf(changed, plan) {
  return [
    h("p", { class: "summary" }, changed.changed ? changed.summary : `Nothing would change: ${changed.summary}`),
    changed.impact && impactOf(changed.impact),
    changed.features?.length > 0 &&
      h(
        "ul",
        { class: "moves" },
        changed.features.map((feature) =>
          h(
            "li",
            {},
            h("code", {}, feature.key),
            ` turns on for ${share(feature.on)} and off for ${share(feature.off)} of requesters`,
          ),
        ),
      ),
    changed.rollout &&
      h(
        "p",
        { class: "soft" },
        `${changed.rollout.name} then offers ${changed.rollout.version ?? "nothing"} to ${percent(changed.rollout.percentage)} of networks.`,
      ),
    changed.decision && decision(changed.decision, plan),
  ];
}
