// What the installer tests stand on: sandboxes (a HOME with a blank and a quote in its name and a PATH of chosen
// tools), a loopback server that hands out scripts and sample binaries and misbehaves on demand, and
// the source of the scripts, which can be the real router.
//
// The scripts come from a router that holds catalogConfig(): the built one, or one that runs already and is named by
// CARO_TEST_ORIGIN. renderScript() does what the router does; one test holds it to that.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, readFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { start } from "../support/router.mjs";

export const SCRIPT = fileURLToPath(new URL("../../src/install/install.sh", import.meta.url));
export const SCRIPT_PS1 = fileURLToPath(new URL("../../src/install/install.ps1", import.meta.url));

export const STABLE = "1.0.4";
export const BETA = "1.1.0-beta.2";
export const PLATFORMS = ["linux-amd64", "linux-arm64", "macos-intel", "macos-silicon", "windows-amd64"];

/** Where the catalogue says the binaries are; servers here replace it by their own address. */
export const ASSET_BASE = "https://assets.invalid/caro";

/** A sample binary: a script that answers as caro does, with its platform in it so that a mix-up shows. */
export function binary(version, platform) {
  return Buffer.from(
    `#!/bin/sh\n# sample for ${platform}\n${"# padding\n".repeat(400)}` +
      `case \${1-} in --version) echo "caro ${version} (0abc123 2026-01-15)" ;; *) echo "${platform}" ;; esac\n`,
  );
}

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

export function build(version, channel) {
  const assets = PLATFORMS.map((platform) => {
    const bytes = binary(version, platform);
    const name = `caro-${version}-${platform}${platform.startsWith("windows") ? ".exe" : ""}`;
    return { platform, size: bytes.length, sha256: sha256(bytes), url: `${ASSET_BASE}/v${version}/${name}`, bytes };
  });
  return { version, channel, assets };
}

/**
 * What the tests expect a router to offer: stable 1.0.4, and the release v1.1.0-beta with
 * 1.1.0-beta.1 and .2 listed, .2 offered at 100 %. `size`, `sha256` and `url` are the assets' own.
 */
export const CATALOG = {
  stable: build(STABLE, "stable"),
  beta: build(BETA, "beta"),
  others: [build("1.1.0-beta.1", "beta"), build("1.0.3", "stable")],
};

const BUILDS = [CATALOG.stable, CATALOG.beta, ...CATALOG.others];

/** CATALOG as the KV document: what a router under test holds. */
export function catalogConfig() {
  const versions = BUILDS.map(({ version, assets }) => {
    const listed = assets.map(({ platform, url, size, sha256 }) => [platform, { url, size, sha256 }]);
    return [version, { assets: Object.fromEntries(listed) }];
  });
  return {
    schema: 1,
    revision: 1,
    salt: "000102030405060708090a0b0c0d0e0f",
    stable: STABLE,
    versions: Object.fromEntries(versions),
    releases: { "v1.1.0-beta": { version: BETA, percentage: 100, state: "active" } },
  };
}

/** The served bytes of a script: the static file with its prelude, without the last newline. */
export function renderScript({ build, choice, origin = "https://get.caro.sh", shell = "sh", reports = "" }) {
  const assets = build.assets.map((a) => `${a.platform} ${a.size} ${a.sha256} ${a.url}`).join("\n");
  const values = {
    product: "caro",
    origin,
    version: build.version,
    channel: build.channel,
    choice,
    stable: STABLE,
    reports,
    assets,
  };
  const lines = Object.entries(values).map(([name, value]) =>
    shell === "sh"
      ? `caro_${name}='${value.replaceAll("'", "'\\''")}'\n`
      : `$Caro${name[0].toUpperCase()}${name.slice(1)} = '${value.replaceAll("'", "''")}'\n`,
  );
  const file = readFileSync(shell === "sh" ? SCRIPT : SCRIPT_PS1, "utf8");
  return file.replace("# @PRELUDE@\n", () => lines.join("")).trimEnd();
}

const remoteSource = (origin) => async (path) => {
  const answer = await fetch(new URL(path, origin), { headers: { accept: "*/*" } });
  return { status: answer.status, body: await answer.text() };
};

let origin = process.env.CARO_TEST_ORIGIN;
if (!origin) {
  const router = await start({ config: catalogConfig() });
  after(() => router.end());
  origin = router.origin;
}
const source = remoteSource(origin);

/** The script at `path` ("/", "/stable", "/1.0.4", …), as the router serves it. */
export async function served(path = "/") {
  const { status, body } = await source(path);
  assert.equal(status, 200, `the router answers ${status} for ${path}`);
  return body;
}

