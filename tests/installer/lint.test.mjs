// What can be known of both scripts without running them: linters, each shell's own parser, a PowerShell
// grammar, and the form of the served bytes.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { CATALOG, need, renderScript, Sandbox, SCRIPT, SCRIPT_PS1, SHELLS, served, which } from "./support.mjs";

// ---- install.sh ------------------------------------------------------------------------------------

test("shellcheck finds nothing, in any dialect it knows", async (t) => {
  const shellcheck = need(t, "shellcheck");
  if (!shellcheck) return;
  const box = await Sandbox.make(t, { tools: [], host: false });
  const rendered = join(box.root, "install.sh");
  await fs.writeFile(rendered, `${await served("/")}\n`);
  for (const dialect of ["sh", "dash", "bash", "ksh"]) {
    for (const file of [SCRIPT, rendered]) {
      const out = spawnSync(shellcheck, ["-s", dialect, "-S", "style", file]);
      assert.equal(out.stdout.toString(), "", `${dialect}, ${file}`);
    }
  }
});

for (const shell of SHELLS) {
  test(`${shell.name} can parse it`, async (t) => {
    const program = need(t, shell.argv[0], shell.package);
    if (!program) return;
    const out = spawnSync(program, [...shell.argv.slice(1), "-n", "-s"], { input: await served("/") });
    assert.equal(out.status, 0, out.stderr.toString());
  });
}

test("the file has one place for the prelude, and a form that a cut cannot harm", async () => {
  const file = await fs.readFile(SCRIPT, "utf8");
  assert.equal(file.split("\n").filter((line) => line === "# @PRELUDE@").length, 1);
  assert.ok(file.endsWith('\n}\n\n{ main "$@"; }\n'));
  const code = file.split("\n").filter((line) => line && !line.startsWith("#"));
  assert.equal(code[0], "{", "before the first brace there are only comments");
});

for (const path of ["/", "/stable"]) {
  test(`the bytes served at ${path}: ASCII, LF, no tabs, no newline at the end, no call for rights or prompts`, async () => {
    const script = await served(path);
    assert.match(script, /^[\x20-\x7e\n]*$/);
    assert.ok(script.startsWith("#!/bin/sh\n"));
    assert.ok(script.endsWith('\n{ main "$@"; }'));
    assert.doesNotMatch(script, /@PRELUDE@/);
    assert.doesNotMatch(script.replace(/^\s*#.*$/gm, ""), /\b(sudo |cargo|api\.github|\/dev\/tty|<<)/);
    assert.ok(script.length < 32_000, `${script.length} bytes`);
    assert.ok(gzipSync(script).length < 11_500, `${gzipSync(script).length} bytes with gzip`);
  });
}

test("the router renders both scripts as the tests do", async () => {
  for (const [path, build, choice] of [
    ["/", CATALOG.beta, "rollout"],
    ["/stable", CATALOG.stable, "pinned"],
    ["/v1.1.0-beta", CATALOG.beta, "pinned"],
  ]) {
    const script = await served(path);
    const origin = script
      .match(/^caro_origin='(.*)'$/gm)
      .at(-1)
      .split("'")[1];
    assert.equal(script, renderScript({ build, choice, origin }));
    const ps1 = await served(`${path.replace(/^\/$/, "")}/install.ps1`);
    assert.equal(ps1, renderScript({ build, choice, origin, shell: "powershell" }));
  }
});

// ---- install.ps1 -----------------------------------------------------------------------------------

const OPTIONS = [
  "Version",
  "Channel",
  "Dir",
  "DryRun",
  "Force",
  "Quiet",
  "Verbose",
  "NoModifyPath",
  "Uninstall",
  "Help",
];

test("install.ps1: ASCII, LF, one place for the prelude, every option and variable", async () => {
  const file = await fs.readFile(SCRIPT_PS1, "utf8");
  assert.match(file, /^[\x20-\x7e\n]*$/);
  assert.equal(file.split("\n").filter((line) => line === "# @PRELUDE@").length, 1);
  const help = file.slice(file.indexOf('@"'), file.indexOf('"@'));
  const variables = (await fs.readFile(SCRIPT, "utf8"))
    .match(/CARO_[A-Z_]+/g)
    .filter((name) => name !== "CARO_TIMEOUT");
  for (const name of variables) assert.ok(file.includes(name), name);
  for (const name of OPTIONS) assert.ok(help.includes(`  -${name}`), name);
  for (const code of [2, 3, 4, 5, 6, 7, 8]) assert.match(file, new RegExp(`Stop-(Install ${code}|Usage) `));
});

/** A PowerShell grammar, from the development packages. */
async function grammar(t) {
  const require = createRequire(import.meta.url);
  try {
    const { Parser, Language } = require("web-tree-sitter");
    await Parser.init();
    const parser = new Parser();
    parser.setLanguage(await Language.load(require.resolve("tree-sitter-powershell/tree-sitter-powershell.wasm")));
    return parser;
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    const message = "web-tree-sitter and tree-sitter-powershell are missing: npm ci, or set CARO_TEST_ALLOW_MISSING=1";
    if (process.env.CARO_TEST_ALLOW_MISSING === "1") t.skip(message);
    else assert.fail(message);
  }
}

function problems(node, found = []) {
  if (node.isError || node.isMissing) found.push(`${node.startPosition.row + 1}: ${node.text.slice(0, 80)}`);
  for (const child of node.children) problems(child, found);
  return found;
}

test("install.ps1 follows the grammar; cut short anywhere, it does not", async (t) => {
  const parser = await grammar(t);
  if (!parser) return;
  const parse = (text) => {
    const tree = parser.parse(text);
    const found = problems(tree.rootNode);
    tree.delete();
    return found;
  };
  assert.deepEqual(parse(await fs.readFile(SCRIPT_PS1, "utf8")), []);
  const script = await served("/install.ps1");
  assert.deepEqual(parse(script), []);
  const start = script.indexOf("if ($true) {");
  for (let size = script.length - 1; size > start + 12; size -= size > script.length - 60 ? 1 : 499) {
    assert.notDeepEqual(parse(script.slice(0, size)), [], `${size} of ${script.length} bytes are a whole script`);
  }
  assert.equal(script.slice(0, start).replace(/^#.*$/gm, "").trim(), "", "before it there are only comments");
});

test("install.ps1 runs in PowerShell", async (t) => {
  const pwsh = which("pwsh");
  if (!pwsh) return t.skip("PowerShell is not on this machine: install.ps1 was parsed, not run");
  const box = await Sandbox.make(t, { tools: [], host: false });
  const file = join(box.root, "install.ps1");
  await fs.writeFile(file, await served("/install.ps1"));
  const run = (...args) =>
    spawnSync(pwsh, ["-NoProfile", "-NonInteractive", "-File", file, ...args], { env: process.env });
  const help = run("-Help");
  assert.equal(help.status, 0, help.stderr.toString());
  for (const name of OPTIONS) assert.ok(help.stdout.toString().includes(`-${name}`), name);
  for (const args of [["-Frobnicate"], ["-Version"], ["-Version", "latest"], ["-Channel", "gold"]]) {
    assert.equal(run(...args).status, 2, args.join(" "));
  }
  if (process.platform !== "win32") {
    const elsewhere = run();
    assert.equal(elsewhere.status, 3, elsewhere.stderr.toString());
    assert.match(elsewhere.stderr.toString(), /curl -fsS \S+ \| sh/);
  } else {
    const dry = run("-DryRun");
    assert.equal(dry.status, 0, dry.stderr.toString());
    assert.match(dry.stderr.toString(), /would install caro/);
  }
});
