// What people copy from `/`, with and without JavaScript, by mouse and by keyboard.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { root } from "../support/router.mjs";
import { history, status, summary, visible, withPages } from "./support.mjs";

const onPage = withPages({ history: history() });

/** What is said in passing. */
const toast = async (page) =>
  (await page.waitForFunction(() => document.querySelector("#toast").textContent)).jsonValue();

onPage("every command names the host that serves the page", { status: status() }, async ({ page, base }) => {
  await summary(page);
  const expected = {
    "c-sh": "curl -fsS ORIGIN | sh",
    "c-ps": "irm ORIGIN/install.ps1 | iex",
    "c-stable": "curl -fsS ORIGIN/stable | sh",
    "c-beta": "curl -fsS ORIGIN/beta | sh",
    "c-pinned": "curl -fsS ORIGIN/v1.1.0-beta | sh",
    "c-read": "curl -fsS ORIGIN -o install.sh; less install.sh; sh install.sh --dry-run",
    "c-remove": "curl -fsS ORIGIN | sh -s -- --uninstall",
    "c-ps-stable": "irm ORIGIN/stable/install.ps1 | iex",
  };
  for (const [id, command] of Object.entries(expected)) {
    assert.equal(await page.textContent(`#${id}`), command.replace("ORIGIN", base));
  }
});

onPage(
  "copying writes the command and says so",
  { status: status(), context: { permissions: ["clipboard-read", "clipboard-write"] } },
  async ({ page, base }) => {
    await summary(page);
    const button = page.getByRole("button", { name: "Copy the command for macOS and Linux" });
    // Two seconds later the button says "Copy" again: the page itself looks for both at once, from before the click.
    const both = () =>
      document.querySelector("[data-copy=c-sh]").textContent === "Copied" &&
      document.querySelector("#toast").textContent;
    const [said] = await Promise.all([page.waitForFunction(both), button.click()]);
    assert.equal(await said.jsonValue(), `Copied: curl -fsS ${base} | sh`);
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `curl -fsS ${base} | sh`);
  },
);

onPage(
  "without the clipboard the command is selected",
  {
    status: status(),
    before: (page) =>
      page.addInitScript(() => Object.defineProperty(navigator, "clipboard", { value: undefined, configurable: true })),
  },
  async ({ page, base }) => {
    await summary(page);
    for (const [button, command] of [
      ["Copy the command for PowerShell", `irm ${base}/install.ps1 | iex`],
      ["Copy the command that uninstalls caro", `curl -fsS ${base} | sh -s -- --uninstall`],
    ]) {
      await page.getByRole("button", { name: button }).click();
      assert.match(await toast(page), /^Selected\. Press Ctrl\+C/);
      assert.equal(await page.evaluate(() => getSelection().toString()), command);
    }
  },
);

onPage(
  "the keyboard reaches every copy button in the order of the page, visibly",
  { status: status() },
  async ({ page }) => {
    await summary(page);
    await page.locator(".verify summary").click();
    await page.evaluate(() => document.activeElement.blur());
    await page.focus(".skip");
    const seen = [];
    for (let i = 0; i < 25; i += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const node = document.activeElement;
        return { copy: node.dataset?.copy, outline: getComputedStyle(node).outlineStyle, body: node === document.body };
      });
      if (at.body) break;
      assert.equal(at.outline, "solid");
      if (at.copy) seen.push(at.copy);
    }
    assert.deepEqual(seen, [
      "c-sh",
      "c-ps",
      "c-stable",
      "c-beta",
      "c-pinned",
      "c-ps-stable",
      "c-read",
      "c-remove",
      "c-verify",
    ]);
    await page.focus("[data-copy=c-sh]");
    await page.keyboard.press("Enter");
    await toast(page);
  },
);

onPage(
  "verifying the signature is README's own block, which its tests run, for this host",
  { status: status(), context: { permissions: ["clipboard-read", "clipboard-write"] } },
  async ({ page, base }) => {
    const [, block] = /```sh\n(origin=.+?)\n```/s.exec(readFileSync(`${root}README.md`, "utf8"));
    await page.locator(".verify summary").click();
    await page.getByRole("button", { name: "Copy the commands that verify the signature" }).click();
    assert.equal(await toast(page), "Copied.");
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), block.replace("https://get.caro.sh", base));
  },
);

onPage("essentials without JavaScript", { context: { javaScriptEnabled: false } }, async ({ page }) => {
  const text = await visible(page, "body");
  assert.ok(text.includes("curl -fsS https://get.caro.sh | sh"));
  assert.ok(text.includes("irm https://get.caro.sh/install.ps1 | iex"));
  assert.ok(text.includes("need JavaScript"));
  assert.doesNotMatch(text, /Loading/);
  assert.ok(await page.locator("noscript a[href='/status.json']").first().isVisible());
  assert.equal(await page.locator("button:visible").count(), 0);
});
