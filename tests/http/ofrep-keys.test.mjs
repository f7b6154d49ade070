// OFREP behind a key and a rate limit, as OpenFeature's own client meets them.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, test } from "node:test";
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature } from "@openfeature/server-sdk";
import { askJson, closeConnections, roomInMinute } from "../support/http.mjs";
import { client as admin, tick } from "../support/ledger.mjs";
import { start } from "../support/router.mjs";
import { world } from "../support/world.mjs";

after(() => OpenFeature.close());

const evaluate = (router, headers = {}) =>
  askJson(router.direct, "/ofrep/v1/evaluate/flags", { method: "POST", headers, body: '{"context":{}}' });

test("a client with the key is answered, one without is not", async () => {
  const hash = createHash("sha256").update("secret").digest("hex");
  const router = await start({ config: world({ policy: { ofrep: { keys: { app: hash } } } }) });
  try {
    const details = async (headers) => {
      await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: router.direct, headers }));
      return OpenFeature.getClient().getBooleanDetails("static_matcher", false, { targetingKey: "a" });
    };
    assert.equal((await details([["Authorization", "Bearer secret"]])).value, true);
    assert.equal((await details([["X-API-Key", "secret"]])).value, true);
    const refused = await details([["X-API-Key", "wrong"]]);
    assert.deepEqual([refused.value, refused.errorCode], [false, "GENERAL"]);
    assert.equal((await evaluate(router)).status, 401);
  } finally {
    closeConnections();
    await router.end();
  }
});

test("a path in a query is none: the body of another call is left to it", async () => {
  const router = await start({ config: world() });
  try {
    await tick(router);
    const query = "?x=http://h/ofrep/v1/evaluate/flags&reason=//ofrep/v1/evaluate/flags/a";
    const api = admin(router.direct);
    await api.post(`/rollout/v1.1.0-beta${query.replace("x=http://h/ofrep/v1/evaluate/flags&", "")}`, {
      percentage: 30,
    });
    await api.post(`/rollout/v1.1.0-beta${query}`, { percentage: 40 }, { status: 400 });
    const double = await askJson(router.direct, "//ofrep/v1/evaluate/flags", {
      method: "POST",
      body: '{"context":{}}',
    });
    assert.equal(double.status, 200);
  } finally {
    closeConnections();
    await router.end();
  }
});

test("a client that asks too much is told when to come back; others are answered", async () => {
  const limit = { namespace_id: "2005", simple: { limit: 3, period: 60 } };
  const router = await start({ config: world(), ratelimits: { OFREP_LIMIT: limit } });
  try {
    await roomInMinute();
    // The first hundred a minute are not even counted, in each isolate.
    for (let i = 0; i < 103; i++) {
      assert.equal((await evaluate(router, { "X-API-Key": "app" })).status, 200);
    }
    const { status, headers, json } = await evaluate(router, { "X-API-Key": "app" });
    assert.equal(status, 429);
    assert.equal(headers["retry-after"], "60");
    assert.equal(headers["access-control-expose-headers"], "Retry-After");
    assert.equal(json.type, "urn:caro-edge:problem:rate-limited");
    assert.equal((await evaluate(router, { "X-API-Key": "other" })).status, 200);
    assert.equal((await evaluate(router, { "CF-Connecting-IP": "192.0.2.9" })).status, 200);
  } finally {
    closeConnections();
    await router.end();
  }
});
