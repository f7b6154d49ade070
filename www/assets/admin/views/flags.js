// Every flag, to be searched, with what the lint says of it.

import { h, show } from "../../dom.js";
import { day, num, percent, words } from "../../format.js";
import { at } from "../api.js";
import { change, Unfinished } from "../change.js";
import { editor } from "../jsonedit.js";
import { actions, badge, card, empty, field, link, select, soft, table } from "../parts.js";
import { href } from "../routes.js";

/** What a definition comes to, in a few words. */
export function inShort(definition) {
  if (definition === true) return badge("on", "good");
  if (definition === false || definition.enabled === false) return badge("off", "stop");
  const parts = [];
  if (definition.percentage !== undefined) parts.push(percent(definition.percentage));
  if (definition.variants) parts.push(`${num(Object.keys(definition.variants).length)} variants`);
  if (definition.rules?.length)
    parts.push(`${num(definition.rules.length)} ${definition.rules.length === 1 ? "rule" : "rules"}`);
  if (definition.schedule) parts.push("scheduled");
  return parts.length > 0 ? parts.join(", ") : badge("on", "good");
}

/** The findings of the lint that are about a flag. */
export const findingsOf = (lint, { release, key }) => {
  const own = `/features/${release.replaceAll("~", "~0").replaceAll("/", "~1")}/${key}`;
  return (lint?.findings ?? []).filter(({ pointer }) => pointer === own || pointer.startsWith(`${own}/`));
};

/** From a place in the body, or in the configuration that it would make, to one in a flag's definition. */
export const inDefinition = (pointer) => pointer.replace(/^(\/features\/[^/]*)?\/[^/]*/, "");

function begin(view, releases) {
  const key = h("input", {
    type: "text",
    name: "key",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 100,
  });
  const scope = select([["*", "every release (*)"], ...releases], { name: "scope" });
  const text = editor({
    label: "Definition",
    value: '{\n  "percentage": 0,\n  "stage": "development",\n  "owner": "",\n  "description": ""\n}',
    rows: 10,
  });
  return change(view, {
    title: "New flag",
    submit: "Make it",
    method: "POST",
    get path() {
      return at`/features/${scope.value}`;
    },
    fields: h(
      "div",
      { class: "stack" },
      h("div", { class: "pair" }, field("Key", key, "Lower case, digits, underscores."), field("Release", scope)),
      text.node,
    ),
    body: () => {
      if (!key.value.trim()) throw new Unfinished("The flag needs a key.");
      return { [key.value.trim()]: text.read() };
    },
    mark: (errors) => text.mark(errors, inDefinition),
  });
}

const matches = (feature, words) => {
  const { owner = "", description = "", stage = "" } = feature.definition ?? {};
  const text = `${feature.key} ${feature.release} ${owner} ${description} ${stage}`.toLowerCase();
  return words.every((word) => text.includes(word));
};

function expiry({ expires } = {}) {
  if (!expires) return "–";
  const isOver = new Date(expires) < new Date();
  return [day(expires), isOver && [" ", badge("expired", "stop")]];
}

export async function view(view) {
  const [written, lint, list, kills] = await Promise.all([
    view.read("/admin/features"),
    view.perhaps("/admin/lint"),
    view.perhaps("/admin/releases"),
    view.perhaps("/admin/kill-switches"),
  ]);
  const releases = (list?.releases ?? []).map(({ name }) => name);
  const all = written.features;
  const rows = h("div", { class: "stack" });
  const count = h("p", { class: "soft", role: "status" });
  const search = h("input", {
    type: "search",
    id: "search",
    placeholder: "",
    autocomplete: "off",
    value: view.query.get("q") ?? "",
  });
  const scope = select([["", "all"], ["*", "every release (*)"], ...releases], {
    id: "scope",
    value: view.query.get("release") ?? "",
  });
  const stage = select(
    ["", "development", "internal", "beta", "ga", "deprecated"].map((s) => [s, s || "all"]),
    { id: "stage" },
  );
  const only = h("input", { type: "checkbox", id: "only" });

  function draw() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = all.filter(
      (feature) =>
        matches(feature, wanted) &&
        (!scope.value || feature.release === scope.value) &&
        (!stage.value || feature.definition?.stage === stage.value) &&
        (!only.checked || findingsOf(lint, feature).length > 0),
    );
    count.textContent = `${num(found.length)} of ${num(all.length)} flags`;
    show(
      rows,
      found.length === 0
        ? empty(all.length === 0 ? "No flag is written down: each answers its default." : "Nothing matches.")
        : table(
            "Flags",
            ["Flag", "Release", "Now", "Stage", "Owner", "Expires", "Lint"],
            found.map((feature) => {
              const findings = findingsOf(lint, feature);
              const worst = findings.some(({ severity }) => severity === "error") ? "stop" : "warn";
              return [
                link(href(`flags/${feature.release}/${feature.key}`), feature.key),
                h("code", {}, feature.release),
                kills?.features.includes(feature.key) ? badge("killed", "stop") : inShort(feature.definition),
                words(feature.definition?.stage),
                feature.definition?.owner ?? "–",
                expiry(feature.definition),
                findings.length > 0 ? badge(num(findings.length), worst) : "–",
              ];
            }),
          ),
    );
  }

  for (const control of [search, scope, stage, only]) control.addEventListener("input", draw);
  draw();
  const defaults = Object.entries(written.defaults);
  return [
    card(
      "Every flag",
      h(
        "div",
        { class: "filters", role: "search" },
        field("Search", search),
        field("Release", scope),
        field("Stage", stage),
        h("p", { class: "check" }, only, h("label", { for: "only" }, "With findings only")),
      ),
      count,
      rows,
      actions([
        {
          id: "new-flag",
          text: "New flag …",
          call: "set_features",
          what: "make flags",
          run: () => begin(view, releases),
        },
      ]),
    ),
    defaults.length > 0 &&
      card(
        "Defaults",
        soft("What a flag answers of which nothing is written."),
        h(
          "ul",
          { class: "chips" },
          defaults.map(([key, on]) =>
            h("li", {}, h("code", {}, key), " ", badge(on ? "on" : "off", on ? "good" : "quiet")),
          ),
        ),
      ),
  ];
}
