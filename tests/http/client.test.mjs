// The client library against the real Worker: examples/client.rs, compiled and run, sees a flag and a kill change, believes only
// what is signed, and knows the last good answer when the router is gone.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createProxy } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { promisify } from "node:util";
import { ask, closeConnections } from "../support/http.mjs";
import { client as admin, tick } from "../support/ledger.mjs";
import { root, start } from "../support/router.mjs";
import { world } from "../support/world.mjs";

const pair = () => generateKeyPairSync("ed25519");
const secret = (keys) => keys.privateKey.export({ type: "pkcs8", format: "pem" });

let router;
let api;
let pem;
const home = mkdtempSync(join(tmpdir(), "caro-client-"));
const overrides = join(home, "config/caro/features.toml");

before(
  async () => {
    const words = ["build", "--quiet", "--locked", "--example", "client", "--features", "client"];
    await promisify(execFile)("cargo", words, { cwd: root });
    router = await start({ config: world(), bindings: { SIGNING_KEYS: secret(pair()), ADMIN_TOKEN: "a".repeat(32) } });
    await tick(router);
    api = admin(router.direct, "a".repeat(32));
    pem = (await ask(router.direct, "/.well-known/signing-key.pem")).text;
  },
  { timeout: 600_000 },
);
after(async () => {
  closeConnections();
  await router?.end();
  rmSync(home, { recursive: true });
});

/** A program that runs: its lines, and how to wait for one. */
function run(t, env = {}) {
  const child = spawn(`${root}target/debug/examples/client`, {
    env: {
      CARO_URL: router.direct,
      CARO_PEM: pem,
      XDG_CACHE_HOME: home,
      XDG_CONFIG_HOME: join(home, "config"),
      ...env,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const end = () => {
    child.kill();
    return ended;
  };
  t.after(end);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const until = async (found) => {
    const timer = setTimeout(() => child.kill(), 40_000);
    const seen = [];
    for (;;) {
      const { value, done } = await lines.next();
      assert.ok(!done, `it ended: ${seen.join("\n")}`);
      seen.push(value);
      if (found(value)) {
        clearTimeout(timer);
        return seen;
      }
    }
  };
  /** What it prints first: each value with its origin, and the status. */
  const began = async () => {
    const seen = await until((line) => line.startsWith("{"));
    const status = JSON.parse(seen.pop());
    const values = Object.fromEntries(seen.map((line) => line.split(" = ")));
    return { status, values };
  };
  return { until, began, end };
}

test("a program sees a flag and a kill change, and stays safe without a router", { timeout: 240_000 }, async (t) => {
  const program = run(t);
  const { status, values } = await program.began();
  assert.deepEqual([status.source, status.signed, status.last_error], ["router", true, null]);
  assert.equal(values.validation_retry, "true (Router)");
  assert.equal(values.telemetry_opt_in, "false (Router)");

  await api.post("/features/v1.1.0-beta", { validation_retry: false });
  await program.until((line) => line === "validation_retry is Some(Bool(false)) now");

  // The person at the machine turns it on, and may.
  mkdirSync(join(overrides, ".."), { recursive: true });
  writeFileSync(overrides, "[features]\nvalidation_retry = true\ntelemetry_disabled = false\n");
  await program.until((line) => line === "validation_retry is Some(Bool(true)) now");

  // Nobody turns on what is killed.
  const { revision } = await api.post("/admin/kill-switches", {
    features: { validation_retry: true },
    telemetry_disabled: true,
    reason: "a test",
  });
  const seen = await program.until((line) => line === "validation_retry is Some(Bool(false)) now");
  assert.ok(seen.includes("telemetry_disabled is Some(Bool(true)) now"), seen.join("\n"));
  await program.end();

  // Another start. A proxy that the machine names has no way to a router on loopback.
  const again = await run(t, { http_proxy: "http://127.0.0.1:9" }).began();
  assert.equal(again.values.validation_retry, "false (Killed)");
  assert.equal(again.status.revision, revision);
  assert.deepEqual(again.status.void, ["telemetry_disabled", "validation_retry"]);
  assert.equal(readdirSync(join(home, "caro-edge")).length, 2);
});

test("an answer that another key signed is not believed", async (t) => {
  const key = pair().publicKey.export({ type: "spki", format: "pem" });
  const { status, values } = await run(t, { CARO_PEM: key, XDG_CACHE_HOME: join(home, "other") }).began();
  assert.equal(status.source, "defaults");
  assert.match(status.last_error.message, /not among those that are trusted/);
  assert.equal(values.static_matcher, "true (Default)");
});

/** A TLS server in front of the router, as get.caro.sh, and a proxy of a company that tunnels to it. */
async function company(t) {
  const [key, cert] = [join(home, "key.pem"), join(home, "cert.pem")];
  const words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=get.caro.sh".split(" ");
  const names = ["-addext", "subjectAltName=DNS:get.caro.sh", "-addext", "basicConstraints=CA:FALSE"];
  await promisify(execFile)("openssl", [...words, ...names, "-keyout", key, "-out", cert]);
  const listen = async (server) => {
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => new Promise((resolve) => server.close(resolve)));
    return server.address().port;
  };
  const joined = (from, to) => {
    from.pipe(to).pipe(from);
    from.on("error", () => to.destroy());
    to.on("error", () => from.destroy());
  };
  const { hostname, port } = new URL(router.direct);
  const tls = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) =>
    joined(socket, connect(Number(port), hostname)),
  );
  tls.on("tlsClientError", () => {});
  const tlsPort = await listen(tls);
  const tunnels = [];
  const proxy = createProxy().on("connect", (request, socket) => {
    tunnels.push(request.url);
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    joined(socket, connect(tlsPort, "127.0.0.1"));
  });
  const proxyPort = await listen(proxy);
  return { tunnels, cert, env: { CARO_URL: "https://get.caro.sh", https_proxy: `http://127.0.0.1:${proxyPort}` } };
}

test("behind a company's proxy, with a certificate that the system trusts", async (t) => {
  const { tunnels, cert, env } = await company(t);
  const trusting = run(t, { ...env, SSL_CERT_FILE: cert });
  const { status, values } = await trusting.began();
  assert.equal(status.last_error, null);
  assert.deepEqual([status.source, values.static_matcher], ["router", "true (Router)"]);
  await trusting.end();
  const doubting = run(t, { ...env, XDG_CACHE_HOME: join(home, "third") });
  const { status: refused } = await doubting.began();
  assert.match(refused.last_error.message, /cannot be reached: .*(UnknownIssuer|CA certificates)/);
  await doubting.end();
  assert.deepEqual(new Set(tunnels), new Set(["get.caro.sh:443"]));
});

test("the last good answer outlives the router", async (t) => {
  await router.end();
  const { status, values } = await run(t).began();
  assert.equal(status.revision > 0, true);
  assert.equal(values.validation_retry, "false (Killed)");
  assert.equal(values.telemetry_disabled, "true (Killed)");
});
