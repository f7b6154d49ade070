// A router whose ledger has published, and people and faults around it.
import assert from "node:assert/strict";
import { ask, askJson, eventually } from "./http.mjs";
import { landed, tick, withHands } from "./ledger.mjs";
import { WORLD } from "./world.mjs";

/** Longer than a snapshot is served without looking at KV. */
export const STALE = 5_001;
/** Longer than a replica of KV may answer with what was there before. */
export const SETTLED = 121_000;
/** The keys in KV. */
export const KEY = "config";
export const STOP = "emergency-stop";
/** As the requester with bucket 17,994. */
export const INSIDE = { headers: { "X-Caro-Id": "inside" } };

/** Runs `body` with a router whose ledger has taken in the shared configuration, at revision 7, and published it. */
export async function withRouter(options, body) {
  const router = await withHands({ config: WORLD, ...options });
  const edge = {
    ...router,
    json: async (path, options) => (await askJson(router.direct, path, options)).json,
    /** What the requester `inside` (bucket 17,994) gets. */
    arm: async () => {
      const { headers } = await ask(router.direct, "/", INSIDE);
      return `${headers["x-caro-version"]} ${headers["x-caro-reason"]} ${headers["x-caro-revision"]}`;
    },
    /** Lets the snapshot age and waits until the edge answers as wanted. */
    serves: async (arm, wait = 10) => {
      await router.control({ advance: STALE });
      await eventually(edge.arm, (now) => assert.equal(now, arm), wait);
    },
    put: (config, options) => router.kv.put(KEY, typeof config === "string" ? config : JSON.stringify(config), options),
    ops: () => router.admin.get("/ops/status.json"),
    log: () => router.admin.log(),
    tick: () => tick(router),
  };
  try {
    await tick(router);
    await landed(router, WORLD.revision);
    await body(edge);
  } finally {
    await router.end();
  }
}
