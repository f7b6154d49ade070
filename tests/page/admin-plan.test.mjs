// A plan in the console: where it stands, what its gates say, and everything that a person does to it.
import assert from "node:assert/strict";
import { applied, apply, go, sure, text, withConsole } from "./admin.mjs";

const { onPage, router } = withConsole();
const PLAN = "releases/v1.1.0-beta/plan";

const plan = () => router().admin.get("/rollout/v1.1.0-beta/plan");

onPage("stages, soak, verdicts, samples and the last decision", { at: PLAN }, async ({ page }) => {
  const shown = await text(page);
  assert.match(shown, /5% canary soaked 20 hrs of 24 hrs 25% small beta from/);
  const now = page.locator(".stages [aria-current=step] progress");
  assert.equal(await now.getAttribute("aria-label"), "canary: soaked 20 hrs of 24 hrs");
  assert.ok(Math.abs((await now.evaluate((node) => node.value)) - 83.5) < 1);
  const gate = (
    await page.locator("table:has(caption:has-text('Gates')) tr", { hasText: "install_success" }).allInnerTexts()
  )[0];
  const { samples } = (await plan()).last.gates.find((item) => item.gate === "install_success");
  assert.ok(samples > 8_100);
  assert.match(
    gate.replace(/\s+/g, " "),
    new RegExp(`install_success PASS 9\\d\\.\\d+% 90% ${samples.toLocaleString("en-GB")}, enough it is above 90 %`),
  );
  assert.match(shown, /Last decision Verdict PASS Asked for hold Done hold/);
});

onPage("what would be decided now changes nothing", { at: PLAN }, async ({ page }) => {
  const before = (await router().admin.get("/admin/audit?limit=1")).rows[0].seq;
  await page.click("#evaluate");
  await page.waitForSelector("h3:has-text('What would be decided now')");
  assert.equal((await router().admin.get("/admin/audit?limit=1")).rows[0].seq, before);
});

onPage("deciding now shows the decision with its gates", { at: PLAN }, async ({ page }) => {
  await page.click("#decide");
  await apply(page, "looking early");
  await page.waitForSelector("#close");
  assert.match(await text(page, "dialog"), /Verdict PASS/);
  assert.match(await text(page, "dialog"), /command_success/);
  await page.click("#close");
});

onPage("pause, resume, approve and promote", { at: PLAN, expected: /409/ }, async ({ page }) => {
  await page.click("#pause");
  await applied(page, "the weekend");
  await page.waitForSelector("#resume");
  assert.equal((await plan()).status, "paused");
  assert.match(await text(page), /Status paused/);
  await page.click("#resume");
  await applied(page, "monday");
  assert.equal((await plan()).status, "running");

  assert.equal(await page.locator("#approve").count(), 0, "nobody has to agree to leave this stage");
  for (const stage of ["small beta", "large beta"]) {
    await page.click("#promote");
    await apply(page, "we cannot wait");
    await page.waitForSelector("dialog .note[data-tone=stop], dialog #confirm");
    await page.check("#force");
    await sure(page);
    await page.waitForSelector(`.stages [aria-current=step]:has-text('${stage}')`);
  }
  assert.equal((await plan()).stage.id, "large_beta");
  await page.click("#approve");
  await applied(page, "looks good");
  assert.equal((await plan()).approvals.length, 1);
  assert.match(await text(page), /Approved by admin \(release manager\)/);
});

onPage(
  "another plan, as JSON with a problem at its line, and taking it away",
  { at: PLAN, expected: /4(09|22)/ },
  async ({ page }) => {
    await page.click("#remove");
    await applied(page, "by hand from here");
    assert.match(await text(page), /This release has no plan/);

    await page.click("#choose");
    await page.waitForSelector("dialog .summary");
    await page.selectOption("dialog [name=preset]", "");
    const own = {
      name: "small",
      stages: [
        { id: "one", percentage: 25 },
        { id: "two", percentage: 120 },
      ],
    };
    await page.fill("dialog textarea", JSON.stringify(own, null, 2));
    // What stood there before may have been looked at, and has faults of its own.
    await page.waitForSelector("dialog .field .faults:has-text('must be a percentage')");
    assert.match(await text(page, "dialog .field .faults"), /^Line 10 /);
    assert.equal(await page.textContent("dialog .gutter [data-bad='1']"), "10");
    await page.click("dialog .faults button");
    assert.match(
      await page.evaluate(
        () =>
          getSelection().toString() ||
          document.activeElement.value.slice(
            document.activeElement.selectionStart,
            document.activeElement.selectionEnd,
          ),
      ),
      /120/,
    );
    own.stages[1].percentage = 50;
    await page.fill("dialog textarea", JSON.stringify(own, null, 2));
    await page.waitForSelector("dialog .summary");
    assert.equal(await page.locator("dialog .faults button").count(), 0);
    await applied(page, "a plan of our own");
    const { name, status } = await plan();
    assert.deepEqual([name, status], ["small", "draft"]);
    await page.click("#begin");
    await page.fill("dialog [name=reason]", "go");
    await sure(page);
    await page.waitForSelector("#pause");
    assert.equal((await plan()).status, "running");
  },
);

