// Options, their environment variables, other versions and channels, and what the script says.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { BETA, need, Sandbox, STABLE } from "./support.mjs";

// ---- usage ------------------------------------------------------------------------------------------

for (const args of [
  ["--frobnicate"],
  ["-x"],
  ["1.0.4"],
  ["--version"],
  ["--version="],
  ["--version", "--force"],
  ["--version", "latest"],
  ["--version", "1.0.4; rm -rf /"],
  ["--version", "../stable"],
  ["--channel", "nightly"],
  ["--channel"],
  ["--dir"],
  ["--dir="],
  ["--dir", "/tmp/a\nb"],
  ["--force=1"],
  ["--version", STABLE, "--channel", "stable"],
]) {
  test(`${JSON.stringify(args.join(" "))} is a mistake: exit 2`, async (t) => {
    const box = await Sandbox.make(t);
    const said = await box.refuses(2, await box.host.script(), { args });
    assert.match(said, /error: /);
    assert.match(said, /--help/);
  });
}

for (const env of [
  { CARO_FORCE: "maybe" },
  { CARO_DRY_RUN: "2" },
  { CARO_VERSION: "newest" },
  { CARO_CHANNEL: "gold" },
  { CARO_VERSION: STABLE, CARO_CHANNEL: "stable" },
  { CARO_TIMEOUT: "soon" },
  { CARO_TIMEOUT: "0" },
  { CARO_ORIGIN: "http://get.example" },
  { CARO_ORIGIN: "http://localhost:80@get.example" },
  { CARO_ORIGIN: "file:///etc" },
]) {
  test(`${JSON.stringify(env)} is a mistake: exit 2`, async (t) => {
    const box = await Sandbox.make(t);
    assert.match(await box.refuses(2, await box.host.script(), { env }), /CARO_|not a version|not a channel|not both/);
  });
}

test("--help goes to stdout, names every option, variable and code, and does nothing", async (t) => {
  const box = await Sandbox.make(t);
  for (const args of [["--help"], ["-h"], ["--dir", "x", "--help"]]) {
    const before = await box.tree();
    const { code, stdout, stderr } = await box.run(await box.host.script(), { args });
    assert.equal(code, 0, stderr);
    assert.equal(stderr, "");
    for (const word of [
      ..."--version --channel --dir --dry-run --force --quiet --verbose --no-modify-path --uninstall --help".split(" "),
      ..."CARO_VERSION CARO_CHANNEL CARO_INSTALL_DIR CARO_DRY_RUN CARO_FORCE CARO_QUIET CARO_VERBOSE".split(" "),
      ..."CARO_NO_MODIFY_PATH CARO_UNINSTALL CARO_ORIGIN sh -s -- --version".split(" "),
      ...[
        "1 the server",
        "2 usage",
        "3 platform",
        "4 network",
        "5 integrity",
        "6 permission",
        "7 no such",
        "8 the program",
      ],
    ]) {
      assert.ok(stdout.includes(word), `${word} is not in the help`);
    }
    assert.ok(
      stdout.split("\n").every((line) => line.length <= 100),
      "fits a terminal",
    );
    assert.deepEqual(await box.tree(), before);
  }
});

// ---- every option, both ways ------------------------------------------------------------------------------

for (const [what, options] of [
  ["--dir D", (dir) => ({ args: ["--dir", dir] })],
  ["--dir=D", (dir) => ({ args: [`--dir=${dir}`] })],
  ["CARO_INSTALL_DIR", (dir) => ({ env: { CARO_INSTALL_DIR: dir } })],
  ["CARO_DIR", (dir) => ({ env: { CARO_DIR: dir } })],
  ["CARO_INSTALL_DIR over CARO_DIR", (dir) => ({ env: { CARO_INSTALL_DIR: dir, CARO_DIR: "/nowhere" } })],
  ["--dir over CARO_INSTALL_DIR", (dir) => ({ args: ["--dir", dir], env: { CARO_INSTALL_DIR: "/nowhere" } })],
  ["--dir with a slash at the end", (dir) => ({ args: ["--dir", `${dir}//`] })],
  ["--dir from where one is", (_dir, box) => ({ args: ["--dir", "new tools"], cwd: box.home })],
  ["--dir ./from where one is", (_dir, box) => ({ args: ["--dir", "./new tools"], cwd: box.home })],
  ["--dir=~/ in a shell that leaves it alone", () => ({ args: ["--dir=~/new tools"] })],
]) {
  test(what, async (t) => {
    const box = await Sandbox.make(t);
    const dir = join(box.home, "new tools");
    await box.expect(0, await box.host.script("/stable"), options(dir, box));
    assert.equal(await box.version(join(dir, "caro")), STABLE);
    const out = spawnSync("/bin/sh", ["-c", `. "$HOME/.profile"; command -v caro`], { env: box.environment() });
    assert.equal(out.stdout.toString(), `${join(dir, "caro")}\n`, "its folder is on the PATH by its full name");
  });
}

