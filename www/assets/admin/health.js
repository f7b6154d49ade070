// The strip below the header: whether the router is well, whether anything is stopped, and whether what is shown is old.
import { byId, h, show } from "../dom.js";
import { num, time } from "../format.js";

const POLL_MS = 20_000;
const PATIENCE_MS = 8_000;

/** A public look; a health that is bad comes with 503 and is an answer all the same. */
async function look(path) {
  const answer = await fetch(path, {
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  return answer.json();
}

/** What is wrong, in a sentence, and how bad that is. */
function summary(health, status) {
  const stop = status?.emergency_stop;
  if (stop?.active) {
    const what = stop.scope === "releases" ? stop.releases.join(", ") : "everything";
    return ["stop", `Emergency stop of ${what}.`];
  }
  const bad = Object.entries(health.checks ?? {}).filter(([, check]) => !check.ok);
  if (health.status === "ok" && bad.length === 0)
    return ["good", `Router ok; the edge serves revision ${num(health.revision)}.`];
  const named = bad.map(([name, check]) => `${name.replaceAll("_", " ")}: ${check.detail}`).join("; ");
  const kind =
    health.status === "fallback" ? "Fallback: only the compiled-in defaults are served." : `Router ${health.status}.`;
  return ["warn", `${kind}${named ? ` ${named}` : ""}`];
}

/**
 * Looks again and again, while the tab is seen.
 *
 * @returns `shown(revision)`, which says what the reader has before them, and `wake()`, which looks now
 */
export function watchHealth({ reload }) {
  const strip = byId("strip");
  const newer = byId("newer");
  let timer = 0;
  let before = null;
  let latest = null;
  let status = null;

  newer.addEventListener("click", () => {
    newer.hidden = true;
    reload();
  });

  function say(tone, text, more) {
    strip.dataset.tone = tone;
    const line = byId("health");
    // A live region would speak again.
    if (line.dataset.said === text) return;
    line.dataset.said = text;
    show(line, text, more);
  }

  function tell(health) {
    const [tone, text] = summary(health, status);
    say(tone, text, tone === "good" ? null : [" ", h("a", { href: "#/alerts" }, "Details")]);
  }

  function compare() {
    const isOld = before !== null && latest !== null && latest > before;
    newer.hidden = !isOld;
    if (isOld) newer.textContent = `Show revision ${num(latest)}`;
  }

  async function ask() {
    clearTimeout(timer);
    try {
      // Neither waits for the other to be shown: a stop that was seen stays until the next look says otherwise.
      const coming = look("/status.json").catch(() => null);
      const health = await look("/health");
      latest = health.revision;
      tell(health);
      compare();
      status = (await coming) ?? status;
      tell(health);
    } catch {
      say("warn", `The router cannot be reached since ${time(new Date())}. It is tried again by itself.`);
    }
    schedule();
  }

  function schedule() {
    clearTimeout(timer);
    if (document.visibilityState === "visible") timer = setTimeout(ask, POLL_MS);
  }

  document.addEventListener("visibilitychange", () =>
    document.visibilityState === "visible" ? ask() : clearTimeout(timer),
  );
  ask();
  return {
    wake: ask,
    shown(revision) {
      before = revision;
      compare();
      // What was changed here shows there a moment later.
      if (revision !== null && latest !== null && revision > latest) {
        clearTimeout(timer);
        timer = setTimeout(ask, 3_000);
      }
    },
  };
}
