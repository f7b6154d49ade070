// Every answer of the OpenFeature protocol against the protocol's own schema, whatever is asked and however things stand;
// and the answers that the protocol does not know, against openapi.json.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { ask, askJson, closeConnections, each, eventually } from "../support/http.mjs";
import { client as admin, landed, tick } from "../support/ledger.mjs";
import { BROKEN, GOOD, lenient, validator } from "../support/ofrep.mjs";
import { root, start } from "../support/router.mjs";
import { world } from "../support/world.mjs";

const ALL = "/ofrep/v1/evaluate/flags";
const GOLDEN = readdirSync(`${root}tests/golden/flags`)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(`${root}tests/golden/flags/${name}`, "utf8")));

/** All that the golden evaluations are about, and every type of value. */
const FEATURES = {
  ...Object.assign({}, ...GOLDEN.map(({ features }) => features)),
  off: false,
  killed: true,
  later: { schedule: { start: "2999-01-01T00:00:00Z" } },
  over: { schedule: { end: "2001-01-01T00:00:00Z" } },
  text: { variants: { none: "", long: 'grüße 旗 🦀 "\\\u0000\u2028' }, off: "none", serve: "long" },
  whole: { variants: { least: -9007199254740991, most: 9007199254740991 }, off: "least", serve: "most" },
  part: { variants: { tiny: 5e-324, huge: 1.7976931348623157e308 }, off: "tiny", serve: "huge" },
  round: { variants: { half: 0.5, one: 1 }, off: "half", serve: "one" },
  tree: { variants: { a: { list: [1, [{}, null]], ü: { "": false } }, b: {} }, off: "b", serve: "a" },
};
const CONFIG = world({
  features: { "*": FEATURES },
  cohorts: Object.assign({}, ...GOLDEN.map(({ cohorts }) => cohorts)),
  holdouts: Object.assign({}, ...GOLDEN.map(({ holdouts }) => holdouts)),
  kill_switches: { features: ["killed"], telemetry_disabled: true },
});
const KEYS = [...Object.keys(FEATURES), "static_matcher", "telemetry_disabled", "nothing"];

/** Who asks, and what they say of themselves. */
const CONTEXTS = {
  "says nothing": {},
  "is nobody": { targetingKey: "" },
  "has null for a targeting key": { targetingKey: null },
  "has a targeting key": { targetingKey: "alice" },
  "has another": { targetingKey: "erin", os: "linux", version: "1.2.3", plan: "pro" },
  "has one in other letters": { targetingKey: "Zoë 旗 🦀", näme: "ü", "": "" },
  "says everything but texts": { targetingKey: "bob", a: 1.5, b: true, c: null, d: [1, [2]], e: { f: {} } },
  "asks for a release": { targetingKey: "member", release: "v1.1.0-beta" },
  "asks for a release that there is not": { targetingKey: "bob", release: "v9" },
  "says a great deal": {
    targetingKey: "bob",
    ...Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, i])),
  },
};

/** What cannot be used: the body, and what it is called. */
const REFUSED = {
  "no body": ["", "PARSE_ERROR"],
  "half of a body": ['{"context":', "PARSE_ERROR"],
  "no JSON": ["context", "PARSE_ERROR"],
  "two bodies": ["{}{}", "PARSE_ERROR"],
  "bytes that are no text": [Buffer.from([0x7b, 0xff, 0x7d]), "PARSE_ERROR"],
  "a body that is too deep": ["[".repeat(10_000), "PARSE_ERROR"],
  "a list": ["[]", "INVALID_CONTEXT"],
  "a list of a context": ['[{"context":{}}]', "INVALID_CONTEXT"],
  "a text": ['"context"', "INVALID_CONTEXT"],
  null: ["null", "INVALID_CONTEXT"],
  "a context that is null": ['{"context":null}', "INVALID_CONTEXT"],
  "a context that is a list": ['{"context":[]}', "INVALID_CONTEXT"],
  "a context that is a text": ['{"context":"alice"}', "INVALID_CONTEXT"],
  "a targeting key that is a number": ['{"context":{"targetingKey":7}}', "INVALID_CONTEXT"],
  "a targeting key that is an object": ['{"context":{"targetingKey":{}}}', "INVALID_CONTEXT"],
  "a targeting key that is too long": [`{"context":{"targetingKey":"${"x".repeat(257)}"}}`, "INVALID_CONTEXT"],
};

