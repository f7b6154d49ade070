// Requests that nobody means: odd paths, odd methods, too much of everything. None is answered with a 5xx, and whoever
// pipes the answer of an install path into a shell gets a script.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, askRaw, closeConnections, each, keepsPromises } from "../support/http.mjs";
import { random } from "../support/random.mjs";
import { start } from "../support/router.mjs";
import { WORLD } from "../support/world.mjs";

let router;
before(async () => {
  // The runtime's own refusals are logged, which is not for this test's output.
  router = await start({ config: WORLD, handleStructuredLogs: () => {} });
});
after(async () => {
  await router.end();
  closeConnections();
});

/** Sends a request line and header lines as they are. */
const send = (line, headers = ["Host: x"], body = "") =>
  askRaw(
    router.direct,
    Buffer.from(`${[line, ...headers, "Connection: close"].join("\r\n")}\r\n\r\n${body}`, "latin1"),
  );

const SH = /^#!\/bin\/sh\n/;
const POWERSHELL = /^(\[Console\]::Error|# |\$|&|function|param)/;
const JSON_ = /^\{/;

describe("paths", () => {
  const long = (unit, length) => unit.repeat(length / unit.length);
  /** Path, status, and what the body looks like. */
  const PATHS = [
    ["/install.sh/", 200, SH],
    ["/stable?", 200, SH],
    ["/stable??a=b?c", 200, SH],
    ["/./stable", 200, SH],
    ["/a/../stable", 200, SH],
    ["/../../stable", 200, SH],
    ["/assets/../stable", 200, SH],
    ["http://other.example/stable", 200, SH],
    ["https://other.example:1/stable", 200, SH],
    ["//install.sh", 400, SH],
    ["//stable", 404, SH],
    ["///", 404, SH],
    ["/install.sh//", 404, SH],
    ["/stable//install.ps1", 404, POWERSHELL],
    ["/INSTALL.SH", 400, SH],
    ["/Stable", 400, SH],
    ["/V1.1.0-beta", 400, SH],
    ["/vv1.0.4", 400, SH],
    ["/v", 400, SH],
    ["/1", 400, SH],
    ["/01.0.4", 400, SH],
    ["/1.0.4+build", 400, SH],
    ["/9.9.9", 404, SH],
    ["/v1.1.0-alpha/install.ps1", 404, POWERSHELL],
    ["/18446744073709551616.0.0", 400, SH],
    [`/v${long("9", 60)}.0.0`, 400, SH],
    ["/%73table", 400, SH],
    ["/stable%2f", 400, SH],
    ["/stable%00", 400, SH],
    ["/stable%0a", 400, SH],
    ["/%ff%fe", 400, SH],
    ["/%zz%", 400, SH],
    ["/stable;x", 400, SH],
    ["/stable.", 400, SH],
    ["/stable%20", 400, SH],
    ["/\\stable", 400, SH],
    ["/a\\..\\stable", 400, SH],
    ["/$(id)", 400, SH],
    ["/'\"|sh", 400, SH],
    ["/index.html", 400, SH],
    ["/favicon.ico", 400, SH],
    ["/.git/config", 404, SH],
    ["/wp-login.php", 400, SH],
    ["/a/b/c.ps1", 404, POWERSHELL],
    ["/a/b/c.ps1/", 404, POWERSHELL],
    ["/assets", 404, JSON_],
    ["/assets/", 404, JSON_],
    ["/assets/..%2fstable", 404, JSON_],
    ["/assets/..%2f..%2fentry.js", 404, JSON_],
    ["/assets/%2e%2e/%2e%2e/entry.js", 404, JSON_],
    ["/assets/PAGE.js", 404, JSON_],
    ["/features", 404, JSON_],
    ["/features/", 404, JSON_],
    ["/features/*", 404, JSON_],
    ["/features/%2a", 404, JSON_],
    ["/features/a/b", 404, JSON_],
    ["/rollout/V1.1.0-BETA", 404, JSON_],
    ["/rollout/v1.1.0%2dbeta", 404, JSON_],
    ["/admin/config", 401, JSON_],
    ["/admin/nothing", 404, JSON_],
    ["/rollout/v1.1.0-beta/nothing", 404, JSON_],
    ["/__ledger/tick", 404, SH],
    ["/__ledger/last-good", 404, SH],
    ["/ofrep/v1/evaluate/flags", 405, JSON_],
    ["/ofrep/v1/evaluate/nothing", 404, JSON_],
    ["/cdn-cgi/trace", 404, JSON_],
    ["/.well-known/security.txt", 404, JSON_],
    ["/health/", 200, JSON_],
    ["/status.json/", 200, JSON_],
    ["/rollout/v1.1.0-beta/", 200, JSON_],
    [`/${long("a", 60_000)}`, 400, SH],
    [`/?id=${long("a", 60_000)}`, 400, SH],
    [`/?${long("a=b&", 60_000)}id=inside`, 200, SH],
    [`/${long("/", 60_000)}`, 404, SH],
    [`/${long("a/", 60_000)}x.ps1`, 404, POWERSHELL],
    [`/stable/${long("../", 30_000)}stable`, 200, SH],
    [`/features/${long("a", 60_000)}`, 404, JSON_],
    [`/rollout/${long("%2f", 60_000)}`, 404, JSON_],
    [`/assets/${long("a/", 60_000)}`, 404, JSON_],
  ];
  for (const [path, status, body] of PATHS) {
    test(`${path.slice(0, 60)} (${path.length}): ${status}`, async () => {
      const answer = await send(`GET ${path} HTTP/1.1`);
      keepsPromises(answer, path.slice(0, 60));
      assert.equal(answer.status, status);
      assert.match(answer.text, body);
    });
  }

  test("any path at all: a status that is meant, and never the server's fault", async () => {
    const { below, pick, chance } = random(404);
    const PIECES = [
      "/",
      "//",
      ".",
      "..",
      "%2e",
      "%2F",
      "%00",
      "%",
      "v",
      "1",
      "1.1.0-beta",
      ".2",
      "+",
      "~",
      "stable",
      "beta",
    ];
    PIECES.push(
      "install.sh",
      "install.ps1",
      "features",
      "rollout",
      "assets",
      "health",
      "*",
      ":",
      "@",
      "&",
      "=",
      "?",
      "?id=",
    );
    const paths = Array.from(
      { length: 1500 },
      () => `/${Array.from({ length: below(8) }, () => pick(PIECES)).join("")}`,
    );
    const seen = new Set();
    await each(paths, async (path) => {
      const method = chance(0.2) ? "HEAD" : "GET";
      const { status } = await ask(router.direct, path, { method });
      assert.ok([200, 400, 404].includes(status), `${method} ${path}: ${status}`);
      seen.add(status);
    });
    assert.equal(seen.size, 3);
  });
});

describe("methods", () => {
  const METHODS = ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "MKCOL", "PURGE", "LOCK", "REPORT", "SEARCH"];
  for (const [path, allow, body] of [
    ["/", "GET, HEAD", SH],
    ["/install.ps1", "GET, HEAD", POWERSHELL],
    ["/v1.1.0-beta", "GET, HEAD", SH],
    ["/no/such/path", "GET, HEAD", SH],
    ["/health", "GET, HEAD, OPTIONS", JSON_],
    ["/features/v1.1.0-beta", "GET, HEAD, POST, OPTIONS", JSON_],
    ["/rollout/v1.1.0-beta", "GET, HEAD, POST, PUT, DELETE, OPTIONS", JSON_],
    ["/admin/kill-switches", "GET, HEAD, POST, OPTIONS", JSON_],
    ["/assets/page.js", "GET, HEAD, OPTIONS", JSON_],
    ["/no/such/path.json", "GET, HEAD", SH],
  ]) {
    test(`${path} takes ${allow}`, async () => {
      const refused = [...METHODS, "OPTIONS"].filter((method) => !allow.includes(method));
      for (const method of refused) {
        const answer = await send(`${method} ${path} HTTP/1.1`, ["Host: x", "Content-Length: 0"]);
        keepsPromises(answer, `${method} ${path}`, method);
        assert.equal(answer.status, 405, method);
        assert.equal(answer.headers.allow, allow, method);
        assert.match(answer.text, body, method);
      }
    });
  }

  test("OPTIONS answers a browser that asks whether it may", async () => {
    const headers = { Origin: "https://example.org", "Access-Control-Request-Method": "GET" };
    const answer = await ask(router.direct, "/features/v1.1.0-beta", { method: "OPTIONS", headers });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.allow, "GET, HEAD, POST, OPTIONS");
    assert.equal(answer.headers["access-control-allow-origin"], "*");
    assert.equal(answer.headers["access-control-allow-methods"], "GET, HEAD, OPTIONS");
  });

  test("a large body is neither read nor repeated", async () => {
    const answer = await ask(router.direct, "/", { method: "POST", body: "x".repeat(1 << 20) });
    assert.equal(answer.status, 405);
    assert.ok(!answer.text.includes("xxxx"));
  });
});

