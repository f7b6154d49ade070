// What is written where: start-up files, the receipt, links and neighbours, and that uninstalling takes
// back exactly that.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs/promises";
import { dirname, join } from "node:path";
import test from "node:test";
import { BETA, need, Sandbox, STABLE } from "./support.mjs";

const files = async (box) => (await box.tree()).map((line) => line.replace(/^\.\/(.*?)(\/?) .*$/, "$1$2"));
const gone = { CARO_UNINSTALL: "1" };

// ---- which start-up files ------------------------------------------------------------------------------

for (const [what, shell, present, edited] of [
  ["sh with nothing", "/bin/sh", [], [".profile"]],
  ["no SHELL at all", undefined, [], [".profile"]],
  ["sh with bash's file", "/bin/dash", [".bashrc"], [".bashrc", ".profile"]],
  ["bash with nothing", "/bin/bash", [], [".profile"]],
  ["bash with .bashrc", "/bin/bash", [".bashrc"], [".bashrc", ".profile"]],
  ["bash with .bash_profile, which hides .profile", "/bin/bash", [".bash_profile"], [".bash_profile"]],
  ["bash with .bash_login", "/bin/bash", [".bash_login", ".bashrc"], [".bash_login", ".bashrc"]],
  ["bash with all", "/bin/bash", [".bash_profile", ".profile", ".bashrc"], [".bash_profile", ".bashrc", ".profile"]],
  ["zsh with nothing", "/bin/zsh", [], [".zshenv"]],
  ["zsh with .zshrc and .bashrc", "/usr/bin/zsh", [".zshrc", ".bashrc"], [".bashrc", ".zshenv"]],
  ["bash with a .zshrc lying about", "/bin/bash", [".zshrc", ".profile"], [".profile", ".zshenv"]],
  ["ksh", "/bin/ksh", [], [".profile"]],
  ["fish with nothing", "/usr/bin/fish", [], [".config/fish/conf.d/caro.fish"]],
  ["fish with .bashrc", "/usr/bin/fish", [".bashrc"], [".bashrc", ".config/fish/conf.d/caro.fish"]],
  ["bash with a fish", "/bin/bash", [".config/fish/config.fish"], [".config/fish/conf.d/caro.fish", ".profile"]],
]) {
  test(`${what}: ${edited.join(", ")}`, async (t) => {
    const box = await Sandbox.make(t);
    for (const file of present) {
      await fs.mkdir(dirname(join(box.home, file)), { recursive: true });
      await fs.writeFile(join(box.home, file), "# mine\n");
    }
    const before = await box.tree();
    await box.expect(0, await box.host.script(), { env: { SHELL: shell } });
    const changed = [];
    for (const file of await files(box)) {
      if (file.endsWith("/") || !/^\.(profile|bash|zsh|config\/fish)/.test(file)) continue;
      const text = await fs.readFile(join(box.home, file), "utf8");
      if (text !== "# mine\n") changed.push(file);
    }
    assert.deepEqual(changed.sort(), edited);
    await box.expect(0, await box.host.script("/stable"), { env: { SHELL: shell } });
    const after = await box.tree();
    await box.expect(0, await box.host.script("/stable"), { env: { SHELL: shell }, args: ["--force"] });
    assert.deepEqual(await box.tree(), after);
    await box.expect(0, await box.host.script(), { env: gone });
    assert.deepEqual(await box.tree(), before);
  });
}

for (const [shell, debianPackage, rc] of [
  ["bash", "bash", ".bashrc"],
  ["zsh", "zsh", ".zshenv"],
  ["fish", "fish", ".config/fish/conf.d/caro.fish"],
]) {
  test(`a new ${shell} finds the program, once, before the rest of the PATH`, async (t) => {
    const program = need(t, shell, debianPackage);
    if (!program) return;
    const box = await Sandbox.make(t);
    if (shell === "bash") await fs.writeFile(join(box.home, rc), "");
    await box.expect(0, await box.host.script(), { env: { SHELL: program } });
    const source = shell === "fish" ? `source "${join(box.home, rc)}"` : `. "${join(box.home, rc)}"`;
    const show = shell === "fish" ? "string join : $PATH" : "printf '%s\\n' \"$PATH\"";
    const options = shell === "bash" ? ["--norc", "-c"] : ["-c"];
    const out = spawnSync(program, [...options, `${source}; ${source}; command -v caro; ${show}`], {
      env: box.environment(),
    });
    assert.equal(out.stderr.toString(), "");
    assert.equal(out.stdout.toString(), `${box.target}\n${box.dir}:${box.bin}\n`);
  });
}