/** Keys that no flag can have, as a client sends them. */
const STRANGE = ["grüße", "旗", "🦀", "a b", '"', "\\", "\u0000", "%", "a/b", "..%", "x".repeat(1000)].map(
  encodeURIComponent,
);

const complaint = validator();

/** Makes one evaluation and holds the answer to the schema; `key` of a flag, or `undefined` for all. */
async function evaluate(router, key, body, headers = {}) {
  const path = key === undefined ? ALL : `${ALL}/${key}`;
  const text = typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const sent = { "Content-Type": "application/json", ...headers };
  const answer = await askJson(router.direct, path, { method: "POST", headers: sent, body: text });
  const what = `${path}, ${String(text).slice(0, 80)}: ${answer.status} ${answer.text.slice(0, 300)}`;
  assert.equal(answer.headers["content-type"], "application/json", what);
  const kinds =
    key === undefined ? { 200: "bulk", 400: "bulkFailure" } : { 200: "evaluation", 400: "failure", 404: "notFound" };
  assert.ok(answer.status in kinds, `the protocol does not know this status: ${what}`);
  assert.equal(complaint(kinds[answer.status], answer.json), undefined, what);
  if (key !== undefined) {
    assert.equal(answer.json.key, key, "an answer about another flag");
  }
  return answer;
}

/** Everything that can be asked of a router, each answer held to the schema; gives those about flags. */
async function everything(router) {
  const asked = Object.values(CONTEXTS).flatMap((context) =>
    [undefined, ...KEYS, ...STRANGE].map((key) => [key, { context }]),
  );
  const refused = Object.values(REFUSED).flatMap(([body]) => [undefined, "off", "nothing"].map((key) => [key, body]));
  const answers = await each([...asked, ...refused, [undefined, {}], ["off", {}]], ([key, body]) =>
    evaluate(router, key, body),
  );
  const flags = answers.flatMap(({ json }) => json.flags ?? [json]);
  for (const flag of flags) {
    // The protocol lets an answer leave the value to the caller's code; some clients cannot do that.
    assert.ok("value" in flag !== "errorCode" in flag, `${JSON.stringify(flag)}: neither or both`);
    assert.ok("errorCode" in flag || typeof flag.variant === "string", `${JSON.stringify(flag)}: no variant`);
  }
  return flags;
}

const reasons = (flags) => [...new Set(flags.map(({ reason }) => reason).filter(Boolean))].sort();
const codes = (flags) => [...new Set(flags.map(({ errorCode }) => errorCode).filter(Boolean))].sort();

describe("the schema", () => {
  for (const [kind, body] of Object.entries(GOOD)) {
    test(`takes what a ${kind} may be`, () => assert.equal(complaint(kind, body), undefined));
  }

  test("takes a value of each type, and none", () => {
    for (const value of [true, "", 0, -1, 0.5, 1e300, {}, { deep: [null] }]) {
      assert.equal(complaint("evaluation", { ...GOOD.evaluation, value }), undefined, JSON.stringify(value));
    }
    assert.equal(complaint("evaluation", { key: "a", reason: "DEFAULT" }), undefined);
  });

  for (const [name, kind, body] of BROKEN) {
    test(`refuses ${name}`, () => assert.notEqual(complaint(kind, body), undefined));
  }

  // So that none of its rules is one that nothing could break, or that was mistyped.
  test("has no rule without which all of those would still be refused", () => {
    const rules = [...lenient()];
    assert.ok(rules.length > 40, `${rules.length} rules`);
    for (const [rule, schema] of rules) {
      if (/anyOf\/\d\/required/.test(rule)) {
        // Without a value it is the last branch, whichever of the others took it as well.
        continue;
      }
      const check = validator(schema);
      const through = BROKEN.filter(([, kind, body]) => check(kind, body) === undefined);
      assert.notEqual(through.length, 0, rule);
    }
  });
});

