// A percentage over time, as steps: it stays what it is until somebody changes it.
import { freshId, h, svg } from "./dom.js";
import { percent, when, words } from "./format.js";

const WIDTH = 600;
const HEIGHT = 160;
const HOUR_MS = 3_600_000;

// The scale ends at the first of these that leaves some room, so that a beginning is seen too.
const CEILINGS = [1, 5, 10, 25, 50, 100];

const STOPS = new Set(["stopped", "killed", "rolled_back", "ended"]);
const SAID = {
  stopped: "emergency stop",
  stop_cleared: "emergency stop lifted",
  killed: "canary switched off",
  restored: "canary switched on again",
  drafted: "a draft again",
};

/** What happened, in words. */
const said = (event) => SAID[event] ?? words(event);

/**
 * The chart of a release and its table.
 *
 * @param release as `readHistory` gives it
 * @param now until when it is drawn, in milliseconds
 */
export function steps({ name, percentage, events }, now) {
  const points = events.map((event) => ({ ...event, time: Date.parse(event.at) })).sort((a, b) => a.time - b.time);
  const id = freshId("chart");
  return h(
    "figure",
    { class: "steps", "aria-labelledby": id },
    h(
      "figcaption",
      { class: "row", id },
      h("h3", {}, name || "–"),
      h("span", {}, h("strong", {}, percent(percentage)), " now"),
    ),
    points.length > 0 ? drawn(points, percentage, now) : h("p", { class: "soft" }, "Nothing has happened to it yet."),
    points.length > 0 && table(name, points),
  );
}

function drawn(points, percentage, now) {
  const from = points[0].time;
  const to = Math.max(now, points.at(-1).time, from + HOUR_MS);
  const x = (time) => Math.round(((time - from) / (to - from)) * WIDTH * 10) / 10;
  const highest = Math.max(percentage ?? 0, ...points.map((point) => point.percentage ?? 0));
  const top = CEILINGS.find((ceiling) => highest < ceiling) ?? 100;
  const y = (value) => Math.round((HEIGHT - ((value ?? 0) / top) * HEIGHT) * 10) / 10;
  let line = `M0 ${y(points[0].percentage)}`;
  for (const { time, percentage: value } of points) line += `H${x(time)}V${y(value)}`;
  line += `V${y(percentage ?? points.at(-1).percentage)}H${WIDTH}`;
  const stops = points.filter(({ event }) => STOPS.has(event));
  const count = points.length === 1 ? "one change" : `${points.length} changes`;
  return h(
    "div",
    { class: "plot" },
    h(
      "div",
      { class: "axis", "aria-hidden": "true" },
      [top, top / 2, 0].map((value) => h("span", {}, percent(value))),
    ),
    svg(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `Percentage over time, with ${count}: ${percent(points[0].percentage)} at first, ${percent(percentage)} now. The table below has each.`,
      },
      [0, top / 2, top].map((value) => svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y(value), y2: y(value) })),
      svg("path", { class: "area", d: `${line}V${HEIGHT}H0z` }),
      stops.map(({ time }) => svg("line", { class: "stopped", x1: x(time), x2: x(time), y1: 0, y2: HEIGHT })),
      svg("path", { class: "line", d: line }),
    ),
    h("div", { class: "times" }, when(points[0].at), h("span", {}, "now")),
    stops.length > 0 &&
      h(
        "p",
        { class: "legend" },
        h("span", { class: "key", "aria-hidden": "true" }),
        "stopped, switched off, rolled back or ended",
      ),
  );
}

function table(name, points) {
  const head = ["When", "What", "Percentage", "Phase"];
  return h(
    "details",
    { data: { of: name } },
    h("summary", {}, "As a table"),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "group", "aria-label": `History of ${name} as a table` },
      h(
        "table",
        {},
        h("caption", { class: "visually-hidden" }, `History of ${name}, the newest first`),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            head.map((title) => h("th", { scope: "col" }, title)),
          ),
        ),
        h(
          "tbody",
          {},
          points
            .toReversed()
            .map(({ at, event, percentage, phase }) =>
              h(
                "tr",
                {},
                h("td", {}, when(at)),
                h("td", {}, said(event)),
                h("td", { class: "n" }, percent(percentage)),
                h("td", {}, words(phase)),
              ),
            ),
        ),
      ),
    ),
  );
}
