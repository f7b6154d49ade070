// A download can end after any byte. Whatever arrived must run nothing: prefixes of the served script go into a shell
// whose PATH holds nothing but tools that report being called. A command that a cut would run is complete in every
// longer prefix too, so what lies between two cuts can hide a word that was cut itself, and no command: every line's
// end is tried, every byte at the two ends, where `main` is called, and a stride that is prime in between.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { need, Sandbox, SHELLS, TOOLS } from "./support.mjs";

/** Bytes between two cuts: few in one shell, more in the others, to save minutes. */
const stride = ({ name }) => (name === "dash" ? 7 : 101);
const LINE_FEED = 10;

for (const shell of SHELLS) {
  test(`${shell.name}: a script that is cut short does nothing`, async (t) => {
    const program = need(t, shell.argv[0], shell.package);
    if (!program) return;
    const box = await Sandbox.make(t, { tools: [] });
    const log = join(box.root, "log");
    for (const tool of [...TOOLS, "wget", "touch", "ln", "cp", "ls", "uname", "getconf", "ldd", "caro"]) {
      await box.stub(tool, `echo "${tool} $*" >>'${log}'`);
    }
    const script = Buffer.from(await box.host.script());
    const copy = join(box.root, "cut.sh");
    fs.writeFileSync(copy, script);
    const before = await box.tree();

    const handle = fs.openSync(copy, "r+");
    t.after(() => fs.closeSync(handle));
    const env = box.environment();
    const isTried = (size) =>
      size <= 300 ||
      size >= script.length - 60 ||
      size % stride(shell) === 0 ||
      (shell.name === "dash" && script[size - 1] === LINE_FEED);
    let tried = 0;
    for (let size = script.length - 1; size >= 0; size--) {
      if (!isTried(size)) continue;
      fs.ftruncateSync(handle, size);
      const input = fs.openSync(copy, "r");
      spawnSync(program, [...shell.argv.slice(1), "-s"], { cwd: box.home, env, stdio: [input, "ignore", "ignore"] });
      fs.closeSync(input);
      if (fs.existsSync(log)) assert.fail(`${size} of ${script.length} bytes ran: ${fs.readFileSync(log)}`);
      if (++tried % 200 === 0) assert.deepEqual(await box.tree(), before, `somewhere after ${size} bytes`);
    }
    assert.deepEqual(await box.tree(), before);

    // The test itself works: the whole script does call something.
    fs.writeFileSync(copy, script);
    spawnSync(program, [...shell.argv.slice(1), "-s"], { cwd: box.home, env, input: script });
    assert.ok(fs.existsSync(log), "the whole script runs");
  });
}
