// The Worker and its ledger with a hand on their surroundings: `entry.js`, called with a clock that can be moved and a
// KV namespace that can fail, for reads and writes. Runs on workerd; `withHands` in ledger.mjs starts it.
//
// POST /__control takes JSON, every member optional:
//   reads: {key: fault}   what reads of a key do from now on: {error: text, delay: ms}
//   writes: {key: fault}  the same for writes and deletes
//   history: fault         the same for what the ledger is asked for the public history
//   advance: ms           moves the clock, the edge's and the ledger's; alarms already set stay where they are
//   trap: true            the ledger's next call looks at a clock that throws, which traps in the wasm module
//   tick: true            has the ledger do what is due, as cron does
// and answers {alarms, histories, reads: {key: n}, writes: [{key, at, landed, revision}]}: how often the alarm went off, how
// often the ledger was asked for the history, and what was asked of KV so far, in real time.
import router, { Ledger as Base, Evidence as Counting } from "../../entry.js";

export { Stream, Tally } from "../../entry.js";

const state = { reads: {}, writes: {}, advance: 0, trap: false };
const seen = { alarms: 0, histories: 0, ledgerReads: 0, reads: { config: 0, "emergency-stop": 0 }, writes: [] };

const realClock = Date.now;
let inLedger = false;
Date.now = () => {
  if (state.trap && inLedger) {
    state.trap = false;
    inLedger = false;
    throw new Error("the clock is broken");
  }
  return realClock() + state.advance;
};

async function fail({ delay, error } = {}) {
  if (delay !== undefined) {
    await scheduler.wait(delay);
  }
  if (error !== undefined) {
    throw new Error(error);
  }
}

function namespace(real) {
  const read = async (key, options) => {
    seen.reads[key] += 1;
    await fail(state.reads[key]);
    return real.getWithMetadata(key, options);
  };
  const write = async (key, revision, carryOut) => {
    const noted = { key, revision, at: realClock(), landed: false };
    seen.writes.push(noted);
    await fail(state.writes[key]);
    await carryOut();
    noted.landed = true;
  };
  const refuse = () => {
    throw new Error("nobody asks for this");
  };
  return {
    get: refuse,
    list: refuse,
    getWithMetadata: read,
    put: (key, value, options) => write(key, options?.metadata?.revision, () => real.put(key, value, options)),
    delete: (key) => write(key, undefined, () => real.delete(key)),
  };
}

const surrounded = (env) => ({ ...env, ROLLOUT: namespace(env.ROLLOUT) });

export class Ledger {
  constructor(context, env) {
    const { storage } = context;
    const moved = {
      sql: storage.sql,
      transactionSync: (work) => storage.transactionSync(work),
      // The runtime's clock is the real one.
      setAlarm: (at) => storage.setAlarm(at - state.advance),
    };
    this.base = new Base({ storage: moved }, surrounded(env));
  }
  async fetch(request) {
    if (new URL(request.url).pathname === "/__ledger/history") {
      seen.histories += 1;
      await fail(state.history);
    }
    if (state.trap && !new URL(request.url).pathname.startsWith("/__ledger/")) {
      // Read before, so that what follows is the call itself.
      const body = request.body && (await request.arrayBuffer());
      const copy = new Request(request, body && { body });
      inLedger = true;
      return this.base.fetch(copy);
    }
    return this.base.fetch(request);
  }
  alarm() {
    seen.alarms += 1;
    return this.base.alarm();
  }
}

/** That forgets when it is asked to: the runtime's clock is the real one. */
export class Evidence {
  constructor(context, env) {
    this.base = new Counting(context, env);
    this.sql = context.storage.sql;
  }
  async fetch(request) {
    if (!request.url.endsWith("/__forget")) {
      return this.base.fetch(request);
    }
    await this.base.alarm();
    const count = (table) => this.sql.exec(`SELECT count(*) AS n FROM ${table}`).one().n;
    const tables = ["seen", "session", "minute", "hour", "meta"];
    return Response.json(Object.fromEntries(tables.map((table) => [table, count(table)])));
  }
}

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname !== "/__control") {
      return router.fetch(request, surrounded(env), context);
    }
    const { advance = 0, tick, ...rest } = await request.json();
    Object.assign(state, rest);
    state.advance += advance;
    if (tick) {
      await router.scheduled({}, env);
    }
    return Response.json(seen);
  },
  scheduled: (event, env) => router.scheduled(event, env),
};
