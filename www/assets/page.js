// The live rollout on `/`.
import { ask, readHistory, readStatus } from "./answers.js";
import { pin } from "./commands.js";
import { byId, h, show } from "./dom.js";
import { num, when } from "./format.js";
import { watch } from "./live.js";
import { showReleases } from "./rollout.js";
import { put, say, tell, tellError } from "./strip.js";

let last = null;
let history;

function draw({ status }) {
  showReleases(byId("releases"), status, history);
  put(byId("stable"), status.stable || "–");
  put(byId("revision"), num(status.revision));
  show(byId("checked"), when(status.checked, true));
}

async function look() {
  const coming = ask("/history.json").then(readHistory);
  // It is waited for below, but it may fail before that.
  coming.catch(() => {});
  try {
    const status = readStatus(await ask("/status.json"));
    last = { status, at: new Date() };
    tell(status);
    pin(status);
    draw(last);
    delete byId("figures").dataset.old;
  } catch (error) {
    tellError(last);
    if (last) byId("figures").dataset.old = "";
    else show(byId("releases"), h("li", { class: "release soft" }, "Where the rollout stands could not be loaded."));
    throw error;
  } finally {
    byId("figures").setAttribute("aria-busy", "false");
  }
  history = await coming.catch(() => history ?? null);
  draw(last);
  return [last.status.revision, history?.revision ?? null];
}

say("quiet", "Loading the live status …");
watch(look);
