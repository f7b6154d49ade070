// The stories of the control API (tests/golden/README.md) over HTTP: what tests/control.rs tells the ledger without a
// runtime is told to the built Worker here. Each story has a router of its own.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request as send } from "node:http";
import { after, describe, test } from "node:test";
import { closeConnections, keepsPromises } from "../support/http.mjs";
import { ADMIN_TOKEN, root, start } from "../support/router.mjs";
import { world } from "../support/world.mjs";

const STORIES = JSON.parse(readFileSync(`${root}tests/golden/control.json`, "utf8"));
const ROLES = ["release_manager", "engineering_lead", "engineer", "bot", "viewer"];

/** One request as written, and the whole answer. */
function ask(origin, { method, path, headers = {}, body = "", token }) {
  const { hostname, port } = new URL(origin);
  // Of itself, node:http frames no body of DELETE.
  const framed = body === "" ? {} : { "Content-Length": Buffer.byteLength(body) };
  const authorized = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const all = { ...framed, ...authorized, ...headers };
  return new Promise((resolve, reject) => {
    const out = send({ hostname, port, path, method, headers: all, timeout: 20_000 }, (incoming) => {
      const chunks = [];
      incoming.on("data", (chunk) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const whole = Buffer.concat(chunks);
        const text = whole.toString("utf8");
        resolve({ status: incoming.statusCode, headers: incoming.headers, body: whole, text });
      });
    });
    out.on("error", reject);
    out.on("timeout", () => out.destroy(new Error(`${method} ${path}: no answer in 20 s`)));
    out.end(body);
  });
}

/** `{name}`, `{name+1}` and `{name-1}` in JSON; a text that is nothing else becomes the value itself. */
function fill(value, captured) {
  if (Array.isArray(value)) {
    return value.map((item) => fill(item, captured));
  }
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, captured)]));
  }
  if (typeof value !== "string") {
    return value;
  }
  const place = /\{([a-z]+)([+-]\d)?\}/;
  const found = (name, by) => (by === undefined ? captured[name] : captured[name] + Number(by));
  const whole = value.match(place);
  if (whole !== null && whole[0] === value && whole[1] in captured) {
    return found(whole[1], whole[2]);
  }
  return value.replaceAll(new RegExp(place, "g"), (text, name, by) => (name in captured ? found(name, by) : text));
}

function bodyOf(body, captured) {
  if (typeof body?.raw === "string") {
    return body.raw;
  }
  if (body?.times !== undefined) {
    return body.repeat.repeat(body.times);
  }
  return body === undefined ? "" : JSON.stringify(fill(body, captured));
}

const at = (json, pointer) =>
  pointer
    .split("/")
    .slice(1)
    .reduce((value, key) => value?.[key], json);

/** Each member named must be there and equal; objects nest, arrays have the same length. */
function holds(actual, expected, place = "$") {
  if (expected === null || typeof expected !== "object") {
    assert.deepEqual(actual, expected, place);
    return;
  }
  if (Array.isArray(expected)) {
    assert.equal(actual?.length, expected.length, `${place}: length`);
  }
  for (const [key, value] of Object.entries(expected)) {
    assert.ok(actual !== null && typeof actual === "object" && key in actual, `${place}.${key} is missing`);
    holds(actual[key], value, `${place}.${key}`);
  }
}

function check(answer, json, expect) {
  const { status, problem, headers = {}, json: wanted, lines, contains = [], not_contains = [], ...unknown } = expect;
  assert.deepEqual(unknown, {}, "expectations that this test does not know");
  assert.equal(answer.status, status);
  if (problem !== undefined) {
    assert.equal(json.type, `urn:caro-edge:problem:${problem}`);
    assert.equal(answer.headers["content-type"], "application/problem+json");
  }
  for (const [name, value] of Object.entries(headers)) {
    const got = answer.headers[name.toLowerCase()];
    if (value === null) {
      assert.equal(got, undefined, name);
    } else if (typeof value === "object") {
      assert.ok(got?.includes(value.contains), `${name}: ${got}`);
    } else {
      assert.equal(got, String(value), name);
    }
  }
  if (wanted !== undefined) {
    holds(json, wanted);
  }
  if (lines !== undefined) {
    const all = answer.text.split("\n").filter((line) => line !== "");
    holds(
      all.map((line) => JSON.parse(line)),
      lines,
    );
  }
  for (const part of contains) {
    assert.ok(answer.text.includes(part), `lacks ${part}`);
  }
  for (const part of not_contains) {
    assert.ok(!answer.text.includes(part), `has ${part}`);
  }
}

async function mint(origin, role) {
  const body = JSON.stringify({ role, label: `a ${role}` });
  const answer = await ask(origin, { method: "POST", path: "/admin/tokens", token: ADMIN_TOKEN, body });
  assert.equal(answer.status, 201, answer.text);
  return JSON.parse(answer.text).token.secret;
}

async function tell(origin, { config = {}, steps }) {
  if (config !== null) {
    const path = "/admin/config?confirm=1&reason=import";
    const body = JSON.stringify(world(config));
    const answer = await ask(origin, { method: "PUT", path, token: ADMIN_TOKEN, body });
    assert.equal(answer.status, 200, answer.text);
  }
  const tokens = { admin: ADMIN_TOKEN, bad: `caro_${"0".repeat(64)}`, none: undefined };
  // Tokens first, so that minting does not come between two revisions.
  for (const { as } of steps) {
    if (ROLES.includes(as) && !(as in tokens)) {
      tokens[as] = await mint(origin, as);
    }
  }
  const captured = {};
  for (const [index, { as, method, path, headers = {}, body, capture = {}, expect }] of steps.entries()) {
    const token = as in tokens ? tokens[as] : captured[as];
    const answer = await ask(origin, {
      method,
      path: fill(path, captured),
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name, String(fill(value, captured))]),
      ),
      body: bodyOf(body, captured),
      token,
    });
    try {
      const isJson = /json$/.test(answer.headers["content-type"] ?? "") && expect.lines === undefined && answer.text;
      const json = isJson && !answer.headers["content-type"].includes("ndjson") ? JSON.parse(answer.text) : undefined;
      if (json !== undefined) {
        keepsPromises(answer, `${method} ${path}`, method);
      }
      for (const [name, pointer] of Object.entries(capture)) {
        captured[name] = at(json, pointer);
        assert.notEqual(captured[name], undefined, `nothing at ${pointer}`);
      }
      check(answer, json, fill(expect, captured));
    } catch (error) {
      error.stack = `step ${index + 1}, ${method} ${path}: ${error.message}\n${answer.text.slice(0, 1500)}\n${error.stack}`;
      throw error;
    }
  }
}

test("every story has a name of its own", () => {
  assert.ok(STORIES.length >= 60, `${STORIES.length} stories`);
  assert.equal(new Set(STORIES.map((story) => story.name)).size, STORIES.length);
});

describe("control", { concurrency: 2 }, () => {
  for (const story of STORIES) {
    test(story.name, async () => {
      const router = await start();
      try {
        await tell(router.direct, story);
      } finally {
        await router.end();
      }
    });
  }
});

after(closeConnections);
