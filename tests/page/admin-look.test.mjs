// Looking into things: explain, the audit log, alerts and health, the whole configuration.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after } from "node:test";
import { eventually } from "../support/http.mjs";
import { folder } from "../support/ledger.mjs";
import { ADMIN_TOKEN } from "../support/router.mjs";
import { applied, go, text, withConsole } from "./admin.mjs";

/**
 * Takes the alert that a configuration was found. Refuses every other, and then lets it wait: what is under way has a
 * next try that is far enough ahead to be looked at, while one that was refused comes again after two seconds.
 */
let refused = 0;
const isTriedAgain = Promise.withResolvers();
const hook = createServer((request, answer) => {
  request.setEncoding("utf8");
  let body = "";
  request.on("data", (part) => {
    body += part;
  });
  request.on("end", () => {
    if (body.includes("edited by hand")) {
      answer.writeHead(200).end();
    } else if (refused++ === 0) {
      answer.writeHead(500).end();
    } else {
      isTriedAgain.resolve();
    }
  });
});
await new Promise((listening) => hook.listen(0, "127.0.0.1", listening));
after(() => {
  hook.closeAllConnections();
  hook.close();
});

const { onPage, router } = withConsole({
  plan: false,
  bindings: {
    ORIGIN: "https://get.caro.sh",
    ADMIN_TOKEN,
    ALERT_WEBHOOK: `http://127.0.0.1:${hook.address().port}/`,
  },
});

onPage(
  "explain: step by step, of somebody, now and at a revision",
  { at: "explain", expected: /404/ },
  async ({ page }) => {
    await page.fill("#value", "u2");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".steps");
    const shown = await text(page);
    assert.match(
      shown,
      /Gets (1\.0\.4|1\.1\.0-beta\.\d) \((stable|beta)\), because of \w+\. Bucketed by id\. Revision \d+\./,
    );
    assert.match(shown, /bucket (decides|passes|not reached) bucket [\d.]+ % is (not )?below/i);
    assert.ok((await page.locator(".steps li").count()) > 8);
    await page.selectOption("#kind", "ip");
    await page.fill("#value", "192.0.2.7");
    await page.fill("#at", "7");
    await page.click("#ask");
    await page.waitForFunction(() => document.querySelector("#view").textContent.includes("Revision 7."));
    await page.fill("#at", "99999");
    await page.click("#ask");
    await page.waitForSelector("#view [role=alert]");
    assert.match(await text(page), /There is no revision 99999/);
    await page.selectOption("#kind", "");
    assert.equal(await page.isDisabled("#value"), true);
    await page.fill("#at", "");
    await page.click("#ask");
    await page.waitForFunction(() =>
      document.querySelector("#view").textContent.includes("Nothing identifies the requester."),
    );
  },
);

onPage("the audit log: filtered, page by page, verified, exported", { at: "audit" }, async ({ page }) => {
  for (let i = 0; i < 60; i += 1) {
    await router().admin.post("/rollout/v1.1.1-beta/signals", { numbers: { awu: i }, reason: `signal ${i}` });
  }
  await go(page, "flags");
  await go(page, "audit");
  assert.equal(await page.locator(".rows .row").count(), 50);
  assert.match(await text(page, ".card .soft[role=status]"), /the newest 50 rows/);
  await page.click("#more");
  await page.waitForFunction(() => document.querySelectorAll(".rows .row").length > 60);
  assert.equal(
    await page.evaluate(() => [...document.querySelectorAll(".row summary")].indexOf(document.activeElement)),
    50,
  );
  assert.equal(await page.isVisible("#more"), false);
  await page.fill("#action", "token.mint");
  await page.click("#filter");
  await page.waitForFunction(() => document.querySelectorAll(".rows .row").length < 20);
  for (const row of await page.locator(".row-head strong").allInnerTexts()) assert.match(row, /^token /);
  await page.click(".row summary >> nth=0");
  assert.match(await text(page, ".row[open], .row:has(details[open])"), /Hash [0-9a-f]{64} Before [0-9a-f]{64}/);
  await page.fill("#action", "");
  await page.fill("#actor", "nobody");
  await page.click("#filter");
  await page.waitForFunction(() => document.querySelector(".rows").textContent.includes("No row matches."));
  await page.click("#verify");
  await page.waitForFunction(() =>
    document.querySelector("#view").textContent.includes("The log is what was written."),
  );
  await page.fill("#actor", "");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
  assert.match(download.suggestedFilename(), /^audit-\d{4}-\d\d-\d\d\.ndjson$/);
  const lines = (await readFile(await download.path(), "utf8")).trimEnd().split("\n");
  assert.equal(lines.length, (await router().admin.log()).length);
  assert.match(JSON.parse(lines[0]).hash, /^[0-9a-f]{64}$/);
});

onPage("alerts, publishing and health", { at: "alerts" }, async ({ page }) => {
  await router().admin.post("/admin/kill-switches", { canary: true, reason: "a drill" });
  await isTriedAgain.promise;
  await eventually(
    () => router().admin.get("/ops/status.json"),
    ({ publishing }) => assert.equal(publishing.state, "in_sync", "KV takes one write a second"),
  );
  await go(page, "alerts");
  const shown = await text(page);
  assert.match(shown, /canary .*Reason: a drill.* waits next try in .* [1-9] .*edited by hand in KV/i);
  assert.match(shown, /Webhook set Wait 1 Delivered 1/i);
  assert.equal(
    await page.locator("table:has(caption:has-text('Alerts')) .badge").count(),
    1,
    "the other was delivered",
  );
  assert.match(shown, /Publishing to KV State in sync Ledger revision \d+/i);
  assert.match(shown, /emergency stop ok not set/i);
});

onPage(
  "the configuration: looked at, compared, imported with a problem at its line, put in place",
  { at: "config", expected: /4(09|22)/ },
  async ({ page }) => {
    const config = await router().admin.get("/admin/config");
    const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-config")]);
    assert.deepEqual(JSON.parse(await readFile(await saved.path(), "utf8")), config);

    const wrong = structuredClone(config);
    wrong.releases["v1.1.1-beta"].percentage = 250;
    const path = join(folder(), "config.json");
    const lines = JSON.stringify(wrong, null, 2).split("\n");
    await writeFile(path, lines.join("\n"));
    await page.setInputFiles("#file", path);
    await page.waitForSelector(".diff ins");
    assert.match(await text(page, ".diff ins"), /\+ "percentage": 250/);
    assert.match(await text(page, ".diff del"), /- "percentage": 2\.5/);
    await page.click("#put");
    await page.waitForSelector("dialog .note[data-tone=stop]");
    assert.match(await text(page, "dialog"), /\/releases\/v1\.1\.1-beta\/percentage must be a percentage/);
    await page.keyboard.press("Escape");
    const line = lines.findIndex((item) => item.includes("250")) + 1;
    assert.equal(await page.textContent(".gutter [data-bad='1']"), String(line));

    wrong.releases["v1.1.1-beta"].percentage = 3.5;
    await page.fill("textarea", JSON.stringify(wrong, null, 2));
    await page.click("#compare");
    await page.click("#put");
    await page.waitForSelector("dialog .impact");
    await applied(page, "a little more");
    const after = await router().admin.get("/admin/config");
    assert.equal(after.releases["v1.1.1-beta"].percentage, 3.5);
    assert.match(await text(page), new RegExp(`Revision ${after.revision}`));
  },
);
