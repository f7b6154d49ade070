// What the page tests stand on: an origin that serves www/, a browser, and pages that report everything that goes wrong.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { tick } from "../support/ledger.mjs";
import { start } from "../support/router.mjs";

export const WWW = fileURLToPath(new URL("../../www/", import.meta.url));

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const CONFIG = fileURLToPath(new URL("../golden/config.json", import.meta.url));

/** A /status.json as the router gives it while a beta is at 25 %; `change` goes over it. */
export function status(change = {}) {
  return {
    product: "caro",
    status: "ok",
    revision: 7,
    checked_at: "2026-01-15T09:00:00Z",
    age_seconds: 3,
    stable: { version: "1.0.4" },
    emergency_stop: { active: false, scope: "none", releases: [] },
    releases: [release()],
    ...change,
  };
}

export function release(change = {}) {
  return {
    name: "v1.1.0-beta",
    version: "1.1.0-beta.2",
    channel: "beta",
    state: "active",
    percentage: 25,
    configured_percentage: 25,
    phase: "small_beta",
    stopped: false,
    ...change,
  };
}

let router;

/** The router named by CARO_TEST_ORIGIN, else the one that was built, with a beta at 25 %. */
export async function origin() {
  if (process.env.CARO_TEST_ORIGIN) return new URL(process.env.CARO_TEST_ORIGIN).origin;
  router ??= started();
  return (await router).origin;
}

/** Its ledger has the configuration. */
async function started() {
  const own = await start({ config: await readFile(CONFIG, "utf8") });
  await tick(own);
  return own;
}

export async function closeOrigin() {
  await (await router)?.end();
  router = undefined;
}

export const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";

/** Null when there is a browser, else why not; it is only a reason to skip when the environment says so. */
export function missingChromium() {
  if (existsSync(CHROMIUM)) return null;
  return `no browser at ${CHROMIUM}: install the Debian package "chromium", or name one in CHROMIUM`;
}

export function launch() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // Whatever a page asks for, nothing leaves this machine.
      "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
    ],
  });
}

/** A /history.json of the same: the plan `caro` soaks at its second stage. */
export function history(change = {}) {
  return {
    product: "caro",
    generated_at: "2026-01-15T09:00:00Z",
    revision: 7,
    stable: "1.0.4",
    releases: [{ ...release(), plan: plan(), history: EVENTS }],
    changes: [
      { at: "2026-01-14T12:30:00Z", revision: 7, text: "v1.1.0-beta: 5 % → 25 %, small_beta" },
      { at: "2026-01-13T12:00:00Z", revision: 6, text: "v1.1.0-beta: version 1.1.0-beta.2 at 5 %" },
    ],
    convergence: {
      revision: 7,
      changed_at: "2026-01-14T12:30:00Z",
      published_at: "2026-01-14T12:30:00.412Z",
      milliseconds: 412,
    },
    ...change,
  };
}

const EVENTS = [
  { at: "2026-01-13T12:00:00Z", percentage: 5, event: "created" },
  { at: "2026-01-14T12:30:00Z", percentage: 25, phase: "small_beta", event: "raised" },
];

export function plan(change = {}) {
  const stage = (id, percentage, hours, entered_at = null, left_at = null) => ({
    id,
    percentage,
    soak_seconds: hours * 3600,
    entered_at,
    left_at,
  });
  return {
    name: "caro",
    status: "running",
    why: "soaking",
    stage: "small_beta",
    stages: [
      stage("canary", 5, 24, "2026-01-13T12:00:00Z", "2026-01-14T12:30:00Z"),
      stage("small_beta", 25, 48, "2026-01-14T12:30:00Z"),
      stage("large_beta", 50, 48),
      stage("full", 100, 48),
    ],
    soaked_seconds: 73_800,
    next_decision_at: "2026-01-15T10:00:00Z",
    pending: null,
    complete_at: "2026-01-20T12:30:00Z",
    ...change,
  };
}

/** A /health with the checks that are named as they are given, and two that are well. */
export const health = (change = {}, state = "ok") => ({
  status: state,
  revision: 7,
  checks: {
    kv: { ok: true, detail: "last read 3 s ago" },
    config: { ok: true, detail: "revision 7 is served" },
    ...change,
  },
});

const LOOKS = ["status", "history", "health"];

/** How long anything that has to come may take; a machine with other work is slow. */
export const PATIENCE_MS = 20_000;

/**
 * Opens a page. `status`, `history` and `health` decide what these looks answer: an object is sent as JSON, a function gets
 * the playwright route, undefined leaves it to the server. `at`: what the page takes for now; timers go on. `context` are
 * playwright context options.
 *
 * The returned `troubles` fill with console errors, page errors, policy violations and requests to other origins.
 */
