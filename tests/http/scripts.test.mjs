// What reaches a shell: nothing of the request, and the arm that the bucket says.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { bucket, unitOfId, unitOfV4, unitOfV6 } from "../support/bucket.mjs";
import { ask, askJson, closeConnections, each } from "../support/http.mjs";
import { random } from "../support/random.mjs";
import { start } from "../support/router.mjs";
import { complaint, pipe } from "../support/sh.mjs";
import { WORLD, world } from "../support/world.mjs";

async function withRouter(options, body) {
  const router = await start(options);
  try {
    await body(router.direct);
  } finally {
    await router.end();
  }
}

describe("no byte of a request reaches the answer", () => {
  /** In every request, in several places; no answer may have it. */
  const MARKER = "Zq7xWv3k";
  const PAYLOADS = [
    "",
    "'",
    '"',
    "$(touch /tmp/x)",
    "`id`",
    "';id;'",
    "\\'",
    "\n",
    "\r\nX-Caro-Version: 9",
    "\u0000",
    "\u2028",
    "é\u{1f600}",
    "%0a",
    "%",
    "$IFS",
    "&& exit 0 #",
    "|sh",
    "<script>",
    "../../",
    "@PRELUDE@",
    "x".repeat(400),
  ];
  const PATHS = [
    (x) => `/${x}`,
    (x) => `/v${x}`,
    (x) => `/${x}/install.sh`,
    (x) => `/${x}/install.ps1`,
    (x) => `/install.sh/${x}`,
    (x) => `/1.1.0-beta.${x}`,
    (x) => `/v1.1.0-beta+${x}`,
    (x) => `/a/${x}/b.ps1`,
    (x) => `//${x}`,
    (x) => `/?id=${x}`,
    (x) => `/?${x}=${x}&id=a${x}`,
    (x) => `/install.sh?${x}`,
    (x) => `/install.ps1?id=${x}`,
    (x) => `/beta?${x}`,
    (x) => `/v1.1.0-beta/install.sh?${x}`,
    (x) => `/1.1.0-beta.1/install.ps1?${x}`,
    (x) => `/stable#${x}`,
    (x) => `/1.0.${x.length}?${x}`,
  ];
  const HEADERS = [
    "X-Caro-Id",
    "CF-Connecting-IP",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "Forwarded",
    "User-Agent",
    "Accept",
    "Accept-Language",
    "Accept-Encoding",
    "If-None-Match",
    "Referer",
    "Origin",
    "Cookie",
    "Authorization",
    "Range",
    `X-${MARKER}`,
  ];

  /** One request that tries. */
  function attempt({ pick, chance }) {
    const text = () => MARKER + pick(PAYLOADS) + (chance(0.5) ? MARKER : "");
    const inPath = () => {
      const whole = text();
      // Some unencoded, as far as the runtime's HTTP server lets one.
      return chance(0.5) ? encodeURIComponent(whole) : whole.replace(/[^!$-;=?-_a-z|~]|\^/gu, encodeURIComponent);
    };
    const headers = { Host: `${MARKER}.example`.toLowerCase() };
    while (chance(0.6)) {
      const value = chance(0.5) ? encodeURIComponent(text()) : text().replace(/[^ -~]/gu, "?");
      headers[pick(HEADERS)] = value;
    }
    const method = pick(["GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]);
    const body = method === "POST" || method === "PUT" ? text() : undefined;
    return [pick(PATHS)(inPath()), { method, headers, body }];
  }

  for (const [name, requests, options, statuses] of [
    ["a running rollout", 1200, { config: WORLD }, [200, 400, 404, 405]],
    ["a stopped one", 400, { config: WORLD, stop: "all" }, [200, 400, 404, 405, 410]],
    ["no configuration", 400, {}, [200, 400, 404, 405, 503]],
  ]) {
    test(`${name}: ${requests} requests`, async () => {
      const chance = random(20_260_115 + requests);
      const attempts = Array.from({ length: requests }, () => attempt(chance));
      const bodies = new Map();
      const seen = new Set();
      await withRouter(options, async (origin) => {
        await each(attempts, async ([path, options]) => {
          const answer = await ask(origin, path, options);
          const all = `${JSON.stringify(answer.headers)} ${answer.text}`.toLowerCase();
          assert.ok(!all.includes(MARKER.toLowerCase()), `${options.method} ${path}: the answer repeats it`);
          assert.equal(answer.headers["content-type"], "text/plain; charset=utf-8", path);
          seen.add(answer.status);
          if (options.method !== "HEAD" && answer.status !== 304) {
            bodies.set(answer.text, answer.status);
          }
        });
      });
      assert.deepEqual([...seen].sort(), statuses, "each kind of answer was among them");
      // Two thousand requests, and a handful of answers: what is in one depends on nothing else.
      assert.ok(bodies.size < 32, `${bodies.size} different bodies`);
      for (const [body, status] of bodies) {
        if (body.startsWith("#!/bin/sh\n")) {
          assert.equal(complaint(body), "");
          if (status !== 200) {
            const ran = pipe(body);
            assert.deepEqual([ran.status, ran.stdout], [1, ""], body);
            assert.match(ran.stderr, /^caro: .{10,}\n$/, body);
          }
        } else {
          assert.match(body, status === 200 ? /^\$CaroProduct = 'caro'$/m : /^\[Console\]::Error/);
        }
      }
    });
  }
});

describe("the arm is what the bucket says", () => {
  const RELEASE = "release/v1.1.0-beta";
  const PERCENTAGE = 37.125;
  const config = world({ releases: { "v1.1.0-beta": { percentage: PERCENTAGE } } });
  const { below, pick } = random(7);
  const uuid = () => Array.from({ length: 32 }, () => hex(below(16))).join("");
  const hex = (n) => n.toString(16);
  const octet = () => below(256);
  const group = () => below(65_536);
  const ids = Array.from({ length: 2000 }, (_, i) => {
    const id = pick([
      () => `user-${i}`,
      uuid,
      () => `${i}@example.org`,
      () => `é${i} \u{1f600}`,
      () => String.fromCodePoint(0x4e00 + i).repeat(1 + below(80)),
      () => `${i}&id=x+y%41#/?='"$()`,
    ])();
    return { shown: id, unit: unitOfId(id), ask: { query: `?id=${encodeURIComponent(id)}` } };
  });
  const v4 = Array.from({ length: 500 }, (_, i) => {
    const octets = [octet(), octet(), octet(), octet()];
    const shown = `${i % 5 === 0 ? "::ffff:" : ""}${octets.join(".")}`;
    return { shown, unit: unitOfV4(octets), ask: { address: shown } };
  });
  const v6 = Array.from({ length: 500 }, (_, i) => {
    const groups = [0x2000 + below(0x1000), ...Array.from({ length: 7 }, group)];
    const shown = [
      groups.map(hex).join(":"),
      groups
        .map((g) => hex(g).padStart(4, "0"))
        .join(":")
        .toUpperCase(),
      `${groups.slice(0, 4).map(hex).join(":")}::${hex(group())}`,
    ][i % 3];
    return { shown, unit: unitOfV6(groups), ask: { address: shown } };
  });

  /** What a proxy, or a client that lies, could say; whoever believes it lets the client choose. */
  const lies = () => {
    const address = `192.0.2.${octet()}`;
    return {
      "X-Forwarded-For": `${address}, 198.51.100.${octet()}`,
      "X-Real-IP": address,
      "True-Client-IP": address,
      Forwarded: `for=${address}`,
      "X-Client-IP": address,
    };
  };

  test("2000 ids, 500 IPv4 and 500 IPv6 addresses, and the same bytes for the same arm", async () => {
    await withRouter({ config }, async (origin) => {
      const bodies = { "1.0.4": new Set(), "1.1.0-beta.2": new Set() };
      let inside = 0;
      await each([...ids, ...v4, ...v6], async ({ shown, unit, ask: { query = "", address } }) => {
        const expected = bucket(WORLD.salt, unit, RELEASE) < PERCENTAGE * 1000;
        inside += expected;
        const identity = address === undefined ? {} : { "CF-Connecting-IP": address };
        for (const headers of [identity, { ...identity, ...lies() }]) {
          const answer = await ask(origin, `/install.sh${query}`, { headers });
          const [version, reason] = expected ? ["1.1.0-beta.2", "bucket"] : ["1.0.4", "default"];
          assert.deepEqual(
            [answer.headers["x-caro-version"], answer.headers["x-caro-reason"]],
            [version, reason],
            shown,
          );
          bodies[version].add(answer.text);
        }
      });
      assert.deepEqual([bodies["1.0.4"].size, bodies["1.1.0-beta.2"].size], [1, 1]);
      assert.notDeepEqual(bodies["1.0.4"], bodies["1.1.0-beta.2"]);
      // Four standard deviations of 3000 draws: were it further away, the draws would not be even.
      const share = inside / 3000 - PERCENTAGE / 100;
      assert.ok(Math.abs(share) < 4 * Math.sqrt((0.37125 * 0.62875) / 3000), `${inside} of 3000 are in`);
    });
  });

  test("a feature's gate has a bucket of its own", async () => {
    await withRouter({ config }, async (origin) => {
      await each(ids.slice(0, 500), async ({ shown, unit, ask: { query } }) => {
        const { json } = await askJson(origin, `/features/v1.1.0-beta${query}`, { headers: lies() });
        const expected = bucket(WORLD.salt, unit, "feature/confidence_refinement") < 50_000;
        assert.equal(json.confidence_refinement, expected, shown);
      });
    });
  });

  test("X-Caro-Id, in UTF-8, is the same id as ?id=", async () => {
    await withRouter({ config }, async (origin) => {
      // A header's value is trimmed and has no bytes below 0x20; these have neither at the ends.
      await each(ids.slice(0, 300), async ({ shown, unit }) => {
        const headers = { "X-Caro-Id": Buffer.from(shown).toString("latin1") };
        const answer = await ask(origin, "/", { headers });
        const expected = bucket(WORLD.salt, unit, RELEASE) < PERCENTAGE * 1000;
        assert.equal(answer.headers["x-caro-version"], expected ? "1.1.0-beta.2" : "1.0.4", shown);
      });
    });
  });

  test("a network without an id is no unit when only a proxy's headers name it", async () => {
    await withRouter({ config }, async (origin) => {
      for (let i = 0; i < 50; i += 1) {
        const { headers } = await ask(origin, "/", { headers: lies() });
        assert.deepEqual([headers["x-caro-version"], headers["x-caro-reason"]], ["1.0.4", "no_unit"]);
      }
    });
  });

  for (const id of ["inside", "outside"]) {
    const own = bucket(WORLD.salt, unitOfId(id), RELEASE);
    for (const [thousandths, version] of [
      [own, "1.0.4"],
      [own + 1, "1.1.0-beta.2"],
    ]) {
      test(`${id}, in bucket ${own}, at ${thousandths} thousandths: ${version}`, async () => {
        const config = world({ releases: { "v1.1.0-beta": { percentage: thousandths / 1000 } } });
        await withRouter({ config }, async (origin) => {
          assert.equal((await ask(origin, `/?id=${id}`)).headers["x-caro-version"], version);
        });
      });
    }
  }
});

after(closeConnections);
