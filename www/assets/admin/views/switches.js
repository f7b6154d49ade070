// Kill switches: what is off for everybody whatever its percentage, since when, and why.

import { h } from "../../dom.js";
import { duration, when, words } from "../../format.js";
import { change, Unfinished } from "../change.js";
import { actions, actorName, badge, card, empty, field, note, table } from "../parts.js";

const GLOBAL = [
  ["telemetry_disabled", "Telemetry", "Clients send nothing, and what comes is ignored."],
  ["llm_backends_disabled", "LLM backends", "Clients ask no model."],
  ["command_execution_disabled", "Command execution", "Clients run no command."],
  ["canary", "The whole canary", "No release is offered to anyone."],
];

/** The body that turns one switch. */
function turned(name, on) {
  const [group, key] = name.split(/\/(.*)/s);
  return key === undefined ? { [name]: on } : { [group]: { [key]: on } };
}

const turn = (view, name, on, title) =>
  change(view, {
    title: `${on ? "Kill" : "Turn on again"}: ${title}`,
    submit: on ? "Kill" : "Turn on again",
    danger: on,
    method: "POST",
    path: "/admin/kill-switches",
    body: () => turned(name, on),
  });

function one(view, marks, [name, title, what]) {
  const mark = marks.get(name);
  return [
    [h("strong", {}, title), h("p", { class: "soft" }, what)],
    mark ? badge("killed", "stop") : badge("not killed", "good"),
    mark ? [when(mark.since), ` (${duration(mark.active_seconds)})`] : "–",
    mark ? [mark.reason, h("p", { class: "soft" }, `by ${actorName(mark.by)}`)] : "–",
    actions([
      mark
        ? {
            id: `on-${name}`,
            text: "Turn on again …",
            label: `Turn ${title} on again`,
            call: "set_kill_switches",
            what: "turn switches",
            run: () => turn(view, name, false, title),
          }
        : {
            id: `kill-${name}`,
            text: "Kill …",
            label: `Kill ${title}`,
            tone: "danger",
            call: "set_kill_switches",
            what: "turn switches",
            run: () => turn(view, name, true, title),
          },
    ]),
  ];
}

/** Kills something that has a name. */
function kill(view, group, what, names) {
  const name = h("input", {
    type: "text",
    name: "name",
    required: true,
    list: "names",
    autocomplete: "off",
    spellcheck: "false",
  });
  return change(view, {
    title: `Kill a ${what}`,
    submit: "Kill",
    danger: true,
    method: "POST",
    path: "/admin/kill-switches",
    fields: h(
      "div",
      {},
      field(words(what), name),
      h(
        "datalist",
        { id: "names" },
        names.map((value) => h("option", { value })),
      ),
    ),
    body: () => {
      if (!name.value.trim()) throw new Unfinished(`Which ${what}?`);
      return { [group]: { [name.value.trim()]: true } };
    },
  });
}

export async function view(view) {
  const [kills, written, cohorts] = await Promise.all([
    view.read("/admin/kill-switches"),
    view.perhaps("/admin/features"),
    view.perhaps("/admin/cohorts"),
  ]);
  const marks = new Map(kills.on.map((mark) => [mark.switch, mark]));
  const named = kills.on
    .filter(({ switch: name }) => name.includes("/"))
    .map(({ switch: name }) => [name, words(name.replace("/", ": ")), ""]);
  const columns = ["Switch", "State", "Since", "Why", ""];
  const features = [
    ...new Set((written?.features ?? []).map(({ key }) => key).concat(Object.keys(written?.defaults ?? {}))),
  ];
  return [
    kills.on.length > 0 &&
      note(
        "stop",
        h(
          "p",
          {},
          "Nothing local or remote turns on what is killed here. A switch that stays on is reminded of after 24 hours.",
        ),
      ),
    card(
      "For everybody",
      table(
        "Kill switches",
        columns,
        GLOBAL.map((item) => one(view, marks, item)),
      ),
    ),
    card(
      "One flag or one cohort",
      named.length > 0
        ? table(
            "Killed flags and cohorts",
            columns,
            named.map((item) => one(view, marks, item)),
          )
        : empty("None is killed."),
      actions([
        {
          id: "kill-feature",
          text: "Kill a flag …",
          tone: "danger",
          call: "set_kill_switches",
          what: "kill flags",
          run: () => kill(view, "features", "flag", features),
        },
        {
          id: "kill-cohort",
          text: "Kill a cohort …",
          tone: "danger",
          call: "set_kill_switches",
          what: "kill cohorts",
          run: () =>
            kill(
              view,
              "cohorts",
              "cohort",
              (cohorts?.cohorts ?? []).map(({ name }) => name),
            ),
        },
      ]),
    ),
  ];
}