describe("headers", () => {
  const INSIDE = "X-Caro-Id: inside";
  const lines = (count) => Array.from({ length: count }, (_, i) => `X-${i}: value`);
  /** Header lines, path, status, and the version where there is one. */
  for (const [name, headers, path, status, version, body] of [
    ["two hundred", [...lines(90), INSIDE], "/", 200, "1.1.0-beta.2"],
    ["an id of 60 kB", [`X-Caro-Id: ${"a".repeat(60_000)}`], "/", 400],
    ["an id of 60 kB where none is needed", [`X-Caro-Id: ${"a".repeat(60_000)}`], "/v1.1.0-beta", 200, "1.1.0-beta.2"],
    ["an id of 257 bytes", [`X-Caro-Id: ${"a".repeat(257)}`], "/install.ps1", 400],
    ["an id of 257 bytes, for a program", [`X-Caro-Id: ${"a".repeat(257)}`], "/features/v1.1.0-beta", 400],
    ["an id with a tab", ["X-Caro-Id: a\tb"], "/", 400],
    ["an id that is not UTF-8", ["X-Caro-Id: \xff\xfe"], "/stable", 200, "1.0.4"],
    ["an empty address", ["CF-Connecting-IP:"], "/", 200, "1.0.4"],
    ["an address of 60 kB", [`CF-Connecting-IP: ${"1".repeat(60_000)}`], "/", 200, "1.0.4"],
    // Joined as HTTP has it: the id is "inside, inside", whose bucket is out.
    ["the same header twice", [INSIDE, INSIDE], "/", 200, "1.0.4"],
    ["60 kB of tags", [`If-None-Match: ${'"x",'.repeat(15_000)}"y"`], "/v1.1.0-beta", 200, "1.1.0-beta.2"],
    ["a star for a tag", ["If-None-Match: *"], "/v1.1.0-beta", 304, "1.1.0-beta.2"],
    ["60 kB of types", [`Accept: ${"text/htm,".repeat(6_600)}`, INSIDE], "/", 200, "1.1.0-beta.2"],
    ["a range", ["Range: bytes=0-10"], "/stable", 200, "1.0.4"],
    ["a range of a file", ["Range: bytes=0-10"], "/robots.txt", 200],
    ["an expectation", ["Expect: 100-continue", INSIDE], "/", 200, "1.1.0-beta.2"],
    ["an upgrade", ["Upgrade: h2c", INSIDE], "/", 200, "1.1.0-beta.2"],
    ["a body", ["Content-Length: 5", INSIDE], "/", 200, "1.1.0-beta.2", "abcde"],
    ["a chunked body", ["Transfer-Encoding: chunked", INSIDE], "/", 200, "1.1.0-beta.2", "5\r\nabcde\r\n0\r\n\r\n"],
  ]) {
    test(`${name}: ${status} at ${path}`, async () => {
      const answer = await send(`GET ${path} HTTP/1.1`, ["Host: x", ...headers], body);
      keepsPromises(answer, name);
      assert.equal(answer.status, status);
      assert.equal(answer.headers["x-caro-version"], version);
    });
  }
});

