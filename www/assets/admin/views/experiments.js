// Every experiment.
import { h } from "../../dom.js";
import { percent, when } from "../../format.js";
import { card, empty, link, stateBadge, table } from "../parts.js";
import { href } from "../routes.js";

export async function view(view) {
  const { experiments } = await view.read("/admin/experiments");
  return card(
    "Every experiment",
    experiments.length === 0
      ? empty("There is none. POST /admin/experiments begins one; README says how.")
      : table(
          "Experiments",
          ["Experiment", "State", "Variants", "First metric", ["Takes part", "n"], "From", "Until"],
          experiments.map((item) => [
            link(href(`experiments/${item.name}`), item.name),
            stateBadge(item.state),
            item.variants.map((variant, i) => [
              i > 0 && ", ",
              h("code", {}, variant),
              variant === item.control && " (control)",
            ]),
            h("code", {}, item.metrics[0] ?? "–"),
            percent(item.traffic),
            when(item.start),
            when(item.end),
          ]),
        ),
  );
}
