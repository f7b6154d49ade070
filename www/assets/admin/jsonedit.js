// A text field for JSON, with line numbers, and with problems shown at the lines that they are about.

import { freshId, h, show } from "../dom.js";
import { Unfinished } from "./change.js";

const escaped = (key) => key.replaceAll("~", "~0").replaceAll("/", "~1");

/** Where each value of a valid text begins, by JSON pointer (RFC 6901); a member's is its name's. */
export function places(text) {
  const found = new Map();
  let i = 0;
  const blank = () => {
    while (/\s/.test(text[i] ?? "")) i += 1;
  };
  const string = () => {
    const start = i;
    i += 1;
    while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
    i += 1;
    return JSON.parse(text.slice(start, i));
  };
  const value = (pointer) => {
    blank();
    if (!found.has(pointer)) found.set(pointer, i);
    const open = text[i];
    if (open === '"') string();
    else if (open === "{" || open === "[") {
      const close = open === "{" ? "}" : "]";
      i += 1;
      blank();
      for (let n = 0; i < text.length && text[i] !== close; n += 1) {
        let own = `${pointer}/${n}`;
        if (open === "{") {
          const start = i;
          own = `${pointer}/${escaped(string())}`;
          found.set(own, start);
          blank();
          i += 1;
        }
        value(own);
        blank();
        if (text[i] === ",") i += 1;
        blank();
      }
      i += 1;
    } else while (i < text.length && !/[\s,\]}]/.test(text[i])) i += 1;
  };
  value("");
  return found;
}

/** The place of a pointer, or of what is nearest above it. */
function placeOf(found, pointer) {
  let at = pointer;
  while (!found.has(at) && at.includes("/")) at = at.slice(0, at.lastIndexOf("/"));
  return found.get(at) ?? 0;
}

const lineOf = (text, offset) => text.slice(0, offset).split("\n").length;

/** Where a parser stopped, as far as its message says. */
function stoppedAt(text, message) {
  const [, at] = /position (\d+)/.exec(message) ?? [];
  return at === undefined ? text.length : Number(at);
}

/**
 * @returns `node`; `read()`, which gives the value or throws `Unfinished`; `mark(errors, toPointer)`, which shows problems
 *   at their lines; `text`
 */
export function editor({ label, value, rows = 18, hint, readOnly = false }) {
  const id = freshId("json");
  const area = h("textarea", {
    id,
    rows,
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    wrap: "off",
    readonly: readOnly,
    "aria-describedby": `${id}-problems`,
    value,
  });
  const gutter = h("div", { class: "gutter", "aria-hidden": "true" });
  const problems = h("ul", { class: "faults", id: `${id}-problems`, "aria-live": "polite" });
  let marked = [];

  function number() {
    // A pasted text comes line by line, so only what differs is drawn.
    const lines = area.value.split("\n").length;
    while (gutter.childElementCount > lines) gutter.lastElementChild.remove();
    while (gutter.childElementCount < lines) gutter.append(h("span", {}, gutter.childElementCount + 1));
    for (const line of gutter.querySelectorAll("[data-bad]")) delete line.dataset.bad;
    for (const line of marked) {
      const own = gutter.children[line - 1];
      if (own) own.dataset.bad = "1";
    }
    gutter.scrollTop = area.scrollTop;
  }

  function goTo(line) {
    const start =
      area.value
        .split("\n")
        .slice(0, line - 1)
        .join("\n").length + (line > 1 ? 1 : 0);
    const end = area.value.indexOf("\n", start);
    area.focus();
    area.setSelectionRange(start, end === -1 ? area.value.length : end);
  }

  function tell(list) {
    marked = list.map(({ line }) => line);
    if (list.length > 0) area.setAttribute("aria-invalid", "true");
    else area.removeAttribute("aria-invalid");
    show(
      problems,
      list.map(({ line, pointer, text }) =>
        h(
          "li",
          {},
          h("button", { type: "button", class: "link", on: { click: () => goTo(line) } }, `Line ${line}`),
          " ",
          pointer && h("code", {}, pointer),
          pointer && " ",
          text,
        ),
      ),
    );
    number();
  }

  function read() {
    try {
      const found = JSON.parse(area.value);
      tell([]);
      return found;
    } catch (error) {
      const line = lineOf(area.value, stoppedAt(area.value, error.message));
      tell([{ line, pointer: "", text: `is not JSON: ${error.message}` }]);
      throw new Unfinished(`Line ${line} is not JSON.`);
    }
  }

  area.addEventListener("input", number);
  area.addEventListener("scroll", () => {
    gutter.scrollTop = area.scrollTop;
  });
  number();
  return {
    node: h(
      "div",
      { class: "field" },
      h("label", { for: id }, label),
      hint && h("p", { class: "hint" }, hint),
      h("div", { class: "editor" }, gutter, area),
      problems,
    ),
    area,
    read,
    mark(errors, toPointer = (pointer) => pointer) {
      let found = new Map();
      try {
        JSON.parse(area.value);
        found = places(area.value);
      } catch {
        // Where is then not known: the first line stands for the whole.
      }
      tell(
        errors.map(({ pointer = "", detail }) => ({
          line: lineOf(area.value, placeOf(found, toPointer(pointer))),
          pointer,
          text: detail,
        })),
      );
    },
    get text() {
      return area.value;
    },
  };
}