export async function open(browser, { path = "/", before, at, context: options = {}, ...answers } = {}) {
  const base = await origin();
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "UTC", ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const troubles = [];
  const asked = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") troubles.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => troubles.push(`page: ${error.message}`));
  page.on("request", (request) => {
    asked.push(request.url());
    if (new URL(request.url()).origin !== base) troubles.push(`left the origin: ${request.url()}`);
  });
  await page.exposeFunction("reportViolation", (what) => troubles.push(`policy: ${what}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      window.reportViolation(`${event.violatedDirective} ${event.blockedURI}`);
    });
    window.shift = 0;
    new PerformanceObserver((entries) => {
      for (const entry of entries.getEntries()) window.shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  for (const look of LOOKS) {
    const answer = answers[look];
    if (answer === undefined) continue;
    const file = look === "health" ? look : `${look}.json`;
    await page.route(`**/${file}`, (route) =>
      typeof answer === "function" ? answer(route) : route.fulfill({ json: answer }),
    );
  }
  if (at) await page.clock.setFixedTime(new Date(at));
  if (before) await before(page, base);
  const answer = await page.goto(base + path);
  const policy = answer.headers()["content-security-policy"] ?? "";
  return { page, context, base, troubles, asked, policy };
}

/**
 * Lets a test file have a browser, begun once.
 *
 * @returns `onPage(name, options, body)`, a test with a page of its own. It fails on any console error, policy violation or
 *   request to elsewhere, but for those that `options.expected` matches
 */
export function withPages(defaults = {}) {
  const missing = missingChromium();
  const skip = missing !== null && process.env.CARO_TEST_ALLOW_MISSING === "1" ? missing : false;
  let browser;
  before(async () => {
    if (skip) return;
    if (missing) throw new Error(missing);
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await closeOrigin();
  });
  return (name, options, body) =>
    test(name, { skip, timeout: 60_000 }, async () => {
      const opened = await open(browser, { ...defaults, ...options });
      try {
        await body(opened);
        assert.deepEqual(
          opened.troubles.filter((trouble) => !options.expected?.test(trouble)),
          [],
        );
      } finally {
        await opened.context.close();
      }
    });
}

/** Puts axe into a page, past its policy: the context wants `bypassCSP`. */
export const withAxe = (page) => page.evaluate(AXE);

export const EVERYTHING = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** The rules that look at colours. */
export const COLOURS = ["color-contrast", "link-in-text-block"];

/** What axe finds, a line each. */
export async function findings(page, rules = EVERYTHING) {
  const { violations, passes } = await page.evaluate(
    (runOnly) => window.axe.run(document, { resultTypes: ["violations"], runOnly }),
    rules,
  );
  assert.ok(passes.length > (rules === COLOURS ? 0 : 10), "axe looked at little");
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary.replace(/\s+/g, " ")}`),
  );
}

/** The router that pages come from, with a way to steer it, if it is ours. */
export const ownRouter = () => router;

/** Waits until the strip no longer says that it is loading, and gives its text. */
export async function summary(page) {
  await page.waitForFunction(() => {
    const said = document.querySelector("#summary").textContent;
    return said !== "" && !said.startsWith("Loading");
  });
  return page.textContent("#summary");
}

/** The text of the first match as a reader sees it: what is hidden is left out, and blanks are single. */
export async function visible(page, selector) {
  return (await page.locator(selector).allInnerTexts())[0].replace(/\s+/g, " ");
}

/**
 * Has a page count in `window.looks`: `begun`, each of which asks for `/status.json` once, and `open`, the answers that the
 * page has not read yet. A look begins in a timer, so under a clock that is turned by hand both are exact.
 */
export function noteLooks(page) {
  return page.addInitScript(() => {
    const looks = { begun: 0, open: 0 };
    window.looks = looks;
    const own = window.fetch;
    const close = () => {
      looks.open -= 1;
    };
    window.fetch = async (...of) => {
      if (of[0] === "/status.json") looks.begun += 1;
      looks.open += 1;
      try {
        const answer = await own(...of);
        answer.json = () => Response.prototype.json.call(answer).finally(close);
        return answer;
      } catch (error) {
        close();
        throw error;
      }
    };
  });
}

/** Waits until the page has read all that it asked for: what follows from that is then done, or set to a timer. */
export const answered = (page) => page.waitForFunction(() => window.looks.open === 0);

/** Whether a page is as wide as its screen. */
export const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
