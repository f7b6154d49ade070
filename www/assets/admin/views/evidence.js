// How a release does, by arm, platform and cohort: success with its interval, latencies, samples against what is needed.

import { h } from "../../dom.js";
import { millis, num, percent, rate, when } from "../../format.js";
import { at } from "../api.js";
import { chart, intervals } from "../chart.js";
import { samples, verdict } from "../decision.js";
import { inOrder, isCount, title } from "../metrics.js";
import { card, empty, field, note, select, soft, table } from "../parts.js";

const SPANS = [
  [3600, "the last hour"],
  [21_600, "six hours"],
  [86_400, "a day"],
  [604_800, "a week"],
];
const BY = [
  ["arm", "arm"],
  ["platform", "platform"],
  ["cohort", "cohort"],
];
const POINTS = 24;

const nameOf = ({ arm, group }) =>
  [arm === "canary" ? "canary" : "stable", group && group !== arm ? group : ""].filter(Boolean).join(", ");

/** The points' times, as the reader writes them. */
function timesOf({ from, step_seconds: step }, points) {
  const format = new Intl.DateTimeFormat(
    undefined,
    step >= 3600 * 6 ? { dateStyle: "short" } : { dateStyle: "short", timeStyle: "short" },
  );
  return Array.from({ length: points }, (_, i) => format.format(new Date(from).getTime() + i * step * 1000));
}

/** An arm's first group has the arm's colour, and the others a second one. */
const toneOf = (group, groups) => {
  const isFirst = groups.find(({ arm }) => arm === group.arm) === group;
  return group.arm === "control" ? (isFirst ? "control" : "rest") : isFirst ? "canary" : "other";
};

/** The metrics of all groups, each with those that have it. */
function byMetric(groups, list) {
  const found = new Map();
  groups.forEach((group) => {
    for (const item of group[list]) {
      if (!found.has(item.metric)) found.set(item.metric, []);
      found.get(item.metric).push({ ...item, name: nameOf(group), tone: toneOf(group, groups) });
    }
  });
  return [...found].filter(([, rows]) => rows.some(({ total }) => total > 0)).sort(([a], [b]) => inOrder(a, b));
}

/** A quantile: what it lies below. One of something that was counted is unknown only above the last edge. */
const below = (value, total) => (value === null && total > 0 ? "off the scale" : value && `≤ ${millis(value)}`);

const legend = (rows) =>
  h(
    "ul",
    { class: "legend", "aria-hidden": "true" },
    rows.map((row) => h("li", { class: `key ${row.tone}` }, row.name)),
  );

/** Lines with their legend, as long as each has a look of its own. */
const drawn = (rows, values, options) =>
  new Set(rows.map(({ tone }) => tone)).size < rows.length
    ? soft("These are more groups than lines could be told apart.")
    : [
        legend(rows),
        chart(
          rows.map((row) => ({ ...row, values: row.series.map(values) })),
          options,
        ),
      ];

/** A table of groups, of which there may be more, and with longer names, than fit. */
const scrolling = (label, node) =>
  h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `${label}, figures` }, node);
const wide = (caption, columns, rows) => scrolling(caption, table(caption, columns, rows));

/** The points as a table, for those who read figures. */
const points = (caption, times, rows, value) =>
  h(
    "details",
    {},
    h("summary", {}, "Figures"),
    wide(
      caption,
      ["From", ...rows.map(({ name }) => [name, "n"])],
      times.map((time, i) => [time, ...rows.map((row) => value(row.series[i]))]),
    ),
  );

function rateCard(evidence, [metric, rows]) {
  const times = timesOf(evidence, rows[0].series.length);
  const name = title(metric);
  return card(
    name,
    drawn(rows, ({ total, good }) => (total > 0 ? (100 * good) / total : null), {
      label: `${name} over time`,
      format: rate,
      times,
      ceiling: 100,
    }),
    scrolling(name, intervals(name, rows)),
    points(`${name} by time`, times, rows, ({ total, good } = {}) =>
      total > 0 ? `${rate((100 * good) / total)} of ${num(total)}` : "–",
    ),
  );
}

