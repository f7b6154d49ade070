// The one way in which the console changes anything: what it would do by a dry run, a reason, the revision that was
// shown, a key that makes repeating safe, and every answer in words.

import { announce, freshId, h, show } from "../dom.js";
import { num, share, time } from "../format.js";
import { freshKey, get, send } from "./api.js";
import { changedOf, impactOf } from "./impact.js";
import { check, field, note, problemBox } from "./parts.js";

const DEBOUNCE_MS = 300;

/** What a form cannot send, with why. */
export class Unfinished extends Error {}

/** What others changed since `revision`, the newest first. */
async function since(revision) {
  try {
    const { data } = await get("/admin/audit", { limit: 100 });
    return data.rows.filter((row) => row.revision > revision);
  } catch {
    return [];
  }
}

/** Whether those are all there are, and steps of a percentage that its reader sees going down: each is a revision. */
const onlyDrains = (rows, revision) =>
  rows.at(-1)?.revision === revision + 1 && rows.every(({ action }) => action === "release.drain");

/** What wants a confirmation; the API's own sentence tells programs how to give one. */
const loss = ({ impact, detail }) =>
  impact
    ? `Somebody would lose what they have, or get another build: ${share(impact.leave)} of requesters leave and ${share(impact.switch)} switch.`
    : detail;

/**
 * Opens a dialog for one change.
 *
 * @param view the view's context: its revision, and how to load it again
 * @param spec `title`, `submit`, `method`, `path`, and what is needed of: `intro`, `fields` (a node), `body` (gives what is
 *   sent, or throws `Unfinished`), `danger`, `why` (a reason to begin with), `preview` (false: no dry run), `unconditional` (no `If-Match`: a stop),
 *   `typed` (a word to type), `mark` (shows the API's problems where they are, none when there are none), `retryHint` (a
 *   node, when the router cannot be reached), `done` (what to show of the answer), `plan` (the document of the plan that is
 *   decided about)
 * @returns the answer, or `null` when it was cancelled
 */
export function change(view, spec) {
  return new Promise((resolve) => open(view, spec, resolve));
}

