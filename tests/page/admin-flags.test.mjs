// Flags, experiments, switches and people in the console.
import assert from "node:assert/strict";
import { applied, apply, go, ready, sure, text, toast, withConsole } from "./admin.mjs";

const { onPage, router } = withConsole({ plan: false });

const feature = async (key) => (await router().admin.get("/admin/features")).features.find((item) => item.key === key);

onPage("flags are searched and filtered, with expiry and findings", { at: "flags" }, async ({ page }) => {
  const shown = await text(page);
  assert.match(shown, /new_parser \* 10%, 1 rule development shell 1 Mar 2026 expired 3/i);
  assert.match(shown, /answer_length \* 25%, 2 variants beta models 1 Feb 2027/);
  await page.fill("#search", "models");
  assert.match(await text(page, "[role=status].soft"), /^1 of \d+ flags$/);
  await page.fill("#search", "");
  await page.selectOption("#stage", "development");
  assert.deepEqual(await page.locator("tbody th").allInnerTexts(), ["new_parser"]);
  await page.selectOption("#stage", "");
  await page.selectOption("#scope", "v1.1.0-beta");
  assert.ok(!(await text(page, "table")).includes("new_parser"));
  await page.fill("#search", "nothing like this");
  assert.match(await text(page), /Nothing matches/);
});

onPage(
  "one flag: papers, findings, and an editor with the API's problem at its line",
  { at: "flags/*/new_parser", expected: /422/ },
  async ({ page }) => {
    const shown = await text(page);
    assert.match(shown, /Reads commands with the parser of 1\.2\./);
    assert.match(shown, /error expired has expired/);
    const { definition } = await feature("new_parser");
    const wrong = { ...definition, percentage: 101 };
    const lines = JSON.stringify(wrong, null, 2).split("\n");
    await page.fill("textarea", lines.join("\n"));
    await page.click("#store");
    await page.waitForSelector("dialog .note[data-tone=stop]");
    assert.match(await text(page, "dialog"), /must be a percentage from 0 to 100/);
    await page.keyboard.press("Escape");
    const line = lines.findIndex((text) => text.includes("101")) + 1;
    assert.equal(await page.textContent(".gutter [data-bad='1']"), String(line));
    assert.equal(await page.getAttribute("textarea", "aria-invalid"), "true");

    await page.fill("textarea", '{ "percentage": 20,, }');
    await page.click("#store");
    await page.waitForSelector(".faults button");
    assert.match(await text(page, ".field .faults"), /Line 1 is not JSON/);
    await page.keyboard.press("Escape");

    const { owner: _, ...rest } = definition;
    await page.fill("textarea", JSON.stringify({ ...rest, percentage: 20 }, null, 2));
    await page.click("#store");
    await page.waitForSelector("dialog .summary");
    await applied(page, "twice as many");
    const { definition: after } = await feature("new_parser");
    assert.equal(after.percentage, 20);
    assert.equal("owner" in after, false, "what was taken out is gone");
    assert.deepEqual(after.rules, definition.rules);
  },
);

onPage("switch off, restore, make, forget", { at: "flags/*/intent_bar", expected: /4(09|22)/ }, async ({ page }) => {
  await page.click("#off");
  await page.waitForSelector("dialog .summary");
  await applied(page, "it confuses people");
  assert.match(await text(page), /Now off/);
  await page.click("#restore");
  await applied(page, "clearer now");
  await go(page, "flags");
  await page.click("#new-flag");
  assert.match(await text(page, "dialog .preview"), /needs a key/);
  await page.fill("dialog [name=key]", "brand_new");
  await page.waitForSelector("dialog .summary");
  await applied(page, "a new one");
  assert.equal((await feature("brand_new")).definition.percentage, 0);
  await go(page, "flags/*/brand_new");
  await page.click("#forget");
  await applied(page, "never mind");
  assert.equal(await feature("brand_new"), undefined);
  assert.match(await text(page), /Nothing is written of this flag/);
});

