// A release's plan: its stages, what the gates say, what was decided last, and what a person may do.

import { h, show } from "../../dom.js";
import { duration, json, percent, relative, when, words } from "../../format.js";
import { at, may, send, who } from "../api.js";
import { change } from "../change.js";
import { decision } from "../decision.js";
import { changedOf } from "../impact.js";
import { editor } from "../jsonedit.js";
import {
  actions,
  badge,
  card,
  empty,
  facts,
  field,
  link,
  meter,
  note,
  problemBox,
  select,
  soft,
  stateBadge,
  table,
} from "../parts.js";
import { rollback } from "../steer.js";

const PRESETS = ["caro", "standard", "accelerated", "cautious", "web4", "canary", "boring-green"];

/** How far the present stage has soaked, in percent; a stage without a soak is done when it begins. */
const soaked = ({ soaked_seconds: done, soak_min_seconds: needed }) => (needed > 0 ? (100 * done) / needed : 100);

/** The stages as a line of steps, each with a bar: full when it is behind, as far as it has soaked when it is the present. */
function stages(plan) {
  const here = plan.calendar.findIndex(({ stage }) => stage === plan.stage?.id);
  const begun = plan.status !== "draft";
  const one = (entry, i) => {
    const place = !begun || i > here ? "next" : i < here ? "done" : "now";
    const soak = `${duration(plan.stage?.soaked_seconds)} of ${duration(plan.stage?.soak_min_seconds)}`;
    const said = { done: "done", next: entry.from ? ["from ", when(entry.from)] : "not yet", now: `soaked ${soak}` }[
      place
    ];
    const bar = meter(
      { done: 100, next: 0, now: place === "now" ? soaked(plan.stage) : 0 }[place],
      `${words(entry.stage)}: ${place === "now" ? `soaked ${soak}` : place}`,
    );
    return h(
      "li",
      { data: { place }, "aria-current": place === "now" ? "step" : undefined },
      bar,
      h("strong", {}, percent(entry.percentage)),
      h("span", {}, words(entry.stage)),
      h("span", { class: "soft" }, said),
    );
  };
  return h("ol", { class: "stages" }, plan.calendar.map(one));
}

/** Gives the release a plan. */
function choose(view, name, present) {
  const preset = select([...PRESETS, ["", "One of my own, as JSON"]], { name: "preset", value: present ? "" : "caro" });
  const own = editor({
    label: "Plan",
    value: present ? json(present) : '{\n  "name": "",\n  "stages": []\n}',
    rows: 14,
  });
  const start = h("input", { type: "checkbox", id: "start" });
  const ownBox = h("div", { hidden: preset.value !== "" }, own.node);
  preset.addEventListener("change", () => {
    ownBox.hidden = preset.value !== "";
  });
  return change(view, {
    title: `${present ? "Change" : "Choose"} the plan of ${name}`,
    submit: "Set the plan",
    method: "POST",
    path: at`/rollout/${name}/plan`,
    fields: h(
      "div",
      { class: "stack" },
      field("Plan", preset),
      ownBox,
      h("p", { class: "check" }, start, h("label", { for: "start" }, "Begin it now")),
    ),
    body: () => {
      const body = preset.value === "" ? { plan: own.read() } : { preset: preset.value };
      return start.checked ? { ...body, start: true } : body;
    },
    mark: (errors) => own.mark(preset.value === "" ? errors : [], (pointer) => pointer.replace(/^\/plan/, "")),
  });
}

/** Beyond so many percent a release manager has to agree, unless the plan says otherwise. */
const MAX_PERCENTAGE = 50;

/** Whose agreement it takes to leave the present stage. */
function approversOf({ plan, stage }) {
  const stages = plan.stages ?? [];
  const place = stages.findIndex(({ id }) => id === stage?.id);
  const next = stages[place + 1];
  if (place === -1 || !next) return [];
  const asked = stages[place].approval;
  const isBeyond = next.percentage > (plan.policy?.max_percentage ?? MAX_PERCENTAGE);
  return asked ? (asked.roles ?? ["release_manager"]) : isBeyond ? ["release_manager"] : [];
}

