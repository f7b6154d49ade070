// What the control plane refuses, and what each of its answers carries, whatever it was asked. That the security headers
// are on every answer is checked in `ask` itself.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, askJson, closeConnections, each, eventually, roomInMinute } from "../support/http.mjs";
import { call, client, landed, tick } from "../support/ledger.mjs";
import { ADMIN_TOKEN, start } from "../support/router.mjs";
import { WORLD, world } from "../support/world.mjs";

const RELEASE = "/rollout/v1.1.0-beta";
const KB64 = 64 << 10;
const MIB = 1 << 20;

/** What holds for every answer of the control plane. */
function isSealed({ headers }, what) {
  assert.equal(headers["cache-control"], "no-store", `${what}: Cache-Control`);
  for (const name of Object.keys(headers)) {
    assert.ok(!name.startsWith("access-control-"), `${what}: ${name}`);
  }
}

async function sealed(...args) {
  const answer = await call(...args);
  isSealed(answer, args.slice(2, 4).join(" "));
  return answer;
}

/** JSON of exactly `length` bytes: blanks behind it say nothing. */
const padded = (value, length) => JSON.stringify(value).padEnd(length);

describe("bodies", () => {
  let router;
  before(async () => {
    router = await start({ config: WORLD });
    await tick(router);
  });
  after(() => router.end());
  const post = (body, headers) => sealed(router.direct, ADMIN_TOKEN, "POST", RELEASE, body, headers);
  const chunked = { "Transfer-Encoding": "chunked" };

  test("64 KiB are taken, one byte more is 413, with a length or in chunks", async () => {
    for (const headers of [{}, chunked]) {
      assert.equal((await post(padded({ percentage: 30 }, KB64), headers)).status, 200);
      const { status, json } = await post(padded({ percentage: 40 }, KB64 + 1), headers);
      assert.deepEqual([status, json.type], [413, "urn:caro-edge:problem:body-too-large"]);
      // So much that the router hangs up: the answer may be lost with the connection.
      const sent = post(padded({ percentage: 40 }, 4 * MIB), headers);
      const far = await sent.then(
        ({ status }) => status,
        ({ code }) => code,
      );
      assert.ok([413, "EPIPE", "ECONNRESET"].includes(far), `${far}`);
    }
    assert.equal((await client(router.direct).get("/admin/config")).releases["v1.1.0-beta"].percentage, 30);
  });

  test("a whole configuration may have 1 MiB", async () => {
    const put = (body, headers) => sealed(router.direct, ADMIN_TOKEN, "PUT", "/admin/config?confirm", body, headers);
    for (const headers of [{}, chunked]) {
      const { status, text } = await put(padded(world({ revision: 1 }), MIB), headers);
      assert.equal(status, 200, text);
      assert.equal((await put(padded(WORLD, MIB + 1), headers)).status, 413);
    }
    // One that is really that long, and changes on top of it.
    const members = Array.from({ length: 28_000 }, (_, i) => i.toString(16).padStart(32, "0"));
    const { status, text, json } = await put(world({ cohorts: { internal_test: { members } } }));
    assert.equal(status, 200, text.slice(0, 300));
    await landed(router, json.revision);
    const { revision } = await client(router.direct).post("/features/*", { on_top: true });
    const config = await landed(router, revision);
    assert.equal(config.cohorts.internal_test.members.length, 28_000);
    assert.equal((await client(router.direct).get("/admin/audit/verify")).ok, true);
    await client(router.direct).put("/admin/config?confirm=1", WORLD);
  });

  test("what is no JSON, or not said to be", async () => {
    const broken = await post('{"percentage": 10\n,}');
    assert.equal(broken.status, 400);
    assert.match(broken.json.detail, /line 2.*column 2/);
    assert.equal((await post("{}", { "Content-Type": "text/plain" })).status, 415);
    assert.equal((await post({ percentile: 3 })).status, 422);
    const form = { "Content-Type": "application/x-www-form-urlencoded" };
    assert.equal((await post('{"percentage": 31}', form)).status, 200);
  });
});

