// One cohort and its people.

import { num, percent } from "../../format.js";
import { at } from "../api.js";
import { change } from "../change.js";
import { members } from "../members.js";
import { actions, badge, card, facts, link } from "../parts.js";
import { href } from "../routes.js";
import { edit } from "./cohorts.js";

export async function view(view) {
  const [name] = view.params;
  const path = at`/admin/cohorts/${name}`;
  const [cohort, people] = await Promise.all([view.read(path), view.read(`${path}/members`)]);
  const remove = () =>
    change(view, {
      title: `Delete ${name}`,
      submit: "Delete",
      danger: true,
      method: "DELETE",
      path,
      body: () => ({}),
    }).then((done) => done?.changed && view.go("cohorts"));
  return [
    card(
      "What it is",
      facts([
        [
          "State",
          cohort.killed ? badge("killed", "stop") : cohort.enabled ? badge("enabled", "good") : badge("disabled"),
        ],
        ["Of networks", percent(cohort.percentage)],
        ["Flags", cohort.features.join(", ") || "–"],
        [
          "Used for",
          cohort.releases.length > 0
            ? cohort.releases.map((release, i) => [i > 0 && ", ", link(href(`releases/${release}`), release)])
            : "no release",
        ],
        ["Members", num(cohort.members)],
      ]),
      actions([
        {
          id: "edit-cohort",
          text: "Change …",
          call: "put_cohort",
          what: "change cohorts",
          run: () => edit(view, cohort),
        },
        {
          id: "delete-cohort",
          text: "Delete …",
          tone: "danger",
          call: "delete_cohort",
          what: "delete cohorts",
          run: remove,
        },
      ]),
    ),
    card("People", members(view, `${path}/members`, people)),
  ];
}
