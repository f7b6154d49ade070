// One flag: what is written of it, to be changed with the API's opinion at the line that it is about.

import { h } from "../../dom.js";
import { day, json, num, when, words } from "../../format.js";
import { at, may, who } from "../api.js";
import { change, Unfinished } from "../change.js";
import { editor } from "../jsonedit.js";
import { actions, badge, card, facts, link, note, soft, table, whyNot } from "../parts.js";
import { patch } from "../patch.js";
import { findingsOf, inDefinition, inShort } from "./flags.js";

/** Which part of a flag a finding is about, if not all of it. */
const placeIn = (pointer) => {
  const part = pointer.split("/").slice(4).join("/");
  return part && [h("code", {}, part), " "];
};

function papers(feature) {
  const { definition } = feature;
  const of = (name) => (typeof definition === "object" ? definition[name] : undefined);
  return facts([
    ["Now", inShort(definition)],
    ["Release", h("code", {}, feature.release)],
    ["Stage", words(of("stage"))],
    ["Kind", words(of("kind"))],
    ["Owner", of("owner") ?? "–"],
    ["Added", of("added") ? day(of("added")) : "–"],
    ["Expires", of("expires") ? day(of("expires")) : "never"],
    ["Tracking", of("tracking") ?? "–"],
    ["In a stop", of("on_emergency") === "keep" ? "kept" : "off"],
    feature.denied > 0 && ["Denied", num(feature.denied)],
    feature.full_since && ["For everybody since", when(feature.full_since)],
  ]);
}

export async function view(view) {
  const [release, key] = view.params;
  const [written, lint, kills] = await Promise.all([
    view.read("/admin/features"),
    view.perhaps("/admin/lint"),
    view.perhaps("/admin/kill-switches"),
  ]);
  const feature = written.features.find((item) => item.release === release && item.key === key);
  if (!feature) return h("p", {}, "Nothing is written of this flag. ", link("#/flags", "All flags"));
  const { definition } = feature;
  const isOff = definition === false || definition.enabled === false;
  const isObject = typeof definition === "object";
  const role = who().role;
  const mayEdit = may("set_features") && (role !== "engineer" || definition?.stage === "development");
  const path = at`/features/${release}`;
  const findings = findingsOf(lint, feature);
  const text = editor({
    label: "As JSON",
    value: json(definition),
    rows: Math.min(28, Math.max(8, json(definition).split("\n").length + 2)),
    readOnly: !mayEdit,
  });
  const turn = (on) => () =>
    change(view, {
      title: `${on ? "Restore" : "Switch off"} ${key}`,
      submit: on ? "Restore" : "Switch off",
      danger: !on,
      method: "POST",
      path,
      body: () => ({ [key]: on }),
    });
  const forget = () =>
    change(view, {
      title: `Forget ${key}`,
      submit: "Forget",
      danger: true,
      method: "POST",
      path,
      body: () => ({ [key]: null }),
      intro: h("p", {}, "What is written of it goes; it answers its default then."),
    });
  const store = () =>
    change(view, {
      title: `Change ${key}`,
      submit: "Change",
      method: "POST",
      path,
      body: () => {
        const value = text.read();
        const difference = isObject && typeof value === "object" && value !== null ? patch(definition, value) : value;
        if (difference === undefined || JSON.stringify(value) === JSON.stringify(definition))
          throw new Unfinished("Nothing is changed yet.");
        return { [key]: difference };
      },
      mark: (errors) => text.mark(errors, inDefinition),
    });
  return [
    kills?.features.includes(key) &&
      note("stop", h("p", {}, "A kill switch turns this off for everybody. ", link("#/switches", "Kill switches"))),
    card(
      "What it is",
      isObject && definition.description && h("p", {}, definition.description),
      papers(feature),
      mayEdit
        ? actions([
            isOff
              ? { id: "restore", text: "Restore …", tone: "primary", run: turn(true) }
              : { id: "off", text: "Switch off …", tone: "danger", run: turn(false) },
            { id: "forget", text: "Forget …", run: forget },
          ])
        : whyNot(
            role === "engineer"
              ? "change this: an engineer may change flags whose stage is development"
              : "change flags",
          ),
    ),
    findings.length > 0 &&
      card(
        "Lint",
        table(
          "Findings",
          ["Severity", "Rule", "What"],
          findings.map((finding) => [
            badge(finding.severity, finding.severity === "error" ? "stop" : "warn"),
            badge(finding.rule),
            [placeIn(finding.pointer), finding.message],
          ]),
        ),
      ),
    card(
      "Definition",
      text.node,
      feature.denied > 0 && soft("Without its deny list, which names people by hashes; a change leaves that as it is."),
      mayEdit &&
        h(
          "div",
          { class: "actions" },
          h("button", { type: "button", id: "store", class: "primary", on: { click: store } }, "Look and change …"),
        ),
    ),
  ];
}