describe("rate limits", { concurrency: 2 }, () => {
  const limit = (n) => ({ namespace_id: String(n + 2000), simple: { limit: n, period: 60 } });
  async function limited(ratelimits, body) {
    const router = await start({ config: WORLD, ratelimits });
    try {
      await tick(router);
      await roomInMinute();
      await body(router);
    } finally {
      await router.end();
    }
  }
  const isTooMany = (answer) => {
    assert.equal(answer.status, 429, answer.text);
    assert.equal(answer.json.type, "urn:caro-edge:problem:rate-limited");
    assert.match(answer.headers["retry-after"], /^[1-9]\d*$/);
    isSealed(answer, "429");
  };

  test("writes are counted by token; reads and an emergency stop are not", async () => {
    await limited({ WRITE_LIMIT: limit(5) }, async ({ direct }) => {
      const admin = client(direct);
      const other = await admin.mint("release_manager");
      for (let i = 0; i < 4; i += 1) {
        await admin.post(RELEASE, { percentage: 30 + i });
      }
      isTooMany(await call(direct, ADMIN_TOKEN, "POST", RELEASE, { percentage: 50 }));
      assert.equal((await admin.get("/admin/config")).releases["v1.1.0-beta"].percentage, 33);
      await client(direct, other).post(RELEASE, { percentage: 40 });
      for (let i = 0; i < 20; i += 1) {
        await admin.get("/admin/audit");
        await admin.post(`${RELEASE}/emergency-stop`, { reason: `stop ${i}` });
        await admin.post("/rollout/all/emergency-stop/", { reason: `stop ${i}` });
      }
      isTooMany(await call(direct, ADMIN_TOKEN, "POST", `${RELEASE}/clear-stop`, { reason: "no" }));
    });
  });

  test("failed attempts are counted by address, and keep nobody with a good token out", async () => {
    await limited({ AUTH_LIMIT: limit(5) }, async ({ direct }) => {
      const from = (address) => ({ "CF-Connecting-IP": address });
      const guess = (address, i) =>
        call(direct, `wrong-${i}-${"x".repeat(30)}`, "GET", "/admin/tokens", undefined, from(address));
      for (let i = 0; i < 5; i += 1) {
        assert.equal((await guess("203.0.113.7", i)).status, 401);
      }
      isTooMany(await guess("203.0.113.7", 5));
      isTooMany(await call(direct, undefined, "POST", RELEASE, { percentage: 1 }, from("203.0.113.7")));
      assert.equal((await guess("203.0.113.8", 6)).status, 401);
      const good = await call(direct, ADMIN_TOKEN, "GET", "/admin/tokens", undefined, from("203.0.113.7"));
      assert.equal(good.status, 200);
      const stop = { reason: "from the same address" };
      const stopped = await call(direct, ADMIN_TOKEN, "POST", "/rollout/all/emergency-stop", stop, from("203.0.113.7"));
      assert.equal(stopped.status, 200);
    });
  });
});