test("ZDOTDIR, XDG_CONFIG_HOME and XDG_STATE_HOME are honoured; relative ones are not", async (t) => {
  const box = await Sandbox.make(t);
  const at = (name) => join(box.home, name);
  await fs.mkdir(at("z"));
  const env = { SHELL: "/bin/zsh", ZDOTDIR: at("z"), XDG_CONFIG_HOME: at("c"), XDG_STATE_HOME: at("s") };
  const before = await box.tree();
  await box.expect(0, await box.host.script(), { env });
  for (const file of ["z/.zshenv", "c/caro/env", "s/caro/install-receipt"]) await fs.stat(at(file));
  await assert.rejects(fs.stat(at(".config")));
  await box.expect(0, await box.host.script(), { env: { ...env, ...gone } });
  assert.deepEqual(await box.tree(), before);
  await box.expect(0, await box.host.script(), { env: { XDG_CONFIG_HOME: "c", XDG_STATE_HOME: "s" } });
  for (const file of [".config/caro/env", ".local/state/caro/install-receipt"]) await fs.stat(at(file));
});

test("nothing is edited when the folder is on the PATH", async (t) => {
  const box = await Sandbox.make(t);
  const env = { PATH: `${box.bin}:${box.dir}` };
  const said = await box.expect(0, await box.host.script(), { env });
  assert.doesNotMatch(said, /PATH/);
  await assert.rejects(fs.stat(join(box.home, ".profile")));
  await assert.rejects(fs.stat(join(box.home, ".config")));
});

test("an earlier program of that name on the PATH is mentioned", async (t) => {
  const box = await Sandbox.make(t);
  await box.stub("caro", "echo caro 0.1.0");
  const said = await box.expect(0, await box.host.script(), { env: { PATH: `${box.bin}:${box.dir}` } });
  assert.match(said, /warning: .*\/bin\/caro comes first/);
});