for (const [what, options] of [
  ["--dry-run", { args: ["--dry-run"] }],
  ["CARO_DRY_RUN=1", { env: { CARO_DRY_RUN: "1" } }],
  ["CARO_DRY_RUN=TRUE", { env: { CARO_DRY_RUN: "TRUE" } }],
  ["--dry-run --quiet", { args: ["--dry-run", "--quiet"] }],
]) {
  test(`${what} says it all and does nothing`, async (t) => {
    const box = await Sandbox.make(t);
    const said = await box.refuses(0, await box.host.script(), options);
    assert.match(said, /1\.1\.0-beta\.2 \(beta\) for linux-amd64/);
    assert.ok(said.includes(`${box.host.url}/assets/v${BETA}/caro-${BETA}-linux-amd64`));
    for (const file of [box.target, join(box.home, ".config/caro/env"), join(box.home, ".profile"), box.receipt]) {
      assert.ok(said.includes(file), `${file} is not in:\n${said}`);
    }
    assert.deepEqual(box.host.requests, []);
  });
}

for (const [what, options] of [
  ["--no-modify-path", { args: ["--no-modify-path"] }],
  ["CARO_NO_MODIFY_PATH=yes", { env: { CARO_NO_MODIFY_PATH: "yes" } }],
]) {
  test(`${what} leaves start-up files alone and says what to do`, async (t) => {
    const box = await Sandbox.make(t);
    await fs.writeFile(join(box.home, ".profile"), "");
    const said = await box.expect(0, await box.host.script(), options);
    assert.match(said, /not on your PATH.*export PATH='.*\.local\/bin':\$PATH/);
    assert.equal(await fs.readFile(join(box.home, ".profile"), "utf8"), "");
    await assert.rejects(fs.stat(join(box.home, ".config")));
  });
}

for (const [what, options] of [
  ["--quiet", { args: ["--quiet"] }],
  ["CARO_QUIET=1", { env: { CARO_QUIET: "1" } }],
]) {
  test(`${what} says nothing but errors`, async (t) => {
    const box = await Sandbox.make(t);
    const { code, stdout, stderr } = await box.run(await box.host.script(), options);
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
    const again = await box.run(await box.host.script(), options);
    assert.deepEqual(again, { code: 0, signal: null, stdout: "", stderr: "" });
    await fs.rm(box.target);
    await fs.mkdir(box.target);
    assert.match(await box.expect(6, await box.host.script(), options), /error: /);
  });
}

for (const [what, options] of [
  ["--verbose", { args: ["--verbose"] }],
  ["CARO_VERBOSE=true", { env: { CARO_VERBOSE: "true" } }],
]) {
  test(`${what} prints the steps`, async (t) => {
    const box = await Sandbox.make(t);
    const said = await box.expect(0, await box.host.script(), options);
    assert.match(said, /platform linux-amd64[\s\S]*downloading[\s\S]*SHA-256 are right[\s\S]*receipt/);
  });
}

for (const [what, options] of [
  ["--force", { args: ["--force"] }],
  ["CARO_FORCE=1", { env: { CARO_FORCE: "1" } }],
]) {
  test(`${what} installs the same version again, and over another program`, async (t) => {
    const box = await Sandbox.make(t);
    await box.expect(0, await box.host.script());
    const size = (await fs.stat(box.target)).size;
    await fs.appendFile(box.target, "# tampered with\n");
    await box.expect(0, await box.host.script());
    assert.notEqual((await fs.stat(box.target)).size, size);
    await box.expect(0, await box.host.script(), options);
    assert.equal((await fs.stat(box.target)).size, size);
    const other = join(box.home, "other");
    await fs.mkdir(other);
    await fs.writeFile(join(other, "caro"), "#!/bin/sh\necho other\n", { mode: 0o755 });
    await box.expect(0, await box.host.script(), { ...options, env: { ...options.env, CARO_DIR: other } });
    assert.equal(await box.version(join(other, "caro")), BETA);
  });
}

