// Releases as a release manager steers them: the dial and what it says before, what wants a confirmation, who was faster.
import assert from "node:assert/strict";
import { applied, apply, go, ready, signIn, text, toast, withConsole } from "./admin.mjs";

const { onPage, router } = withConsole({
  plan: false,
  patch: { releases: { "v1.1.0-beta": { percentage: 25 }, "v1.1.1-beta": { percentage: 0 } } },
});
const RELEASE = "releases/v1.1.0-beta";

const release = async () =>
  (await router().admin.get("/admin/releases")).releases.find(({ name }) => name === "v1.1.0-beta");
/** Another person's change, with the confirmation that it may want. */
const set = (percentage) =>
  router().admin.post("/rollout/v1.1.0-beta", { percentage, confirm: true, reason: "another person" });

onPage("the list", {}, async ({ page }) => {
  const shown = await text(page);
  assert.match(shown, /v1\.1\.0-beta 1\.1\.0-beta\.2 ACTIVE|v1\.1\.0-beta 1\.1\.0-beta\.2 active/i);
  assert.match(shown, /25%/);
  assert.match(shown, /v1\.1\.1-beta 1\.1\.0-beta\.1 paused 0%/);
  assert.match(shown, /A percentage of networks is not a percentage of people/);
  await page.click("#view a:has-text('v1.1.0-beta')");
  await page.waitForSelector("#slider");
  assert.equal(await page.textContent("#view h1"), "v1.1.0-beta");
});

onPage(
  "the dial says who enters before anything is done, and is set with a reason",
  { at: RELEASE },
  async ({ page, asked }) => {
    const before = (await release()).configured_percentage;
    await page.fill("#percentage", "40");
    await page.waitForSelector("#preview .summary");
    assert.match(await text(page, "#preview"), /v1\.1\.0-beta: 25 % → 40 %.*enter.*get a beta instead of stable/);
    assert.equal(await page.inputValue("#slider"), "40");
    assert.equal((await release()).configured_percentage, before, "a look changes nothing");
    await page.click("#set");
    await page.waitForSelector("dialog .summary");
    await page.click("#apply");
    assert.equal(await page.evaluate(() => document.querySelector("dialog [name=reason]").validity.valueMissing), true);
    const [said] = await Promise.all([toast(page, "Done: "), applied(page, "it goes well")]);
    assert.match(said, /^Done: v1\.1\.0-beta: 25 % → 40 %/);
    assert.equal((await release()).configured_percentage, 40);
    assert.match(await text(page), /Of networks 40%/);
    const sent = asked.findLast((request) => request.method() === "POST");
    const headers = sent.headers();
    assert.match(headers["if-match"], /^"\d+"$/);
    assert.match(headers["idempotency-key"], /^[0-9a-f-]{36}$/);
    assert.equal(sent.postDataJSON().reason, "it goes well");
    assert.equal(
      await page.evaluate(() => document.activeElement.tagName),
      "H1",
      "the button is disabled now, so the focus is at the head",
    );
  },
);

onPage("the slider moves by keys, and nonsense is refused where it stands", { at: RELEASE }, async ({ page }) => {
  await page.focus("#slider");
  await page.keyboard.press("End");
  assert.equal(await page.inputValue("#percentage"), "100");
  await page.waitForSelector("#preview .summary");
  await page.fill("#percentage", "12.3456");
  await page.waitForSelector("#percentage[aria-invalid=true]");
  assert.match(await text(page, "#preview"), /three decimals at most/);
  assert.equal(await page.isDisabled("#set"), true);
});

onPage("lowering wants a confirmation that says how many", { at: RELEASE, expected: /409/ }, async ({ page }) => {
  await page.fill("#percentage", "10");
  await page.waitForSelector("#preview .summary");
  assert.match(await text(page, "#preview"), /leave/);
  await page.click("#set");
  await apply(page, "too fast");
  await page.waitForSelector("#confirm");
  assert.match(await text(page, "dialog"), /Somebody would lose what they have/);
  await page.click("#apply");
  assert.equal((await release()).configured_percentage, 40, "not without the tick");
  await page.check("#confirm");
  await page.click("#apply");
  await page.waitForSelector("dialog", { state: "detached" });
  assert.equal((await release()).configured_percentage, 10);
});

onPage("somebody was faster: what changed, and a second look", { at: RELEASE, expected: /412/ }, async ({ page }) => {
  await page.fill("#percentage", "30");
  await page.waitForSelector("#preview .summary");
  await page.click("#set");
  await page.waitForSelector("dialog .summary");
  await set(20);
  await apply(page, "mine");
  await page.waitForSelector("#again");
  const said = await text(page, "dialog");
  assert.match(said, /Somebody was faster\. You were shown revision \d+; now it is \d+\. This is what changed:/);
  assert.match(said, /10 % → 20 % \(another person\) – admin/);
  assert.equal((await release()).configured_percentage, 20, "nothing is written over");
  await page.click("#again");
  await page.waitForSelector("dialog .summary:has-text('20 % → 30 %')");
  await page.click("#apply");
  await page.waitForSelector("dialog", { state: "detached" });
  assert.equal((await release()).configured_percentage, 30);
});