test("a start-up file that cannot be written is a warning with the line to add", async (t) => {
  for (const prepare of [(file) => fs.mkdir(file), (file) => fs.symlink("/nonexistent/folder/profile", file)]) {
    const box = await Sandbox.make(t);
    await prepare(join(box.home, ".profile"));
    await fs.writeFile(join(box.home, ".bashrc"), "");
    const said = await box.expect(0, await box.host.script());
    assert.match(said, /warning: could not write .*\.profile; add this line yourself: \[ ! -r '/);
    assert.match(await fs.readFile(join(box.home, ".bashrc"), "utf8"), /caro\/env/);
    assert.equal(await box.version(), BETA);
  }
});

test("an env file of somebody else's is left alone", async (t) => {
  const box = await Sandbox.make(t);
  const file = join(box.home, ".config/caro/env");
  await fs.mkdir(dirname(file), { recursive: true });
  await fs.writeFile(file, "MINE=1\n");
  const before = await box.tree();
  const said = await box.expect(0, await box.host.script());
  assert.match(said, /not of this installer[\s\S]*export PATH=/);
  assert.doesNotMatch(said, /new terminals/);
  await box.expect(0, await box.host.script(), { env: gone });
  assert.deepEqual(await box.tree(), before);
});

test("no folder for the receipt is a warning", async (t) => {
  const box = await Sandbox.make(t);
  await fs.writeFile(join(box.home, "file"), "");
  const env = { XDG_STATE_HOME: join(box.home, "file") };
  assert.match(await box.expect(0, await box.host.script(), { env }), /warning: could not write .*install-receipt/);
  assert.equal(await box.version(), BETA);
});

test("without HOME but with --dir it installs, and says what is missing", async (t) => {
  const box = await Sandbox.make(t);
  const dir = join(box.root, "opt/bin");
  const said = await box.expect(0, await box.host.script(), { env: { HOME: undefined }, args: ["--dir", dir] });
  assert.match(said, /HOME is not set/);
  assert.equal(await box.version(join(dir, "caro")), BETA);
});

test("a folder with a colon cannot be on the PATH, and is said so", async (t) => {
  const box = await Sandbox.make(t);
  const dir = join(box.home, "a:b");
  assert.match(await box.expect(0, await box.host.script(), { args: ["--dir", dir] }), /has a colon/);
  await assert.rejects(fs.stat(join(box.home, ".profile")));
});

for (const name of ["it's", 'say "x"', "$HOME", "`id`", "back\\slash", "*", "[a]", "ünï"]) {
  test(`a folder called ${name}`, async (t) => {
    const fish = need(t, "fish");
    if (!fish) return;
    const box = await Sandbox.make(t);
    const dir = join(box.home, name);
    const before = await box.tree();
    await box.expect(0, await box.host.script(), { args: ["--dir", dir], env: { SHELL: "/bin/sh" } });
    const posix = '. "$HOME/.profile"; . "$HOME/.profile"; command -v caro; printf %s "$PATH"';
    const sh = spawnSync("/bin/sh", ["-c", posix], { env: box.environment() });
    assert.equal(sh.stdout.toString(), `${join(dir, "caro")}\n${dir}:${box.bin}`);
    await box.expect(0, await box.host.script(), { env: gone });
    assert.deepEqual(await box.tree(), before);
    await box.expect(0, await box.host.script(), { args: ["--dir", dir], env: { SHELL: fish } });
    const conf = 'source "$HOME/.config/fish/conf.d/caro.fish"; command -v caro; string join : $PATH';
    const out = spawnSync(fish, ["--no-config", "-c", conf], { env: box.environment({ LC_ALL: "C.UTF-8" }) });
    assert.equal(out.stdout.toString(), `${join(dir, "caro")}\n${dir}:${box.bin}\n`);
  });
}

// ---- the target ------------------------------------------------------------------------------------------

test("whatever the umask: program 0755, folders and files as the user has them", async (t) => {
  for (const [umask, folder, file] of [
    ["077", "700", "600"],
    ["022", "755", "644"],
    ["000", "777", "666"],
  ]) {
    const box = await Sandbox.make(t);
    const shell = ["sh", "-c", `umask ${umask}; exec sh "$@"`, "sh"];
    await box.expect(0, await box.host.script(), { shell });
    const lines = (await box.tree()).join("\n");
    assert.match(lines, /^\.\/\.local\/bin\/caro 755 /m);
    assert.match(lines, new RegExp(`^\\./\\.local/bin/ ${folder}$`, "m"));
    assert.match(lines, new RegExp(`install-receipt ${file} `));
    assert.match(lines, new RegExp(`caro/env ${file} `));
  }
});

test("a link at the program's place is replaced, not what it points to", async (t) => {
  for (const end of ["real", "missing"]) {
    const box = await Sandbox.make(t);
    await fs.mkdir(box.dir, { recursive: true });
    const real = join(box.home, "real");
    await fs.writeFile(real, "#!/bin/sh\necho caro 0.9.0\n", { mode: 0o755 });
    await fs.symlink(join(box.home, end), box.target);
    await box.expect(0, await box.host.script());
    assert.equal(await box.version(), BETA);
    assert.equal(await box.version(real), "0.9.0\n");
    assert.ok((await fs.lstat(box.target)).isFile());
  }
});

test("a caro from elsewhere is replaced, and that is said", async (t) => {
  const box = await Sandbox.make(t);
  await fs.mkdir(box.dir, { recursive: true });
  await fs.writeFile(box.target, "#!/bin/sh\necho caro 0.9.0\n", { mode: 0o755 });
  assert.match(await box.expect(0, await box.host.script()), /did not install/);
  assert.equal(await box.version(), BETA);
});

test("a broken caro of ours is replaced without further ado", async (t) => {
  const box = await Sandbox.make(t);
  await box.expect(0, await box.host.script());
  await fs.writeFile(box.target, "#!/bin/sh\nexit 1\n");
  await box.expect(0, await box.host.script());
  assert.equal(await box.version(), BETA);
});

// ---- uninstalling ------------------------------------------------------------------------------------------

test("without a receipt there is nothing to do", async (t) => {
  const box = await Sandbox.make(t);
  assert.match(await box.refuses(0, await box.host.script(), { env: gone }), /no receipt at .*install-receipt/);
  assert.match(await box.refuses(6, await box.host.script(), { env: { ...gone, HOME: "" } }), /HOME is not set/);
});

test("--uninstall --dry-run lists and leaves", async (t) => {
  const box = await Sandbox.make(t);
  await box.expect(0, await box.host.script());
  const said = await box.refuses(0, await box.host.script(), { args: ["--uninstall", "--dry-run"] });
  for (const file of [box.target, join(box.home, ".config/caro/env"), join(box.home, ".profile")]) {
    assert.ok(said.includes(file), said);
  }
});

test("edits made since are kept, and so is everything else in the folders", async (t) => {
  const box = await Sandbox.make(t);
  const rc = join(box.home, ".bashrc");
  const profile = join(box.home, ".profile");
  const mine = "# one\n\xff\xfe bytes that are no text\r\n# two, without newline";
  await fs.writeFile(rc, mine, "latin1");
  await box.expect(0, await box.host.script());
  await fs.appendFile(rc, "# three\n\n# four, without newline", "latin1");
  await fs.appendFile(profile, "# added to the file that the installer made\n");
  await fs.writeFile(join(box.dir, "other"), "");
  await fs.writeFile(join(box.home, ".config/caro/config.toml"), "");
  await box.expect(0, await box.host.script(), { args: ["--uninstall"], env: { LC_ALL: "C.UTF-8" } });
  assert.equal(await fs.readFile(rc, "latin1"), `${mine}\n# three\n\n# four, without newline`);
  assert.equal(await fs.readFile(profile, "utf8"), "# added to the file that the installer made\n");
  assert.deepEqual((await files(box)).filter(Boolean).sort(), [
    ".bashrc",
    ".config/",
    ".config/caro/",
    ".config/caro/config.toml",
    ".local/",
    ".local/bin/",
    ".local/bin/other",
    ".profile",
  ]);
});

test("start-up files stay the links they are, with their modes", async (t) => {
  const box = await Sandbox.make(t);
  await fs.mkdir(join(box.home, "dotfiles"));
  await fs.writeFile(join(box.home, "dotfiles/profile"), "# mine", { mode: 0o640 });
  await fs.symlink("dotfiles/profile", join(box.home, ".profile"));
  const before = await box.tree();
  await box.expect(0, await box.host.script());
  assert.match(await fs.readFile(join(box.home, "dotfiles/profile"), "utf8"), /^# mine\n\[ ! -r '/);
  await box.expect(0, await box.host.script(), { env: gone });
  assert.deepEqual(await box.tree(), before);
});

test("what the user has removed meanwhile is not missed", async (t) => {
  const box = await Sandbox.make(t);
  const before = await box.tree();
  await box.expect(0, await box.host.script());
  await fs.rm(box.target);
  await fs.rm(join(box.home, ".config"), { recursive: true });
  await fs.rm(join(box.home, ".profile"));
  await box.expect(0, await box.host.script(), { env: gone });
  assert.deepEqual(await box.tree(), before);
});

test("two folders, one after the other: one receipt, both uninstalled", async (t) => {
  const box = await Sandbox.make(t);
  const before = await box.tree();
  const other = join(box.home, "opt/bin");
  await box.expect(0, await box.host.script("/stable"));
  await box.expect(0, await box.host.script(), { args: ["--dir", other] });
  assert.equal(await box.version(), STABLE);
  assert.equal(await box.version(join(other, "caro")), BETA);
  const out = spawnSync("/bin/sh", ["-c", `. "$HOME/.profile"; command -v caro`], { env: box.environment() });
  assert.equal(out.stdout.toString(), `${join(other, "caro")}\n`, "the newer one is found");
  await box.expect(0, await box.host.script(), { env: gone });
  assert.deepEqual(await box.tree(), before);
});