function latencyCard(evidence, [metric, rows]) {
  const times = timesOf(evidence, rows[0].series.length);
  const name = title(metric);
  return card(
    name,
    soft("95 of 100 took at most so long (p95)."),
    drawn(rows, (point) => point.p95_ms, { label: `${name}: 95th percentile over time`, format: millis, times }),
    wide(
      name,
      ["Group", ["p50", "n"], ["p75", "n"], ["p95", "n"], ["p99", "n"], ["Samples", "n"]],
      rows.map((row) => [
        h("span", { class: `key ${row.tone}` }, row.name),
        below(row.p50_ms, row.total),
        below(row.p75_ms, row.total),
        below(row.p95_ms, row.total),
        below(row.p99_ms, row.total),
        num(row.total),
      ]),
    ),
    points(
      `${name}: 95th percentile by time`,
      times,
      rows,
      (point) => below(point?.p95_ms ?? null, point?.total) || "–",
    ),
  );
}

/** What is counted and has no rate, each group beside the others. */
function counts(groups, list) {
  if (list.length === 0) return null;
  const names = groups.map(nameOf);
  return card(
    "Counted",
    wide(
      "What was counted",
      ["What", ...names.map((name) => [name, "n"])],
      list.map(([metric, rows]) => [
        title(metric),
        ...names.map((name) => num(rows.find((row) => row.name === name)?.total ?? 0)),
      ]),
    ),
  );
}

/** What the present stage's gates have and need. */
function needs(plan) {
  const gates = plan?.last?.gates ?? [];
  if (gates.length === 0) return null;
  return card(
    "Samples against needed",
    soft("Of the present stage, at the last decision, ", when(plan.last.at), "."),
    table(
      "Samples against needed",
      ["Gate", "Verdict", "Samples"],
      gates.map((gate) => [h("code", {}, gate.gate), verdict(gate.verdict), samples(gate)]),
    ),
  );
}

export async function view(view) {
  const [name] = view.params;
  const seconds = view.query.get("seconds") ?? "86400";
  const by = view.query.get("by") ?? "arm";
  const turn = () => view.turn(`releases/${name}/evidence`, { seconds: span.value, by: group.value });
  const span = select(SPANS, { id: "span", value: seconds, on: { change: turn } });
  const group = select(BY, { id: "by", value: by, on: { change: turn } });
  const { releases } = await view.read("/admin/releases");
  const hasPlan = releases.some((item) => item.name === name && item.plan);
  const [evidence, plan] = await Promise.all([
    view.perhaps(at`/rollout/${name}/evidence`, { seconds, points: POINTS, by }, (error) => {
      if (error.status === 404 && error.type === "unknown-path") return null;
      throw error;
    }),
    hasPlan ? view.perhaps(at`/rollout/${name}/plan`) : null,
  ]);
  const filters = h("div", { class: "filters" }, field("Span", span), field("By", group));
  if (!evidence)
    return [
      card("Evidence", empty("This router does not show evidence over time; the report has the last day.")),
      needs(plan),
    ];
  const told = byMetric(evidence.groups, "rates");
  const rates = told.filter(([metric]) => !isCount(metric));
  const counted = told.filter(([metric]) => isCount(metric));
  const latencies = byMetric(evidence.groups, "latencies");
  return [
    h(
      "div",
      { class: "card stack" },
      filters,
      soft(
        "From ",
        when(evidence.from),
        " to ",
        when(evidence.to),
        evidence.share !== null &&
          evidence.share !== undefined &&
          `; the release was offered to ${percent(evidence.share)} of requesters.`,
      ),
    ),
    evidence.error && note("stop", h("p", {}, `The evidence could not be read whole: ${evidence.error}`)),
    !evidence.error &&
      told.length + latencies.length === 0 &&
      card(
        "Nothing yet",
        empty(
          "Nothing was told of this release in this time. Installers tell only where the policy says so, clients only where their users do.",
        ),
      ),
    h(
      "div",
      { class: "grid" },
      rates.map((item) => rateCard(evidence, item)),
      latencies.map((item) => latencyCard(evidence, item)),
    ),
    counts(evidence.groups, counted),
    needs(plan),
  ];
}