// ---- the server -----------------------------------------------------------------------------

/**
 * A loopback server with the scripts under /, the binaries under /assets/. `behave(request, next)` may
 * answer a request by itself; `requests` lists the paths asked for.
 */
export class Host {
  static async start() {
    const host = new Host();
    host.requests = [];
    host.behave = null;
    host.server = createServer((request, response) => {
      host.requests.push(request.url);
      const next = () => host.answer(request, response);
      Promise.resolve(host.behave ? host.behave(request, response, next) : next()).catch((error) => {
        response.writeHead(500).end(String(error));
      });
    });
    await new Promise((resolve) => host.server.listen(0, "127.0.0.1", resolve));
    host.url = `http://127.0.0.1:${host.server.address().port}`;
    return host;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** A script whose binaries are at this server. */
  here(script) {
    return script.replaceAll(ASSET_BASE, `${this.url}/assets`);
  }

  async script(path = "/") {
    return this.here(await served(path));
  }

  async answer(request, response) {
    if (request.url.startsWith("/assets/")) {
      const asset = find(request.url);
      if (!asset) return response.writeHead(404).end("no such file");
      const body = request.url.endsWith(".sha256") ? `${asset.sha256}  ${asset.name}\n` : asset.bytes;
      return response.writeHead(200, { "content-length": body.length }).end(body);
    }
    const { status, body } = await source(request.url);
    return response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(this.here(body));
  }
}

function find(url) {
  const wanted = url.replace(/\.sha256$/, "").replace("/assets", ASSET_BASE);
  for (const { assets } of BUILDS) {
    const asset = assets.find((a) => a.url === wanted);
    if (asset) return { ...asset, name: wanted.slice(wanted.lastIndexOf("/") + 1) };
  }
  return null;
}

/** The script, offering `bytes` for `platform` with their true size and digest (or the given ones). */
export function offering(
  script,
  bytes,
  { platform = "linux-amd64", size = bytes.length, digest = sha256(bytes) } = {},
) {
  const line = new RegExp(`^((?:caro_assets=')?${platform}) \\d+ [0-9a-f]{64} `, "m");
  assert.match(script, line);
  return script.replace(line, `$1 ${size} ${digest} `);
}

// ---- shells ---------------------------------------------------------------------------------

/** Each shell the script must run in: how to start it, and the Debian package that has it. */
export const SHELLS = [
  { name: "dash", argv: ["dash"], package: "dash" },
  { name: "busybox ash", argv: ["busybox", "sh"], package: "busybox" },
  { name: "bash", argv: ["bash"], package: "bash" },
  { name: "bash as sh", argv: ["bash", "--posix"], package: "bash" },
  { name: "ksh93", argv: ["ksh93"], package: "ksh93u+m" },
  { name: "mksh", argv: ["mksh"], package: "mksh" },
  { name: "zsh", argv: ["zsh"], package: "zsh" },
  { name: "zsh as sh", argv: ["zsh", "--emulate", "sh"], package: "zsh" },
  { name: "yash", argv: ["yash"], package: "yash" },
  { name: "yash as sh", argv: ["yash", "-o", "posixly-correct"], package: "yash" },
];

export function which(name) {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

/** The program, or a failed (with CARO_TEST_ALLOW_MISSING=1: skipped) test that says what to install. */
export function need(t, program, debianPackage = program) {
  const file = which(program);
  if (file) return file;
  const message = `${program} is missing: install the package ${debianPackage}, or set CARO_TEST_ALLOW_MISSING=1`;
  if (process.env.CARO_TEST_ALLOW_MISSING === "1") {
    t.skip(message);
    return null;
  }
  assert.fail(message);
}

// ---- sandboxes ------------------------------------------------------------------------------

/** What the script may call. A test takes some away or puts stubs before them. */
export const TOOLS = [
  ..."[ cat chmod curl env grep head mkdir mktemp mv od printf rm rmdir sed sh sha256sum sleep tail".split(" "),
  ..."timeout tr true wc".split(" "),
];

export class Sandbox {
  /** A fresh folder with a HOME, a PATH of `tools`, and a host; all gone when the test ends. */
  static async make(t, { tools = TOOLS, host = true } = {}) {
    const box = new Sandbox();
    box.root = await fs.realpath(await fs.mkdtemp(join(tmpdir(), "caro-installer-")));
    box.home = join(box.root, "a user's home");
    box.bin = join(box.root, "bin");
    box.dir = join(box.home, ".local/bin");
    box.target = join(box.dir, "caro");
    box.receipt = join(box.home, ".local/state/caro/install-receipt");
    await fs.mkdir(box.home);
    await fs.mkdir(box.bin);
    for (const tool of tools) {
      const file = which(tool);
      if (file) await fs.symlink(file, join(box.bin, tool));
    }
    // The same machine whatever the tests run on: an x86-64 Linux with glibc.
    await box.machine("Linux", "x86_64");
    await box.stub("getconf", "echo 64");
    await box.stub("ldd", "echo 'ldd (GNU libc) 2.41'");
    box.host = host ? await Host.start() : null;
    t.after(async () => {
      box.host?.stop();
      await fs.rm(box.root, { recursive: true, force: true });
    });
    return box;
  }

  /** Another name in the PATH for a program of this machine. */
  async link(name, file = which(name)) {
    await fs.rm(join(this.bin, name), { force: true });
    await fs.symlink(file, join(this.bin, name));
  }

  /** A program on the PATH, before or instead of the real one. */
  async stub(name, body) {
    const file = join(this.bin, name);
    await fs.rm(file, { force: true });
    await fs.writeFile(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  }

  machine(system, machine) {
    return this.stub("uname", `case \${1-} in -m) echo '${machine}' ;; *) echo '${system}' ;; esac`);
  }

  async remove(...names) {
    for (const name of names) await fs.rm(join(this.bin, name), { force: true });
  }

  environment(change = {}) {
    const env = {
      PATH: this.bin,
      HOME: this.home,
      SHELL: "/bin/sh",
      CARO_TIMEOUT: "2",
      CARO_ORIGIN: this.host?.url,
      ...change,
    };
    for (const [name, value] of Object.entries(env)) if (value === undefined) delete env[name];
    return env;
  }

  /** Starts the script as `curl | sh -s -- args` does. */
  start(script, { args = [], env = {}, shell = SHELLS[0].argv, cwd = this.root, uid } = {}) {
    const [program, ...options] = shell;
    const child = spawn(which(program), [...options, "-s", ...(args.length ? ["--", ...args] : [])], {
      cwd,
      env: this.environment(env),
      stdio: ["pipe", "pipe", "pipe"],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    child.stdin.on("error", () => {}); // a shell that stops early closes its end
    child.stdin.end(script);
    const chunks = { stdout: [], stderr: [] };
    child.stdout.on("data", (chunk) => chunks.stdout.push(chunk));
    child.stderr.on("data", (chunk) => chunks.stderr.push(chunk));
    const done = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        const [stdout, stderr] = [chunks.stdout, chunks.stderr].map((c) => Buffer.concat(c).toString());
        resolve({ code, signal, stdout, stderr });
      });
    });
    return { child, done };
  }

  run(script, options) {
    return this.start(script, options).done;
  }

  /** Runs, and insists on the exit code; gives the messages. */
  async expect(code, script, options) {
    const result = await this.run(script, options);
    assert.equal(result.code, code, `exit ${result.code}, expected ${code}:\n${result.stderr}`);
    return result.stderr;
  }

  /** Runs, insists on the exit code, and that nothing under HOME has changed, leftovers included. */
  async refuses(code, script, options) {
    const before = await this.tree();
    const said = await this.expect(code, script, options);
    assert.deepEqual(await this.tree(), before, `the disk has changed; ${said}`);
    return said;
  }

  /** Every file and folder under HOME: kind, mode, and the digest or the link's end. */
  tree(root = this.home) {
    return tree(root);
  }

  /** What the installed program says of its version. */
  async version(file = this.target) {
    const child = spawn(file, ["--version"], { stdio: ["ignore", "pipe", "inherit"] });
    const chunks = [];
    for await (const chunk of child.stdout) chunks.push(chunk);
    return Buffer.concat(chunks).toString().split(" ")[1];
  }
}

export async function tree(root) {
  const lines = [];
  const walk = async (file, name) => {
    const info = await fs.lstat(file);
    const mode = (info.mode & 0o7777).toString(8);
    if (info.isSymbolicLink()) lines.push(`${name} -> ${await fs.readlink(file)}`);
    else if (info.isDirectory()) {
      lines.push(`${name}/ ${mode}`);
      for (const entry of (await fs.readdir(file)).sort()) await walk(join(file, entry), `${name}/${entry}`);
    } else if (info.isFile()) lines.push(`${name} ${mode} ${sha256(await fs.readFile(file))}`);
    else lines.push(`${name} ${mode} special`);
  };
  await walk(root, ".");
  return lines;
}
