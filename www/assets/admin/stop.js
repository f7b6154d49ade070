// The emergency stop. It waits for no read and no revision: whatever else fails, it can be sent.

import { h, show } from "../dom.js";
import { at, may } from "./api.js";
import { change, Unfinished } from "./change.js";
import { field, note, whyNot } from "./parts.js";

const RELEASES_MS = 3_000;

/** The way around everything, for whoever has wrangler. */
const byHand = (scope = "all") =>
  note(
    "quiet",
    h("p", {}, "Without the API, with wrangler or in Cloudflare’s dashboard (KV namespace ROLLOUT):"),
    h("pre", { tabindex: "0" }, `npx wrangler kv key put --remote --binding ROLLOUT emergency-stop ${scope}`),
  );

async function releases() {
  try {
    const answer = await fetch("/status.json", {
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(RELEASES_MS),
    });
    const { releases } = await answer.json();
    return releases.map(({ name }) => name).filter((name) => typeof name === "string");
  } catch {
    return [];
  }
}

function refused() {
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "stop-title" },
    h(
      "div",
      { class: "stack" },
      h("h2", { id: "stop-title" }, "Emergency stop"),
      may("who_am_i")
        ? whyNot("stop releases; a release manager may")
        : h("p", {}, "Sign in with a release manager’s token to stop from here."),
      byHand(),
      h("div", { class: "actions end" }, h("button", { type: "button", on: { click: () => dialog.close() } }, "Close")),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Asks what to stop and why, and stops it. */
export function openStop(reload) {
  if (!may("emergency_stop")) return refused();
  const scope = h("select", { name: "scope" }, h("option", { value: "all" }, "Everything"));
  const hint = h("div", {});
  releases().then((names) => scope.append(...names.map((name) => h("option", { value: name }, name))));
  scope.addEventListener("change", () => show(hint, byHand(scope.value)));
  const spec = {
    title: "Emergency stop",
    submit: "Stop now",
    danger: true,
    unconditional: true,
    // Nobody has to think of one at 3 a.m.; who knows more writes it.
    why: "Emergency stop from the console",
    preview: false,
    typed: "stop",
    method: "POST",
    get path() {
      return at`/rollout/${scope.value}/emergency-stop`;
    },
    fields: h(
      "div",
      { class: "stack" },
      field(
        "What to stop",
        scope,
        "Releases go to 0 %: the stable version for everybody, and features off unless they are kept through a stop. Only “Lift the stop” undoes it.",
      ),
    ),
    body: () => {
      if (!scope.value) throw new Unfinished("Choose what to stop.");
      return {};
    },
    retryHint: byHand(),
    done: (answer) => [
      note(
        answer.published === false ? "warn" : "good",
        h("p", {}, h("strong", {}, answer.changed ? "Stopped." : "It was stopped already.")),
        h(
          "p",
          {},
          answer.published === false
            ? "KV has not taken it yet; the ledger goes on trying, and each edge hears of it as soon as KV does."
            : "KV has it; every edge follows within about half a minute.",
        ),
      ),
      answer.published === false && byHand(scope.value),
    ],
  };
  return change({ revision: null, reload }, spec);
}
