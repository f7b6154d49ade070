// fill-assets completes the example from published files, and refuses what does not agree.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const bytesOf = (path) => `the build at ${path}`;

let server;
/** A path whose .sha256 is wrong, and one that is not there. */
let wrong;
let absent;

before(async () => {
  server = createServer(({ url }, response) => {
    const path = url.replace(/\.sha256$/, "");
    if (path === absent) return response.writeHead(404).end();
    if (path === url) return response.end(bytesOf(path));
    const hash = sha256(path === wrong ? "something else" : bytesOf(path));
    response.end(`${hash}  ${path.slice(1)}\n`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
});

after(() => server.close());

function fill() {
  const ASSET_URL_TEMPLATE = `http://127.0.0.1:${server.address().port}/caro-{version}-{platform}{ext}`;
  const args = ["scripts/fill-assets.mjs", "examples/caro.config.json"];
  return run(process.execPath, args, { cwd: root, env: { ...process.env, ASSET_URL_TEMPLATE } });
}

test("sizes, hashes and a salt are filled in", async () => {
  const config = JSON.parse((await fill()).stdout);
  assert.match(config.salt, /^[0-9a-f]{32}$/);
  const bytes = bytesOf("/caro-1.1.0-beta.2-windows-amd64.exe");
  assert.deepEqual(config.versions["1.1.0-beta.2"].assets["windows-amd64"], {
    size: bytes.length,
    sha256: sha256(bytes),
  });
  const assets = Object.values(config.versions).flatMap((version) => Object.values(version.assets));
  assert.equal(assets.length, 15);
  for (const asset of assets) assert.match(asset.sha256, /^[0-9a-f]{64}$/);
});

test("two salts are never the same", async () => {
  const [a, b] = await Promise.all([fill(), fill()]);
  assert.notEqual(JSON.parse(a.stdout).salt, JSON.parse(b.stdout).salt);
});

for (const [what, arrange, message] of [
  [
    "a hash that does not agree",
    () => {
      wrong = "/caro-1.0.4-linux-amd64";
    },
    /do not ship it/,
  ],
  [
    "a file that is not there",
    () => {
      absent = "/caro-1.0.4-linux-arm64";
    },
    /answered 404/,
  ],
]) {
  test(`${what} is refused, and nothing is printed`, async (t) => {
    arrange();
    t.after(() => {
      wrong = absent = undefined;
    });
    await assert.rejects(fill(), (error) => {
      assert.equal(error.code, 1);
      assert.equal(error.stdout, "");
      assert.match(error.stderr, message);
      return true;
    });
  });
}
