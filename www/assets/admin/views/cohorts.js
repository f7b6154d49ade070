// Groups of people, and canary mode.

import { h } from "../../dom.js";
import { num, percent } from "../../format.js";
import { at } from "../api.js";
import { change, Unfinished } from "../change.js";
import { members } from "../members.js";
import { actions, badge, card, check, empty, facts, field, link, soft, table } from "../parts.js";
import { href } from "../routes.js";

/** Makes or changes a cohort. */
export function edit(view, present) {
  const name = h("input", {
    type: "text",
    name: "name",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    value: present?.name ?? "",
    readonly: Boolean(present),
  });
  const percentage = h("input", {
    type: "number",
    min: 0,
    max: 100,
    step: 0.001,
    inputmode: "decimal",
    value: present?.percentage ?? 0,
  });
  const features = h("input", {
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    value: present?.features.join(" ") ?? "",
  });
  const enabled = check("Enabled", { checked: present?.enabled ?? true });
  return change(view, {
    title: present ? `Change ${present.name}` : "New cohort",
    submit: present ? "Change" : "Make it",
    method: "PUT",
    get path() {
      return at`/admin/cohorts/${name.value.trim() || "-"}`;
    },
    fields: h(
      "div",
      { class: "stack" },
      field("Name", name),
      field(
        "Percent of networks",
        percentage,
        "Of the buckets of the release that it is used for, so that moving on evicts nobody.",
      ),
      field("Flags that its people always get", features, "Keys with blanks between, or the word all."),
      enabled,
    ),
    body: () => {
      if (!name.value.trim()) throw new Unfinished("The cohort needs a name.");
      const value = Number(percentage.value);
      if (percentage.value === "" || !(value >= 0 && value <= 100))
        throw new Unfinished("A percentage is from 0 to 100.");
      return {
        enabled: enabled.firstChild.checked,
        percentage: value,
        features: features.value.split(/[\s,]+/).filter(Boolean),
      };
    },
  });
}

const row = (cohort) => [
  link(href(`cohorts/${cohort.name}`), cohort.name),
  cohort.killed ? badge("killed", "stop") : cohort.enabled ? badge("enabled", "good") : badge("disabled"),
  percent(cohort.percentage),
  num(cohort.members),
  cohort.features.join(", ") || "–",
  cohort.releases.map((name, i) => [i > 0 && ", ", link(href(`releases/${name}`), name)]),
];

export async function view(view) {
  const [{ cohorts }, canary, people] = await Promise.all([
    view.read("/admin/cohorts"),
    view.read("/admin/canary"),
    view.read("/admin/canary/members"),
  ]);
  const turn = (enabled) => () =>
    change(view, {
      title: `Turn canary mode ${enabled ? "on" : "off"}`,
      submit: enabled ? "Turn on" : "Turn off",
      danger: !enabled,
      method: "POST",
      path: "/admin/canary",
      body: () => ({ enabled }),
    });
  return [
    card(
      "Cohorts",
      cohorts.length > 0
        ? table(
            "Cohorts",
            ["Cohort", "State", ["Of networks", "n"], ["Members", "n"], "Flags", "Releases"],
            cohorts.map(row),
          )
        : empty("There is no cohort."),
      actions([
        { id: "new-cohort", text: "New cohort …", call: "put_cohort", what: "make cohorts", run: () => edit(view) },
      ]),
    ),
    card(
      "Canary mode",
      soft("While it is on, whoever is on its list gets the newest release whatever its percentage."),
      facts([
        ["Mode", canary.killed ? badge("killed", "stop") : canary.enabled ? badge("on", "good") : badge("off")],
        ["On the list", num(canary.members)],
      ]),
      actions([
        canary.enabled
          ? { id: "canary-off", text: "Turn off …", call: "set_canary", what: "turn canary mode off", run: turn(false) }
          : { id: "canary-on", text: "Turn on …", call: "set_canary", what: "turn canary mode on", run: turn(true) },
      ]),
      members(view, "/admin/canary/members", people),
    ),
  ];
}
