// A decision about a plan: what each gate says, what that asks for, and what is done of it.
import { h, svg } from "../dom.js";
import { num, percent, rate, when, words } from "../format.js";
import { badge, facts, table } from "./parts.js";

const TONE = { PASS: "good", FAIL: "stop", ERROR: "stop", INCONCLUSIVE: "warn", NO_DATA: "quiet" };
export const verdict = (name) => badge(name, TONE[name] ?? "quiet");

/** Samples against what is needed, as a bar with the figures beside it. */
export function samples({ samples: have, missing }) {
  const needed = have + missing;
  const part = needed > 0 ? have / needed : 1;
  return h(
    "span",
    { class: "samples" },
    svg(
      "svg",
      { viewBox: "0 0 60 6", width: 60, height: 6, "aria-hidden": "true" },
      svg("rect", { class: "track", width: 60, height: 6, rx: 3 }),
      svg("rect", { class: missing > 0 ? "part" : "whole", width: (60 * part).toFixed(1), height: 6, rx: 3 }),
    ),
    missing > 0 ? `${num(have)} of ${num(needed)}` : `${num(have)}, enough`,
  );
}

/** The gates of a plan's document whose figures are parts of one: rates, and how many are below a quantile's limit. */
function parts(plan) {
  const all = [...(plan?.gates ?? []), ...(plan?.stages ?? []).flatMap((stage) => stage.gates ?? [])];
  const own = all.filter((gate) => gate.rate || (gate.quantile && gate.at_most_ms !== undefined));
  return new Set(own.map((gate) => gate.id ?? gate.rate ?? `${gate.quantile}-p${gate.p}`));
}

const figure = (value, isPart) => {
  if (typeof value !== "number") return "–";
  return isPart ? rate(value * 100) : num(Math.round(value * 1000) / 1000);
};

function gates(list, plan) {
  const own = parts(plan);
  return table(
    "Gates",
    ["Gate", "Verdict", ["Observed", "n"], ["Threshold", "n"], "Samples", "Why"],
    list.map((gate) => [
      h("code", {}, gate.gate),
      verdict(gate.verdict),
      figure(gate.observed, own.has(gate.gate)),
      figure(gate.threshold, own.has(gate.gate)),
      samples(gate),
      gate.why,
    ]),
  );
}

/** @param plan the plan's document, by which its figures are understood */
export function decision(made, plan) {
  return h(
    "div",
    { class: "decision stack" },
    facts([
      ["Verdict", verdict(made.verdict)],
      ["Asked for", words(made.asked)],
      ["Done", words(made.done)],
      ["Stage", made.stage || "–", ` at ${percent(made.percentage)}`],
      made.to !== null && made.to !== undefined && ["To", percent(made.to)],
      ["When", when(made.at, true)],
    ]),
    h("p", {}, made.why),
    made.suggestion &&
      h("p", { class: "note", data: { tone: "warn" } }, h("strong", {}, "Suggested: "), made.suggestion),
    made.halts?.length > 0 &&
      table(
        "Halts",
        ["Halt", "Action", "Why"],
        made.halts.map((halt) => [h("code", {}, halt.halt), badge(halt.action, "stop"), halt.why]),
      ),
    made.gates?.length > 0 && gates(made.gates, plan),
  );
}
