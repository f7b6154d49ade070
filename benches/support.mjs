// What the benches over HTTP share: Workers side by side on one workerd, asked by wrk in turns.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";

const ROUNDS = Number(process.env.ROUNDS ?? 7);
const SECONDS = Number(process.env.SECONDS ?? 3);
const ADDRESS = "203.0.113.7";
const DATE = "2026-11-01";
export const root = new URL("../", import.meta.url).pathname;
export const folder = `${root}.wrangler/bench`;
const workerd = `${root}node_modules/.bin/workerd`;

const asset = { size: 1, sha256: "1".repeat(64) };
const excluded = ["linux-arm64", "macos-intel", "macos-silicon", "windows-amd64"];
/** A version as a configuration has it. */
export const build = { assets: { "linux-amd64": asset }, excluded_platforms: excluded };

export const hello = `export default { fetch: () => new Response("hello") };`;

/** A KV namespace as workerd sees one: a service that answers GET with the value and the ledger's metadata. */
function kv(config) {
  const published = JSON.stringify(config);
  const hash = createHash("sha256").update(published).digest("hex");
  const metadata = JSON.stringify({ revision: config.revision, hash });
  return `const config = ${JSON.stringify(published)};
const headers = { "CF-KV-Metadata": ${JSON.stringify(metadata)} };
export default { fetch: (request) => new URL(request.url).pathname === "/config"
  ? new Response(config, { headers }) : new Response(null, { status: 404 }) };`;
}

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

/** Starts workerd with the named Workers; each gets a socket. A name that begins with `router` is the router's. */
export async function serve(config, scripts) {
  mkdirSync(folder, { recursive: true });
  for (const file of ["entry.js", "build/index.js", "build/index_bg.wasm"]) {
    cpSync(`${root}${file}`, `${folder}/${file.split("/").pop()}`);
  }
  const names = Object.keys(scripts);
  const ports = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await freePort()])));
  let workers = "";
  for (const name of [...names, "kv"]) {
    if (name.startsWith("router")) {
      workers += router(name);
    } else {
      writeFileSync(`${folder}/${name}.js`, name === "kv" ? kv(config) : scripts[name]);
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

function wrk(seconds, url, script) {
  const options = ["-t1", "-c32", `-d${seconds}s`, "--latency", "-H", `CF-Connecting-IP: ${ADDRESS}`];
  if (script) options.push("-s", script);
  const out = execFileSync("wrk", [...options, url], { encoding: "utf8" });
  if (/Non-2xx|Socket errors/.test(out)) throw new Error(out);
  const p99 = out.match(/99%\s+([\d.]+)(us|ms|s)/);
  const scale = { us: 0.001, ms: 1, s: 1000 }[p99[2]];
  return { requests: Number(out.match(/(\d+) requests in/)[1]), p99: Number(p99[1]) * scale };
}

export const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
export const percent = (value) => `${(value * 100).toFixed(0)} %`;

/**
 * Asks each case in turn, for several rounds, so that whatever else the machine does meets all of them. A case is
 * what wrk asks: an address, and perhaps a script. Gives ratios between cases, and the rows of a table.
 */
export function rounds(pid, cases) {
  const seen = Object.fromEntries(Object.keys(cases).map((name) => [name, { rps: [], us: [], p99: [] }]));
  for (const asked of Object.values(cases)) wrk(1, ...asked);
  for (let round = 0; round < ROUNDS; round++) {
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\r`);
    for (const [name, asked] of Object.entries(cases)) {
      const before = cpu(pid);
      const { requests, p99 } = wrk(SECONDS, ...asked);
      seen[name].us.push(((cpu(pid) - before) / requests) * 1e6);
      seen[name].rps.push(requests / SECONDS);
      seen[name].p99.push(p99);
    }
  }
  // Ratios round by round, so that a noisy moment is in both halves of one ratio.
  const ratio = (kind, of, to) => median(seen[of][kind].map((value, i) => value / seen[to][kind][i]));
  const rows = Object.keys(cases).map((name) => ({
    name,
    "requests/s": Math.round(median(seen[name].rps)),
    "CPU us/request": median(seen[name].us).toFixed(1),
    "p99 ms": median(seen[name].p99).toFixed(2),
    "of hello": ratio("rps", name, "hello").toFixed(2),
  }));
  return { ratio, rows };
}
