// What 100 flags for one user cost on workerd, next to other engines: `make bench`.
//
// flagd's and GrowthBook's own JavaScript, each in the smallest Worker that reads a context and answers; and the
// router as it is, with its checks and its headers. The router answers in two forms, and so do they: each flag with
// its reason, and a flat map. Another user asks each time, because the router keeps answers that it has given.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { build, folder, hello, root, rounds, serve } from "../support.mjs";
import { attributes, flags, keyed } from "./shape.mjs";

const USERS = Number(process.env.USERS ?? 1000);
const RELEASE = "many";

const config = {
  schema: 1,
  revision: 1,
  salt: "000102030405060708090a0b0c0d0e0f",
  stable: "1.0.4",
  versions: { "1.0.4": build },
  releases: { [RELEASE]: { version: "1.0.4", percentage: 25, state: "active" } },
  features: { [RELEASE]: keyed((rule) => ({ percentage: 25, ...(rule && { rules: [{ if: rule }] }) })) },
};

const bundle = (name) =>
  execFileSync(
    `${root}node_modules/.bin/esbuild`,
    ["--bundle", "--format=esm", "--minify", "--log-level=warning", `${root}benches/engines/workers/${name}.mjs`],
    { encoding: "utf8" },
  );

/** A context in the body, which also says of which release. */
const post = (path) => (user) => ({
  path,
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ context: { targetingKey: user, release: RELEASE, ...attributes } }),
});
/** The same said in a query and headers. */
const get = (user) => ({
  path: `/features/${RELEASE}?os=${attributes.os}&locale=${attributes.locale}`,
  method: "GET",
  headers: { "X-Caro-Id": user, "CF-IPCountry": attributes.country },
});

const asked = {
  "reasons: router": ["routerReasons", post("/ofrep/v1/evaluate/flags")],
  "reasons: flagd": ["flagdReasons", post("/reasons")],
  "reasons: GrowthBook": ["growthbookReasons", post("/reasons")],
  "map: router": ["routerMap", get],
  "map: flagd": ["flagdMap", post("/map")],
  "map: GrowthBook": ["growthbookMap", post("/map")],
};
const users = Array.from({ length: USERS }, (_, i) => `0190d3a0-7f3e-7c11-9a42-${String(i).padStart(12, "0")}`);

/** Rules that hold are obeyed, and of everybody else a quarter is in: none is timed for work that it does not do. */
async function check(name, url, request) {
  let [on, drawn] = [0, 0];
  for (const user of users.slice(0, 100)) {
    const { path, ...init } = request(user);
    const answer = await (await fetch(`${url}${path}`, init)).json();
    const value = (key) => (answer.flags ? answer.flags.find((flag) => flag.key === key)?.value : answer[key]);
    for (const { key, rule } of flags) {
      assert.equal(typeof value(key), "boolean", `${name}: ${key}`);
      if (rule?.holds) assert.ok(value(key), `${name}: ${key}`);
      else [on, drawn] = [on + value(key), drawn + 1];
    }
  }
  const share = users.length < 100 ? 0.25 : on / drawn;
  assert.ok(share > 0.22 && share < 0.28, `${name}: ${share}`);
}

/** A script for wrk: one user after the other, each request made before the first is sent. */
function script(name, request) {
  const texts = users.map((user) => {
    const { path, method, headers, body = "" } = request(user);
    const all = { Host: "localhost", "Content-Length": Buffer.byteLength(body), ...headers };
    const head = [`${method} ${path} HTTP/1.1`, ...Object.entries(all).map(([key, value]) => `${key}: ${value}`)];
    return `${head.join("\r\n")}\r\n\r\n${body}`;
  });
  const file = `${folder}/${name}.lua`;
  writeFileSync(
    file,
    `local requests, at = {${texts.map((text) => JSON.stringify(text)).join(",\n")}}, 0
request = function() at = at % #requests + 1; return requests[at] end\n`,
  );
  return file;
}

// One isolate for each case, as in http.mjs.
const [flagd, growthbook] = [bundle("flagd"), bundle("growthbook")];
const side = await serve(config, {
  routerReasons: "",
  routerMap: "",
  flagdReasons: flagd,
  flagdMap: flagd,
  growthbookReasons: growthbook,
  growthbookMap: growthbook,
  hello,
});
const cases = { hello: [side.url("hello")] };
try {
  for (const [name, [worker, request]] of Object.entries(asked)) {
    await check(name, side.url(worker), request);
    cases[name] = [side.url(worker), script(worker, request)];
  }
  const { ratio, rows } = rounds(side.child.pid, cases);
  console.table(rows);
  const times = (form, engine, target) => ({
    what: `${form}, requests/s of ${engine}`,
    got: ratio("rps", `${form}: router`, `${form}: ${engine}`).toFixed(2),
    target: `>= ${target}`,
  });
  console.table(["reasons", "map"].flatMap((form) => [times(form, "flagd", 1.5), times(form, "GrowthBook", 2)]));
} finally {
  await side.end();
}
