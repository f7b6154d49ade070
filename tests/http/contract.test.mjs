// The shared contract (tests/golden/README.md) over HTTP: what tests/contract.rs asks of the router without a runtime
// is asked of the built Worker here.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { ask, closeConnections } from "../support/http.mjs";
import { root, start } from "../support/router.mjs";
import { world } from "../support/world.mjs";

const CASES = JSON.parse(readFileSync(`${root}tests/golden/contract.json`, "utf8"));

/** The text under KV's key "config"; `undefined` if the key is absent. */
function document(patch) {
  if (patch === null) {
    return undefined;
  }
  return typeof patch === "string" ? patch : JSON.stringify(world(patch));
}

async function carryOut(origin, { method, path, headers = {}, body: sent, again }) {
  const body = sent === undefined || typeof sent === "string" ? sent : JSON.stringify(sent);
  const first = await ask(origin, path, { method, headers, body });
  if (again === undefined) {
    return first;
  }
  assert.ok(first.headers.etag, "the first answer has no ETag");
  const tags = again.replace("{etag}", first.headers.etag);
  return ask(origin, path, { method, headers: { ...headers, "If-None-Match": tags }, body });
}

function checkHeader(actual, expected, name) {
  if (expected === null) {
    assert.equal(actual, undefined, name);
  } else if (typeof expected === "string") {
    assert.equal(actual, expected, name);
  } else {
    const [[how, text], ...more] = Object.entries(expected);
    assert.equal(more.length, 0, `${name}: one condition each`);
    const conditions = { prefix: () => actual?.startsWith(text), contains: () => actual?.includes(text) };
    assert.ok(conditions[how](), `${name}: ${actual} has not the ${how} ${text}`);
  }
}

/** Each member named must be there and equal; objects nest, arrays have the same length. */
function checkJson(actual, expected, at = "$") {
  if (Array.isArray(expected)) {
    assert.ok(Array.isArray(actual), `${at} is no array`);
    assert.equal(actual.length, expected.length, `${at}: length`);
  }
  if (expected === null || typeof expected !== "object") {
    assert.deepEqual(actual, expected, at);
    return;
  }
  assert.ok(actual !== null && typeof actual === "object", `${at} is ${JSON.stringify(actual)}`);
  for (const [key, value] of Object.entries(expected)) {
    checkJson(actual[key], value, `${at}.${key}`);
  }
}

const BODY = {
  equals: (text, expected) => assert.equal(text, expected),
  contains: (text, parts) => {
    for (const part of parts) {
      assert.ok(text.includes(part), `the body lacks ${JSON.stringify(part)}`);
    }
  },
  not_contains: (text, parts) => {
    for (const part of parts) {
      assert.ok(!text.includes(part), `the body has ${JSON.stringify(part)}`);
    }
  },
  json: (text, expected) => checkJson(JSON.parse(text), expected),
};

function check(answer, { status, file, headers = {}, body = {}, ...unknown }, method) {
  assert.deepEqual(unknown, {}, "expectations that this test does not know");
  assert.equal(answer.status, file === undefined ? status : 200);
  if (file !== undefined && method !== "HEAD") {
    assert.ok(answer.body.equals(readFileSync(`${root}www${file}`)), `the body is not ${file}`);
  }
  for (const [name, expected] of Object.entries(headers)) {
    checkHeader(answer.headers[name.toLowerCase()], expected, name);
  }
  for (const [how, expected] of Object.entries(body)) {
    BODY[how](answer.text, expected);
  }
}

const worlds = Map.groupBy(CASES, ({ config, stop }) => JSON.stringify({ config, stop }));

test("the contract has cases, each with its own name", () => {
  assert.ok(CASES.length > 100, `${CASES.length} cases`);
  assert.equal(new Set(CASES.map((c) => c.name)).size, CASES.length);
});

for (const [key, cases] of worlds) {
  describe(`contract: ${key.slice(0, 100)}`, () => {
    let router;
    before(async () => {
      const [{ config = {}, stop }] = cases;
      router = await start({ config: document(config), stop });
    });
    after(() => router.end());

    for (const { name, request, expect } of cases) {
      test(name, async () => check(await carryOut(router.direct, request), expect, request.method));

      if (request.method === "GET") {
        test(`HEAD: ${name}`, async () => {
          const get = await carryOut(router.direct, request);
          const head = await carryOut(router.direct, { ...request, method: "HEAD" });
          assert.equal(head.status, get.status);
          assert.deepEqual(head.headers, get.headers);
        });
      }
    }
  });
}

after(closeConnections);