onPage(
  "evidence by arm, platform and cohort, with text for every picture",
  { at: "releases/v1.1.0-beta/evidence" },
  async ({ page, asked }) => {
    const shown = await text(page);
    const told = await router().admin.get("/rollout/v1.1.0-beta/evidence");
    const of = (arm, list, metric) =>
      told.groups.find((group) => group.arm === arm)[list].find((item) => item.metric === metric);
    const figure = (value) => new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 }).format(value);
    for (const [arm, name] of [
      ["canary", "canary"],
      ["control", "stable"],
    ]) {
      const { total, rate, low, high } = of(arm, "rates", "install_success");
      assert.ok(total > 8_000);
      assert.ok(shown.includes(`${name} ${figure(rate)}% ${figure(low)}% – ${figure(high)}% ${figure(total)}`), name);
    }
    const { total, p50_ms } = of("canary", "latencies", "command_latency");
    assert.match(shown, new RegExp(`canary ≤ ${p50_ms} ms (≤ [\\d.]+ \\w+ ){3}${figure(total)}`), "upper edges");
    assert.match(shown, /What canary stable Sessions 60 40 Installs that ended with “network”/);
    assert.doesNotMatch(shown, /NaN|undefined|null/);
    for (const picture of await page.locator("svg[role=img]").all()) {
      const label = await picture.evaluate(
        (node) => document.getElementById(node.getAttribute("aria-labelledby")).textContent,
      );
      assert.match(label, /over time\. canary: .+ at last; stable: .+ at last\./);
    }
    assert.ok((await page.locator("svg[role=img]").count()) >= 5);
    await page.click("details summary >> nth=0");
    assert.equal(
      await page.locator("details[open] tbody tr").count(),
      of("canary", "rates", "install_success").series.length,
    );
    for (const by of ["platform", "cohort"]) {
      await page.selectOption("#by", by);
      await page.waitForFunction(
        (wanted) => location.hash.includes(`by=${wanted}`) && document.querySelector("#view").ariaBusy === "false",
        by,
      );
      await page.waitForFunction((wanted) => document.querySelector("#by").value === wanted, by);
      assert.ok(asked.some((request) => request.url().includes(`/evidence?seconds=86400&points=24&by=${by}`)));
    }
    assert.match(await text(page), /canary, internal_test/);
  },
);

onPage("a router without that read says so", { at: "releases", expected: /404/ }, async ({ page }) => {
  await page.unrouteAll();
  await page.route("**/rollout/*/evidence*", (route) =>
    route.fulfill({
      status: 404,
      contentType: "application/problem+json",
      json: { type: "urn:caro-edge:problem:unknown-path", title: "There is nothing at this path", status: 404 },
    }),
  );
  await go(page, "releases/v1.1.0-beta/evidence");
  assert.match(await text(page), /does not show evidence over time/);
});

onPage(
  "the reports, to be copied",
  { at: "releases/v1.1.0-beta/report", context: { permissions: ["clipboard-read", "clipboard-write"] } },
  async ({ page }) => {
    assert.match(await page.textContent(".report"), /v1\.1\.0-beta/);
    for (const kind of ["announcement", "post-mortem", "status"]) {
      await page.click(`#kind-${kind}`);
      await page.waitForSelector(`#kind-${kind}[aria-pressed=true]`);
      await page.waitForSelector("#copy:enabled");
    }
    assert.match(await page.textContent(".report"), /Phase: /, "the text is the one of the last button");
    await page.click("#copy");
    await page.waitForFunction(() => document.querySelector("#copy").textContent === "Copied");
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await page.textContent(".report"));
  },
);
