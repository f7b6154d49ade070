// One release: its dial, with what a turn of it does before it is done.

import { h, show } from "../../dom.js";
import { num, percent, when, words } from "../../format.js";
import { at, may, send } from "../api.js";
import { change, Unfinished } from "../change.js";
import { changedOf } from "../impact.js";
import { actions, card, facts, field, link, problemBox, select, soft, stateBadge, whyNot } from "../parts.js";
import { href } from "../routes.js";
import { rollback } from "../steer.js";
import { stopNotes } from "./releases.js";

const DEBOUNCE_MS = 250;
const MARKS = [0, 25, 50, 75, 100];

/** A percentage as the API takes it: thousandths. */
function readPercentage(input) {
  const value = Number(input.value);
  if (input.value === "" || !Number.isFinite(value) || value < 0 || value > 100)
    throw new Unfinished("A percentage is from 0 to 100.");
  if (Math.abs(value * 1000 - Math.round(value * 1000)) > 1e-6)
    throw new Unfinished("A percentage has three decimals at most.");
  return value;
}

function dial(view, release) {
  const path = at`/rollout/${release.name}`;
  const slider = h("input", {
    type: "range",
    id: "slider",
    min: 0,
    max: 100,
    step: 1,
    value: release.configured_percentage,
    "aria-label": "Percentage of networks, in whole percent",
    list: "marks",
  });
  const number = h("input", {
    type: "number",
    id: "percentage",
    min: 0,
    max: 100,
    step: 0.001,
    inputmode: "decimal",
    value: release.configured_percentage,
  });
  const preview = h(
    "div",
    { class: "preview stack", "aria-live": "polite", id: "preview" },
    soft("Move the dial to see who would enter and leave."),
  );
  const apply = h("button", { type: "submit", id: "set", class: "primary", disabled: true }, "Set …");
  let timer = 0;
  let latest = 0;

  async function look() {
    const mine = ++latest;
    let percentage;
    try {
      percentage = readPercentage(number);
    } catch (error) {
      number.setAttribute("aria-invalid", "true");
      apply.disabled = true;
      show(preview, soft(error.message));
      return;
    }
    number.removeAttribute("aria-invalid");
    apply.disabled = percentage === release.configured_percentage;
    apply.textContent = apply.disabled ? "Set …" : `Set to ${percent(percentage)} …`;
    if (apply.disabled) {
      show(preview, soft("That is what it is set to."));
      return;
    }
    try {
      const { data } = await send("POST", path, { percentage }, { dryRun: true });
      if (mine === latest) show(preview, changedOf(data));
    } catch (error) {
      if (mine === latest) show(preview, problemBox(error));
    }
  }

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(look, DEBOUNCE_MS);
  };
  slider.addEventListener("input", () => {
    number.value = slider.value;
    later();
  });
  number.addEventListener("input", () => {
    slider.value = number.value;
    later();
  });

  const submit = (event) => {
    event.preventDefault();
    const percentage = readPercentage(number);
    change(view, {
      title: `${release.name}: ${percent(release.configured_percentage)} → ${percent(percentage)}`,
      submit: `Set to ${percent(percentage)}`,
      danger: percentage < release.configured_percentage,
      method: "POST",
      path,
      body: () => ({ percentage }),
    });
  };

  return h(
    "form",
    { class: "dial stack", on: { submit } },
    h(
      "div",
      { class: "dial-row" },
      h(
        "div",
        {},
        slider,
        h(
          "datalist",
          { id: "marks" },
          MARKS.map((mark) => h("option", { value: mark })),
        ),
        h(
          "div",
          { class: "marks", "aria-hidden": "true" },
          MARKS.map((mark) => h("span", {}, mark)),
        ),
      ),
      h("div", { class: "dial-number" }, h("label", { for: "percentage" }, "Percent"), number),
      apply,
    ),
    preview,
  );
}

