// What an experiment shows: ship, keep or undecided, with the numbers.

import { h } from "../../dom.js";
import { num, percent, words } from "../../format.js";
import { at } from "../api.js";
import { change } from "../change.js";
import { intervals } from "../chart.js";
import { actions, badge, card, empty, facts, note, stateBadge, table } from "../parts.js";

const TONE = { ship: "good", keep: "warn", undecided: "quiet" };

const figure = (value) => (typeof value === "number" ? num(Math.round(value * 100) / 100) : "–");

/** The analysis has parts of one. */
const inPercent = ({ rate, low, high, good, samples }) => ({
  rate: rate === null ? null : rate * 100,
  low: low * 100,
  high: high * 100,
  good,
  total: samples,
});

function metric(analysis, name) {
  const arms = analysis.arms
    .map((arm) => ({ arm, result: arm.metrics.find((item) => item.metric === name) }))
    .filter(({ result }) => result);
  const comparisons = analysis.comparisons.filter((item) => item.metric === name);
  return card(
    words(name),
    intervals(
      words(name),
      arms.map(({ arm, result }) => ({
        name: arm.variant,
        tone: arm.control ? "control" : "canary",
        ...inPercent(result),
      })),
    ),
    comparisons.length > 0 &&
      table(
        `${words(name)}, compared with the control`,
        ["Variant", ["Gain", "n"], ["Proof that better", "n"], ["That no gain", "n"], ["That worse", "n"]],
        comparisons.map((item) => [
          h("code", {}, item.variant),
          item.improvement_percent === null ? "–" : `${figure(item.improvement_percent)} %`,
          figure(item.evidence_better),
          figure(item.evidence_no_gain),
          figure(item.evidence_worse),
        ]),
      ),
  );
}

export async function view(view) {
  const [name] = view.params;
  const analysis = await view.read(at`/admin/experiments/${name}`);
  const metrics = [...new Set(analysis.arms.flatMap((arm) => arm.metrics.map((item) => item.metric)))];
  const turn = (enabled) => () =>
    change(view, {
      title: `${enabled ? "Go on with" : "End"} ${name}`,
      submit: enabled ? "Go on" : "End it",
      danger: !enabled,
      method: "POST",
      path: "/admin/experiments",
      body: () => ({ [name]: { enabled } }),
      intro: h("p", {}, enabled ? "Requesters get their variants again." : "Everybody gets the control."),
    });
  return [
    card(
      "What it shows",
      note(
        TONE[analysis.decision] ?? "quiet",
        h(
          "p",
          {},
          h("strong", {}, words(analysis.decision)),
          analysis.variant && [" ", h("code", {}, analysis.variant)],
          `: ${analysis.why}`,
        ),
      ),
      facts([
        ["State", stateBadge(analysis.state)],
        ["Because", words(analysis.because)],
        ["Proof from", num(analysis.proof)],
        ["Least gain that matters", percent(analysis.threshold_percent)],
        ["Still needed", analysis.samples_needed > 0 ? `${num(analysis.samples_needed)} samples` : "enough samples"],
        [
          "Shares",
          analysis.sample_ratio.ok
            ? badge("as they should be", "good")
            : badge(`wrong: ${analysis.sample_ratio.of ?? ""}`, "stop"),
        ],
      ]),
      actions([
        analysis.state === "off"
          ? { id: "go-on", text: "Go on …", call: "set_experiments", what: "steer experiments", run: turn(true) }
          : {
              id: "end",
              text: "End …",
              tone: "danger",
              call: "set_experiments",
              what: "steer experiments",
              run: turn(false),
            },
      ]),
    ),
    card(
      "Who took part",
      table(
        "Variants",
        ["Variant", ["Share", "n"], ["Requesters", "n"], ["Requester days", "n"]],
        analysis.arms.map((arm) => [
          [h("code", {}, arm.variant), arm.control && " (control)"],
          percent(arm.share * 100),
          num(arm.units),
          num(arm.unit_days),
        ]),
      ),
    ),
    metrics.length === 0
      ? card("Metrics", empty("Nothing was told yet."))
      : metrics.map((item) => metric(analysis, item)),
  ];
}
