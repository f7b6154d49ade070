// The whole configuration: looked at, compared with an edited or imported one, and put in its place.

import { announce, h, show } from "../../dom.js";
import { json, num, words } from "../../format.js";
import { who } from "../api.js";
import { change, Unfinished } from "../change.js";
import { differences } from "../diff.js";
import { editor } from "../jsonedit.js";
import { actions, card, copyText, field, save, soft } from "../parts.js";

const MAX_BYTES = 1 << 20;

export async function view(view) {
  const config = await view.perhaps("/admin/config", undefined, (error) => {
    if (error.status === 403) return null;
    throw error;
  });
  if (config === null) {
    return card(
      "Configuration",
      soft(
        `Your role, ${words(who().role)}, may not see it: it holds the salt and hashes of people. A release manager may.`,
      ),
    );
  }
  const before = json(config);
  const own = editor({
    label: "Edited",
    value: before,
    rows: 24,
    hint: "Its revision is set by the ledger. What is under an emergency stop stays so.",
  });
  const shown = h("div", { class: "stack", "aria-live": "polite" });
  const file = h("input", { type: "file", id: "file", accept: "application/json,.json" });

  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > MAX_BYTES) {
      announce(`That file has ${num(chosen.size)} bytes; the router takes ${num(MAX_BYTES)}.`);
      return;
    }
    own.area.value = await chosen.text();
    own.area.dispatchEvent(new Event("input"));
    compare();
    announce(`${chosen.name} is in the editor.`);
  });

  const parsed = () => {
    try {
      return own.read();
    } catch (error) {
      if (error instanceof Unfinished) return undefined;
      throw error;
    }
  };
  const compare = () => {
    const value = parsed();
    show(shown, h("h3", {}, "Differences"), differences(before, value === undefined ? own.text : json(value)));
  };
  const put = () => {
    if (parsed() === undefined) {
      announce("It is not JSON yet; the line is marked.");
      own.area.focus();
      return;
    }
    change(view, {
      title: "Put this configuration in place",
      submit: "Put it in place",
      danger: true,
      method: "PUT",
      path: "/admin/config",
      fields: h("details", {}, h("summary", {}, "Differences"), differences(before, json(own.read()))),
      body: () => {
        const value = own.read();
        if (json(value) === before) throw new Unfinished("Nothing is changed yet.");
        return value;
      },
      mark: own.mark,
    });
  };
  return [
    card(
      "In force",
      h("details", {}, h("summary", {}, `Revision ${num(config.revision)}`), h("pre", { tabindex: "0" }, before)),
      actions([
        { id: "copy-config", text: "Copy", run: (event) => copyText(before, event.target) },
        {
          id: "save-config",
          text: "Save as a file",
          run: () => save(new Blob([`${before}\n`], { type: "application/json" }), `config-${config.revision}.json`),
        },
      ]),
      soft("It holds the salt: whoever has that can compute who gets what."),
    ),
    card(
      "Edit or import",
      field("From a file", file),
      own.node,
      actions([
        { id: "compare", text: "Compare", run: compare },
        {
          id: "put",
          text: "Look and put in place …",
          tone: "primary",
          call: "put_config",
          what: "import a configuration",
          run: put,
        },
      ]),
      shown,
    ),
  ];
}
