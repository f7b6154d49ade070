// The audit log: who changed what, when and why, and whether it is what was written.

import { h, show } from "../../dom.js";
import { json, num, when, words } from "../../format.js";
import { download } from "../api.js";
import { actions, actorName, card, empty, facts, field, link, note, problemBox, save, soft } from "../parts.js";
import { href } from "../routes.js";

const PAGE = 50;

function row(entry) {
  return h(
    "li",
    { class: "row" },
    h(
      "details",
      {},
      h(
        "summary",
        {},
        h(
          "span",
          { class: "row-head" },
          h("strong", {}, entry.summary || words(entry.action)),
          h(
            "span",
            { class: "soft" },
            when(entry.at, true),
            ` · ${actorName(entry.actor)} · revision ${num(entry.revision)}`,
          ),
        ),
        entry.reason && h("span", { class: "row-why" }, entry.reason),
      ),
      facts([
        ["Row", num(entry.seq)],
        ["Action", h("code", {}, entry.action)],
        ["Target", h("code", {}, entry.target)],
        ["By", actorName(entry.actor), entry.actor.role && ` ${words(entry.actor.role)}`],
        entry.approved_by && ["Approved by", actorName(entry.approved_by)],
        ["Why", entry.reason || "–"],
        ["Hash", h("code", {}, entry.hash)],
        ["Before", h("code", {}, entry.prev)],
      ]),
      h("pre", { tabindex: "0" }, json(entry.changes)),
      link(href("explain", { at: entry.revision }), "Explain somebody at this revision"),
    ),
  );
}

/** A moment of the reader's clock as the API takes it. */
const utc = (local) => (local ? new Date(local).toISOString() : "");

export async function view(view) {
  const text = (id) =>
    h("input", { type: "text", id, autocomplete: "off", spellcheck: "false", value: view.query.get(id) ?? "" });
  const [actor, action, target] = [text("actor"), text("action"), text("target")];
  const since = h("input", { type: "datetime-local", id: "since" });
  const until = h("input", { type: "datetime-local", id: "until" });
  const rows = h("ol", { class: "rows" });
  const status = h("p", { class: "soft", role: "status" });
  const found = h("div", { "aria-live": "polite" });
  const more = h("button", { type: "button", id: "more", on: { click: () => load() } }, "Load more");
  let before = null;
  let count = 0;

  const filters = () => ({
    actor: actor.value.trim(),
    action: action.value.trim(),
    target: target.value.trim(),
    since: utc(since.value),
    until: utc(until.value),
  });

  async function load(isNew = false) {
    if (isNew) {
      before = null;
      count = 0;
    }
    more.disabled = true;
    try {
      const page = await view.read("/admin/audit", { ...filters(), limit: PAGE, before });
      const items = page.rows.map(row);
      if (isNew) show(rows, items);
      else rows.append(...items);
      count += items.length;
      before = page.next_before;
      more.hidden = before === null || before === undefined;
      status.textContent = more.hidden ? `${num(count)} rows, all there are` : `the newest ${num(count)} rows`;
      if (count === 0) show(rows, h("li", {}, empty("No row matches.")));
      // The reader goes on where the new rows begin.
      if (!isNew) items[0]?.querySelector("summary").focus();
    } catch (error) {
      if (error.kind === "gone") return;
      status.textContent = "";
      show(
        rows,
        h(
          "li",
          {},
          problemBox(error, () => load(isNew)),
        ),
      );
    } finally {
      more.disabled = false;
    }
  }

  const verify = async () => {
    show(found, soft("Computing every hash again …"));
    try {
      const result = await view.read("/admin/audit/verify");
      show(
        found,
        note(
          result.ok ? "good" : "stop",
          h(
            "p",
            {},
            h("strong", {}, result.ok ? "The log is what was written." : "The log is not what was written."),
            ` ${result.detail}`,
          ),
          facts([
            ["Rows", num(result.rows)],
            result.broken_at && ["First wrong row", num(result.broken_at)],
            ["Head", h("code", {}, result.head)],
          ]),
          soft(
            "Note the head somewhere else from time to time: who can write the ledger’s storage could make a whole chain.",
          ),
        ),
      );
    } catch (error) {
      if (error.kind !== "gone") show(found, problemBox(error));
    }
  };

  const take = async () => {
    try {
      const blob = await download("/admin/audit", { ...filters(), format: "ndjson" });
      save(blob, `audit-${new Date().toISOString().slice(0, 10)}.ndjson`);
    } catch (error) {
      show(found, problemBox(error));
    }
  };

  await load(true);
  const submit = (event) => {
    event.preventDefault();
    load(true);
  };
  return [
    h(
      "form",
      { class: "card stack", role: "search", on: { submit } },
      h("h2", {}, "Filter"),
      h(
        "div",
        { class: "filters" },
        field("Actor", actor),
        field("Action", action),
        field("Target", target),
        field("From", since),
        field("Until", until),
      ),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "submit", id: "filter", class: "primary" }, "Filter"),
        actions([
          { id: "verify", text: "Verify the chain", run: verify },
          { id: "export", text: "Export as NDJSON", run: take },
        ]),
      ),
      found,
    ),
    card("Rows", status, rows, h("div", { class: "actions" }, more)),
  ];
}
