// What differs between two texts, line by line (Myers, "An O(ND) difference algorithm", 1986).
import { h } from "../dom.js";
import { num } from "../format.js";

const CONTEXT = 3;
// Beyond so many differences the texts have little to do with each other, and finding the fewest takes long.
const MAX_EDITS = 2_000;

/** The lines as `[kind, line]`: `" "` both have it, `"-"` the old one, `"+"` the new one. */
export function lines(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const same = (text) => [" ", text];
  return [
    ...a.slice(0, head).map(same),
    ...between(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map(same),
  ];
}

function between(a, b) {
  const whole = () => [...a.map((line) => ["-", line]), ...b.map((line) => ["+", line])];
  const reach = new Map([[1, 0]]);
  const traces = [];
  const limit = Math.min(a.length + b.length, MAX_EDITS);
  for (let d = 0; d <= limit; d += 1) {
    traces.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      const isDown = k === -d || (k !== d && reach.get(k - 1) < reach.get(k + 1));
      let x = isDown ? reach.get(k + 1) : reach.get(k - 1) + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x += 1;
        y += 1;
      }
      reach.set(k, x);
      if (x >= a.length && y >= b.length) return back(a, b, traces);
    }
  }
  return whole();
}

/** From the end to the beginning, along the furthest points. */
function back(a, b, traces) {
  const found = [];
  let [x, y] = [a.length, b.length];
  for (let d = traces.length - 1; d >= 0; d -= 1) {
    const reach = traces[d];
    const k = x - y;
    const isDown = k === -d || (k !== d && reach.get(k - 1) < reach.get(k + 1));
    const before = isDown ? k + 1 : k - 1;
    const fromX = reach.get(before) ?? 0;
    const fromY = fromX - before;
    while (x > fromX && y > fromY && x > 0 && y > 0) {
      x -= 1;
      y -= 1;
      found.push([" ", a[x]]);
    }
    if (d > 0) {
      if (isDown) found.push(["+", b[--y]]);
      else found.push(["-", a[--x]]);
    }
  }
  return found.reverse();
}

/** The differences with a few lines around each. */
export function differences(before, after) {
  const all = lines(before, after);
  const near = all.map((_, i) => all.slice(Math.max(0, i - CONTEXT), i + CONTEXT + 1).some(([kind]) => kind !== " "));
  const [added, removed] = ["+", "-"].map((kind) => all.filter(([own]) => own === kind).length);
  if (added + removed === 0) return h("p", { class: "empty" }, "Nothing differs.");
  const shown = [];
  all.forEach(([kind, line], i) => {
    if (!near[i]) {
      if (near[i - 1]) shown.push(h("span", { class: "gap" }, "…\n"));
      return;
    }
    const tag = kind === "+" ? "ins" : kind === "-" ? "del" : "span";
    shown.push(h(tag, {}, `${kind} ${line}\n`));
  });
  return [
    h("p", { class: "soft" }, `${num(added)} lines more, ${num(removed)} lines less`),
    h("pre", { class: "diff", tabindex: "0", "aria-label": "Differences" }, shown),
  ];
}