/** Everything that a person can do to a plan. */
function steering(view, name, plan) {
  const path = at`/rollout/${name}`;
  const simple =
    (call, title, submit, more = {}) =>
    () =>
      change(view, { title, submit, method: "POST", path: `${path}/${call}`, body: () => ({}), ...more });
  const force = () => {
    const box = h("input", { type: "checkbox", id: "force" });
    change(view, {
      title: `Promote ${name} to the next stage`,
      submit: "Promote",
      danger: true,
      method: "POST",
      path: `${path}/promote`,
      fields: h("p", { class: "check" }, box, h("label", { for: "force" }, "Although gates do not pass (force)")),
      body: () => (box.checked ? { force: true } : {}),
    });
  };
  const isLive = plan.status === "running" || plan.status === "paused";
  const decide = {
    plan: plan.plan,
    done: (answer) => [h("p", {}, answer.summary), answer.decision && decision(answer.decision, plan.plan)],
  };
  const approvers = approversOf(plan);
  return actions([
    !isLive && {
      id: "begin",
      text: plan.status === "draft" ? "Begin" : "Begin anew",
      tone: "primary",
      call: "set_plan",
      what: "begin a plan",
      run: simple("plan", `Begin the plan of ${name}`, "Begin", { body: () => ({ start: true }) }),
    },
    plan.status === "running" && {
      id: "pause",
      text: "Pause",
      call: "pause",
      run: simple("pause", `Pause ${name}`, "Pause"),
    },
    plan.status === "paused" && {
      id: "resume",
      text: "Resume",
      tone: "primary",
      call: "resume",
      run: simple("resume", `Resume ${name}`, "Resume"),
    },
    isLive && {
      id: "decide",
      text: "Decide now …",
      call: "evaluate",
      what: "have it decide",
      run: simple("evaluate", `Decide now about ${name}`, "Decide", decide),
    },
    isLive &&
      approvers.length > 0 &&
      (approvers.includes(who().role) || !may("approve")) && {
        id: "approve",
        text: `Approve leaving ${words(plan.stage.id)} …`,
        call: "approve",
        what: "approve a stage",
        run: simple("approve", `Approve that ${name} leaves ${words(plan.stage.id)}`, "Approve", {
          body: () => ({ stage: plan.stage.id }),
        }),
      },
    isLive && { id: "promote", text: "Promote …", call: "promote", what: "promote", run: force },
    isLive && {
      id: "rollback",
      text: "Roll back …",
      call: "rollback",
      what: "roll back",
      tone: "danger",
      run: () => rollback(view, name, plan.percentage),
    },
    {
      id: "choose",
      text: "Change the plan …",
      call: "set_plan",
      what: "change the plan",
      run: () => choose(view, name, plan.plan),
    },
    {
      id: "remove",
      text: "Take the plan away …",
      call: "delete_plan",
      what: "take the plan away",
      tone: "danger",
      run: simple("plan", `Take the plan of ${name} away`, "Take away", { method: "DELETE", danger: true }),
    },
  ]);
}

/** What would be decided now, without doing it. */
function trial(name, document) {
  if (!may("evaluate")) return null;
  const shown = h("div", { class: "stack", "aria-live": "polite" });
  const look = async () => {
    show(shown, soft("Looking …"));
    try {
      const { data } = await send("POST", at`/rollout/${name}/evaluate`, {}, { dryRun: true });
      show(shown, h("h3", {}, "What would be decided now"), changedOf(data, document));
    } catch (error) {
      show(shown, problemBox(error));
    }
  };
  return [
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", id: "evaluate", on: { click: look } }, "What would be decided now?"),
    ),
    shown,
  ];
}

const waits = (pending) =>
  note(
    "warn",
    h(
      "p",
      {},
      h("strong", {}, `Announced: ${words(pending.action)}`),
      ` ${relative(pending.at)} (`,
      when(pending.at),
      `): ${pending.why}`,
    ),
  );

export async function view(view) {
  const [name] = view.params;
  const { releases } = await view.read("/admin/releases");
  const release = releases.find((item) => item.name === name);
  if (!release) return h("p", {}, "There is no such release. ", link("#/releases", "All releases"));
  if (!release.plan) {
    return card(
      "Plan",
      empty("This release has no plan: a person sets its percentage."),
      actions([
        {
          id: "choose",
          text: "Choose a plan …",
          tone: "primary",
          call: "set_plan",
          what: "choose a plan",
          run: () => choose(view, name),
        },
      ]),
    );
  }
  const plan = await view.read(at`/rollout/${name}/plan`);
  return [
    plan.pending && waits(plan.pending),
    card(
      plan.name || "Plan",
      facts([
        ["Status", stateBadge(plan.status)],
        ["Percentage", percent(plan.percentage)],
        plan.complete && ["Complete at the earliest", when(plan.complete)],
        plan.circuit.state !== "closed" && ["Circuit breaker", badge(plan.circuit.state, "stop")],
      ]),
      plan.why && h("p", {}, plan.why),
      stages(plan),
      plan.approvals.length > 0 &&
        soft(
          "Approved by ",
          plan.approvals.map((given, i) => [i > 0 && ", ", `${given.by} (${words(given.role)}) `, when(given.at)]),
        ),
      steering(view, name, plan),
    ),
    card(
      "Last decision",
      plan.last
        ? decision(plan.last, plan.plan)
        : empty("Nothing was decided yet. A running plan is decided about each hour."),
      trial(name, plan.plan),
    ),
    plan.warnings.length > 0 &&
      card(
        "What cannot work as it is",
        table(
          "Findings",
          ["Severity", "Where", "What"],
          plan.warnings.map((finding) => [
            badge(finding.severity, finding.severity === "error" ? "stop" : "warn"),
            h("code", {}, finding.pointer || "(whole)"),
            finding.message,
          ]),
        ),
      ),
    h("details", {}, h("summary", {}, "The plan as it is written"), h("pre", { tabindex: "0" }, json(plan.plan))),
  ];
}