/** Version, state and cohorts. */
function other(view, release, versions, cohorts) {
  const edit = () => {
    const version = select(versions, { value: release.version });
    const state = select(
      [
        ["draft", "draft: offered to nobody by rollout"],
        ["active", "active"],
        ["complete", "complete"],
      ],
      {
        value: ["draft", "active", "complete"].includes(release.state) ? release.state : "active",
      },
    );
    const boxes = cohorts.map(({ name }) =>
      h(
        "label",
        { class: "check" },
        h("input", { type: "checkbox", name, checked: release.cohorts.includes(name) }),
        name,
      ),
    );
    change(view, {
      title: `Change ${release.name}`,
      submit: "Change",
      method: "POST",
      path: at`/rollout/${release.name}`,
      fields: h(
        "div",
        { class: "stack" },
        field("Version", version, "One that is listed in the configuration."),
        field("State", state),
        h(
          "fieldset",
          { class: "stack" },
          h("legend", {}, "Cohorts that always get it"),
          boxes.length > 0 ? h("div", { class: "columns" }, boxes) : soft("There are none."),
        ),
      ),
      body: () => {
        const chosen = boxes
          .map((label) => label.firstChild)
          .filter((box) => box.checked)
          .map((box) => box.name);
        const body = {};
        if (version.value !== release.version) body.version = version.value;
        if (state.value !== release.state) body.state = state.value;
        if (chosen.join() !== [...release.cohorts].join()) body.cohorts = chosen;
        if (Object.keys(body).length === 0) throw new Unfinished("Nothing is changed yet.");
        return body;
      },
    });
  };
  const simple = (name, text, danger) => () =>
    change(view, {
      title: `${text} ${release.name}`,
      submit: text,
      danger,
      method: "POST",
      path: at`/rollout/${release.name}/${name}`,
      body: () => ({}),
    });
  return actions([
    release.state === "paused"
      ? { id: "resume", text: "Resume", call: "resume", run: simple("resume", "Resume") }
      : { id: "pause", text: "Pause", call: "pause", run: simple("pause", "Pause") },
    {
      id: "rollback",
      text: "Roll back …",
      call: "rollback",
      what: "roll back",
      run: () => rollback(view, release.name, release.configured_percentage),
      tone: "danger",
    },
    {
      id: "edit",
      text: "Version, state, cohorts …",
      call: "set_release",
      what: "change version, state or cohorts",
      run: edit,
    },
  ]);
}

export async function view(view) {
  const [name] = view.params;
  const [list, ops, cohorts] = await Promise.all([
    view.read("/admin/releases"),
    view.perhaps("/ops/status.json"),
    view.perhaps("/admin/cohorts"),
  ]);
  const release = list.releases.find((item) => item.name === name);
  if (!release) {
    return [h("p", {}, "There is no such release. ", link("#/releases", "All releases"))];
  }
  const own = { stops: (ops?.stops ?? []).filter(({ switch: scope }) => scope === "all" || scope === name) };
  return [
    stopNotes(view, own),
    card(
      "Now",
      facts([
        [
          "Of networks",
          h("strong", { class: "big" }, percent(release.percentage)),
          release.configured_percentage !== release.percentage && ` set to ${percent(release.configured_percentage)}`,
        ],
        ["State", stateBadge(release.stopped ? "stopped" : release.state)],
        ["Phase", words(release.phase)],
        ["Version", h("code", {}, release.version ?? "–"), ` ${release.channel}`],
        ["Otherwise", h("code", {}, list.stable), " stable"],
        [
          "Plan",
          release.plan
            ? [
                link(href(`releases/${name}/plan`), release.plan.name || "a plan"),
                " ",
                stateBadge(release.plan.status),
                release.plan.stage && ` ${words(release.plan.stage)}`,
              ]
            : "none",
        ],
        [
          "Cohorts",
          release.cohorts.length > 0
            ? release.cohorts.map((cohort, i) => [i > 0 && ", ", link(href(`cohorts/${cohort}`), cohort)])
            : "none",
          release.within_cohorts && " (the percentage is of these alone)",
        ],
        release.denied > 0 && ["Denied", num(release.denied)],
        release.drain && ["On its way down", `to ${percent(release.drain.to)} until `, when(release.drain.end)],
      ]),
      other(view, release, list.versions, cohorts?.cohorts ?? []),
    ),
    card(
      "Percentage",
      may("set_release") ? dial(view, release) : whyNot("set a percentage"),
      soft(
        "Raising takes the release from nobody; lowering gives it to nobody new. A percentage of networks is not a percentage of people.",
      ),
    ),
  ];
}