onPage("somebody was faster: close and reload", { at: RELEASE, expected: /412/ }, async ({ page }) => {
  await page.click("#pause");
  await page.waitForSelector("dialog .summary");
  await set(31);
  await apply(page);
  await page.click("#reload");
  await page.waitForFunction(() => document.querySelector("#percentage")?.value === "31");
});

// A drain steps every five seconds: one that comes before it is resumed refuses that, and the page asks again.
onPage("pause, resume and roll back over some time", { at: RELEASE, expected: /412/ }, async ({ page }) => {
  await page.click("#pause");
  await applied(page, "a look first");
  await page.waitForSelector("#resume");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1");
  await page.click("#resume");
  await applied(page, "looked");
  await page.click("#rollback");
  await page.fill("dialog [name=to]", "5");
  await page.fill("dialog [name=over]", "60");
  await page.waitForSelector("dialog .summary:has-text('5 %')");
  await applied(page, "slow on macOS");
  assert.match(await text(page), /On its way down to 5% until/);
  assert.equal((await release()).state, "paused");
  await page.click("#resume");
  await applied(page, "again");
});

onPage("version, state and cohorts", { at: RELEASE, expected: /409/ }, async ({ page }) => {
  await page.click("#edit");
  assert.match(await text(page, "dialog .preview"), /Nothing is changed yet/);
  await page.check("dialog input[name=friends]");
  await page.waitForSelector("dialog .summary");
  await applied(page, "friends first");
  assert.deepEqual((await release()).cohorts.toSorted(), ["friends", "internal_test"]);
});

onPage("an emergency stop from any page, and lifting it", { at: "audit" }, async ({ page }) => {
  await page.click("#stop");
  await page.waitForFunction(() => document.querySelectorAll("dialog option").length > 1);
  await page.selectOption("dialog [name=scope]", "v1.1.0-beta");
  await page.fill("dialog [name=typed]", "halt");
  await apply(page, "crashes on start");
  assert.match(await text(page, "dialog"), /Type “stop” to confirm/);
  assert.equal((await release()).stopped, false);
  await page.fill("dialog [name=typed]", "stop");
  await page.click("#apply");
  await page.waitForSelector("#close");
  assert.match(await text(page, "dialog"), /Stopped\. KV has it/);
  await page.click("#close");
  assert.equal((await release()).stopped, true);
  await go(page, "releases");
  assert.match(await text(page), /Emergency stop of v1\.1\.0-beta, by admin, .*: crashes on start/);
  await page.click("[id='lift-v1.1.0-beta']");
  await applied(page, "fixed in beta.3");
  assert.equal((await release()).stopped, false);
  assert.doesNotMatch(await text(page), /Emergency stop of/);
});

onPage(
  "on a phone, by touch: a look at the dial, and the emergency stop",
  {
    at: "releases",
    context: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
  },
  async ({ page }) => {
    await page.tap("#view a:has-text('v1.1.0-beta')");
    await page.waitForSelector("#slider");
    await page.fill("#percentage", "60");
    await page.waitForSelector("#preview .summary");
    for (const target of await page.locator("button:visible:not(.link), .tabs a:visible").all()) {
      const { height } = await target.boundingBox();
      assert.ok(height >= 32, `${await target.textContent()} is ${height} px high`);
    }
    await page.tap("#stop");
    const box = await page.locator("dialog").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 360);
    await page.fill("dialog [name=typed]", "stop");
    await page.fill("dialog [name=reason]", "on the train");
    await page.tap("#apply");
    await page.waitForSelector("#close");
    assert.equal((await release()).stopped, true);
    await page.tap("#close");
    await page.waitForSelector("dialog", { state: "detached" });
    await ready(page);
    await page.tap("#lift-all");
    await applied(page, "at the desk again");
    assert.equal((await release()).stopped, false);
  },
);

onPage(
  "a change that waits for a second person is shown as held, and is approved by another",
  { at: RELEASE, expected: /409/ },
  async ({ page }) => {
    const config = await router().admin.get("/admin/config");
    await router().admin.put("/admin/config?confirm=1&reason=two", {
      ...config,
      policy: { ...config.policy, approvals: { full_rollout: true } },
    });
    await go(page, "releases");
    await go(page, RELEASE);
    await page.fill("#percentage", "100");
    await page.waitForSelector("#preview .summary");
    await page.click("#set");
    await apply(page, "everybody");
    await page.waitForSelector("dialog h2:has-text('Held for approval')");
    assert.match(await text(page, "dialog"), /Nothing has changed yet: another release manager has to agree/);
    await page.click("#close");
    await go(page, "approvals");
    assert.match(await text(page), /You asked for it: another release manager has to agree/);
    assert.equal(await page.locator("[id^=approve-]").count(), 0);
    await page.click("#signout");
    await signIn(page, router().tokens.release_manager);
    await page.click("[id^=approve-]");
    await applied(page, "agreed");
    assert.equal((await release()).configured_percentage, 100);
    assert.match(await text(page), /Nothing waits/);
  },
);
