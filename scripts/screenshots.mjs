// Writes the pictures of docs/ from a router that has something of everything. `make screenshots` gets all that it needs
// and runs it; with the Worker built and Chromium there, `node scripts/screenshots.mjs` does (CHROMIUM names another one).
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { launch } from "../tests/page/support.mjs";
import { furnished } from "../tests/support/console.mjs";

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

async function turnDial(page) {
  await page.fill("#percentage", "25");
  await page.waitForSelector("#preview .summary");
}

async function shoot(browser, router, [name, view, viewport, colorScheme, before]) {
  const context = await browser.newContext({
    viewport,
    colorScheme,
    locale: "en-GB",
    timezoneId: "UTC",
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  await page.goto(`${router.origin}/admin#/${view}`);
  await page.fill("#token", router.tokens.admin);
  await page.click("#signin-form button");
  await page.waitForSelector("#view[aria-busy=false]:not([hidden])");
  await page.waitForFunction(() => document.querySelector("#strip").dataset.tone === "good");
  await before?.(page);
  const picture = await page.screenshot();
  await context.close();
  await writeFile(`${DOCS}${name}.png`, picture);
  console.log(`${name}.png ${picture.length} bytes`);
  if (picture.length > MAX_BYTES) throw new Error(`${name}.png has more than ${MAX_BYTES} bytes`);
}

await mkdir(DOCS, { recursive: true });
const [router, browser] = await Promise.all([furnished(), launch()]);
try {
  for (const picture of CONSOLE) await shoot(browser, router, picture);
} finally {
  await browser.close();
  await router.end();
}
