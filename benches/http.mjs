// What a request costs on workerd, next to plain JavaScript: `make bench`.
//
// `workerd serve` runs three Workers side by side: the router; a plain JavaScript Worker that does
// the same work in the fastest way we know (reads the address, hashes it cheaply, answers with the
// same body and the same headers from cached objects); and `new Response("hello")`. wrk asks each
// in turn, for several rounds, so that whatever else the machine does meets all of them. The
// figures are ratios of one run; the times behind them are shown for scale.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { gzipSync } from "node:zlib";

const ROUNDS = Number(process.env.ROUNDS ?? 7);
const SECONDS = Number(process.env.SECONDS ?? 3);
const COLD_STARTS = Number(process.env.COLD_STARTS ?? 15);
const ADDRESS = "203.0.113.7";
const DATE = "2026-11-01";
const root = new URL("../", import.meta.url).pathname;
const folder = `${root}.wrangler/bench`;
const workerd = `${root}node_modules/.bin/workerd`;

const SHA = "1".repeat(64);
const asset = { size: 1, sha256: SHA };
const excluded = ["linux-arm64", "macos-intel", "macos-silicon", "windows-amd64"];
const build = { assets: { "linux-amd64": asset }, excluded_platforms: excluded };
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

const published = JSON.stringify(config);
const hash = createHash("sha256").update(published).digest("hex");
const metadata = JSON.stringify({ revision: config.revision, hash });

/** A KV namespace as workerd sees one: a service that answers GET with the value and the ledger's metadata. */
const kv = `const config = ${JSON.stringify(published)};
const headers = { "CF-KV-Metadata": ${JSON.stringify(metadata)} };
export default { fetch: (request) => new URL(request.url).pathname === "/config"
  ? new Response(config, { headers }) : new Response(null, { status: 404 }) };`;

const hello = `export default { fetch: () => new Response("hello") };`;

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

function worker(name, modules, bindings = "") {
  const list = modules.map(([module, kind, file]) => `(name = "${module}", ${kind} = embed "${file}")`).join(", ");
  return `const ${name} :Workerd.Worker = (modules = [${list}], compatibilityDate = "${DATE}", bindings = [${bindings}]);\n`;
}

const router = (name) =>
  worker(
    name,
    [
      ["entry.js", "esModule", "entry.js"],
      ["build/index.js", "esModule", "index.js"],
      ["build/index_bg.wasm", "wasm", "index_bg.wasm"],
    ],
    '(name = "ROLLOUT", kvNamespace = "kv")',
  );

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts workerd with the named Workers; each gets a socket. */
async function serve(scripts) {
  const names = Object.keys(scripts);
  const ports = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await freePort()])));
  let workers = "";
  for (const name of [...names, "kv"]) {
    if (name.startsWith("router")) {
      workers += router(name);
    } else {
      writeFileSync(`${folder}/${name}.js`, name === "kv" ? kv : scripts[name]);
      workers += worker(name, [[`${name}.js`, "esModule", `${name}.js`]]);
    }
  }
  const services = [...names, "kv"].map((name) => `(name = "${name}", worker = .${name})`).join(", ");
  const sockets = names
    .map((name) => `(name = "${name}", address = "127.0.0.1:${ports[name]}", http = (), service = "${name}")`)
    .join(", ");
  const file = `${folder}/${names.join("-")}.capnp`;
  writeFileSync(
    file,
    `using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = (services = [${services}], sockets = [${sockets}]);\n${workers}`,
  );
  const started = performance.now();
  const child = spawn(workerd, ["serve", file], { stdio: ["ignore", "ignore", "inherit"] });
  const url = (name) => `http://127.0.0.1:${ports[name]}`;
  await answers(url(names[0]));
  const ms = performance.now() - started;
  const end = () => new Promise((resolve) => child.once("exit", resolve) && child.kill());
  return { child, url, ms, end };
}

async function answers(url) {
  for (const deadline = performance.now() + 10_000; ; ) {
    try {
      const response = await fetch(url, { headers: { "x-caro-id": "a" } });
      await response.arrayBuffer();
      if (response.ok) return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}

/** CPU seconds of the process's main thread, which runs every Worker. */
function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/task/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function wrk(url, seconds) {
  const out = execFileSync(
    "wrk",
    ["-t1", "-c32", `-d${seconds}s`, "--latency", "-H", `CF-Connecting-IP: ${ADDRESS}`, url],
    { encoding: "utf8" },
  );
  if (/Non-2xx|Socket errors/.test(out)) throw new Error(out);
  const p99 = out.match(/99%\s+([\d.]+)(us|ms|s)/);
  const scale = { us: 0.001, ms: 1, s: 1000 }[p99[2]];
  return { requests: Number(out.match(/(\d+) requests in/)[1]), p99: Number(p99[1]) * scale };
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

mkdirSync(folder, { recursive: true });
for (const file of ["entry.js", "build/index.js", "build/index_bg.wasm"]) {
  cpSync(`${root}${file}`, `${folder}/${file.split("/").pop()}`);
}

// What the JavaScript Worker has to answer, taken from the router itself.
const probe = await serve({ router: "" });
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
const side = await serve({
  router: "",
  routerFeatures: "",
  routerMany: "",
  script: plain(scripts),
  features: plain([features, features]),
  many: plain([many, many]),
  hello,
});
const cases = {
  hello: side.url("hello"),
  "script: router": `${side.url("router")}/`,
  "script: JavaScript": side.url("script"),
  "features: router": `${side.url("routerFeatures")}/features/v1.1.0-beta`,
  "features: JavaScript": side.url("features"),
  "100 features: router": `${side.url("routerMany")}/features/many`,
  "100 features: JavaScript": side.url("many"),
};
const seen = Object.fromEntries(Object.keys(cases).map((name) => [name, { rps: [], us: [], p99: [] }]));
for (const url of Object.values(cases)) wrk(url, 1);
for (let round = 0; round < ROUNDS; round++) {
  process.stderr.write(`round ${round + 1} of ${ROUNDS}\r`);
  for (const [name, url] of Object.entries(cases)) {
    const before = cpu(side.child.pid);
    const { requests, p99 } = wrk(url, SECONDS);
    seen[name].us.push(((cpu(side.child.pid) - before) / requests) * 1e6);
    seen[name].rps.push(requests / SECONDS);
    seen[name].p99.push(p99);
  }
}
await side.end();

// Ratios round by round, so that a noisy moment is in both halves of one ratio.
const ratio = (kind, of, to) => median(seen[of][kind].map((value, i) => value / seen[to][kind][i]));
const rows = Object.keys(cases).map((name) => ({
  name,
  "requests/s": Math.round(median(seen[name].rps)),
  "CPU us/request": median(seen[name].us).toFixed(1),
  "p99 ms": median(seen[name].p99).toFixed(2),
  "of hello": ratio("rps", name, "hello").toFixed(2),
}));
console.table(rows);

const cold = { router: [], hello: [] };
for (let i = 0; i < COLD_STARTS; i++) {
  for (const name of ["router", "hello"]) {
    const one = await serve({ [name]: hello });
    cold[name].push(one.ms);
    await one.end();
  }
}
const wasm = readFileSync(`${root}build/index_bg.wasm`);
const percent = (value) => `${(value * 100).toFixed(0)} %`;
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
