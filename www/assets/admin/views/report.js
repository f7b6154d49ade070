// Texts about a rollout, to be sent to people.

import { h, show } from "../../dom.js";
import { at } from "../api.js";
import { card, copyText, problemBox, soft } from "../parts.js";

const KINDS = [
  ["status", "Status", "How it goes, for the channel where people ask."],
  ["announcement", "Announcement", "What comes, and when."],
  ["post-mortem", "Post-mortem", "What happened, with times."],
];

export async function view(view) {
  const [name] = view.params;
  const text = h("pre", { class: "report", tabindex: "0", "aria-label": "The text", "aria-live": "polite" });
  const copy = h(
    "button",
    { type: "button", id: "copy", class: "primary", on: { click: () => copyText(text.textContent, copy) } },
    "Copy",
  );
  const about = soft("");
  const buttons = KINDS.map(([kind, title, what]) =>
    h("button", { type: "button", id: `kind-${kind}`, on: { click: () => choose(kind, what) } }, title),
  );

  let latest = 0;
  async function choose(kind, what) {
    const mine = ++latest;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.id === `kind-${kind}`));
    about.textContent = what;
    copy.textContent = "Copy";
    // Until it comes, another kind's text stands there.
    copy.disabled = true;
    try {
      const report = await view.read(at`/rollout/${name}/report`, { kind });
      if (mine !== latest) return;
      text.textContent = report.text;
      copy.disabled = false;
    } catch (error) {
      if (mine !== latest || error.kind === "gone") return;
      show(text, problemBox(error));
    }
  }

  await choose(...KINDS[0].filter((_, i) => i !== 1));
  return card(
    "Texts",
    h("div", { class: "actions segments", role: "group", "aria-label": "Kind" }, buttons),
    about,
    text,
    h("div", { class: "actions" }, copy),
  );
}