describe("every answer", () => {
  let router;
  let viewer;
  before(async () => {
    router = await start({ config: WORLD });
    await tick(router);
    viewer = await client(router.direct).mint("viewer");
  });
  after(() => router.end());

  const READS = [
    "/admin/kill-switches",
    "/admin/canary",
    "/admin/canary/members",
    "/admin/cohorts",
    "/admin/cohorts/internal_test",
    "/admin/cohorts/internal_test/members",
    "/admin/approvals",
    "/admin/tokens",
    "/admin/audit",
    "/admin/audit?format=ndjson",
    "/admin/audit/verify",
    "/admin/explain?id=inside",
    "/admin/config",
    "/ops/status.json",
  ];
  const WRITES = [
    ["POST", RELEASE],
    ["PUT", RELEASE],
    ["DELETE", RELEASE],
    ["POST", `${RELEASE}/emergency-stop`],
    ["POST", `${RELEASE}/clear-stop`],
    ["POST", `${RELEASE}/approve`],
    ["POST", `${RELEASE}/pause`],
    ["POST", `${RELEASE}/resume`],
    ["POST", `${RELEASE}/rollback`],
    ["POST", "/features/*"],
    ["POST", "/admin/kill-switches"],
    ["POST", "/admin/canary"],
    ["PUT", "/admin/cohorts/new"],
    ["DELETE", "/admin/cohorts/new"],
    ["POST", "/admin/cohorts/internal_test/members"],
    ["POST", "/admin/tokens"],
    ["DELETE", "/admin/tokens/abc"],
    ["DELETE", "/admin/approvals/abc"],
    ["PUT", "/admin/config"],
  ];

  test("reads: with a token, HEAD as GET, and 401 without", async () => {
    for (const path of READS) {
      const get = await sealed(router.direct, ADMIN_TOKEN, "GET", path);
      assert.equal(get.status, 200, path);
      const head = await sealed(router.direct, ADMIN_TOKEN, "HEAD", path);
      assert.equal(head.status, 200, path);
      for (const name of ["content-type", "etag", "x-caro-revision", "content-length"]) {
        assert.equal(head.headers[name], get.headers[name], `HEAD ${path}: ${name}`);
      }
      for (const method of ["GET", "HEAD"]) {
        const refused = await sealed(router.direct, undefined, method, path);
        assert.equal(refused.status, 401, path);
        assert.match(refused.headers["www-authenticate"], /^Bearer realm="caro-edge"/);
      }
    }
  });

  test("writes: 401 without a token, 403 with a viewer's, and both say so", async () => {
    const rows = (await client(router.direct).log()).length;
    for (const [method, path] of WRITES) {
      const what = `${method} ${path}`;
      const nobody = await sealed(router.direct, undefined, method, path, {});
      assert.equal(nobody.status, 401, what);
      assert.match(nobody.headers["www-authenticate"], /^Bearer/, what);
      const wrong = await sealed(router.direct, "wrong".repeat(8), method, path, {});
      assert.equal(wrong.status, 401, what);
      assert.match(wrong.headers["www-authenticate"], /error="invalid_token"/, what);
      const forbidden = await sealed(router.direct, viewer, method, path, {});
      assert.equal(forbidden.status, 403, what);
      assert.ok(forbidden.json.required_role, what);
    }
    assert.equal((await client(router.direct).log()).length, rows, "nothing was changed");
  });

  test("OPTIONS: what a path takes, without leave for other origins", async () => {
    for (const [, path] of [...READS.map((path) => ["GET", path]), ...WRITES]) {
      if (path.startsWith("/features") || path === RELEASE) {
        continue;
      }
      const headers = { Origin: "https://evil.example", "Access-Control-Request-Method": "POST" };
      const answer = await sealed(router.direct, undefined, "OPTIONS", path, undefined, headers);
      assert.equal(answer.status, 204, path);
      assert.match(answer.headers.allow, /OPTIONS/, path);
    }
  });

  test("methods that a path does not take, and paths that are not there", async () => {
    for (const [method, path, status] of [
      ["HEAD", `${RELEASE}/pause`, 405],
      ["GET", `${RELEASE}/emergency-stop`, 405],
      ["DELETE", "/admin/audit", 405],
      ["PATCH", "/admin/config", 405],
      ["POST", "/ops/status.json", 405],
      ["PATCH", RELEASE, 405],
      ["POST", "/rollout/NOT%20A%20NAME", 404],
    ]) {
      const answer = await sealed(router.direct, ADMIN_TOKEN, method, path);
      assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
      assert.equal(answer.headers.allow !== undefined, status === 405, `${method} ${path}: Allow`);
    }
    for (const path of ["/admin/nothing", "/ops", "/__ledger/tick", "/__ledger/last-good"]) {
      for (const method of ["GET", "POST"]) {
        const { status, text } = await ask(router.direct, path, {
          method,
          headers: { Authorization: `Bearer ${ADMIN_TOKEN}` },
        });
        assert.ok([400, 404, 405].includes(status), `${method} ${path}: ${status} ${text.slice(0, 200)}`);
      }
    }
  });

  test("a cross-origin page gets no leave by any header of its own", async () => {
    for (const path of ["/admin/config", "/ops/status.json"]) {
      await sealed(router.direct, ADMIN_TOKEN, "GET", path, undefined, { Origin: "https://evil.example" });
    }
  });
});

describe("without the ledger", () => {
  let router;
  before(async () => {
    router = await start({ config: WORLD, durableObjects: {} });
  });
  after(() => router.end());

  test("calls are 503 and say why, and the edge serves on", async () => {
    for (const [method, path] of [
      ["GET", "/admin/audit"],
      ["HEAD", "/admin/audit"],
      ["POST", RELEASE],
      ["POST", "/rollout/all/emergency-stop"],
      ["GET", "/ops/status.json"],
    ]) {
      const answer = await sealed(router.direct, ADMIN_TOKEN, method, path, method === "POST" ? {} : undefined);
      assert.equal(answer.status, 503, path);
      assert.match(answer.headers["retry-after"], /^\d+$/);
      if (method !== "HEAD") {
        assert.equal(answer.json.type, "urn:caro-edge:problem:ledger-unavailable");
        assert.match(answer.json.detail, /LEDGER is missing/);
      }
    }
    const { headers } = await ask(router.direct, "/", { headers: { "X-Caro-Id": "inside" } });
    assert.equal(headers["x-caro-version"], "1.1.0-beta.2");
    const { status, json } = await askJson(router.direct, "/health");
    assert.deepEqual([status, json.status, json.checks.ledger.ok], [200, "degraded", false]);
    assert.match(json.checks.ledger.detail, /LEDGER is missing/);
    const metrics = parse((await ask(router.direct, "/metrics")).text);
    assert.equal(metrics.get("caro_edge_ledger_up").samples.get(""), 0);
    assert.equal(metrics.get("caro_edge_revision").samples.get(""), 7);
  });
});

