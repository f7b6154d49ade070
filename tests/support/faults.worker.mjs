// The Worker with a hand on its surroundings: `entry.js`, called with a clock that can be moved and a KV namespace that
// can fail. Runs on workerd; `withFaults` in faults.mjs starts it.
//
// POST /__control takes JSON, every member optional:
//   kv: {key: fault} what reads of a key do, from now on; see `read`
//   still: true      stops the clock
//   advance: ms      moves the clock
//   waitUntil: bool  false: background work is dropped when its answer is sent, as when the runtime kills it
//   breakClock: n    the nth look at the clock from now throws, once
// and answers {reads: {key: n}, waits: [{ms, ticks}]}: the reads of each key so far, and how long each request took that
// was not answered at once, in real time and in timers of TICK ms, one after another. No socket is counted in either, and
// in the ticks no pause of the whole process: they tell that a limit was kept however busy the machine is.
import router from "../../entry.js";

export { Evidence, Ledger, Stream, Tally } from "../../entry.js";

const state = { kv: {}, advance: 0, waitUntil: true, breakClock: 0 };
const reads = { config: 0, "emergency-stop": 0 };
const waits = [];
const TICK = 100;

const realClock = Date.now;
let clock = realClock;
Date.now = () => {
  if (state.breakClock > 0) {
    state.breakClock -= 1;
    if (state.breakClock === 0) {
      throw new Error("the clock is broken");
    }
  }
  return clock() + state.advance;
};

/** What stands for `env.ROLLOUT`: each read does what its key's fault says, else asks the real one. */
function namespace(real) {
  const read = async (key, options) => {
    reads[key] += 1;
    const fault = state.kv[key] ?? {};
    if (fault.delay !== undefined) {
      // A wait that the runtime knows of, as a network read is, and not a promise that nothing will ever settle.
      await scheduler.wait(fault.delay);
    }
    if (fault.error !== undefined) {
      throw new Error(fault.error);
    }
    if (fault.value !== undefined) {
      const value = fault.repeat === undefined ? fault.value : fault.value.repeat(fault.repeat);
      return { value, metadata: null };
    }
    return real.getWithMetadata(key, options);
  };
  const refuse = () => {
    throw new Error("the router only reads");
  };
  return { get: refuse, getWithMetadata: read, put: refuse, list: refuse, delete: refuse };
}

async function control(request) {
  const { advance = 0, still, ...rest } = await request.json();
  if (still) {
    const now = clock();
    clock = () => now;
  }
  Object.assign(state, rest);
  state.advance += advance;
  return Response.json({ reads, waits });
}

export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname === "/__control") {
      return control(request);
    }
    const ctx = {
      waitUntil: (promise) => state.waitUntil && context.waitUntil(promise),
      passThroughOnException: () => {},
    };
    const begin = realClock();
    const answer = router.fetch(request, { ...env, ROLLOUT: namespace(env.ROLLOUT) }, ctx);
    if (!(answer instanceof Promise)) {
      return answer;
    }
    // The ledger is asked for /health, which waits for that and not for KV.
    const { pathname } = new URL(request.url);
    if (pathname === "/health") {
      return answer;
    }
    let ticks = 0;
    let isAnswered = false;
    const count = async () => {
      while (!isAnswered) {
        await scheduler.wait(TICK);
        ticks += TICK;
      }
    };
    count();
    return answer.finally(() => {
      isAnswered = true;
      waits.push({ ms: realClock() - begin, ticks });
    });
  },
};