describe("what the runtime refuses by itself", () => {
  for (const [name, line, status, headers] of [
    ["a method that does not exist", "FOO / HTTP/1.1", 501],
    ["a method in lowercase", "get / HTTP/1.1", 501],
    ["a path with a blank", "GET /a b HTTP/1.1", 400],
    ["a path with a bracket", "GET /a<b HTTP/1.1", 400],
    ["a path in Latin-1", "GET /\xe9 HTTP/1.1", 400],
    ["another version of HTTP", "GET / HTTP/3.0", 400],
    ["a path of 70 kB", `GET /${"a".repeat(70_000)} HTTP/1.1`, 414],
    ["headers of 600 kB", "GET / HTTP/1.1", 431, ["Host: x", `X: ${"a".repeat(600_000)}`]],
    ["a header with a zero byte", "GET / HTTP/1.1", 400, ["Host: x", "X-Caro-Id: a\0b"]],
    ["no host", "GET / HTTP/1.1", 400, []],
  ]) {
    test(`${name}: ${status}, and the router is as well as before`, async () => {
      const answer = await send(line, headers);
      assert.equal(answer.status, status);
      assert.equal(
        answer.headers["x-frame-options"],
        undefined,
        "the Worker answered this: it belongs into another table",
      );
      assert.equal((await ask(router.direct, "/health")).status, 200);
    });
  }
});
