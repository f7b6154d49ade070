// Signing in, and from an address behind # to a view. The first paint needs none of this: the page has its frame.

import { announce, byId, h, show } from "../dom.js";
import { words } from "../format.js";
import { signIn, signOut, whenSignedOut, who } from "./api.js";
import { context } from "./context.js";
import { watchHealth } from "./health.js";
import { problemBox } from "./parts.js";
import { fetchAll, find, href, NAMES, NAVIGATION } from "./routes.js";
import { openStop } from "./stop.js";

const PRODUCT = "caro console";
// A view that comes sooner shows no sign of loading, so that nothing flickers.
const QUIET_MS = 150;

let leaving = new AbortController();
let shown = null;

// ---------------------------------------------------------------- signing in and out

function signedIn() {
  const me = who();
  byId("signin").hidden = true;
  byId("view").hidden = false;
  byId("nav").hidden = false;
  byId("menu").hidden = false;
  show(
    byId("who"),
    h("span", { class: "label", title: me.id }, me.label),
    h("span", { class: "role badge", data: { tone: "quiet" } }, words(me.role)),
    h("button", { type: "button", id: "signout", on: { click: () => signOut() } }, "Sign out"),
  );
  health.wake();
  // From then on a view needs nothing but its data.
  navigate(true).then(fetchAll);
}

whenSignedOut((why) => {
  leaving.abort();
  shown = null;
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  show(byId("view"));
  show(byId("who"));
  byId("view").hidden = true;
  byId("nav").hidden = true;
  byId("menu").hidden = true;
  byId("signin").hidden = false;
  byId("signin-problem").textContent = why && `You were signed out: ${why}`;
  document.title = `Sign in – ${PRODUCT}`;
  byId("token").focus();
});

byId("signin-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("token");
  const button = event.target.querySelector("button");
  const problem = byId("signin-problem");
  problem.textContent = "";
  field.removeAttribute("aria-invalid");
  // What no header can carry is no token.
  const secret = field.value.trim();
  if (!/^[\x21-\x7e]+$/.test(secret)) {
    problem.textContent = "A token has letters, digits and signs of ASCII, and no blanks.";
    field.setAttribute("aria-invalid", "true");
    field.focus();
    return;
  }
  button.disabled = true;
  try {
    await signIn(secret);
    field.value = "";
    signedIn();
  } catch (error) {
    problem.textContent =
      error.status === 401
        ? "The router does not know this token, or it has ended."
        : `${error.title}. ${error.detail}`;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  } finally {
    button.disabled = false;
  }
});

// ---------------------------------------------------------------- navigation

function drawNavigation(current) {
  const open = byId("nav").classList.contains("open");
  const groups = NAVIGATION.map(([title, items]) => [
    h("h2", {}, title),
    h(
      "ul",
      {},
      items.map(([path, text]) =>
        h(
          "li",
          {},
          h(
            "a",
            { href: `#/${path}`, "aria-current": path === current ? "page" : undefined, data: { nav: path } },
            text,
          ),
        ),
      ),
    ),
  ]);
  show(byId("nav"), h("div", {}, groups));
  byId("nav").classList.toggle("open", open);
}

function toggleMenu(open) {
  byId("nav").classList.toggle("open", open);
  byId("menu").setAttribute("aria-expanded", String(open));
}

byId("menu").addEventListener("click", () => toggleMenu(!byId("nav").classList.contains("open")));
byId("stop").addEventListener("click", () => openStop(() => shown?.reload()));
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
addEventListener("hashchange", () => who() && navigate(true));

/** Shows what the address says. `isNew`: the reader went there, so the focus goes along. */
async function navigate(isNew) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { route, params, query } = find(location.hash);
  const title = route.title(...params);
  const view = byId("view");
  const focused = document.activeElement?.id;
  toggleMenu(false);
  drawNavigation(route.nav);
  document.title = `${title} – ${PRODUCT}`;
  const heading = h("h1", { tabindex: "-1" }, title);
  const body = h("div", { class: "body stack" });
  const head = h(
    "div",
    { class: "head" },
    route.parent && h("p", { class: "crumb" }, h("a", { href: `#/${route.parent}` }, NAMES.get(route.parent))),
    heading,
  );
  const own = context({ params, query, signal, reload: () => navigate(false), go, turn });
  shown = own;
  if (isNew) {
    show(view, head, route.tabs?.(params), body);
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }
  view.setAttribute("aria-busy", "true");
  const loading = setTimeout(
    () => isNew && show(body, h("p", { class: "loading", role: "status" }, "Loading …")),
    QUIET_MS,
  );
  try {
    const { view: draw } = await route.load();
    const parts = await draw(own);
    if (signal.aborted) return;
    show(body, parts);
    if (!isNew) show(view, head, route.tabs?.(params), body);
  } catch (error) {
    if (signal.aborted || error.kind === "gone") return;
    if (!error.kind) console.error(error);
    const known = error.kind ? error : whatFailed(error);
    show(
      body,
      problemBox(known, () => navigate(false)),
    );
    if (!isNew) show(view, head, route.tabs?.(params), body);
  } finally {
    clearTimeout(loading);
    if (!signal.aborted) {
      view.setAttribute("aria-busy", "false");
      health.shown(own.revision);
      if (!isNew) refocus(focused, heading);
    }
  }
}

/** A view's own code that could not be had is the network's fault, anything else ours. */
const whatFailed = ({ message }) =>
  /import|module/i.test(message)
    ? { title: "The router cannot be reached", detail: "This part of the console could not be loaded." }
    : { title: "This view failed", detail: String(message) };

/** After a view was drawn anew the focus is where it was, if that is still there and takes it. */
function refocus(id, heading) {
  const isLost = () => !document.activeElement || document.activeElement === document.body;
  if (isLost() && id) byId(id)?.focus({ preventScroll: true });
  if (isLost()) heading.focus({ preventScroll: true });
}

/** The same view of something else: the address changes, and the reader stays where they are. */
function turn(path, query) {
  history.replaceState(null, "", href(path, query));
  navigate(false);
}

/** Goes to another view. */
function go(path, query) {
  const to = href(path, query);
  if (location.hash === to) navigate(false);
  else location.hash = to;
}

const health = watchHealth({
  reload: () => {
    navigate(false);
    announce("The newest revision is shown.");
  },
});
document.title = `Sign in – ${PRODUCT}`;
byId("signin-title").focus({ preventScroll: true });
