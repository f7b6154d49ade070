// Why somebody gets what they get: the decision step by step, now or as it was at a revision.
import { h, show } from "../../dom.js";
import { json, num, percent, words } from "../../format.js";
import { badge, card, empty, facts, field, link, note, problemBox, select, soft, table } from "../parts.js";
import { href } from "../routes.js";

const OUTCOME = { decides: "good", passes: "quiet", not_reached: "quiet" };

function stepsOf(release) {
  return card(
    release.release,
    facts([
      ["Gets it", release.admitted ? badge("yes", "good") : badge("no")],
      ["Version", h("code", {}, release.version)],
      ["State", words(release.state)],
      ["Bucket", percent(release.bucket)],
      ["Offered below", percent(release.threshold)],
    ]),
    h(
      "ol",
      { class: "steps" },
      release.steps.map((step) =>
        h(
          "li",
          { data: { outcome: step.outcome } },
          h("code", {}, step.rule),
          " ",
          badge(step.outcome, OUTCOME[step.outcome] ?? "quiet"),
          step.detail && h("p", {}, step.detail),
        ),
      ),
    ),
  );
}

function answer(found) {
  return [
    note(
      "good",
      h(
        "p",
        {},
        "Gets ",
        h("strong", {}, found.version),
        ` (${found.channel}), because of `,
        h("code", {}, found.reason),
        ".",
      ),
      h(
        "p",
        {},
        found.identified_by === "none"
          ? "Nothing identifies the requester."
          : `Bucketed by ${words(found.identified_by)}.`,
        found.revision ? ` Revision ${num(found.revision)}.` : " By the compiled-in defaults.",
      ),
    ),
    found.releases.map(stepsOf),
    card(
      "Flags",
      found.features.length === 0
        ? empty("There are none.")
        : table(
            "Flags",
            ["Flag", "Value", "Variant", "Reason", "Why"],
            found.features.map((feature) => [
              h("code", {}, feature.key),
              h("code", {}, json(feature.value)),
              feature.variant,
              words(feature.reason),
              feature.detail,
            ]),
          ),
      soft("For a client that says nothing of itself: rules about its system or country may decide otherwise."),
    ),
  ];
}

export async function view(view) {
  const list = await view.perhaps("/admin/releases");
  const kind = select(
    [
      ["id", "an id"],
      ["ip", "an IP address"],
      ["", "nobody in particular"],
    ],
    { id: "kind" },
  );
  const value = h("input", {
    type: "text",
    id: "value",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    maxlength: 256,
  });
  const release = select([["", "whichever they get"], ...(list?.releases ?? []).map(({ name }) => name)], {
    id: "release",
    value: view.query.get("release") ?? "",
  });
  const at = h("input", {
    type: "number",
    id: "at",
    min: 1,
    step: 1,
    inputmode: "numeric",
    value: view.query.get("at") ?? "",
  });
  const out = h("div", { class: "stack", "aria-live": "polite" });
  kind.addEventListener("change", () => {
    value.disabled = kind.value === "";
  });

  const ask = async (event) => {
    event.preventDefault();
    show(out, soft("Looking …"));
    const query = { release: release.value, at: at.value };
    if (kind.value) query[kind.value] = value.value;
    try {
      show(out, answer(await view.read("/admin/explain", query)));
    } catch (error) {
      if (error.kind !== "gone") show(out, problemBox(error));
    }
  };
  return [
    h(
      "form",
      { class: "card stack", on: { submit: ask } },
      h("h2", {}, "Who"),
      soft("What somebody gets, and each step that leads there: stops, kills, lists, cohorts, their bucket."),
      h(
        "div",
        { class: "filters" },
        field("Known by", kind),
        field("Which", value, "Not kept, not logged."),
        field("Release", release),
        field("At revision", at, "Empty: now."),
      ),
      h("div", { class: "actions" }, h("button", { type: "submit", id: "ask", class: "primary" }, "Explain")),
      soft("What happened at a revision is in the ", link(href("audit"), "audit log"), "."),
    ),
    out,
  ];
}
