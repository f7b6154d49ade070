// What the page tests stand on: an origin that serves www/, a browser, and pages that report everything that goes wrong.

import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { start } from "../support/router.mjs";

export const WWW = fileURLToPath(new URL("../../www/", import.meta.url));

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
  router ??= start({ config: await readFile(CONFIG, "utf8") });
  return (await router).origin;
}

export async function closeOrigin() {
  await (await router)?.end();
  router = undefined;
}

/** Paths of all files in www/, relative to it. */
export async function assets() {
  const all = await readdir(WWW, { recursive: true });
  const files = [];
  for (const name of all) if ((await stat(join(WWW, name))).isFile()) files.push(name);
  return files.sort();
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

/**
 * Opens the page. `answer` decides /status.json: an object is sent as JSON, a function gets the playwright route,
 * undefined leaves it to the server. `context` are playwright context options.
 *
 * The returned `troubles` fill with console errors, page errors, policy violations and requests to other origins.
 */
export async function open(browser, { answer, before, context: options = {} } = {}) {
  const base = await origin();
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "UTC", ...options });
  context.setDefaultTimeout(5000);
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
  if (answer !== undefined) {
    await page.route("**/status.json", (route) =>
      typeof answer === "function" ? answer(route) : route.fulfill({ json: answer }),
    );
  }
  if (before) await before(page);
  const policy = (await page.goto(`${base}/`)).headers()["content-security-policy"] ?? "";
  return { page, context, base, troubles, asked, policy };
}

/** Waits until the strip no longer says that it is loading, and gives its text. */
export async function summary(page) {
  await page.waitForFunction(() => {
    const said = document.querySelector("#summary").textContent;
    return said !== "" && !said.startsWith("Loading");
  });
  return page.textContent("#summary");
}

/** The text of the first match as a reader sees it: what is hidden is left out. */
export async function visible(page, selector) {
  return (await page.locator(selector).allInnerTexts())[0];
}
