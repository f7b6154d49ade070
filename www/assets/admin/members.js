// People on a list. Ids and addresses are hashed by the router and forgotten, so only labels are ever seen again.

import { h } from "../dom.js";
import { num } from "../format.js";
import { change, Unfinished } from "./change.js";
import { actions, empty, field, select, soft } from "./parts.js";

function form(view, path, isAdding, label = "") {
  const kinds = isAdding
    ? [
        ["id", "an id"],
        ["ip", "an IP address"],
      ]
    : [
        ["label", "the label"],
        ["id", "an id"],
        ["ip", "an IP address"],
      ];
  const kind = select(kinds, { name: "kind" });
  const value = h("input", {
    type: "text",
    name: "value",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 256,
    value: label,
  });
  const name = isAdding && h("input", { type: "text", name: "label", autocomplete: "off", maxlength: 100 });
  return change(view, {
    title: isAdding ? "Add somebody" : "Remove somebody",
    submit: isAdding ? "Add" : "Remove",
    method: "POST",
    path,
    fields: h(
      "div",
      { class: "stack" },
      h(
        "div",
        { class: "pair" },
        field("Known by", kind),
        field("Which", value, isAdding ? "It is hashed with the salt and forgotten." : undefined),
      ),
      name && field("Label", name, "What the list shows. Without one nobody can be found by it."),
    ),
    body: () => {
      if (!value.value.trim()) throw new Unfinished("Say who it is.");
      const person = { [kind.value]: value.value.trim() };
      if (name?.value?.trim()) person.label = name.value.trim();
      return { [isAdding ? "add" : "remove"]: [person] };
    },
  });
}

/** A list, with adding and removing. */
export function members(view, path, people) {
  return h(
    "div",
    { class: "stack" },
    h("h3", {}, `${num(people.count)} ${people.count === 1 ? "member" : "members"}`),
    people.labels.length > 0
      ? h(
          "ul",
          { class: "chips" },
          people.labels.map((label) => h("li", {}, label)),
        )
      : people.count === 0 && empty("Nobody is on the list."),
    people.unlabelled > 0 && soft(`${num(people.unlabelled)} without a label.`),
    actions([
      { id: "add-member", text: "Add …", call: "set_members", what: "add members", run: () => form(view, path, true) },
      people.count > 0 && {
        id: "remove-member",
        text: "Remove …",
        call: "set_members",
        what: "remove members",
        run: () => form(view, path, false),
      },
    ]),
  );
}