describe("as configured", () => {
  let router;
  before(async () => {
    router = await start({ config: CONFIG });
    await tick(router);
  });
  after(() => router?.end());

  test("everything", async () => {
    const { status, json } = await askJson(router.direct, "/health");
    assert.equal(status, 200, JSON.stringify(json));
    const flags = await everything(router);
    assert.deepEqual(reasons(flags), ["DISABLED", "SPLIT", "STATIC", "TARGETING_MATCH"]);
    assert.deepEqual(codes(flags), ["FLAG_NOT_FOUND", "INVALID_CONTEXT", "PARSE_ERROR", "TARGETING_KEY_MISSING"]);
    const types = new Set(flags.filter(({ value }) => value !== undefined).map(({ value }) => typeof value));
    assert.deepEqual(types, new Set(["boolean", "string", "number", "object"]));
  });

  for (const [name, [body, code]] of Object.entries(REFUSED)) {
    test(`${name} is ${code}, whichever flag was asked for`, async () => {
      for (const key of [undefined, "off", "nothing"]) {
        const { status, json } = await evaluate(router, key, body);
        assert.deepEqual([status, json.errorCode], [400, code]);
      }
    });
  }

  test("without a targeting key, what is not the same for everybody failed, and the rest did not", async () => {
    const alone = await evaluate(router, "ramp", { context: {} });
    assert.deepEqual([alone.status, alone.json.errorCode], [400, "TARGETING_KEY_MISSING"]);
    const all = await evaluate(router, undefined, { context: {} });
    assert.equal(all.status, 200);
    assert.deepEqual(
      all.json.flags.find(({ key }) => key === "ramp"),
      alone.json,
    );
    assert.deepEqual(codes(all.json.flags), ["TARGETING_KEY_MISSING"]);
    assert.equal(all.json.flags.find(({ key }) => key === "off").reason, "DISABLED");
  });

  test("each flag among all is what it is alone", async () => {
    for (const context of Object.values(CONTEXTS)) {
      const all = await evaluate(router, undefined, { context });
      const alone = await each(all.json.flags, async ({ key }) => (await evaluate(router, key, { context })).json);
      assert.deepEqual(alone, all.json.flags);
    }
  });

  test("a key that no flag can have is answered as it was sent", async () => {
    for (const key of STRANGE) {
      const { status, json } = await evaluate(router, key, { context: { targetingKey: "alice" } });
      assert.deepEqual([status, json.key, json.errorCode], [404, key, "FLAG_NOT_FOUND"]);
    }
  });

  test("all flags again, with their ETag: 304 and nothing more", async () => {
    const body = JSON.stringify({ context: { targetingKey: "alice" } });
    const { headers } = await evaluate(router, undefined, body);
    assert.match(headers.etag, /^"[^"]+"$/);
    for (const tags of [headers.etag, `W/${headers.etag}`, `"other", ${headers.etag}`]) {
      const again = await ask(router.direct, ALL, { method: "POST", headers: { "If-None-Match": tags }, body });
      assert.deepEqual([again.status, again.text, again.headers.etag], [304, "", headers.etag]);
    }
    assert.equal((await evaluate(router, undefined, body, { "If-None-Match": '"other"' })).status, 200);
  });

  // The protocol has booleans, texts, numbers and objects.
  test("a list as a value is the one answer that does not fit", async () => {
    const listed = await start({
      config: world({ features: { "*": { list: { variants: { a: [1], b: [] }, off: "b", serve: "a" } } } }),
    });
    try {
      const { status, json } = await askJson(listed.direct, `${ALL}/list`, { method: "POST", body: "{}" });
      assert.deepEqual([status, json.value], [200, [1]]);
      assert.notEqual(complaint("evaluation", json), undefined);
    } finally {
      await listed.end();
    }
  });

  describe("what the protocol does not know is as openapi.json says", () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(JSON.parse(readFileSync(`${root}www/openapi.json`, "utf8")), "openapi");
    const isProblem = ajv.getSchema("openapi#/components/schemas/Problem");

    async function problem(path, options, status, type) {
      const answer = await ask(router.direct, path, options);
      assert.equal(answer.status, status, path);
      assert.equal(answer.headers["content-type"], "application/problem+json");
      if (options.method !== "HEAD") {
        const json = JSON.parse(answer.text);
        assert.ok(isProblem(json), `${answer.text}: ${ajv.errorsText(isProblem.errors)}`);
        assert.deepEqual([json.type, json.status], [`urn:caro-edge:problem:${type}`, status]);
      }
      return answer;
    }

    for (const method of ["GET", "HEAD", "PUT", "PATCH", "DELETE"]) {
      test(`${method} is not a way to ask`, async () => {
        for (const path of [ALL, `${ALL}/off`, `${ALL}/nothing`]) {
          const { headers } = await problem(path, { method }, 405, "method-not-allowed");
          assert.equal(headers.allow, "POST, OPTIONS");
        }
      });
    }

    test("a body that is too large", async () => {
      const body = (length) => `{"context":{"targetingKey":"alice"}}${" ".repeat(length - 36)}`;
      for (const key of [undefined, "off"]) {
        assert.equal((await evaluate(router, key, body(65_536))).status, 200);
        const path = key === undefined ? ALL : `${ALL}/${key}`;
        await problem(path, { method: "POST", body: body(65_537) }, 413, "body-too-large");
      }
    });

    for (const path of [`${ALL}/off/on`, "/ofrep/v1/configuration", "/ofrep/v2/evaluate/flags", "/ofrep/v1/evaluate"]) {
      test(`POST ${path} is nothing`, () => problem(path, { method: "POST", body: "{}" }, 404, "unknown-path"));
    }
  });

  // The last one, because it changes the configuration.
  test("everything, after a kill", async () => {
    const alice = { context: { targetingKey: "alice" } };
    const { json } = await evaluate(router, "whole", alice);
    assert.deepEqual([json.reason, json.metadata.why], ["STATIC", "static"]);
    const { revision } = await admin(router.direct).post("/admin/kill-switches", {
      features: { whole: true },
      reason: "a test",
    });
    await landed(router, revision);
    await eventually(
      () => evaluate(router, "whole", alice),
      ({ json }) => assert.deepEqual([json.variant, json.reason, json.metadata.why], ["least", "DISABLED", "killed"]),
    );
    await everything(router);
  });
});