test("--force tries where musl was found", async (t) => {
  const box = await Sandbox.make(t);
  await box.stub("ldd", "echo 'musl libc (x86_64)' >&2; exit 1");
  await box.expect(0, await box.host.script(), { args: ["--force"] });
});

test("0, false, no and nothing switch nothing on", async (t) => {
  for (const value of ["0", "false", "No", ""]) {
    const box = await Sandbox.make(t);
    await box.expect(0, await box.host.script(), {
      env: { CARO_DRY_RUN: value, CARO_QUIET: value, CARO_UNINSTALL: value },
    });
    assert.equal(await box.version(), BETA);
  }
});

// ---- other versions and channels -----------------------------------------------------------------------------

for (const [what, from, options, version] of [
  ["--version 1.0.4", "/", { args: ["--version", "1.0.4"] }, "1.0.4"],
  ["--version=v1.0.3", "/", { args: ["--version=v1.0.3"] }, "1.0.3"],
  ["--version v1.1.0-beta, a release", "/stable", { args: ["--version", "v1.1.0-beta"] }, BETA],
  ["CARO_VERSION", "/stable", { env: { CARO_VERSION: "1.1.0-beta.1" } }, "1.1.0-beta.1"],
  ["--version over CARO_VERSION", "/", { args: ["--version", "1.0.3"], env: { CARO_VERSION: "9.9.9" } }, "1.0.3"],
  ["--channel stable", "/", { args: ["--channel", "stable"] }, STABLE],
  ["--channel=beta", "/stable", { args: ["--channel=beta"] }, BETA],
  ["CARO_CHANNEL", "/", { env: { CARO_CHANNEL: "stable" } }, STABLE],
  ["--channel over CARO_VERSION", "/", { args: ["--channel=stable"], env: { CARO_VERSION: "1.0.3" } }, STABLE],
  ["--version over CARO_CHANNEL", "/", { args: ["--version=1.0.3"], env: { CARO_CHANNEL: "stable" } }, "1.0.3"],
]) {
  test(`${what} from ${from} installs ${version}`, async (t) => {
    const box = await Sandbox.make(t);
    await box.expect(0, await box.host.script(from), options);
    assert.equal(await box.version(), version);
    const scripts = box.host.requests.filter((path) => path.endsWith("/install.sh"));
    assert.equal(scripts.length, 1, "one more script and no loop");
  });
}

for (const [from, args] of [
  ["/1.0.4", ["--version", "1.0.4"]],
  ["/1.0.4", ["--version", "v1.0.4"]],
  ["/stable", ["--channel", "stable"]],
  ["/", ["--channel", "beta"]],
]) {
  test(`${args.join(" ")} from ${from} needs no other script`, async (t) => {
    const box = await Sandbox.make(t);
    await box.expect(0, await box.host.script(from), { args });
    assert.deepEqual(
      box.host.requests.filter((path) => !path.startsWith("/assets/")),
      [],
    );
  });
}

test("the other script gets the rest of the options", async (t) => {
  const box = await Sandbox.make(t);
  const dir = join(box.home, "a 'quoted' $HOME `folder`");
  const args = ["--version", STABLE, "--dir", dir, "--no-modify-path", "--quiet", "--force"];
  const { code, stderr } = await box.run(await box.host.script(), { args });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, "");
  assert.equal(await box.version(join(dir, "caro")), STABLE);
  await assert.rejects(fs.stat(join(box.home, ".profile")));
  const said = await box.refuses(0, await box.host.script(), { args: ["--channel", "stable", "--dry-run"] });
  assert.match(said, /would install caro 1\.0\.4/);
});

test("a version that does not exist: exit 7 with the router's words", async (t) => {
  const box = await Sandbox.make(t);
  const said = await box.refuses(7, await box.host.script(), { args: ["--version", "9.9.9"] });
  assert.match(said, /^caro: (?!error).*\w[\s\S]*there is no caro 9\.9\.9 to install/m);
  assert.equal(box.host.requests.length, 1, "asked once");
});

