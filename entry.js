// The Worker's entry: hands each request to the wasm module, and answers when that cannot.
//
// It calls the built class's method directly. worker-build's own export wraps every call in a
// Proxy that can replace a broken wasm instance; that costs 6 to 9 us of CPU a request, so it is
// taken only after the module has trapped.
import Built, { Ledger as BuiltLedger } from "./build/index.js";

export { Evidence, Stream, Tally } from "./build/index.js";

const serve = Built.prototype.fetch;
const API =
  /^\/((rollout|features|admin|ops|ofrep|experiments|report|api|assets|\.well-known|cdn-cgi|health|metrics|status\.json|history\.json|feed\.atom|openapi\.json)(\/|$)|status\/?$)/;
// A trap behind an await settles no promise, neither its own nor those of the other requests that
// wait in the same instance, and the runtime would answer for them in HTML. Longer than the
// router's own limit for KV.
const PATIENCE_MS = 5_000;
// The ledger has a longer limit of its own: a stop waits for KV.
const CONTROL_PATIENCE_MS = 15_000;
// Where OpenFeature clients ask; and what is read for them at once, in bytes: the router takes no more.
const EVALUATE = /^https?:\/\/[^/?#]*\/{1,2}ofrep\/v1\/evaluate\/flags(?:[/?#]|$)/;
const SHORT = 65_536;
// An alarm that a trap left hanging would keep every later one waiting: the runtime gives it a quarter of an hour. As long
// as the ledger's own lock; what is still at work then goes on.
const ALARM_PATIENCE_MS = 20_000;
let broken = false;

export class Ledger {
  constructor(context, env) {
    this.built = new BuiltLedger(context, env);
  }

  fetch(request) {
    return this.built.fetch(request);
  }

  async alarm() {
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, ALARM_PATIENCE_MS);
    });
    try {
      await Promise.race([this.built.alarm(), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

export default {
  fetch(request, env, ctx) {
    try {
      if (request.method === "POST" && !broken && EVALUATE.test(request.url)) {
        return evaluated(request, env, ctx);
      }
      const answer = broken ? revive(request, env, ctx) : serve.call({ env, ctx }, request);
      return answer instanceof Promise ? settled(answer, request) : answer;
    } catch (error) {
      return failure(error, request);
    }
  },

  // Each minute: the ledger looks at KV and does what is due.
  async scheduled(_event, env) {
    await env.LEDGER.getByName("main").fetch("https://ledger/__ledger/tick", { method: "POST" });
  },
};

/** A short body is read here: what is left then mostly takes no await, and no timer has to watch over it. */
async function evaluated(request, env, ctx) {
  try {
    const length = request.headers.get("content-length");
    const isShort = length !== null && Number(length) <= SHORT;
    const body = isShort ? new Uint8Array(await request.arrayBuffer()) : undefined;
    const given = { body, waitUntil: (task) => ctx.waitUntil(task) };
    const answer = serve.call({ env, ctx: given }, request);
    return answer instanceof Promise ? await settled(answer, request) : answer;
  } catch (error) {
    return failure(error, request);
  }
}

/** An answer that is waited for, whatever becomes of it. */
async function settled(answer, request) {
  let timer;
  const late = new Promise((_, reject) => {
    const writes = !["GET", "HEAD", "OPTIONS"].includes(request.method);
    const patience = writes ? CONTROL_PATIENCE_MS : PATIENCE_MS;
    timer = setTimeout(() => reject(new Error("no answer came")), patience);
  });
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    return failure(error, request);
  } finally {
    clearTimeout(timer);
  }
}

/** Through the Proxy: the first trap marks the instance, the next construction replaces it. */
function revive(request, env, ctx) {
  const attempt = () => {
    const answer = new Built(ctx, env).fetch(request);
    broken = false;
    return answer;
  };
  try {
    return attempt();
  } catch {
    return attempt();
  }
}

/** An error that any caller can use: a script where the answer may be piped into a shell. */
function failure(error, request) {
  console.error("the wasm module failed:", error);
  broken ||= error instanceof WebAssembly.RuntimeError;
  const { pathname } = new URL(request.url);
  const message = "the router failed; try again in a moment";
  let type = "text/plain; charset=utf-8";
  let body = `#!/bin/sh\nprintf '%s\\n' '${message}' >&2\nexit 1\n`;
  if (API.test(pathname)) {
    type = "application/problem+json";
    body = JSON.stringify({
      type: "urn:caro-edge:problem:internal",
      title: "The router failed",
      status: 500,
      detail: "Try again in a moment.",
    });
  } else if (/\.ps1\/?$/.test(pathname)) {
    body = `[Console]::Error.WriteLine('${message}')\nexit 1\n`;
  }
  return new Response(body, {
    status: 500,
    headers: {
      "Content-Type": type,
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
      "X-Frame-Options": "DENY",
      "Referrer-Policy": "no-referrer",
      "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
      "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    },
  });
}
