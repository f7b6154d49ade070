// The real Worker on workerd, through Miniflare, with a KV namespace of its own.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** The first release manager's token in every test. */
export const ADMIN_TOKEN = "local-admin-token-0123456789";

const WASM = "build/index_bg.wasm";

/** The static files, as wrangler.toml has them. */
export const ASSETS = {
  directory: `${root}www`,
  binding: "ASSETS",
  routerConfig: { invoke_user_worker_ahead_of_assets: true, has_user_worker: true },
  assetConfig: { html_handling: "none", not_found_handling: "none" },
};

/** The options of one router; `overrides` are merged over them (Miniflare's names). */
export function options(overrides = {}) {
  if (!existsSync(`${root}${WASM}`)) {
    throw new Error(`${WASM} is missing; \`make build\` makes it`);
  }
  return convertV4MiniflareOptions({
    rootPath: root,
    modules: [
      { type: "ESModule", path: "entry.js" },
      { type: "ESModule", path: "build/index.js" },
      { type: "CompiledWasm", path: WASM },
    ],
    compatibilityDate: "2026-11-01",
    kvNamespaces: ["ROLLOUT"],
    durableObjects: {
      EVIDENCE: { className: "Evidence", useSQLite: true },
      LEDGER: { className: "Ledger", useSQLite: true },
      STREAM: { className: "Stream", useSQLite: true },
      TALLY: { className: "Tally", useSQLite: true },
    },
    assets: ASSETS,
    bindings: { ORIGIN: "https://get.caro.sh", ADMIN_TOKEN },
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
    ...overrides,
  });
}

/**
 * Starts a router.
 *
 * @returns its origin, the socket of the Worker itself (Miniflare's own entry, which `origin` is, compresses bodies,
 *   reframes answers and sets CF-Connecting-IP), its KV namespace, and how to end it
 */
export async function start({ config, stop, ...overrides } = {}) {
  const miniflare = new Miniflare(options({ port: 0, ...overrides }));
  const end = () => miniflare.dispose();
  try {
    const origin = (await miniflare.ready).origin;
    const direct = (await miniflare.unsafeGetDirectURL()).origin;
    const kv = overrides.kvNamespaces?.length === 0 ? undefined : await miniflare.getKVNamespace("ROLLOUT");
    if (config !== undefined) {
      await kv.put("config", typeof config === "string" ? config : JSON.stringify(config));
    }
    if (stop !== undefined) {
      await kv.put("emergency-stop", stop);
    }
    return { origin, direct, kv, miniflare, end };
  } catch (error) {
    // What is left of it would keep the test's process from ending.
    await end().catch(() => {});
    throw error;
  }
}