for (const [what, code, pattern, answer] of [
  [
    "withdrawn",
    7,
    /was stopped/,
    (r) => r.writeHead(410).end("#!/bin/sh\nprintf '%s\\n' 'it was stopped' >&2\nexit 1\n"),
  ],
  ["an error of the router", 4, /500/, (r) => r.writeHead(500).end("#!/bin/sh\nprintf '%s\\n' oops >&2\nexit 1\n")],
  ["cut short", 4, /not the whole script/, (r, script) => r.end(script.slice(0, -1))],
  ["cut in the middle", 4, /not the whole script/, (r, script) => r.end(script.slice(0, 9000))],
  ["a page", 4, /not the whole script/, (r) => r.end("<html>log in first</html>")],
  ["nothing", 4, /not the whole script/, (r) => r.end()],
  ["another version", 7, /asked for 1\.0\.3, was given 1\.1\.0-beta\.2/, (r, script) => r.end(script)],
]) {
  test(`the other script is ${what}: exit ${code}`, async (t) => {
    const box = await Sandbox.make(t);
    await box.stub("sleep", "exit 0");
    const script = await box.host.script();
    box.host.behave = (_request, response) => answer(response, script);
    const said = await box.refuses(code, script, { args: ["--version", "1.0.3"] });
    assert.match(said, pattern);
  });
}

test("an origin nobody listens at: exit 4", async (t) => {
  const box = await Sandbox.make(t);
  await box.stub("sleep", "exit 0");
  const options = { args: ["--version", "1.0.3"], env: { CARO_ORIGIN: "http://127.0.0.1:9" } };
  assert.match(
    await box.refuses(4, await box.host.script(), options),
    /could not fetch http:\/\/127\.0\.0\.1:9\/1\.0\.3/,
  );
});

// ---- what it says ---------------------------------------------------------------------------------------------

test("a pinned or stable install does not talk of rollouts", async (t) => {
  const box = await Sandbox.make(t);
  for (const path of ["/stable", "/beta"]) {
    assert.doesNotMatch(await box.expect(0, await box.host.script(path)), /rollout/);
  }
});

test("the environment cannot replace what the script says of itself", async (t) => {
  const box = await Sandbox.make(t);
  const env = { caro_version: "6.6.6", caro_assets: "x", caro_origin: "https://evil.example", caro_product: "evil" };
  await box.expect(0, await box.host.script(), { env });
  assert.equal(await box.version(), BETA);
});

test("the unrendered file refuses", async (t) => {
  const box = await Sandbox.make(t);
  const { SCRIPT } = await import("./support.mjs");
  await box.refuses(7, await fs.readFile(SCRIPT, "utf8"));
});

const ESC = String.fromCharCode(27);
const strip = (text) => text.replaceAll("\r", "");

test("colours and progress on a terminal only, and not with NO_COLOR or a dumb one", async (t) => {
  const script = need(t, "script", "bsdutils");
  if (!script) return;
  const box = await Sandbox.make(t);
  const file = join(box.root, "install.sh");
  await fs.writeFile(file, await box.host.script());
  const { spawn } = await import("node:child_process");
  let printed = () => {};
  const terminal = (env) =>
    new Promise((resolve) => {
      const child = spawn(script, ["-qec", `/bin/sh '${file}' --force`, "/dev/null"], {
        env: box.environment({ TERM: "xterm", ...env }),
        stdio: ["ignore", "pipe", "pipe"],
      });
      const chunks = [];
      child.stdout.on("data", (chunk) => {
        chunks.push(chunk);
        printed(chunk.toString());
      });
      child.on("close", (code) => resolve({ code, out: strip(Buffer.concat(chunks).toString()) }));
    });
  const colours = await terminal({});
  assert.equal(colours.code, 0, colours.out);
  assert.match(colours.out, new RegExp(`${ESC}\\[1mcaro:${ESC}\\[0m`));
  for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }, { TERM: undefined }]) {
    const plain = await terminal(env);
    assert.equal(plain.code, 0, plain.out);
    assert.doesNotMatch(plain.out, new RegExp(`${ESC}\\[[0-9;]*m`));
  }
  // The rest of a file comes when `rest` says so.
  let rest;
  box.host.behave = (request, response, next) => {
    if (!request.url.startsWith("/assets/")) return next();
    const wait = {
      writeHead: (...args) => {
        response.writeHead(...args);
        return wait;
      },
      end: (body) => {
        response.write(body.subarray(0, 1000));
        rest.then(() => response.end(body.subarray(1000)));
      },
    };
    return box.host.answer(request, wait);
  };
  rest = new Promise((resolve) => {
    printed = (text) => text.includes("%") && resolve();
  });
  assert.match((await terminal({})).out, /\d+ % of \d+ kB/);
  // Longer than the second after which it would be shown.
  rest = delay(1500);
  assert.doesNotMatch(await box.expect(0, await box.host.script(), { args: ["--force"] }), new RegExp(`${ESC}|%`));
});
