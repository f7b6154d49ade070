// What a request costs on workerd, next to plain JavaScript: `make bench`.
//
// `workerd serve` runs three Workers side by side: the router; a plain JavaScript Worker that does
// the same work in the fastest way we know (reads the address, hashes it cheaply, answers with the
// same body and the same headers from cached objects); and `new Response("hello")`. wrk asks each
// in turn, for several rounds, so that whatever else the machine does meets all of them. The
// figures are ratios of one run; the times behind them are shown for scale.
import { readFileSync, statSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build, hello, median, percent, root, rounds, serve } from "./support.mjs";

const COLD_STARTS = Number(process.env.COLD_STARTS ?? 15);

const hundred = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`feature_${i}`, { percentage: 25 }]));
const config = {
  schema: 1,
  revision: 1,
  salt: "000102030405060708090a0b0c0d0e0f",
  stable: "1.0.4",
  versions: { "1.0.4": build, "1.1.0-beta.2": build, "1.2.0-beta.1": build },
  releases: {
    "v1.1.0-beta": { version: "1.1.0-beta.2", percentage: 25, state: "active" },
    many: { version: "1.2.0-beta.1", percentage: 0, state: "active" },
  },
  features: { many: hundred },
};

/** The same work in plain JavaScript: two arms, ready objects, one cheap hash. */
const plain = (arms) => `
const arms = ${JSON.stringify(arms)}.map(({ body, headers }) => ({ body, init: { status: 200, headers: new Headers(headers) } }));
export default {
  fetch(request) {
    const id = request.headers.get("x-caro-id") ?? request.headers.get("cf-connecting-ip") ?? "";
    let hash = 2166136261;
    for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
    const arm = arms[(hash >>> 0) % 100 < 25 ? 1 : 0];
    return new Response(arm.body, arm.init);
  },
};`;

// What the JavaScript Worker has to answer, taken from the router itself.
const probe = await serve(config, { router: "" });
async function arm(path) {
  const response = await fetch(`${probe.url("router")}${path}`, { headers: { "accept-encoding": "identity" } });
  const headers = [...response.headers].filter(([name]) => !["content-length", "connection", "date"].includes(name));
  return { body: await response.text(), headers };
}
const scripts = [await arm("/stable"), await arm("/beta")];
const features = await arm("/features/v1.1.0-beta?id=a");
const many = await arm("/features/many?id=a");
await probe.end();

// One isolate for each case of either kind: what one case leaves for the collector is not in the
// way of another.
const side = await serve(config, {
  router: "",
  routerFeatures: "",
  routerMany: "",
  script: plain(scripts),
  features: plain([features, features]),
  many: plain([many, many]),
  hello,
});
const cases = {
  hello: [side.url("hello")],
  "script: router": [`${side.url("router")}/`],
  "script: JavaScript": [side.url("script")],
  "features: router": [`${side.url("routerFeatures")}/features/v1.1.0-beta`],
  "features: JavaScript": [side.url("features")],
  "100 features: router": [`${side.url("routerMany")}/features/many`],
  "100 features: JavaScript": [side.url("many")],
};
const { ratio, rows } = rounds(side.child.pid, cases);
await side.end();
console.table(rows);

const cold = { router: [], hello: [] };
for (let i = 0; i < COLD_STARTS; i++) {
  for (const name of ["router", "hello"]) {
    const one = await serve(config, { [name]: hello });
    cold[name].push(one.ms);
    await one.end();
  }
}
const wasm = readFileSync(`${root}build/index_bg.wasm`);
console.table([
  {
    what: "script by rollout, requests/s of JavaScript",
    got: percent(ratio("rps", "script: router", "script: JavaScript")),
    target: ">= 90 %",
  },
  {
    what: "script by rollout, CPU of JavaScript",
    got: percent(ratio("us", "script: router", "script: JavaScript")),
    target: "<= 111 %",
  },
  {
    what: "/features, requests/s of hello",
    got: percent(ratio("rps", "features: router", "hello")),
    target: ">= 86 %",
  },
  {
    what: "100 features, requests/s of JavaScript",
    got: percent(ratio("rps", "100 features: router", "100 features: JavaScript")),
    target: "-",
  },
  {
    what: "cold start, of plain JavaScript",
    got: `${(median(cold.router) / median(cold.hello)).toFixed(2)} (${median(cold.router).toFixed(0)} of ${median(cold.hello).toFixed(0)} ms)`,
    target: "<= 1.3",
  },
  {
    what: "wasm",
    got: `${Math.round(statSync(`${root}build/index_bg.wasm`).size / 1000)} kB, ${Math.round(gzipSync(wasm, { level: 9 }).length / 1000)} kB gzipped`,
    target: "<= 250, 100 kB",
  },
]);