function open(view, spec, resolve) {
  let revision = spec.unconditional ? null : view.revision;
  let result = null;
  const keys = new Map();
  const previews = { timer: 0, latest: 0 };

  const titleId = freshId("t");
  const reason = h("input", {
    type: "text",
    required: true,
    maxlength: 400,
    autocomplete: "off",
    name: "reason",
    value: spec.why ?? "",
  });
  const typed =
    spec.typed &&
    h("input", {
      type: "text",
      required: true,
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      name: "typed",
    });
  const preview = h("div", { class: "preview stack", "aria-live": "polite" });
  const said = h("div", { class: "stack" });
  const submit = h(
    "button",
    { type: "submit", id: "apply", class: spec.danger ? "primary danger" : "primary" },
    spec.submit,
  );
  const cancel = h("button", { type: "button", id: "cancel" }, "Cancel");
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": titleId },
    h(
      "form",
      { class: "stack", on: { submit: apply, input: changed } },
      h("h2", { id: titleId }, spec.title),
      spec.intro && h("div", { class: "soft stack" }, spec.intro),
      spec.fields,
      field("Reason", reason, "Kept for good in the audit log. No names, tokens or addresses."),
      typed && field(`Type “${spec.typed}” to confirm`, typed),
      spec.preview === false ? null : preview,
      said,
      h("div", { class: "actions end" }, cancel, submit),
    ),
  );
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    clearTimeout(previews.timer);
    dialog.remove();
    resolve(result);
    if (result || dialog.dataset.stale) view.reload();
  });
  document.body.append(dialog);
  dialog.showModal();
  if (spec.why) typed?.focus();
  else if (!spec.fields) reason.focus();
  look();

  /** The same request keeps its key, so that trying again after silence does nothing twice. */
  function keyOf(...request) {
    const what = JSON.stringify(request);
    if (!keys.has(what)) keys.set(what, freshKey());
    return keys.get(what);
  }

  /** Tries again where nothing but a drain went on. */
  async function goingOn(attempt, tries = 3) {
    try {
      return await attempt();
    } catch (error) {
      if (error.type !== "precondition-failed" || tries === 0) throw error;
      const rows = await since(revision);
      if (!onlyDrains(rows, revision)) throw error;
      revision = rows[0].revision;
      return goingOn(attempt, tries - 1);
    }
  }

  function changed() {
    clearTimeout(previews.timer);
    previews.timer = setTimeout(look, DEBOUNCE_MS);
  }

  /** Asks what it would do. */
  async function look() {
    if (spec.preview === false) return;
    const mine = ++previews.latest;
    let body;
    try {
      body = spec.body?.();
    } catch (error) {
      if (!(error instanceof Unfinished)) throw error;
      show(preview, h("p", { class: "soft" }, error.message));
      return;
    }
    if (!preview.hasChildNodes()) show(preview, h("p", { class: "soft" }, "Looking what it would do …"));
    try {
      const ask = () =>
        send(spec.method, spec.path, body, { revision, reason: reason.value || "preview", dryRun: true });
      const { data } = await goingOn(ask);
      if (mine !== previews.latest) return;
      spec.mark?.([]);
      show(preview, h("h3", {}, "What it would do"), changedOf(data, spec.plan));
    } catch (error) {
      if (mine !== previews.latest || error.kind === "gone") return;
      show(preview);
      spec.mark?.(error.errors);
      // What wants a confirmation says what it would do, too.
      if (error.type === "confirmation-required")
        show(preview, h("h3", {}, "What it would do"), h("p", {}, loss(error)), impactOf(error.impact));
      else if (error.type === "precondition-failed") faster(error);
      else show(preview, problemBox(error));
    }
  }

  async function apply(event) {
    event.preventDefault();
    if (typed && typed.value.trim() !== spec.typed) {
      typed.setAttribute("aria-invalid", "true");
      show(said, note("stop", `Type “${spec.typed}” to confirm.`));
      typed.focus();
      return;
    }
    let body;
    try {
      body = spec.body?.();
    } catch (error) {
      if (!(error instanceof Unfinished)) throw error;
      show(said, note("stop", error.message));
      return;
    }
    const confirm = dialog.querySelector("#confirm")?.checked ?? false;
    // What it would do is of no interest any more, and would be asked of a revision that is gone.
    clearTimeout(previews.timer);
    previews.latest += 1;
    const waited = submit.textContent;
    submit.disabled = true;
    submit.textContent = "Sending …";
    try {
      const answer = await goingOn(() => {
        const options = { revision, reason: reason.value, confirm };
        return send(spec.method, spec.path, body, { ...options, key: keyOf(spec.path, body, options) });
      });
      result = answer.data;
      finish(answer);
    } catch (error) {
      submit.disabled = false;
      submit.textContent = waited;
      await refused(error);
    }
  }

  async function refused(error) {
    if (error.status === 401) return;
    spec.mark?.(error.errors);
    if (error.type === "confirmation-required") {
      show(
        said,
        note("warn", h("p", {}, loss(error)), check("Yes, I have read this and want it.", { required: true })),
      );
      const box = said.querySelector("input");
      box.id = "confirm";
      said.querySelector("label").htmlFor = "confirm";
      box.focus();
    } else if (error.type === "precondition-failed") {
      await faster(error);
    } else if (error.status === 429) {
      const wait = error.wait ?? 30;
      const until = new Date(Date.now() + wait * 1000);
      show(
        said,
        note(
          "warn",
          h("p", {}, h("strong", {}, error.title)),
          h("p", {}, `${error.detail} It can be sent again at ${time(until)}.`),
        ),
      );
      submit.disabled = true;
      setTimeout(() => {
        submit.disabled = false;
      }, wait * 1000);
    } else {
      show(said, problemBox(error), (error.kind === "network" || error.status >= 500) && spec.retryHint);
      if (error.kind === "network" || error.status >= 500) submit.textContent = "Try again";
    }
    said.scrollIntoView({ block: "nearest" });
  }

  /** 412: what happened meanwhile, and the way on. */
  async function faster(error) {
    const rows = await since(revision);
    const newest = error.revision ?? rows[0]?.revision ?? revision;
    const again = () => {
      revision = newest;
      dialog.dataset.stale = "1";
      show(said);
      look();
    };
    show(
      said,
      note(
        "warn",
        h("p", {}, h("strong", {}, "Somebody was faster.")),
        h("p", {}, `You were shown revision ${num(revision)}; now it is ${num(newest)}. This is what changed:`),
        h(
          "ul",
          { class: "faults" },
          rows.map((row) =>
            h(
              "li",
              {},
              `${num(row.revision)}: ${row.summary}`,
              row.reason && ` (${row.reason})`,
              ` – ${row.actor.label || row.actor.id}`,
            ),
          ),
        ),
        h(
          "div",
          { class: "actions" },
          h("button", { type: "button", id: "again", on: { click: again } }, `Look again at revision ${num(newest)}`),
          h(
            "button",
            {
              type: "button",
              id: "reload",
              on: {
                click: () => {
                  dialog.dataset.stale = "1";
                  dialog.close();
                },
              },
            },
            "Close and reload",
          ),
        ),
      ),
    );
    said.querySelector("button").focus();
  }

  function finish(answer) {
    const own = spec.done?.(answer.data);
    const isHeld = answer.status === 202;
    if (!own && !isHeld) {
      dialog.close();
      announce(
        answer.data.changed === false ? `Nothing changed: ${answer.data.summary}` : `Done: ${answer.data.summary}`,
      );
      return;
    }
    const close = h(
      "button",
      { type: "button", id: "close", class: "primary", on: { click: () => dialog.close() } },
      "Close",
    );
    show(
      dialog,
      h(
        "div",
        { class: "stack" },
        h("h2", { id: titleId }, isHeld ? "Held for approval" : spec.title),
        isHeld
          ? note(
              "warn",
              h(
                "p",
                {},
                `${answer.data.summary}. Nothing has changed yet: another release manager has to agree, within a day. It is under Approvals.`,
              ),
            )
          : own,
        h("div", { class: "actions end" }, close),
      ),
    );
    close.focus();
  }
}
