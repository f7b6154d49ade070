// entry.js when the wasm module fails: with a stand-in for the built module, and with the real one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { STALE, withFaults } from "../support/faults.mjs";
import { ask, closeConnections, each } from "../support/http.mjs";
import { start } from "../support/router.mjs";
import { pipe } from "../support/sh.mjs";
import { WORLD } from "../support/world.mjs";

/**
 * What worker-build's output does when its instance traps: it stays broken, and each further call traps as well, until
 * a construction or a call through the exported Proxy finds the trap marked and makes a new instance.
 */
const STAND_IN = `
  let instances = 1, broken = false, marked = false;
  const trap = () => { broken = true; throw new WebAssembly.RuntimeError("unreachable"); };
  class Router {
    constructor(ctx, env) { Object.assign(this, { ctx, env }); }
    fetch(request) {
      if (broken) trap();
      if (!this.env || !this.ctx) throw new Error("called without env and ctx");
      const fault = request.headers.get("x-fault");
      if (fault === "trap") trap();
      if (fault === "trap later") return Promise.resolve().then(trap);
      if (fault === "error") throw new Error("no response");
      if (fault === "reject") return Promise.reject(new Error("no response"));
      if (fault === "silence") return new Promise(() => {});
      const body = String(instances);
      return fault === "later" ? scheduler.wait(10).then(() => new Response(body)) : new Response(body);
    }
  }
  const renew = () => {
    if (marked) { instances += 1; broken = marked = false; }
  };
  const call = (router) => (request) => {
    renew();
    try {
      return router.fetch(request);
    } catch (error) {
      marked ||= error instanceof WebAssembly.RuntimeError;
      throw error;
    }
  };
  export class Evidence {}
  export class Ledger {}
  export class Stream {}
  export class Tally {}
  export default new Proxy(Router, {
    construct(target, args) {
      renew();
      const router = Reflect.construct(target, args);
      return new Proxy(router, { get: (_, name) => (name === "fetch" ? call(router) : router[name]) });
    },
  });
`;

const SH = [
  "/",
  "/install.sh",
  "/stable",
  "/v1.1.0-beta",
  "/v1.1.0-beta/install.sh",
  "/a/b/c",
  "/x.ps1.sh",
  "/status/install.sh",
];
const POWERSHELL = ["/install.ps1", "/install.ps1/", "/beta/install.ps1"];
const PROGRAMS = [
  "/health",
  "/status.json",
  "/status",
  "/features/v1.1.0-beta",
  "/rollout/v1.1.0-beta",
  "/admin/install.ps1",
  "/ofrep/v1/evaluate/flags",
  "/api/events",
  "/report",
  "/ops/status.json",
  "/assets/page.js",
  "/.well-known/x",
  "/cdn-cgi/x",
];

/** Asks until it is well again; `instances` is how often the module was made anew by then. */
async function well(origin, instances) {
  for (const fault of ["none", "later"]) {
    const { hostname, port } = new URL(origin);
    const answer = await fetch(`http://${hostname}:${port}/`, { headers: { "X-Fault": fault } });
    assert.equal(answer.status, 200);
    assert.equal(await answer.text(), String(instances));
  }
}

const fails = (origin, fault, path, options = {}) => {
  const { body = "" } = options;
  return ask(origin, path, { ...options, headers: { "X-Fault": fault, "Content-Length": String(body.length) } });
};

