// The pieces that every view is made of.

import { announce, freshId, h } from "../dom.js";
import { words } from "../format.js";
import { may, who } from "./api.js";

/** A word with a colour that only repeats it. `tone`: good, warn, stop, quiet. */
export const badge = (text, tone = "quiet") => h("span", { class: "badge", data: { tone } }, words(text));

const TONES = {
  active: "good",
  running: "good",
  complete: "good",
  ok: "good",
  paused: "warn",
  stopped: "stop",
  rolled_back: "stop",
};
export const stateBadge = (state) => badge(state, TONES[state] ?? "quiet");

/** A section with a heading; `more` stands beside that. */
export function card(title, ...children) {
  const id = freshId("h");
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), children);
}

/** Names with values. */
export const facts = (pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs.filter(Boolean).map(([name, ...value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

/** A table that becomes a list where the screen is narrow. `columns` are headings, or `[heading, class]`. */
export function table(caption, columns, rows) {
  const heads = columns.map((column) => (Array.isArray(column) ? column : [column, undefined]));
  // What is in a cell is one thing beside its label, and a cell without anything is left out of the list.
  const cell = (value, i) => {
    const [name, kind] = heads[i];
    const isNothing = value === "" || value === "–" || value === null || value === undefined || value === false;
    const props = { class: [kind, isNothing && "none"].filter(Boolean).join(" ") || undefined, "data-label": name };
    const content = h("div", {}, value);
    return i === 0 ? h("th", { ...props, scope: "row" }, content) : h("td", props, content);
  };
  return h(
    "table",
    {},
    h("caption", { class: "visually-hidden" }, caption),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map(([name, kind]) =>
          h("th", { scope: "col", class: kind }, name || h("span", { class: "visually-hidden" }, "Actions")),
        ),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) => h("tr", {}, row.map(cell))),
    ),
  );
}

export const empty = (...text) => h("p", { class: "empty" }, text);
export const soft = (...text) => h("p", { class: "soft" }, text);
/** Something to look at before going on. `tone`: warn, stop, good or quiet. */
export const note = (tone, ...children) => h("div", { class: "note", data: { tone } }, children);

/** A control with its label, and what else there is to know of it. */
export function field(label, control, hint) {
  control.id ||= freshId("f");
  const id = `${control.id}-hint`;
  if (hint) control.setAttribute("aria-describedby", id);
  return h(
    "div",
    { class: "field" },
    h("label", { for: control.id }, label),
    control,
    hint && h("p", { class: "hint", id }, hint),
  );
}

export const check = (label, props = {}) => {
  const id = freshId("f");
  return h("p", { class: "check" }, h("input", { type: "checkbox", id, ...props }), h("label", { for: id }, label));
};

export const select = (options, props = {}) =>
  h(
    "select",
    props,
    options.map((option) => {
      const [value, text] = Array.isArray(option) ? option : [option, option];
      return h("option", { value }, text);
    }),
  );

const list = new Intl.ListFormat("en", { type: "disjunction" });

/** Why something is not offered. */
export const whyNot = (what) => h("p", { class: "why" }, `Your role, ${words(who()?.role)}, may not ${what}.`);

/**
 * Buttons for those who may, and for the others a sentence with what they may not.
 *
 * @param items `{ id, text, call, what, run, tone }`; `what` completes “may not …”
 */
export function actions(items) {
  const given = items.filter(Boolean);
  const allowed = given.filter(({ call }) => !call || may(call));
  const refused = given.filter(({ call }) => call && !may(call));
  return [
    allowed.length > 0 &&
      h(
        "div",
        { class: "actions" },
        allowed.map(({ id, text, run, tone = "", disabled, label }) =>
          h("button", { type: "button", id, class: tone, disabled, "aria-label": label, on: { click: run } }, text),
        ),
      ),
    refused.length > 0 && whyNot(list.format(refused.map(({ what, text }) => what ?? text.toLowerCase()))),
  ];
}

/** What went wrong, with what to do. */
export function problemBox(error, retry) {
  return h(
    "div",
    { class: "note", data: { tone: "stop" }, role: "alert" },
    h("p", {}, h("strong", {}, error.title || "Something went wrong")),
    error.detail && error.detail !== error.title && h("p", {}, error.detail),
    error.wait && h("p", {}, `Try again in ${error.wait} s.`),
    error.errors?.length > 0 && faults(error.errors),
    retry && h("p", {}, h("button", { type: "button", id: "retry", on: { click: retry } }, "Try again")),
  );
}

/** Problems with their places. */
export const faults = (errors) =>
  h(
    "ul",
    { class: "faults" },
    errors.map(({ pointer, path, detail, message }) =>
      h("li", {}, h("code", {}, pointer || path || "(whole)"), " ", detail ?? message),
    ),
  );

export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied.");
    button.textContent = "Copied";
  } catch {
    // No permission, or no clipboard at all on plain http.
    announce("The browser did not allow copying: select the text instead.");
  }
}

/** Saves a blob under a name. */
export function save(blob, name) {
  const href = URL.createObjectURL(blob);
  h("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** A bar from 0 to 100, that says so in words. */
export const meter = (value, label) =>
  h("progress", { value: Math.min(100, Math.max(0, value || 0)), max: 100, "aria-label": label });

export const link = (href, ...text) => h("a", { href }, text);

/** By whom, why and since when something is so. */
export const actorName = (actor) =>
  actor?.label && actor.label !== actor.id ? `${actor.label} (${actor.id})` : (actor?.id ?? "–");
