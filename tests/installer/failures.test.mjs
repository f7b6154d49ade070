// Everything that can go wrong. Each time: the right exit code, a message that names the cause, the old
// program untouched, nothing left behind.

import assert from "node:assert/strict";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import test, { describe } from "node:test";
import { BETA, Host, need, offering, Sandbox, SHELLS, STABLE, which } from "./support.mjs";

/**
 * Runs `scenario(box, refuses)` on an empty HOME and on one with 1.0.4 installed. `refuses` runs the
 * rollout's script and insists on the code and the unchanged disk.
 */
function fails(name, code, pattern, scenario) {
  for (const old of [false, true]) {
    test(`${name}${old ? ", over an old version" : ""}: exit ${code}`, async (t) => {
      const box = await Sandbox.make(t);
      if (old) await box.expect(0, await box.host.script("/stable"));
      await box.stub("sleep", "exit 0");
      const said = await scenario(box, async (options, script) =>
        box.refuses(code, script ?? (await box.host.script("/")), options),
      );
      assert.match(said, pattern);
      if (old) assert.equal(await box.version(), STABLE);
    });
  }
}

const assetsOnly = (answer) => (request, response, next) =>
  request.url.startsWith("/assets/") ? answer(request, response, next) : next();

// Most of these wait rather than work, so a few run side by side.
describe("what can go wrong", { concurrency: 4 }, () => {
  // ---- the download -----------------------------------------------------------------------------

  fails("wrong bytes of the right size", 5, /SHA-256 [0-9a-f]{64} instead of [0-9a-f]{64}/, (box, refuses) => {
    box.host.behave = assetsOnly((_request, response) => response.end("x".repeat(4000)));
    return box.host.script().then((script) => {
      const line = script.match(/linux-amd64 (\d+)/);
      box.host.behave = assetsOnly((_request, response) => response.end("x".repeat(Number(line[1]))));
      return refuses();
    });
  });

  fails("an empty answer", 5, /0 bytes instead of/, (box, refuses) => {
    box.host.behave = assetsOnly((_request, response) => response.end());
    return refuses();
  });

  fails("a login page", 5, /bytes instead of .*\n.*login page/, (box, refuses) => {
    box.host.behave = assetsOnly((_request, response) => response.end("<html>Welcome to the hotel</html>"));
    return refuses();
  });

  fails("a connection that breaks off", 4, /could not download/, async (box, refuses) => {
    box.host.behave = assetsOnly((_request, response) => {
      response.writeHead(200, { "content-length": 5000 });
      response.write("#!/bin/sh\n", () => response.destroy());
    });
    const said = await refuses();
    assert.equal(box.host.requests.filter((r) => r.includes("linux-amd64")).length >= 4, true, "it tries again");
    return said;
  });

  fails("a server that never answers", 4, /could not download/, (box, refuses) => {
    box.host.behave = assetsOnly(() => {});
    return refuses({ env: { CARO_TIMEOUT: "1" } });
  });

  fails("a server that stops in the middle", 4, /could not download/, (box, refuses) => {
    box.host.behave = assetsOnly((_request, response) => {
      response.writeHead(200, { "content-length": 5000 });
      response.write("#!/bin/sh\n");
    });
    return refuses({ env: { CARO_TIMEOUT: "1" } });
  });

  fails("no network", 4, /could not download[\s\S]*proxy/, async (box, refuses) => {
    const nobody = await Host.start();
    nobody.stop();
    const script = (await box.host.script()).replaceAll(box.host.url, nobody.url);
    return refuses({}, script);
  });

  fails("files that are not there yet", 4, /is not there\n.*minutes late/, (box, refuses) => {
    box.host.behave = assetsOnly((_request, response) => response.writeHead(404).end());
    return refuses();
  });

  fails("a forbidden file, asked for once", 4, /could not download.*403/, async (box, refuses) => {
    box.host.requests.length = 0;
    box.host.behave = assetsOnly((_request, response) => response.writeHead(403).end());
    const said = await refuses();
    assert.equal(box.host.requests.length, 1);
    return said;
  });

  fails("plain http beyond this machine", 4, /plain http: http:\/\/files\.example/, async (box, refuses) => {
    const script = (await box.host.script()).replaceAll(box.host.url, "http://files.example");
    return refuses({}, script);
  });

  for (const [what, answers] of [
    ["404 for a while after a release", [404, 404]],
    ["an error of the server", [503]],
  ]) {
    test(`${what}: it tries again and succeeds`, async (t) => {
      const box = await Sandbox.make(t);
      await box.stub("sleep", "exit 0");
      const left = [...answers];
      box.host.behave = assetsOnly((_request, response, next) => {
        const status = left.shift();
        return status ? response.writeHead(status).end() : next();
      });
      await box.expect(0, await box.host.script());
      assert.equal(await box.version(), BETA);
    });
  }

  test("a redirect, as release pages do, is followed", async (t) => {
    const box = await Sandbox.make(t);
    box.host.behave = assetsOnly((request, response, next) =>
      request.url.includes("?there") ? next() : response.writeHead(302, { location: `${request.url}?there` }).end(),
    );
    const answer = box.host.answer.bind(box.host);
    box.host.answer = (request, response) => {
      request.url = request.url.replace("?there", "");
      return answer(request, response);
    };
    await box.expect(0, await box.host.script());
    assert.equal(await box.version(), BETA);
  });

  // ---- downloaders and hash tools -----------------------------------------------------------------

  fails("neither curl nor wget", 4, /neither curl nor wget is here\n.*Install curl/, async (box, refuses) => {
    await box.remove("curl");
    return refuses();
  });

  test("wget alone will do, and its failures are understood", async (t) => {
    const wget = need(t, "wget");
    if (!wget) return;
    const box = await Sandbox.make(t);
    await box.stub("sleep", "exit 0");
    await box.remove("curl");
    await box.link("wget", wget);
    box.host.behave = assetsOnly((_request, response) => response.writeHead(404).end("not here"));
    assert.match(await box.refuses(4, await box.host.script()), /is not there\n.*minutes late/);
    box.host.behave = null;
    await box.expect(0, await box.host.script());
    assert.equal(await box.version(), BETA);
    await box.expect(0, await box.host.script(), { args: ["--version", STABLE] });
    assert.equal(await box.version(), STABLE);
    assert.match(
      await box.refuses(7, await box.host.script(), { args: ["--version", "9.9.9"] }),
      /there is no caro 9\.9\.9/,
    );
  });

  test("BusyBox wget serves this machine only: it checks no certificates", async (t) => {
    const busybox = need(t, "busybox");
    if (!busybox) return;
    const box = await Sandbox.make(t);
    await box.stub("sleep", "exit 0");
    await box.remove("curl");
    await box.link("wget", busybox);
    const script = await box.host.script();
    const said = await box.refuses(4, script.replaceAll(box.host.url, "https://127.0.0.1:1"));
    assert.match(said, /cannot check certificates[\s\S]*Install curl/);
    await box.expect(0, script);
    assert.equal(await box.version(), BETA);
  });

  test("snap's curl, which may only write to pipes", async (t) => {
    const box = await Sandbox.make(t);
    await box.stub("sleep", "exit 0");
    const snap = join(box.root, "snap/bin");
    await fs.mkdir(snap, { recursive: true });
    await box.remove("curl");
    const curl = `#!/bin/sh\n[ -p /dev/stdout ] || exec >/dev/null\n[ -p /dev/stderr ] || exec 2>/dev/null\nexec ${which("curl")} "$@"\n`;
    await fs.writeFile(join(snap, "curl"), curl, { mode: 0o755 });
    const env = { PATH: `${snap}:${box.bin}` };
    await box.expect(0, await box.host.script(), { env });
    assert.equal(await box.version(), BETA);
    await box.expect(0, await box.host.script(), { env, args: ["--channel", "stable"] });
    assert.equal(await box.version(), STABLE);
    box.host.behave = assetsOnly((_request, response) => response.writeHead(404).end("not here"));
    await box.refuses(4, await box.host.script(), { env });
    const wget = need(t, "wget");
    if (!wget) return;
    await box.link("wget", wget);
    box.host.behave = null;
    await fs.writeFile(join(snap, "curl"), "#!/bin/sh\nexit 99\n", { mode: 0o755 });
    await box.expect(0, await box.host.script(), { env });
    assert.equal(await box.version(), BETA, "wget is preferred to it");
  });

  fails("no tool to hash with", 5, /no tool here to verify/, async (box, refuses) => {
    await box.remove("sha256sum");
    return refuses();
  });

  for (const tool of ["shasum", "openssl", "busybox"]) {
    test(`${tool} verifies when sha256sum is broken`, async (t) => {
      const program = need(t, tool, tool === "shasum" ? "perl" : tool);
      if (!program) return;
      const box = await Sandbox.make(t);
      await box.stub("sha256sum", "echo broken >&2; exit 1");
      await box.link(tool, program);
      box.host.behave = assetsOnly((_request, response) => response.end("wrong"));
      const script = offering(await box.host.script(), Buffer.from("right"));
      assert.match(await box.refuses(5, script), /SHA-256/);
      box.host.behave = null;
      await box.expect(0, await box.host.script());
      assert.equal(await box.version(), BETA);
    });
  }

  // ---- the fallback: digests from beside the file -----------------------------------------------------

  const fallback = (script) =>
    script.replace(/^caro_choice=.*$/gm, "caro_choice='fallback'").replace(/ \d+ [0-9a-f]{64} /g, " - - ");

  test("without digests in the script, those beside the files are taken", async (t) => {
    const box = await Sandbox.make(t);
    const said = await box.expect(0, fallback(await box.host.script("/stable")));
    assert.match(said, /cannot read its rollout/);
    assert.equal(await box.version(), STABLE);
  });

  for (const [what, answer] of [
    ["missing", (response) => response.writeHead(404).end()],
    ["a page", (response) => response.end("<html>hello</html>")],
    ["of another file", (response) => response.end(`${"0".repeat(64)}  caro\n`)],
  ]) {
    fails(`a checksum beside the file that is ${what}`, 5, /checksum|instead of/, async (box, refuses) => {
      box.host.behave = (request, response, next) => (request.url.endsWith(".sha256") ? answer(response) : next());
      return refuses({}, fallback(await box.host.script()));
    });
  }

  // ---- the program does not work here ------------------------------------------------------------------

  for (const [what, body, pattern] of [
    ["another version", "echo caro 9.9.9", /should be version 1\.1\.0-beta\.2; it said: caro 9\.9\.9/],
    ["a longer version", `echo caro ${BETA}1`, /should be version 1\.1\.0-beta\.2; it said: caro 1\.1\.0-beta\.21/],
    ["another program", `echo other ${BETA}`, /should be version/],
    ["a crash", "kill -SEGV $$", /ended with status 139/],
    ["a failure", "echo 'no such device'; exit 3", /status 3; it said: no such device/],
    ["a wrong instruction", "kill -ILL $$", /processor/],
    ["an old glibc", "echo \"caro: version 'GLIBC_2.39' not found\" >&2; exit 1", /newer glibc.*GLIBC_2\.39/],
    ["no answer", "exec /bin/sleep 60", /no answer within 1 s/],
  ]) {
    fails(`a program with ${what}`, 8, pattern, async (box, refuses) => {
      const bytes = Buffer.from(`#!/bin/sh\n${body}\n`);
      const script = offering(await box.host.script(), bytes);
      box.host.behave = assetsOnly((_request, response) => response.end(bytes));
      return refuses({ env: what === "no answer" ? { CARO_TIMEOUT: "1" } : {} }, script);
    });
  }

  fails("a program of another system", 8, /cannot be executed|ended with status/, async (box, refuses) => {
    const bytes = Buffer.from("\x7fELF\x02\x01\x01 not for this machine");
    const script = offering(await box.host.script(), bytes);
    box.host.behave = assetsOnly((_request, response) => response.end(bytes));
    return refuses({}, script);
  });

  // ---- folders -------------------------------------------------------------------------------------------

  fails(
    "a folder that cannot be made",
    6,
    /cannot make the folder .*under a file[\s\S]*--dir/,
    async (box, refuses) => {
      await fs.writeFile(join(box.home, "under a file"), "");
      return refuses({ args: ["--dir", join(box.home, "under a file/deep/bin")] });
    },
  );

  fails("a folder at the program's place", 6, /caro is a folder/, async (box, refuses) => {
    await fs.mkdir(join(box.home, "tools/caro"), { recursive: true });
    return refuses({ args: ["--dir", join(box.home, "tools")] });
  });

  fails("another program of that name", 6, /is not caro[\s\S]*--force/, async (box, refuses) => {
    await fs.mkdir(join(box.home, "tools"));
    await fs.writeFile(join(box.home, "tools/caro"), "#!/bin/sh\necho I am the beach\n", { mode: 0o755 });
    return refuses({ args: ["--dir", join(box.home, "tools")] });
  });

  fails("no HOME", 6, /HOME is not set[\s\S]*--dir/, (_box, refuses) => refuses({ env: { HOME: undefined } }));
  fails("an empty HOME", 6, /HOME is not set[\s\S]*--dir/, (_box, refuses) => refuses({ env: { HOME: "" } }));

  fails("a full disk", 6, /could not write in .*\n.*disk full/, (_box, refuses) =>
    refuses({ shell: ["dash", "-c", `ulimit -f 4; exec ${which("dash")} "$@"`, "dash"] }),
  );

  test("a read-only folder: exit 6", async (t) => {
    const box = await Sandbox.make(t);
    const locked = join(box.root, "locked");
    await fs.mkdir(locked, { mode: 0o555 });
    // Mode bits do not bind root, so a nobody tries.
    const uid = process.getuid() === 0 ? 65534 : undefined;
    if (uid) {
      await fs.chmod(box.root, 0o755);
      await fs.chown(box.home, uid, uid);
    }
    for (const dir of [locked, join(locked, "new/bin")]) {
      const said = await box.refuses(6, await box.host.script(), { uid, args: ["--dir", dir] });
      assert.match(said, /locked/);
      assert.match(said, /ermission denied[\s\S]*--dir/);
    }
    await box.expect(0, await box.host.script(), { uid });
    assert.equal(await box.version(), BETA);
  });

  // ---- platforms -----------------------------------------------------------------------------------------

  for (const [system, machine, pattern] of [
    ["Linux", "i686", /Linux on i686[\s\S]*linux-amd64 linux-arm64/],
    ["Linux", "armv7l", /Linux on armv7l/],
    ["FreeBSD", "amd64", /no build for FreeBSD/],
    ["MINGW64_NT-10.0", "x86_64", /PowerShell[\s\S]*irm \S+\/install\.ps1 \| iex/],
    ["CYGWIN_NT-10.0", "x86_64", /PowerShell/],
  ]) {
    fails(`${system} on ${machine}`, 3, pattern, async (box, refuses) => {
      await box.machine(system, machine);
      return refuses();
    });
  }

  fails("32-bit programs on a 64-bit kernel", 3, /64-bit kernel.*32-bit programs/, async (box, refuses) => {
    await box.stub("getconf", "echo 32");
    return refuses();
  });

  fails("the same without getconf", 3, /32-bit programs/, async (box, refuses) => {
    await box.remove("getconf");
    await box.stub("od", "echo ' 01'");
    return refuses();
  });

  fails("musl", 3, /musl[\s\S]*glibc/, async (box, refuses) => {
    await box.stub("ldd", "echo 'musl libc (x86_64)' >&2; exit 1");
    return refuses();
  });

  fails(
    "a platform this version was not built for",
    3,
    /no build for linux-arm64[\s\S]*linux-amd64/,
    async (box, refuses) => {
      await box.machine("Linux", "aarch64");
      const script = (await box.host.script()).replace(/^linux-arm64 .*\n/m, "");
      return refuses({}, script);
    },
  );

  for (const [system, machine, platform] of [
    ["Linux", "x86_64", "linux-amd64"],
    ["Linux", "aarch64", "linux-arm64"],
    ["Darwin", "x86_64", "macos-intel"],
    ["Darwin", "arm64", "macos-silicon"],
    ["Darwin", "x86_64", "macos-silicon", "under Rosetta"],
  ]) {
    test(`${system} on ${machine} ${platform === "macos-silicon" && machine === "x86_64" ? "under Rosetta " : ""}gets ${platform}`, async (t) => {
      const box = await Sandbox.make(t);
      await box.machine(system, machine);
      if (system === "Darwin") {
        await box.remove("getconf", "ldd", "od");
        const rosetta = platform === "macos-silicon" && machine === "x86_64";
        await box.stub("sysctl", rosetta ? "echo 1" : "echo 'unknown oid' >&2; exit 1");
      }
      await box.expect(0, await box.host.script());
      assert.match(await fs.readFile(box.target, "utf8"), new RegExp(`sample for ${platform}\n`));
    });
  }

  test("this very machine is recognised by its own tools", async (t) => {
    if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch)) return t.skip("not a Linux of ours");
    const box = await Sandbox.make(t);
    for (const tool of ["uname", "getconf", "ldd"]) await box.link(tool);
    await box.expect(0, await box.host.script());
    await box.remove("getconf");
    await box.expect(0, await box.host.script(), { args: ["--force"] });
  });

  // ---- interrupted, and in use ------------------------------------------------------------------------------

  for (const shell of SHELLS) {
    for (const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGINT", 130],
      ["SIGHUP", 129],
    ]) {
      test(`${signal} in the middle of the download, ${shell.name}: exit ${code}, no litter`, async (t) => {
        if (!need(t, shell.argv[0], shell.package)) return;
        const box = await Sandbox.make(t);
        const before = await box.tree();
        let gone;
        const asked = new Promise((resolve) => {
          box.host.behave = assetsOnly((_request, response) => {
            gone = once(response, "close");
            response.writeHead(200, { "content-length": 5000 });
            response.write("#!/bin/sh\n");
            resolve();
          });
        });
        const run = box.start(await box.host.script(), { shell: shell.argv, env: { CARO_TIMEOUT: "30" } });
        await asked;
        run.child.kill(signal);
        const { code: got, stderr } = await run.done;
        await gone; // curl has ended with it
        assert.equal(got, code, stderr);
        assert.deepEqual(await box.tree(), before);
      });
    }

    test(`the heart of it in ${shell.name}: wrong bytes, wrong program, no folder`, async (t) => {
      if (!need(t, shell.argv[0], shell.package)) return;
      const box = await Sandbox.make(t);
      await box.expect(0, await box.host.script("/stable"), { shell: shell.argv });
      const script = await box.host.script();
      const options = { shell: shell.argv };
      const bad = Buffer.from("#!/bin/sh\nexit 1\n");
      box.host.behave = assetsOnly((_request, response) => response.end(bad));
      await box.refuses(5, script, options);
      await box.refuses(8, offering(script, bad), options);
      await box.refuses(6, script, { ...options, args: ["--dir", join(box.target, "x")] });
      await box.refuses(2, script, { ...options, args: ["--frobnicate"] });
      assert.equal(await box.version(), STABLE);
    });
  }

  test("a running program is replaced under its own feet", async (t) => {
    const box = await Sandbox.make(t);
    await box.expect(0, await box.host.script("/stable"));
    // A true executable in its place, running: writing into it would be "text file busy".
    await fs.copyFile(which("sleep"), box.target);
    const { spawn } = await import("node:child_process");
    const running = spawn(box.target, ["60"], { stdio: "ignore" });
    t.after(() => running.kill());
    await once(running, "spawn");
    await assert.rejects(fs.writeFile(box.target, "x"), { code: "ETXTBSY" });
    await box.expect(0, await box.host.script());
    assert.equal(await box.version(), BETA);
    assert.equal(running.exitCode, null);
  });
});