describe("a module that fails", () => {
  let router;
  before(async () => {
    router = await start({
      modules: [
        { type: "ESModule", path: "entry.js" },
        { type: "ESModule", path: "build/index.js", contents: STAND_IN },
      ],
      // Each failure is logged with its stack, which is right and not for this test's output.
      handleStructuredLogs: () => {},
    });
  });
  after(() => router.end());

  let instances = 1;
  /** Fault, and whether it costs the instance. */
  for (const [fault, costly] of [
    ["trap", true],
    ["trap later", true],
    ["error", false],
    ["reject", false],
  ]) {
    test(`${fault}: every caller gets an error it can use, and the next request is well`, async () => {
      const failed = async (path, options) => {
        const answer = await fails(router.direct, fault, path, options);
        assert.equal(answer.status, 500, path);
        assert.equal(answer.headers["cache-control"], "no-store", path);
        instances += costly ? 1 : 0;
        await well(router.direct, instances);
        return answer;
      };
      for (const path of SH) {
        const { headers, text } = await failed(path);
        assert.equal(headers["content-type"], "text/plain; charset=utf-8", path);
        const ran = pipe(text);
        assert.deepEqual(ran, { status: 1, stdout: "", stderr: "the router failed; try again in a moment\n" }, path);
      }
      for (const path of POWERSHELL) {
        const { headers, text } = await failed(path);
        assert.equal(headers["content-type"], "text/plain; charset=utf-8", path);
        assert.equal(text, "[Console]::Error.WriteLine('the router failed; try again in a moment')\nexit 1\n", path);
      }
      for (const path of PROGRAMS) {
        const { headers, text } = await failed(path);
        assert.equal(headers["content-type"], "application/problem+json", path);
        const { type, title, status, detail } = JSON.parse(text);
        assert.deepEqual([type, status], ["urn:caro-edge:problem:internal", 500], path);
        assert.ok(title && detail, path);
      }
      // Whose body is read before the module is asked.
      const { headers } = await failed("/ofrep/v1/evaluate/flags", { method: "POST", body: '{"context":{}}' });
      assert.equal(headers["content-type"], "application/problem+json");
    });
  }

  test("several traps in a row, and many at once", async () => {
    for (const _ of [1, 2, 3]) {
      assert.equal((await fails(router.direct, "trap", "/")).status, 500);
    }
    for (const { status } of await each(Array.from({ length: 50 }), () => fails(router.direct, "trap", "/"), 50)) {
      assert.equal(status, 500);
    }
    const answer = await fetch(router.direct);
    assert.equal(answer.status, 200);
    instances = Number(await answer.text());
    await well(router.direct, instances);
  });

  test("an answer that never comes is a failure after five seconds", async () => {
    const begin = performance.now();
    const [script, json] = await each(["/", "/health"], (path) => fails(router.direct, "silence", path));
    const ms = performance.now() - begin;
    assert.ok(ms >= 5_000 && ms < 6_000, `${ms} ms`);
    assert.deepEqual([script.status, json.status], [500, 500]);
    assert.equal(pipe(script.text).status, 1);
    assert.equal(json.headers["content-type"], "application/problem+json");
    await well(router.direct, instances);
  });
});

describe("the real module, made to trap by a clock that throws", { concurrency: 4 }, () => {
  const INSIDE = { headers: { "X-Caro-Id": "inside" } };
  /** Whether the isolate was warm, and which look at the clock throws: how many of the next answers are failures. */
  for (const [name, warm, look, failures] of [
    ["before it reads KV", false, 1, 1],
    ["when it has read KV", false, 2, 1],
    ["when it answers after that", false, 3, 1],
    ["on a warm isolate", true, 1, 1],
    ["when it answers on a warm isolate", true, 2, 1],
    ["in the background", true, 3, 0],
  ]) {
    test(`${name}: one script that fails, then all is well`, async () => {
      const router = await withFaults({ config: WORLD, handleStructuredLogs: () => {} });
      try {
        const arm = async () => {
          const answer = await ask(router.direct, "/", INSIDE);
          if (answer.status === 200) {
            assert.equal(answer.headers["x-caro-version"], "1.1.0-beta.2");
            return 0;
          }
          assert.equal(answer.status, 500);
          const { status, stdout, stderr } = pipe(answer.text);
          assert.deepEqual([status, stdout], [1, ""]);
          assert.match(stderr, /try again/);
          return 1;
        };
        if (warm) {
          await arm();
        }
        await router.control({ breakClock: look, advance: STALE });
        const failed = await each(Array.from({ length: 10 }), arm, 1);
        assert.deepEqual(failed, [...Array(failures).fill(1), ...Array(10 - failures).fill(0)]);
      } finally {
        await router.end();
      }
    });
  }

  test("while others wait for KV: each of them gets an answer", async () => {
    const router = await withFaults({
      config: WORLD,
      kv: { config: { delay: 500 } },
      handleStructuredLogs: () => {},
    });
    try {
      // All of them look once before they read KV; the 21st look is the first that comes after.
      await router.control({ breakClock: 21 });
      const answers = await each(Array.from({ length: 20 }), () => ask(router.direct, "/", INSIDE), 20);
      assert.ok(answers.some(({ status }) => status === 500));
      for (const { status, text } of answers) {
        assert.ok(status === 200 || (status === 500 && pipe(text).status === 1), `status ${status}`);
      }
      assert.equal((await ask(router.direct, "/", INSIDE)).status, 200);
    } finally {
      await router.end();
    }
  });
});

after(closeConnections);
