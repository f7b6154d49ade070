// When to look again. The router's event stream says when clients get something else; what it does not tell of (a pause, a decision
// that holds, the router's health) is seen by a look each minute. Without the stream a page looks twice as often, and less and
// less often while nobody answers. A hidden page does neither.

const STREAM = "/ofrep/v1/events";
const CALM_MS = 60_000;
const POLL_MS = 30_000;
const MOST_MS = 300_000;
const REOPEN_MS = 5_000;
// Whoever is told of a change is not the only one: they do not all ask at once.
const SPREAD_MS = 1_000;
// An edge looks for itself every five seconds, behind an answer; what it finds may be a minute behind what was told.
const CHASE_MS = [1_000, 2_000, 2_000, 2_000, 2_000, 3_000, 5_000, 10_000, 15_000, 30_000];
// What is answered first may be from before a change that was told before this page listened. An edge that is asked when its copy
// is five seconds old has a newer one a moment later.
const SETTLE_MS = [6_000, 2_000];
// Shown again within this time, a page knows enough.
const RECENT_MS = 5_000;

/** Up to a tenth more, so that pages opened at the same moment drift apart. */
const jitter = (ms) => ms * (1 + Math.random() / 10);
const backOff = (ms, failures) => jitter(Math.min(ms * 2 ** failures, MOST_MS));

/** The revision that an event names; `null`: the event is about none, or about something else. */
function revisionOf(data) {
  try {
    const { type, etag } = JSON.parse(data);
    if (type !== "refetchEvaluation") return undefined;
    const digits = /^"?(\d{1,15})"?$/.exec(String(etag ?? ""));
    return digits ? Number(digits[1]) : null;
  } catch {
    return undefined;
  }
}

/**
 * Looks now, and again when there is a reason to.
 *
 * @param look asks and shows; gives the revisions of what it showed, that of the edge first (`null`: not known), and throws
 *   when there was no answer
 * @param told is called with a revision when the stream tells of it
 */
export function watch(look, told = () => {}) {
  let source = null;
  let isListening = false;
  let reopenTimer = 0;
  let lost = 0;

  let timer = 0;
  let due = 0;
  let began = Number.NEGATIVE_INFINITY;
  let isAsking = false;
  let again = false;
  let failures = 0;
  let wanted = 0;
  let chased = 0;
  let settled = 0;

  const isHidden = () => document.visibilityState === "hidden";

  function schedule() {
    clearTimeout(timer);
    if (!isHidden() && !isAsking) timer = setTimeout(run, Math.max(0, due - Date.now()));
  }

  async function run() {
    isAsking = true;
    again = false;
    began = Date.now();
    let wait;
    try {
      const [served, ...others] = await look();
      failures = 0;
      if (served !== null && served > wanted) [wanted, chased] = [served, 0];
      const isBehind = [served, ...others].some((revision) => revision !== null && revision < wanted);
      if (again || (isBehind && chased < CHASE_MS.length)) wait = jitter(CHASE_MS[chased++] ?? 0);
      else wait = jitter(SETTLE_MS[settled] ?? (isListening ? CALM_MS : POLL_MS));
      settled += 1;
    } catch {
      failures += 1;
      wait = backOff(POLL_MS, failures);
    }
    isAsking = false;
    due = Date.now() + wait;
    schedule();
  }

  function soon(ms = Math.random() * SPREAD_MS) {
    again = true;
    due = Math.min(due, Date.now() + ms);
    schedule();
  }

  function listen() {
    if (source || isHidden()) return;
    source = new EventSource(STREAM);
    source.addEventListener("open", () => {
      isListening = true;
      if (failures === 0 && settled > SETTLE_MS.length) due = Math.max(due, began + CALM_MS);
      // What happened in between was not told.
      if (lost > 0) soon();
      else schedule();
      lost = 0;
    });
    source.addEventListener("message", ({ data }) => {
      const revision = revisionOf(data);
      if (revision === undefined) return;
      chased = 0;
      if (revision !== null) {
        wanted = Math.max(wanted, revision);
        told(revision);
      }
      soon();
    });
    source.addEventListener("error", () => {
      hangUp();
      lost += 1;
      due = Math.min(due, Date.now() + backOff(POLL_MS, failures));
      schedule();
      reopenTimer = setTimeout(listen, backOff(REOPEN_MS, lost - 1));
    });
  }

  function hangUp() {
    clearTimeout(reopenTimer);
    source?.close();
    source = null;
    isListening = false;
  }

  document.addEventListener("visibilitychange", () => {
    if (isHidden()) {
      hangUp();
      clearTimeout(timer);
      return;
    }
    listen();
    settled = 0;
    if (failures === 0 && Date.now() - began > RECENT_MS) due = 0;
    schedule();
  });
  listen();
  schedule();
}
