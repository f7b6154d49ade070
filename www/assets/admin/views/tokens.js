// Tokens: made, shown once, and taken back.

import { h } from "../../dom.js";
import { relative, when, words } from "../../format.js";
import { at, who } from "../api.js";
import { change, Unfinished } from "../change.js";
import { actions, badge, card, copyText, empty, field, note, select, soft, table } from "../parts.js";

const ROLES = [
  ["viewer", "viewer: reads"],
  ["bot", "bot: tells and has decided"],
  ["engineer", "engineer: development flags"],
  ["engineering_lead", "engineering lead: flags, no kill switches"],
  ["release_manager", "release manager: everything"],
];

/** A token's only appearance. */
function secret({ token }) {
  if (!token?.secret)
    return [
      note(
        "warn",
        h("p", {}, "The token was made by an earlier try, and is not shown again: revoke it and make another."),
      ),
    ];
  const field = h("input", {
    type: "text",
    id: "secret",
    class: "mono",
    readonly: true,
    value: token.secret,
    "aria-label": "The token",
    on: { focus: () => field.select() },
  });
  const copy = h(
    "button",
    { type: "button", id: "copy-token", on: { click: () => copyText(token.secret, copy) } },
    "Copy",
  );
  return [
    note("warn", h("p", {}, h("strong", {}, "It is shown this once."), " The router keeps only its hash.")),
    h("div", { class: "pair wide" }, field, copy),
    soft(`${words(token.role)}, ${token.label}, until `, when(token.expires)),
  ];
}

function mint(view) {
  const label = h("input", { type: "text", name: "label", required: true, autocomplete: "off", maxlength: 100 });
  const role = select(ROLES, { name: "role" });
  const kind = select(
    [
      ["standard", "standard: 90 days, 366 at most"],
      ["development", "development: 24 hours at most"],
      ["debug", "debug: 24 hours at most"],
    ],
    { name: "kind" },
  );
  const days = h("input", { type: "number", min: 0.01, max: 366, step: "any", inputmode: "decimal", name: "days" });
  return change(view, {
    title: "New token",
    submit: "Make it",
    preview: false,
    method: "POST",
    path: "/admin/tokens",
    fields: h(
      "div",
      { class: "stack" },
      field("Whom it is for", label, "Shown in the audit log."),
      h("div", { class: "pair" }, field("Role", role), field("Kind", kind)),
      field("Ends after, in days", days, "Empty: as its kind says."),
    ),
    body: () => {
      if (!label.value.trim()) throw new Unfinished("Say whom it is for.");
      const body = { role: role.value, label: label.value.trim(), kind: kind.value };
      if (days.value) body.expires_in_seconds = Math.round(Number(days.value) * 86_400);
      return body;
    },
    done: secret,
  });
}

export async function view(view) {
  const { tokens } = await view.perhaps("/admin/tokens", undefined, (error) => {
    if (error.status === 403) return { tokens: null };
    throw error;
  });
  if (tokens === null)
    return card("Tokens", soft(`Your role, ${words(who().role)}, may not see or make tokens; a release manager may.`));
  const revoke = (token) => () =>
    change(view, {
      title: `Revoke ${token.label}`,
      submit: "Revoke",
      danger: true,
      preview: false,
      method: "DELETE",
      path: at`/admin/tokens/${token.id}`,
      body: () => ({}),
    });
  const row = (token) => [
    [token.label, token.id === who().id && " (yours)"],
    words(token.role),
    words(token.kind),
    token.active ? badge("active", "good") : token.revoked ? badge("revoked", "stop") : badge("expired"),
    when(token.created),
    [when(token.expires), token.active && h("p", { class: "soft" }, relative(token.expires))],
    token.active &&
      actions([
        {
          id: `revoke-${token.id}`,
          text: "Revoke …",
          tone: "danger",
          label: `Revoke ${token.label}`,
          run: revoke(token),
        },
      ]),
  ];
  return card(
    "Made so far",
    soft("The Worker’s secret ADMIN_TOKEN is a release manager’s besides."),
    tokens.length > 0
      ? table("Tokens", ["For", "Role", "Kind", "State", "Made", "Ends", ""], tokens.map(row))
      : empty("None was made."),
    actions([{ id: "mint", text: "New token …", tone: "primary", call: "mint_token", run: () => mint(view) }]),
  );
}
