// Charts as inline SVG. Each has its figures beside it or below it, so nothing is said by a picture alone.
import { freshId, h, svg } from "../dom.js";
import { num, rate } from "../format.js";
import { table } from "./parts.js";

const WIDTH = 320;
const HEIGHT = 96;
const PAD = 4;

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** A scale that gives the differences room, from `min` to `max`. */
const scale =
  (min, max, size, from = 0) =>
  (value) =>
    from + ((value - min) / (max - min || 1)) * size;

/** The path of a line with gaps where nothing is known. */
function path(values, x, y) {
  let d = "";
  let pen = false;
  values.forEach((value, i) => {
    if (isNumber(value)) d += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = isNumber(value);
  });
  return d;
}

/** The straight ways over the gaps of a line, which are drawn fainter: nothing is known in between. */
function bridges(values, x, y) {
  let before = null;
  let d = "";
  values.forEach((value, i) => {
    if (!isNumber(value)) return;
    if (before !== null && i - before > 1)
      d += `M${x(before).toFixed(1)} ${y(values[before]).toFixed(1)}L${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    before = i;
  });
  return d;
}

/** Points that have no neighbour, which no line would show. */
const lonely = (values) =>
  values
    .map((value, i) => [value, i])
    .filter(([value, i]) => isNumber(value) && !isNumber(values[i - 1]) && !isNumber(values[i + 1]));

/**
 * Lines over time.
 *
 * @param lines `{ name, tone, values }`; tones are `canary`, `control`, and `other` and `rest` of the same arms
 * @param options `label`, `format` of a value, `times` of the points, `ceiling` that no value passes
 */
export function chart(lines, { label, format, times, ceiling = Number.POSITIVE_INFINITY }) {
  const known = lines.flatMap(({ values }) => values.filter(isNumber));
  if (known.length === 0) return h("p", { class: "empty" }, "Nothing was counted in this time.");
  const lowest = Math.min(...known);
  const highest = Math.max(...known);
  const room = Math.max((highest - lowest) * 0.15, Math.abs(highest) * 0.01, 1e-9);
  const [min, max] = [Math.max(0, lowest - room), Math.min(ceiling, highest + room)];
  const points = Math.max(2, ...lines.map(({ values }) => values.length));
  const x = scale(0, points - 1, WIDTH - 2 * PAD, PAD);
  const y = scale(max, min, HEIGHT - 2 * PAD, PAD);
  const id = freshId("chart");
  const last = (values) => values.filter(isNumber).at(-1);
  const said = lines
    .map(({ name, values }) => `${name}: ${isNumber(last(values)) ? format(last(values)) : "nothing"} at last`)
    .join("; ");
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": id, preserveAspectRatio: "none" },
    svg("title", { id }, `${label}. ${said}.`),
    [min, (min + max) / 2, max].map((value) =>
      svg("line", { class: "scale", x1: PAD, x2: WIDTH - PAD, y1: y(value), y2: y(value) }),
    ),
    // The first one on top: that is what is asked about.
    lines
      .toReversed()
      .map(({ tone, values }) => [
        svg("path", { class: `line gap ${tone}`, d: bridges(values, x, y) }),
        svg("path", { class: `line ${tone}`, d: path(values, x, y) }),
        lonely(values).map(([value, i]) => svg("circle", { class: `dot ${tone}`, cx: x(i), cy: y(value), r: 2 })),
      ]),
  );
  return h(
    "figure",
    { class: "chart" },
    h(
      "div",
      { class: "plot" },
      h(
        "div",
        { class: "axis", "aria-hidden": "true" },
        [max, min].map((value) => h("span", {}, format(value))),
      ),
      picture,
    ),
    times.length > 1 &&
      h("div", { class: "times", "aria-hidden": "true" }, h("span", {}, times[0]), h("span", {}, times.at(-1))),
  );
}

/**
 * Rates with their intervals, one below the other on one scale, in a table with the figures.
 *
 * @param rows `{ name, tone, total, good, rate, low, high }`, in percent; `rate` is `null` where there is none
 */
export function intervals(caption, rows) {
  const known = rows.flatMap(({ low, high, rate: value, total }) =>
    total > 0 ? [low, high, value].filter(isNumber) : [],
  );
  const min = known.length > 0 ? Math.max(0, Math.floor(Math.min(...known) - 0.5)) : 0;
  const max = known.length > 0 ? Math.min(100, Math.ceil(Math.max(...known) + 0.5)) : 100;
  const x = scale(min, max, 116, 2);
  const picture = ({ tone, low, high, rate: value, total }) =>
    svg(
      "svg",
      { class: "interval", viewBox: "0 0 120 12", "aria-hidden": "true" },
      svg("line", { class: "scale", x1: 2, x2: 118, y1: 6, y2: 6 }),
      total > 0 &&
        isNumber(low) &&
        isNumber(high) &&
        svg("line", { class: `span ${tone}`, x1: x(low), x2: Math.max(x(high), x(low) + 1), y1: 6, y2: 6 }),
      total > 0 && isNumber(value) && svg("circle", { class: `dot ${tone}`, cx: x(value), cy: 6, r: 3.5 }),
    );
  return table(
    caption,
    ["Group", ["Share", "n"], ["Interval", "n"], [`${rate(min)} to ${rate(max)}`, "wide"], ["Samples", "n"]],
    rows.map((row) => [
      h("span", { class: `key ${row.tone}` }, row.name),
      row.total > 0 ? rate(row.rate) : "–",
      row.total > 0 && isNumber(row.low) ? `${rate(row.low)} – ${rate(row.high)}` : "–",
      picture(row),
      num(row.total),
    ]),
  );
}
