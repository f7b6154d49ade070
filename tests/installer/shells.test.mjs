// The whole life of an installation, in every shell that people pipe the script into.

import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { BETA, need, Sandbox, SHELLS, STABLE } from "./support.mjs";

for (const shell of SHELLS) {
  test(`${shell.name}: install, again, upgrade, move nothing twice, uninstall`, async (t) => {
    if (!need(t, shell.argv[0], shell.package)) return;
    const box = await Sandbox.make(t);
    const run = (script, ...args) => box.expect(0, script, { args, shell: shell.argv });
    await fs.writeFile(join(box.home, ".profile"), "# mine\nexport EDITOR=vi\n");
    await fs.writeFile(join(box.home, ".bashrc"), "# no newline at the end", { mode: 0o600 });
    const before = await box.tree();

    const stable = await box.host.script("/stable");
    const said = await run(stable);
    assert.equal(await box.version(), STABLE);
    assert.equal((await fs.stat(box.target)).mode & 0o7777, 0o755);
    assert.match(said, /installed caro 1\.0\.4 in .*a user's home\/\.local\/bin/);
    const installed = await box.tree();

    assert.match(await run(stable), /already installed/);
    assert.deepEqual(await box.tree(), installed, "a second run changes nothing");
    await run(stable, "--force");
    assert.deepEqual(await box.tree(), installed, "nor does a forced one");

    const rollout = await run(await box.host.script("/"));
    assert.equal(await box.version(), BETA);
    assert.match(rollout, /is a beta, chosen for you by a gradual rollout/);
    assert.match(rollout, /curl -fsS \S+\/stable \| sh/);

    await run(stable, "--version", "1.1.0-beta.1");
    assert.equal(await box.version(), "1.1.0-beta.1");

    await run(stable, "--uninstall");
    assert.deepEqual(await box.tree(), before, "uninstalling restores the disk");
  });

  test(`${shell.name}: a new shell finds the program, and has it on its PATH once`, async (t) => {
    if (!need(t, shell.argv[0], shell.package)) return;
    const box = await Sandbox.make(t);
    await box.expect(0, await box.host.script("/stable"), { shell: shell.argv });
    const profile = join(box.home, ".profile");
    const use = `. "${profile}"; . "${profile}"; caro --version; printf '%s\\n' "$PATH"`;
    const { code, stdout, stderr } = await box.run(use, { shell: shell.argv });
    assert.equal(code, 0, stderr);
    assert.equal(stderr, "");
    assert.equal(stdout, `caro ${STABLE} (0abc123 2026-01-15)\n${box.dir}:${box.bin}\n`);
  });
}