/** How else things may stand: the router's options, what its flags then say, and why it answers from where it does. */
const STANDS = {
  "an emergency stop of everything": [{ config: CONFIG, stop: "all" }, ["DISABLED", "STATIC"], undefined],
  "an emergency stop that was mistyped": [{ config: CONFIG, stop: "al" }, ["DISABLED", "STATIC"], undefined],
  "an emergency stop of a release": [
    { config: CONFIG, stop: "v1.1.0-beta" },
    ["DISABLED", "SPLIT", "STATIC", "TARGETING_MATCH"],
    undefined,
  ],
  "no configuration at all": [{}, ["STATIC"], "fallback"],
  "a configuration that cannot be read": [{ config: "{" }, ["STATIC"], "fallback"],
  "a stop, and no configuration": [{ stop: "all" }, ["DISABLED", "STATIC"], "fallback"],
  "no KV": [{ kvNamespaces: [] }, ["STATIC"], "fallback"],
};
for (const [name, [options, wanted, why]] of Object.entries(STANDS)) {
  test(`everything, with ${name}`, async () => {
    const router = await start(options);
    try {
      const flags = await everything(router);
      assert.deepEqual(reasons(flags), wanted);
      const { headers, json } = await evaluate(router, undefined, {});
      assert.equal(headers["x-caro-reason"], why);
      assert.equal(json.metadata.revision, why === undefined ? CONFIG.revision : 0);
    } finally {
      await router.end();
    }
  });
}

after(closeConnections);
