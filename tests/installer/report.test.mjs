// What the installer tells of itself: nothing unless the configuration asks for it, nothing where somebody said no, and
// never anything that changes how it ends.

import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { start } from "../support/router.mjs";
import { BETA, CATALOG, catalogConfig, need, renderScript, Sandbox, SHELLS, which } from "./support.mjs";

const REPORTING = { build: CATALOG.beta, choice: "rollout", reports: "1" };

/** A sandbox whose host takes reports, or does what `answer` says. */
async function reporting(t, answer = (_request, response) => response.writeHead(202).end("{}")) {
  const box = await Sandbox.make(t);
  await box.link("date", which("date"));
  const reports = [];
  box.host.behave = async (request, response, next) => {
    if (request.url !== "/report") return next();
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    reports.push({ method: request.method, type: request.headers["content-type"], text });
    return answer(request, response);
  };
  const script = box.host.here(renderScript({ ...REPORTING, origin: box.host.url }));
  return { box, reports, script };
}

describe("reports", { concurrency: 4 }, () => {
  for (const shell of SHELLS) {
    test(`${shell.name}: one report, with nothing else in it`, async (t) => {
      if (!need(t, shell.argv[0], shell.package)) return;
      const { box, reports, script } = await reporting(t);
      await box.expect(0, script, { shell: shell.argv });
      assert.equal(await box.version(), BETA);
      assert.equal(reports.length, 1);
      const [{ method, type, text }] = reports;
      assert.deepEqual([method, type], ["POST", "application/json"]);
      const { id, duration_ms, ...told } = JSON.parse(text);
      assert.match(id, /^[0-9a-f]{32}$/);
      assert.ok(duration_ms >= 0 && duration_ms < 60_000 && duration_ms % 1000 === 0);
      assert.deepEqual(told, { version: BETA, channel: "beta", platform: "linux-amd64", outcome: 0 });
    });

    test(`${shell.name}: a failure keeps its code, its words and the disk`, async (t) => {
      if (!need(t, shell.argv[0], shell.package)) return;
      const { box, reports, script } = await reporting(t);
      const broken = script.replace(/(linux-amd64 \d+ )[0-9a-f]{64}/, `$1${"0".repeat(64)}`);
      const said = await box.refuses(5, broken, { shell: shell.argv });
      assert.deepEqual(
        reports.map(({ text }) => JSON.parse(text).outcome),
        [5],
      );
      const silent = await box.refuses(5, broken.replace("caro_reports='1'", "caro_reports=''"), { shell: shell.argv });
      assert.equal(said, silent);
      assert.equal(reports.length, 1);
    });
  }

  for (const [name, env, count] of [
    ["DO_NOT_TRACK=1", { DO_NOT_TRACK: "1" }, 0],
    ["DO_NOT_TRACK=yes", { DO_NOT_TRACK: "yes" }, 0],
    ["DO_NOT_TRACK=false, which is not 0", { DO_NOT_TRACK: "false" }, 0],
    ["CARO_NO_REPORT=1", { CARO_NO_REPORT: "1" }, 0],
    ["both", { DO_NOT_TRACK: "0", CARO_NO_REPORT: "1" }, 0],
    ["DO_NOT_TRACK=0", { DO_NOT_TRACK: "0" }, 1],
    ["DO_NOT_TRACK empty", { DO_NOT_TRACK: "", CARO_NO_REPORT: "0" }, 1],
  ]) {
    test(`${name}: ${count === 0 ? "nothing is told" : "told"}`, async (t) => {
      const { box, reports, script } = await reporting(t);
      await box.expect(0, script, { env });
      assert.equal(reports.length, count);
      assert.equal(await box.version(), BETA);
    });
  }

  test("what is no installation is not told", async (t) => {
    const { box, reports, script } = await reporting(t);
    await box.expect(0, script, { args: ["--help"] });
    await box.expect(0, script, { args: ["--dry-run"] });
    await box.expect(2, script, { args: ["--nonsense"] });
    assert.equal(reports.length, 0);
    await box.expect(0, script);
    await box.expect(0, script);
    await box.expect(0, script, { args: ["--uninstall"] });
    assert.equal(reports.length, 1, "the second time there was nothing to do");
  });

  test("another version: its own script tells, this one does not", async (t) => {
    const { box, reports, script } = await reporting(t);
    await box.expect(0, script, { args: ["--version", "1.0.3"] });
    assert.equal(reports.length, 0, "the router's own configuration asks for none");
  });

  test("a platform without a build is told as the system calls itself, or not at all", async (t) => {
    const { box, reports, script } = await reporting(t);
    await box.machine("Linux", "riscv64");
    await box.refuses(3, script);
    await box.machine("Linux", 'x"}');
    await box.refuses(3, script);
    const told = reports.map(({ text }) => JSON.parse(text));
    assert.deepEqual([told[0].os, told[0].arch, told[0].outcome], ["Linux", "riscv64", 3]);
    assert.deepEqual([told[1].os, told[1].arch], [undefined, undefined]);
  });

  for (const [name, answer] of [
    ["an error", (_request, response) => response.writeHead(500).end("no")],
    ["a broken connection", (_request, response) => response.destroy()],
    ["silence", () => undefined],
  ]) {
    test(`${name} in answer: all the same, within seconds`, async (t) => {
      const { box, reports, script } = await reporting(t, answer);
      const begin = performance.now();
      const said = await box.expect(0, script);
      assert.ok(performance.now() - begin < 15_000);
      assert.equal(reports.length, 1);
      const other = await reporting(t);
      const usual = await other.box.expect(0, other.script);
      const at = (text, { host, root }) => text.replaceAll(host.url, "URL").replaceAll(root, "ROOT");
      assert.equal(at(said, box), at(usual, other.box));
    });
  }

  test("--verbose says so", async (t) => {
    const { box, script } = await reporting(t);
    const args = ["--verbose"];
    assert.match(await box.expect(0, script, { args }), /reported to .* how it went\n$/);
    const off = { args: [...args, "--force"], env: { DO_NOT_TRACK: "1" } };
    assert.match(await box.expect(0, script, off), /not reporting how it went\n$/);
    box.host.behave = (request, response, next) => (request.url === "/report" ? response.writeHead(500).end() : next());
    const said = await box.expect(0, script, { args: [...args, "--force"] });
    assert.match(said, /could not report to .* how it went\n$/);
  });

  test("with wget, without a clock, and without randomness", async (t) => {
    const { box, reports, script } = await reporting(t);
    await box.remove("curl", "date");
    await box.link("wget", need(t, "wget"));
    await box.expect(0, script);
    const { id, ...told } = JSON.parse(reports[0].text);
    assert.match(id, /^[0-9a-f]{32}$/);
    assert.deepEqual(told, { version: BETA, channel: "beta", platform: "linux-amd64", outcome: 0 });
    // The kernel's own, where od is missing.
    await box.remove("od");
    await box.expect(0, script, { args: ["--force"] });
    assert.match(JSON.parse(reports[1].text).id, /^[0-9a-f-]{36}$/);
  });
});

test("the router asks for reports where its configuration does, and counts them", async (t) => {
  const config = { ...catalogConfig(), policy: { reports: true } };
  const router = await start({ config });
  t.after(() => router.end());
  for (const [path, shell, name] of [
    ["/", "sh", "caro_reports"],
    ["/install.ps1", "powershell", "$CaroReports"],
  ]) {
    const answer = await fetch(new URL(path, router.origin), { headers: { accept: "*/*" } });
    const script = await answer.text();
    assert.equal(script, renderScript({ ...REPORTING, shell }));
    assert.ok(script.includes(`\n${name}`));
  }
  const box = await Sandbox.make(t);
  const script = box.host.here(renderScript({ ...REPORTING, origin: router.direct }));
  await box.expect(0, script, { env: { CARO_ORIGIN: router.direct } });
  const text = await (await fetch(new URL("/metrics", router.direct))).text();
  assert.match(text, /^caro_edge_reports\{outcome="accepted"\} 1$/m);
});
