// Event streams: a change reaches a connected OpenFeature client at once, and what it asks then is not answered from
// before the change.
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature, ProviderEvents } from "@openfeature/web-sdk";
import { EventSource } from "eventsource";
import { askJson, closeConnections, each } from "../support/http.mjs";
import { client as admin, tick } from "../support/ledger.mjs";
import { start } from "../support/router.mjs";
import { world } from "../support/world.mjs";

const CONFIG = world({ features: { "*": { banner: { percentage: 0 } } } });
const STREAM = "/ofrep/v1/events";

let router;
let api;
before(async () => {
  globalThis.EventSource = EventSource;
  router = await start({ config: CONFIG });
  await tick(router);
  api = admin(router.direct);
});
after(async () => {
  await OpenFeature.close();
  closeConnections();
  await router.end();
});

/** Reads a stream as it comes; `next` gives the next whole event that is no comment. */
async function listen(headers = {}) {
  const { hostname, port } = new URL(router.direct);
  const response = await new Promise((resolve, reject) => {
    const out = request({ hostname, port, path: STREAM, headers }, resolve);
    out.on("error", reject);
    out.end();
  });
  response.setEncoding("utf8");
  let text = "";
  let wake = () => {};
  response.on("data", (chunk) => {
    text += chunk;
    wake();
  });
  response.on("error", () => {});
  const next = async () => {
    for (;;) {
      const at = text.indexOf("\n\n");
      if (at >= 0) {
        const event = text.slice(0, at);
        text = text.slice(at + 2);
        const lines = event.split("\n").filter((line) => !line.startsWith(":") && !line.startsWith("retry"));
        if (lines.length > 0) return Object.fromEntries(lines.map((line) => line.split(/: (.*)/s).slice(0, 2)));
      } else {
        await new Promise((resolve) => {
          wake = resolve;
        });
      }
    }
  };
  return { response, next, end: () => response.destroy() };
}

const bulk = async (id, query = "") => {
  const body = JSON.stringify({ context: { targetingKey: id } });
  const { json } = await askJson(router.direct, `/ofrep/v1/evaluate/flags${query}`, { method: "POST", body });
  return json;
};
const banner = ({ flags }) => flags.find(({ key }) => key === "banner").value;

test("a bulk evaluation says where to listen", async () => {
  const { eventStreams } = await bulk("a");
  assert.deepEqual(eventStreams, [{ type: "sse", endpoint: { requestUri: STREAM }, inactivityDelaySec: 120 }]);
});

test("a change is told within a second, to everybody who listens", async () => {
  const listeners = await each(Array.from({ length: 20 }), () => listen(), 20);
  const [{ response }] = listeners;
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers["content-type"], "text/event-stream");
  assert.equal(response.headers["access-control-allow-origin"], "*");
  const told = Promise.all(listeners.map((listener) => listener.next()));
  const began = performance.now();
  const { revision } = await api.post("/features/*", { banner: { percentage: 100 } });
  const events = await told;
  const took = performance.now() - began;
  assert.ok(took < 1000, `${took} ms`);
  for (const { id, event, data } of events) {
    assert.equal(id, String(revision));
    assert.equal(event, "message");
    assert.deepEqual(JSON.parse(data), { type: "refetchEvaluation", etag: `"${revision}"` });
  }
  // Without the tag it may be answered from before for a few seconds; with it, never.
  const fresh = await each(Array.from({ length: 50 }), (_, i) => bulk(`u${i}`, `?flagConfigEtag=%22${revision}%22`));
  assert.ok(fresh.every((answer) => banner(answer) === true && answer.metadata.revision === revision));
  for (const listener of listeners) {
    listener.end();
  }
});

test("who comes back is told to ask again, because they may have missed something", async () => {
  const listener = await listen({ "Last-Event-ID": "7" });
  assert.deepEqual(JSON.parse((await listener.next()).data), { type: "refetchEvaluation" });
  listener.end();
});

test("what changes nothing for clients is not told", async () => {
  const listener = await listen();
  const next = listener.next();
  await api.mint("viewer");
  const { revision } = await api.post("/features/*", { banner: { percentage: 50 } });
  assert.equal((await next).id, String(revision));
  listener.end();
});

test("nobody can have the ledger asked for what is not there", async () => {
  const { revision } = await api.get("/ops/status.json");
  for (const tag of ["%22999999%22", "x", "", "%22-1%22", "18446744073709551616"]) {
    const { flags, metadata } = await bulk("a", `?flagConfigEtag=${tag}`);
    assert.ok(flags.length > 0 && metadata.revision <= revision, tag);
  }
});

test("a stop reaches the web provider by its stream", { timeout: 60_000 }, async () => {
  await api.post("/features/*", { banner: { percentage: 100 } });
  await OpenFeature.setContext({ targetingKey: "alice" });
  await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl: router.direct, pollInterval: 0 }));
  const client = OpenFeature.getClient();
  const changed = (value) =>
    new Promise((resolve) => {
      const look = () => client.getBooleanValue("banner", !value) === value && resolve(performance.now());
      client.addHandler(ProviderEvents.ConfigurationChanged, look);
      look();
    });
  await changed(true);
  // The provider connects behind its first answer; a connection is there once it is told of something. What was
  // changed before is not told again, so each nudge changes something.
  const connected = changed(false);
  let isConnected = false;
  connected.then(() => {
    isConnected = true;
  });
  for (let percentage = 1; !isConnected; percentage++) {
    await api.post("/features/*", { banner: false, nudge: { percentage } });
    await Promise.race([connected, delay(300)]);
  }
  const on = changed(true);
  await api.post("/features/*", { banner: true });
  await on;
  const off = changed(false);
  const began = performance.now();
  await api.post("/rollout/all/emergency-stop", { reason: "drill" });
  const took = (await off) - began;
  assert.ok(took < 2000, `${took} ms`);
  // It stays stopped, whatever KV's replicas still say.
  assert.equal(banner(await bulk("bob")), false);
});

test("without the binding there is no stream, and nothing is announced", async () => {
  const alone = await start({
    config: CONFIG,
    durableObjects: { LEDGER: { className: "Ledger", useSQLite: true } },
  });
  try {
    const body = '{"context":{"targetingKey":"a"}}';
    const { json } = await askJson(alone.direct, "/ofrep/v1/evaluate/flags", { method: "POST", body });
    assert.equal(json.eventStreams, undefined);
    const refused = await askJson(alone.direct, STREAM);
    assert.deepEqual([refused.status, refused.headers["retry-after"]], [503, "30"]);
  } finally {
    closeConnections();
    await alone.end();
  }
});
