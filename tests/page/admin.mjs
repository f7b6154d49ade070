// What the console's tests stand on: one furnished router for a file, and pages that report everything that goes wrong.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { furnished } from "../support/console.mjs";
import { launch, missingChromium, PATIENCE_MS } from "./support.mjs";

const missing = missingChromium();
const skip = missing !== null && process.env.CARO_TEST_ALLOW_MISSING === "1" ? missing : false;

/** Every view, by its address behind #. */
export const VIEWS = [
  "releases",
  "releases/v1.1.0-beta",
  "releases/v1.1.0-beta/plan",
  "releases/v1.1.0-beta/evidence",
  "releases/v1.1.0-beta/report",
  "approvals",
  "experiments",
  "experiments/confidence_threshold",
  "flags",
  "flags/*/new_parser",
  "switches",
  "cohorts",
  "cohorts/friends",
  "explain",
  "audit",
  "alerts",
  "tokens",
  "config",
];

/**
 * Lets a test file have a router and a browser, begun once. Tests that ask for nothing of their own get the page that the one
 * before left, signed in, while that is as good as new.
 *
 * @param options of `furnished`
 * @returns `onPage(name, options, body)`, which is a test with a page, and `router()`
 */
export function withConsole(options = {}) {
  let browser;
  let router;
  let shared;
  const kept = new Map();
  before(async () => {
    if (skip) return;
    if (missing) throw new Error(missing);
    [router, browser] = await Promise.all([furnished(options), launch()]);
    shared = await browser.newContext(LOOK);
  });
  after(async () => {
    await browser?.close();
    await router?.end();
  });

  /** A page by the options of a test, and what to do with it after a test that went well. */
  async function pageFor({ as = "admin", at = "releases", fresh = false, context, before: prepare }) {
    if (as === null || fresh || context || prepare) {
      const own = context && (await browser.newContext({ ...LOOK, ...context }));
      const opened = await open(own ?? shared, router, { as, at, prepare });
      return { ...opened, close: () => end(opened.page, own) };
    }
    const found = kept.get(as);
    kept.delete(as);
    if (found) await found.again(at);
    const opened = found ?? (await open(shared, router, { as, at }));
    const close = async (isWell) => {
      if (isWell && (await opened.asNew())) kept.set(as, opened);
      else await end(opened.page);
    };
    return { ...opened, close };
  }

  /** The strip asks now and then: what a test does to requests may be at work on one, and would fail when the page goes. */
  async function end(page, context = page) {
    if (!page.isClosed()) await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
  }

  /**
   * `as`: whose token signs in, `null`: nobody's. `at`: the view. `fresh`, `context`, `before`: a page of its own, with such
   * options and what is done before it goes anywhere. `expected`: troubles that belong to the test.
   */
  const onPage = (name, own, body) =>
    test(name, { skip, timeout: 60_000 }, async () => {
      const opened = await pageFor(own);
      let isWell = false;
      try {
        await body(opened);
        assert.deepEqual(
          opened.troubles.filter((trouble) => !own.expected?.test(trouble)),
          [],
        );
        isWell = true;
      } finally {
        await opened.close(isWell);
      }
    });
  return { onPage, router: () => router };
}

const LOOK = { locale: "en-GB", timezoneId: "UTC", acceptDownloads: true };

async function open(context, router, { as, at, prepare }) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const troubles = [];
  const asked = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) troubles.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => troubles.push(`page: ${error.message}`));
  page.on("dialog", (dialog) => {
    troubles.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    asked.push(request);
    const { origin, protocol } = new URL(request.url());
    if (origin !== router.origin && protocol !== "blob:") troubles.push(`left the origin: ${request.url()}`);
  });
  await page.exposeFunction("reportViolation", (what) => troubles.push(`policy: ${what}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      window.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
    window.shift = 0;
    new PerformanceObserver((entries) => {
      for (const entry of entries.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  await prepare?.(page, router);
  const answer = await page.goto(`${router.origin}/admin#/${at}`);
  if (as !== null) await signIn(page, router.tokens[as]);
  const whose = await text(page, "#who");
  /** Whether the next test finds what it would have found if it had opened it. */
  async function asNew() {
    await page.unrouteAll({ behavior: "ignoreErrors" });
    return (await page.locator("dialog").count()) === 0 && (await text(page, "#who")) === whose;
  }
  async function again(view) {
    await page.evaluate(() => document.querySelector("#toast").replaceChildren());
    troubles.length = 0;
    asked.length = 0;
    await go(page, view);
  }
  return { page, context, troubles, asked, router, answer, asNew, again, go: (view) => go(page, view) };
}

export async function signIn(page, token) {
  await page.fill("#token", token);
  await page.click("#signin-form button");
  await ready(page);
}

/** Waits until the view is there. */
export const ready = (page) => page.waitForSelector("#view[aria-busy=false]:not([hidden])");

export async function go(page, view) {
  await page.evaluate(
    (to) => {
      document.querySelector("#view").setAttribute("aria-busy", "true");
      if (location.hash === to) dispatchEvent(new Event("hashchange"));
      else location.hash = to;
    },
    `#/${view.split("/").map(encodeURIComponent).join("/")}`,
  );
  await ready(page);
}

/** The text of a view, or of a part of it, with single blanks. */
export const text = async (page, selector = "#view") =>
  (await page.locator(selector).allInnerTexts())[0].replace(/\s+/g, " ");

/** Fills the reason of the open dialog and sends it. */
export async function apply(page, reason = "a test") {
  await page.fill("dialog [name=reason]", reason);
  await page.click("#apply");
}

/** The same, and waits until it is done and the view is there again. */
export async function applied(page, reason) {
  await apply(page, reason);
  await page.waitForSelector("dialog", { state: "detached" });
  await ready(page);
}

/** Sends what is in the dialog, and confirms it if that is asked for. */
export async function sure(page) {
  await page.click("#apply");
  await page.waitForFunction(
    () => !document.querySelector("dialog") || document.querySelector("#confirm:not(:checked)"),
  );
  if ((await page.locator("#confirm").count()) > 0) {
    await page.check("#confirm");
    await page.click("#apply");
  }
  await page.waitForSelector("dialog", { state: "detached" });
  await ready(page);
}

/** What is said in passing, beginning so; it goes after six seconds, so wait for it from before what brings it. */
export async function toast(page, begins) {
  const said = (begins) => {
    const { textContent } = document.querySelector("#toast");
    return textContent.startsWith(begins) && textContent;
  };
  return (await page.waitForFunction(said, begins)).jsonValue();
}