/**
 * Reads the Prometheus text format 0.0.4, more strictly than it asks for: HELP and TYPE once for each metric and before its
 * samples, which stand together.
 *
 * @returns the metrics by name, with their samples by label text
 */
function parse(text) {
  assert.ok(text.endsWith("\n"), "the last line has no end");
  assert.ok(!/\r|\n\n/.test(text));
  const metrics = new Map();
  let current;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, comment, name, rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (comment === "HELP") {
      assert.match(name, /^[a-zA-Z_:][a-zA-Z0-9_:]*$/);
      assert.doesNotMatch(rest.replaceAll(/\\[\\n]/g, ""), /\\/, `${line}: escapes`);
      assert.ok(!metrics.has(name), `${name} twice`);
      current = { name, help: rest, samples: new Map() };
      metrics.set(name, current);
    } else if (comment === "TYPE") {
      assert.equal(name, current?.name, `${line}: not right after its HELP`);
      assert.equal(current.type, undefined, line);
      assert.match(rest, /^(counter|gauge|histogram|summary|untyped)$/);
      current.type = rest;
    } else {
      const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? (NaN|[+-]Inf|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(
        line,
      );
      assert.ok(sample, `${line}: no sample`);
      const [, name, , labels = "", value] = sample;
      assert.equal(name, current?.name, `${line}: not beside its TYPE`);
      assert.ok(current.type, line);
      const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
      assert.match(labels, new RegExp(`^(${label}(,${label})*)?$`), line);
      assert.ok(!current.samples.has(labels), `${line}: twice`);
      current.samples.set(labels, Number(value));
    }
  }
  for (const { name, type, samples } of metrics.values()) {
    assert.ok(type && samples.size > 0, `${name} has no sample`);
  }
  return metrics;
}

test("/metrics can be read, and has what the runbook looks at", async () => {
  const router = await start({ config: WORLD });
  try {
    await tick(router);
    const admin = client(router.direct);
    const read = async () => {
      const { status, headers, text } = await ask(router.direct, "/metrics");
      assert.equal(status, 200);
      assert.equal(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
      assert.equal(headers["cache-control"], "no-store");
      return parse(text);
    };
    const value = (metrics, name, labels = "") => metrics.get(`caro_edge_${name}`)?.samples.get(labels);
    const release = 'release="v1.1.0-beta"';
    const first = await read();
    assert.deepEqual(
      [
        "fallback",
        "revision",
        "configuration_problems",
        "emergency_stop",
        "canary_killed",
        "ledger_up",
        "bad_edit",
      ].map((name) => value(first, name)),
      [0, 7, 0, 0, 0, 1, 0],
    );
    assert.equal(value(first, "release_percentage", release), 25);
    assert.ok(value(first, "configuration_age_seconds") < 60);
    await admin.post("/admin/kill-switches", { canary: true, reason: "metrics" });
    await admin.post("/rollout/all/emergency-stop", { reason: "metrics" });
    const later = await eventually(read, (metrics) => {
      assert.equal(value(metrics, "emergency_stop"), 1);
      assert.equal(value(metrics, "canary_killed"), 1);
      assert.equal(value(metrics, "publish_behind_revisions"), 0);
      assert.equal(value(metrics, "ledger_rows"), 3);
    });
    assert.deepEqual(
      ["ledger_revision", "revision", "stops", "kill_switches", "drains", "approvals_pending", "alerts_pending"].map(
        (name) => value(later, name),
      ),
      [9, 9, 1, 1, 0, 0, 3],
    );
    assert.equal(value(later, "release_percentage", release), 0);
    assert.equal(value(later, "release_stopped", release), 1);
    for (const { name, type } of later.values()) {
      assert.match(name, /^caro_edge_[a-z_]+$/);
      assert.equal(type, "gauge");
    }
    const head = await ask(router.direct, "/metrics", { method: "HEAD" });
    assert.equal(head.status, 200);
    await each(Array.from({ length: 20 }), read, 20);
  } finally {
    await router.end();
  }
});

after(closeConnections);
