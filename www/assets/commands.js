// The commands that people copy. They are there without this file; it adds copy buttons and the right origin.
import { announce, byId } from "./dom.js";

const PUBLIC_ORIGIN = "https://get.caro.sh";
const VERSION = /^v?\d{1,9}\.\d{1,9}\.\d{1,9}(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?$/;

/** The text node that holds a command's address; the rest is in spans, for better line breaks. */
const address = (code) => code.firstChild;

/** Commands name the host the reader is looking at, so that a local or forked router installs from itself. */
function useThisOrigin() {
  if (location.origin === PUBLIC_ORIGIN || !/^https?:$/.test(location.protocol)) return;
  for (const code of document.querySelectorAll("code[id^='c-']")) {
    address(code).data = address(code).data.replace(PUBLIC_ORIGIN, location.origin);
  }
}

function select(node) {
  const selection = getSelection();
  selection.removeAllRanges();
  const range = document.createRange();
  range.selectNodeContents(node);
  selection.addRange(range);
}

const timers = new WeakMap();

/** Puts `text` on a button for two seconds; its box has a fixed width. */
function flash(button, text) {
  clearTimeout(timers.get(button));
  button.textContent = text;
  button.dataset.done = "";
  timers.set(
    button,
    setTimeout(() => {
      button.textContent = "Copy";
      delete button.dataset.done;
    }, 2000),
  );
}

async function copy(button) {
  const code = byId(button.dataset.copy);
  const text = code.textContent;
  try {
    await navigator.clipboard.writeText(text);
    flash(button, "Copied");
    announce(text.includes("\n") ? "Copied." : `Copied: ${text}`);
  } catch {
    // No permission, or no clipboard at all on plain http: leave the reader one keystroke from a copy.
    select(code);
    flash(button, "Selected");
    announce("Selected. Press Ctrl+C or ⌘C to copy.");
  }
}

/** Names a release that exists, once one is known; nothing but a plain version may enter a command. */
export function pin(status) {
  const offered = status.releases.find((release) => !release.stopped && release.state === "active");
  const name = [offered?.name, offered?.version, status.stable].find((known) => VERSION.test(known ?? ""));
  if (name === undefined) return;
  const node = address(byId("c-pinned"));
  const command = node.data.replace(/(:\/\/[^/ ]+\/)[^ ]+/, (_, site) => site + name);
  if (node.data !== command) node.data = command;
}

// Before the first paint, which waits for this file alone: nothing moves then.
useThisOrigin();
for (const button of document.querySelectorAll("button.copy")) button.addEventListener("click", () => copy(button));
document.documentElement.dataset.js = "";
