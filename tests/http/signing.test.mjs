// Signed answers, as they leave the Worker: verified by openssl, in the words of README, and by Node's own
// cryptography over bytes put together from the headers alone.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync, verify } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ask, closeConnections, eventually } from "../support/http.mjs";
import { root, start } from "../support/router.mjs";
import { at, world } from "../support/world.mjs";

const pair = () => generateKeyPairSync("ed25519");
const pem = (key) => key.export({ type: key.type === "private" ? "pkcs8" : "spki", format: "pem" });
const [now, old, next] = [pair(), pair(), pair()];
const SECRET = pem(now.privateKey) + pem(old.privateKey) + pem(next.publicKey);

/** A public key's thumbprint (RFC 7638), by Node. */
function thumbprint(key) {
  const { crv, kty, x } = key.export({ format: "jwk" });
  return createHash("sha256").update(JSON.stringify({ crv, kty, x })).digest("base64url");
}

/** Whether an answer is signed with a key, going by nothing but RFC 9421. */
function isSigned(response, path, key, body) {
  const input = response.headers["signature-input"].match(/^caro=(\((.*?)\);.*)$/);
  const signature = response.headers.signature.match(/^caro=:(.*):$/)[1];
  const lines = input[2].split(" ").map((name) => {
    const derived = { '"@status"': response.status, '"@path";req': path };
    return `${name}: ${derived[name] ?? response.headers[JSON.parse(name)]}`;
  });
  const base = [...lines, `"@signature-params": ${input[1]}`].join("\n");
  if (response.status !== 304) {
    const digest = createHash("sha256").update(body).digest("base64");
    assert.equal(response.headers["content-digest"], `sha-256=:${digest}:`);
  }
  return verify(null, Buffer.from(base), key, Buffer.from(signature, "base64"));
}

const SIGNED = [
  ["GET", "/"],
  ["GET", "/install.ps1"],
  ["GET", "/stable"],
  ["GET", "/v1.1.0-beta/install.sh"],
  ["GET", "/features/v1.1.0-beta"],
  ["GET", "/features/v1.1.0-beta?detail=1"],
  ["POST", "/ofrep/v1/evaluate/flags"],
  ["POST", "/ofrep/v1/evaluate/flags/validation_retry"],
  ["POST", "/ofrep/v1/evaluate/flags/nothing"],
];

