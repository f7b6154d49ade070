// Writes the pictures of docs/ from a router that has something of everything. `make screenshots` gets all that it needs
// and runs it; with the Worker built and Chromium there, `node scripts/screenshots.mjs` does (CHROMIUM names another one).
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { launch } from "../tests/page/support.mjs";
import { furnished } from "../tests/support/console.mjs";
import { goesWell, HOUR } from "../tests/support/plans.mjs";

const DOCS = fileURLToPath(new URL("../docs/", import.meta.url));
const MAX_BYTES = 150_000;
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 800 };

/** The file's name, the view, the screen, and what a reader did before it was taken. */
const CONSOLE = [
  ["console-release", "releases/v1.1.0-beta", DESK, "light", turnDial],
  ["console-plan", "releases/v1.1.0-beta/plan", { ...DESK, height: 900 }, "dark"],
  ["console-evidence", "releases/v1.1.0-beta/evidence", { ...DESK, height: 900 }, "light"],
  ["console-flag", "flags/*/new_parser", { ...DESK, height: 1000 }, "light"],
  ["console-phone", "releases/v1.1.0-beta/plan", PHONE, "dark"],
];

/** The same of the public pages: the file's name, the address, the screen. */
const PUBLIC = [
  ["page-light", "/", { ...DESK, height: 960 }, "light"],
  ["page-dark", "/#rollout", { ...DESK, height: 960 }, "dark"],
  ["status", "/status", { ...DESK, height: 1000 }, "light"],
];

async function turnDial(page) {
  await page.fill("#percentage", "25");
  await page.waitForSelector("#preview .summary");
}

/** The plan goes on to its second stage, so that there is something to see. */
async function goOn(router) {
  for (let hours = 0; hours < 30 && !(await router.stands()).includes("small_beta"); hours += 5) {
    await router.pass(5 * HOUR);
    await goesWell(router);
  }
  await router.pass(20 * HOUR);
}

async function opened(browser, viewport, colorScheme) {
  const context = await browser.newContext({
    viewport,
    colorScheme,
    locale: "en-GB",
    timezoneId: "UTC",
    reducedMotion: "reduce",
  });
  return context.newPage();
}

/** Keeps what is on the page, if it is not too large. */
async function keep(page, name) {
  const picture = await page.screenshot();
  await page.context().close();
  await writeFile(`${DOCS}${name}.png`, picture);
  console.log(`${name}.png ${picture.length} bytes`);
  if (picture.length > MAX_BYTES) throw new Error(`${name}.png has more than ${MAX_BYTES} bytes`);
}

const isWell = (page) => page.waitForFunction(() => document.querySelector("#strip").dataset.tone === "good");

async function shootConsole(browser, router, [name, view, viewport, colorScheme, before]) {
  const page = await opened(browser, viewport, colorScheme);
  await page.goto(`${router.origin}/admin#/${view}`);
  await page.fill("#token", router.tokens.admin);
  await page.click("#signin-form button");
  await page.waitForSelector("#view[aria-busy=false]:not([hidden])");
  await isWell(page);
  await before?.(page);
  await keep(page, name);
}

async function shootPublic(browser, router, [name, path, viewport, colorScheme]) {
  const page = await opened(browser, viewport, colorScheme);
  // The router's clock was put on, so the page's is.
  await page.clock.setFixedTime(router.now());
  await page.goto(router.origin + path);
  await isWell(page);
  await page.waitForSelector(path === "/status" ? "#speed[aria-busy=false]" : ".stages");
  // As if it were served where it is.
  if (path !== "/status")
    await page.evaluate((origin) => {
      for (const code of document.querySelectorAll("code[id^='c-']")) {
        code.firstChild.data = code.firstChild.data.replace(origin, "https://get.caro.sh");
      }
    }, router.origin);
  await keep(page, name);
}

await mkdir(DOCS, { recursive: true });
const [router, browser] = await Promise.all([furnished(), launch()]);
try {
  for (const picture of CONSOLE) await shootConsole(browser, router, picture);
  await goOn(router);
  for (const picture of PUBLIC) await shootPublic(browser, router, picture);
} finally {
  await browser.close();
  await router.end();
}