onPage("kill switches: since when, why, and back on", { at: "switches" }, async ({ page }) => {
  await page.click("#kill-telemetry_disabled");
  await page.waitForSelector("dialog .summary");
  await applied(page, "privacy");
  assert.match(await text(page, "table"), /Telemetry .*killed .*\(\d+ secs?\) privacy by admin/i);
  await page.click("#kill-feature");
  await page.fill("dialog [name=name]", "embedded_backend");
  await page.waitForSelector("dialog .summary");
  await applied(page, "bad answers");
  assert.match(await text(page), /features: embedded backend killed/i);
  await go(page, "flags");
  assert.match(await text(page), /embedded_backend v1\.1\.0-beta killed/i);
  await go(page, "switches");
  for (const id of ["on-telemetry_disabled", "on-features/embedded_backend"]) {
    await page.click(`[id='${id}']`);
    await applied(page, "mended");
  }
  assert.deepEqual((await router().admin.get("/admin/kill-switches")).on, []);
});

onPage("cohorts, their members, and canary mode", { at: "cohorts", expected: /409/ }, async ({ page }) => {
  await page.click("#new-cohort");
  await page.fill("dialog [name=name]", "testers");
  await page.waitForSelector("dialog .summary");
  await applied(page, "a group");
  assert.match(await text(page), /testers enabled 0% 0/i);
  await go(page, "cohorts/testers");
  await page.click("#add-member");
  await page.fill("dialog [name=value]", "bob");
  await page.fill("dialog [name=label]", "bob of support");
  await page.waitForSelector("dialog .summary");
  await applied(page, "asked");
  assert.match(await text(page), /1 member bob of support/);
  await page.click("#remove-member");
  await page.fill("dialog [name=value]", "bob of support");
  await page.waitForSelector("dialog .summary");
  await applied(page, "left");
  assert.match(await text(page), /0 members/);
  await page.click("#delete-cohort");
  await apply(page, "over");
  await page.waitForFunction(
    () => location.hash === "#/cohorts" && document.querySelector("#view").ariaBusy === "false",
  );
  assert.doesNotMatch(await text(page), /testers/);
  const id = (await page.locator("#canary-off").count()) === 1 ? "#canary-off" : "#canary-on";
  await page.click(id);
  await page.fill("dialog [name=reason]", "canary");
  await sure(page);
  await page.waitForSelector(id, { state: "detached" });
});

onPage(
  "experiments: what one shows, ending it and going on",
  { at: "experiments", expected: /409/ },
  async ({ page }) => {
    assert.match(
      await text(page),
      /confidence_threshold running aggressive, control \(control\) command_success 100%/i,
    );
    await go(page, "experiments/confidence_threshold");
    const shown = await text(page);
    assert.match(shown, /undecided: .*aggressive has 0 of the 1000 outcomes/);
    assert.match(shown, /aggressive 50% 0 0/);
    await page.click("#end");
    await applied(page, "enough");
    await page.waitForSelector("#go-on");
    await page.click("#go-on");
    await applied(page, "not enough");
    await page.waitForSelector("#end");
  },
);

onPage(
  "a token is shown once, to be copied, and is revoked",
  { at: "tokens", context: { permissions: ["clipboard-read", "clipboard-write"] } },
  async ({ page }) => {
    await page.click("#mint");
    await page.fill("dialog [name=label]", "rollout bot");
    await page.selectOption("dialog [name=role]", "bot");
    await apply(page, "for the workflow");
    await page.waitForSelector("#secret");
    const secret = await page.inputValue("#secret");
    assert.match(secret, /^caro_[0-9a-f]{64}$/);
    assert.match(await text(page, "dialog"), /shown this once/);
    await page.click("#copy-token");
    await page.waitForFunction(() => document.querySelector("#copy-token").textContent === "Copied");
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
    await page.click("#close");
    await page.waitForSelector("dialog", { state: "detached" });
    await ready(page);
    assert.ok(!(await page.content()).includes(secret), "it is nowhere afterwards");
    assert.match(await text(page), /rollout bot bot standard active/i);
    await page.click("button[aria-label='Revoke rollout bot']");
    await Promise.all([toast(page, "Done"), applied(page, "lost")]);
    assert.match(await text(page), /rollout bot bot standard revoked/i);
  },
);
