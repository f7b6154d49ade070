// Steps that both the release and its plan offer.

import { h } from "../dom.js";
import { at } from "./api.js";
import { change, Unfinished } from "./change.js";
import { field } from "./parts.js";

/** Down to a percentage, at once or evenly over some time. */
export function rollback(view, name, from) {
  const to = h("input", { type: "number", min: 0, max: 100, step: 0.001, value: 0, inputmode: "decimal", name: "to" });
  const over = h("input", { type: "number", min: 0, max: 1440, step: 1, value: 0, inputmode: "numeric", name: "over" });
  return change(view, {
    title: `Roll back ${name}`,
    submit: "Roll back",
    danger: true,
    method: "POST",
    path: at`/rollout/${name}/rollback`,
    fields: h(
      "div",
      { class: "pair" },
      field("Down to, in percent", to, `It is at ${from} % now.`),
      field("Over how many minutes", over, "0: at once. The rest drains evenly."),
    ),
    body: () => {
      const [percentage, minutes] = [Number(to.value), Number(over.value)];
      if (to.value === "" || !(percentage >= 0 && percentage <= 100))
        throw new Unfinished("A percentage is from 0 to 100.");
      if (over.value === "" || !(minutes >= 0 && minutes <= 1440)) throw new Unfinished("It takes 0 to 1440 minutes.");
      const body = { percentage };
      if (minutes > 0) body.over_seconds = Math.round(minutes * 60);
      return body;
    },
    intro: h("p", {}, "The release and its plan are paused then; Resume lets them go on."),
  });
}
