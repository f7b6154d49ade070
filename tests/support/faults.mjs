// Starts the Worker with faults.worker.mjs around it.
import { start } from "./router.mjs";

/** Longer than a snapshot is served without looking at KV. */
export const STALE = 5_001;
/** Longer than a refresh may be under way before another one starts. */
export const LOCK = 15_001;

/**
 * @param kv what reads of each key do from the first request on; see faults.worker.mjs
 * @returns what `start` gives, and `control` to change the faults and the clock
 */
export async function withFaults({ kv = {}, ...rest } = {}) {
  const router = await start({
    modules: [
      { type: "ESModule", path: "tests/support/faults.worker.mjs" },
      { type: "ESModule", path: "entry.js" },
      { type: "ESModule", path: "build/index.js" },
      { type: "CompiledWasm", path: "build/index_bg.wasm" },
    ],
    ...rest,
  });
  const control = async (change = {}) => {
    const request = { method: "POST", body: JSON.stringify(change), signal: AbortSignal.timeout(20_000) };
    return (await fetch(`${router.direct}/__control`, request)).json();
  };
  try {
    await control({ kv });
  } catch (error) {
    await router.end();
    throw error;
  }
  return { ...router, control };
}
