// Elements without markup: every value becomes text, an attribute or a property, so nothing that the API answers
// can become code. The page's policy refuses text as markup besides.

const SVG = "http://www.w3.org/2000/svg";
// Set as properties, because their attributes only say what they begin with.
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "indeterminate", "open"]);

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, run] of Object.entries(value)) node.addEventListener(event, run);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (PROPERTIES.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(9).filter(isShown).map(asNode));
  return node;
}

const isShown = (child) => child !== undefined && child !== null && child !== false;
const asNode = (child) => (child instanceof Node ? child : document.createTextNode(String(child)));

/** An element: `h("p", { class: "soft" }, "text", child)`. `on` are its listeners, `data` its dataset. */
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  // A select takes its value when its options are there.
  const { value, ...rest } = props ?? {};
  fill(node, rest, children);
  if (value !== undefined && value !== null) node.value = value;
  return node;
}

/** The same in SVG. */
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** What a node shows from now on. */
export function show(node, ...children) {
  node.replaceChildren(...children.flat(9).filter(isShown).map(asNode));
  return node;
}

export const byId = (id) => document.getElementById(id);

let last = 0;
/** An id for a label or a description. */
export const freshId = (name = "i") => `${name}-${++last}`;

let toastTimer = 0;
/** Says something in passing, to eyes and ears. */
export function announce(text) {
  const toast = byId("toast");
  clearTimeout(toastTimer);
  toast.textContent = "";
  // A live region speaks when its content changes: the same text twice needs an empty moment between.
  requestAnimationFrame(() => {
    toast.textContent = text;
  });
  toastTimer = setTimeout(() => {
    toast.textContent = "";
  }, 6000);
}