describe("with a key", () => {
  let router;
  before(async () => {
    router = await start({ config: world(), bindings: { ORIGIN: "https://get.caro.sh", SIGNING_KEYS: SECRET } });
  });
  after(async () => {
    closeConnections();
    await router.end();
  });

  for (const [method, target] of SIGNED) {
    test(`${method} ${target} is signed`, async () => {
      const [path] = target.split("?");
      for (let i = 0; i < 2; i++) {
        const body = method === "POST" ? '{"context":{"targetingKey":"alice"}}' : undefined;
        const answer = await ask(router.direct, target, { method, body, headers: { "X-Caro-Id": "alice" } });
        assert.ok(isSigned(answer, path, now.publicKey, answer.body), "the signature");
        assert.ok(!isSigned(answer, `${path}x`, now.publicKey, answer.body), "another path");
        assert.ok(!isSigned(answer, path, old.publicKey, answer.body), "another key");
        assert.match(answer.headers["cache-control"], /no-transform/);
        assert.match(answer.headers["signature-input"], new RegExp(`keyid="${thumbprint(now.publicKey)}"`));
      }
    });
  }

  test("a 304 and a HEAD are signed as well", async () => {
    const path = "/features/v1.1.0-beta";
    const got = await ask(router.direct, path);
    const headers = { "If-None-Match": got.headers.etag };
    for (let i = 0; i < 2; i++) {
      const known = await ask(router.direct, path, { headers });
      assert.equal(known.status, 304);
      assert.equal(known.headers["content-digest"], undefined);
      assert.ok(isSigned(known, path, now.publicKey));
    }
    const head = await ask(router.direct, path, { method: "HEAD" });
    assert.equal(head.text, "");
    assert.ok(isSigned(head, path, now.publicKey, got.body));
  });

  test("the same answer is signed once for all who get it", async () => {
    const path = "/features/v1.1.0-beta";
    const one = await ask(router.direct, path, { headers: { "X-Caro-Id": "inside" } });
    const other = await ask(router.direct, path, { headers: { "X-Caro-Id": "inside" } });
    assert.equal(one.headers.signature, other.headers.signature);
    const version = await ask(router.direct, "/features/1.1.0-beta.2", { headers: { "X-Caro-Id": "inside" } });
    assert.equal(version.text, one.text);
    assert.notEqual(version.headers.signature, one.headers.signature);
  });

  test("a new revision is another signature", async () => {
    const path = "/features/v1.1.0-beta";
    const before = await ask(router.direct, path);
    await router.kv.put("config", JSON.stringify(at(30, 8)));
    const changed = await eventually(
      () => ask(router.direct, path),
      (answer) => assert.equal(answer.headers["x-caro-revision"], "8"),
    );
    assert.notEqual(changed.headers.signature, before.headers.signature);
    assert.ok(isSigned(changed, path, now.publicKey, changed.body));
  });

  test("who asks to stay is told what to send next time, in a signed answer", async () => {
    const path = "/features/v1.1.0-beta";
    const ask_ = (token) => ask(router.direct, path, { headers: { "X-Caro-Id": "a", "X-Caro-Assignment": token } });
    const first = await ask_("new");
    const second = await ask_(first.headers["x-caro-assignment"]);
    assert.match(second.headers["x-caro-assignment"], /^[\w-]{30,}$/);
    assert.equal(second.text, first.text);
    assert.ok(isSigned(second, path, now.publicKey, second.body));
    const script = await ask(router.direct, "/", { headers: { "X-Caro-Id": "inside", "X-Caro-Assignment": "new" } });
    assert.ok(script.headers["x-caro-assignment"]);
    assert.equal((await ask(router.direct, path)).headers["x-caro-assignment"], undefined);
  });

  test("every key is shown, the one that signs first", async () => {
    const answer = await ask(router.direct, "/.well-known/http-message-signatures-directory");
    assert.equal(answer.headers["content-type"], "application/http-message-signatures-directory+json");
    const { keys } = JSON.parse(answer.text);
    const expected = [now, next, old].map(({ publicKey }) => thumbprint(publicKey));
    assert.deepEqual(keys.map((key) => key.kid).sort(), expected.sort());
    assert.equal(keys[0].kid, thumbprint(now.publicKey));
    assert.doesNotMatch(answer.text, /"d"/);
    const shown = await ask(router.direct, "/.well-known/signing-key.pem");
    assert.equal(shown.text, pem(now.publicKey));
    const health = JSON.parse((await ask(router.direct, "/health")).text);
    assert.ok(health.checks.signing.detail.includes(thumbprint(now.publicKey)));
    assert.ok(health.checks.signing.ok);
  });

  test("README's openssl commands verify a served answer, and refuse a changed one", () => {
    const readme = readFileSync(`${root}README.md`, "utf8");
    const commands = readme.match(/```sh\n(origin=https:\/\/get\.caro\.sh[\s\S]*?)```/)[1];
    const folder = mkdtempSync(join(tmpdir(), "caro-signature-"));
    const run = (change = "") => {
      const script = commands.replace("origin=https://get.caro.sh", `origin=${router.direct}`);
      const changed = change === "" ? script : script.replace(/(curl .* -o answer .*\n)/, `$1${change}\n`);
      assert.ok(change === "" || changed !== script);
      return execFileSync("dash", ["-euc", changed], { cwd: folder, encoding: "utf8", stdio: "pipe" });
    };
    try {
      assert.match(run(), /Signature Verified Successfully/);
      assert.throws(() => run("echo 'echo gotcha' >>answer"));
      assert.throws(() => run("sed -i 's/^\\([Xx]-[Cc]aro-[Rr]evision\\): .*/\\1: 99\\r/' headers"));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test("without a key nothing is signed, and /health says so", async () => {
  const router = await start({ config: world() });
  try {
    const answer = await ask(router.direct, "/features/v1.1.0-beta");
    assert.equal(answer.headers.signature, undefined);
    assert.equal(answer.headers["content-digest"], undefined);
    const { keys } = JSON.parse((await ask(router.direct, "/.well-known/http-message-signatures-directory")).text);
    assert.deepEqual(keys, []);
    assert.equal((await ask(router.direct, "/.well-known/signing-key.pem")).status, 404);
    const { checks, status } = JSON.parse((await ask(router.direct, "/health")).text);
    assert.match(checks.signing.detail, /not signed: the secret SIGNING_KEYS is not set/);
    assert.equal(status, "ok");
  } finally {
    closeConnections();
    await router.end();
  }
});

const BROKEN = {
  "no PEM": "hunter2hunter2",
  "a cut block": SECRET.slice(0, 60),
  "only a public key": pem(now.publicKey),
  "a key of another kind": pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
};
for (const [name, secret] of Object.entries(BROKEN)) {
  test(`a secret that cannot be used: ${name}`, async () => {
    const router = await start({ config: world(), bindings: { ORIGIN: "https://get.caro.sh", SIGNING_KEYS: secret } });
    try {
      const answer = await ask(router.direct, "/features/v1.1.0-beta");
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.signature, undefined);
      const text = (await ask(router.direct, "/health")).text;
      const { checks, status } = JSON.parse(text);
      assert.equal(checks.signing.ok, false);
      assert.equal(status, "degraded");
      assert.ok(!text.includes("hunter2") && !text.includes(secret.split("\n")[1] ?? "\n"));
    } finally {
      closeConnections();
      await router.end();
    }
  });
}
