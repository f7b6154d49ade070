// Requests to the router, byte for byte as written, and what every answer has to keep to whatever it was asked.
import assert from "node:assert/strict";
import { Agent, request as send } from "node:http";
import { connect } from "node:net";

const shared = new Agent({ keepAlive: true, maxSockets: 64 });

const SECURITY = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "strict-transport-security": "max-age=31536000; includeSubDomains",
};
const METRICS = "text/plain; version=0.0.4; charset=utf-8";
const NOTHING = "default-src 'none'; frame-ancestors 'none'";

/**
 * Sends one request over a kept connection. node:http is used and not `fetch` because that adds
 * headers, decodes bodies and normalises paths.
 *
 * @returns {Promise<{status: number, headers: object, body: Buffer, text: string}>} checked by `keepsPromises`
 */
export async function ask(origin, path, { method = "GET", headers = {}, body, agent = shared } = {}) {
  const { hostname, port } = new URL(origin);
  const answer = await new Promise((resolve, reject) => {
    const out = send({ agent, hostname, port, path, method, headers, timeout: 20_000 }, (incoming) => {
      const chunks = [];
      incoming.on("data", (chunk) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const whole = Buffer.concat(chunks);
        resolve({ status: incoming.statusCode, headers: incoming.headers, body: whole, text: whole.toString("utf8") });
      });
    });
    out.on("error", reject);
    out.on("timeout", () => out.destroy(new Error(`${method} ${path}: no answer in 20 s`)));
    out.end(body);
  });
  keepsPromises(answer, `${method} ${path.slice(0, 120)}`, method);
  return answer;
}

/** The same, with the body read as JSON. */
export async function askJson(origin, path, options) {
  const answer = await ask(origin, path, options);
  assert.match(answer.headers["content-type"], /^application\/(problem\+)?json$/, path);
  return { ...answer, json: JSON.parse(answer.text) };
}

/** What holds for every answer of the Worker. */
export function keepsPromises({ status, headers, body, text }, what, method = "GET") {
  for (const [name, value] of Object.entries(SECURITY)) {
    assert.equal(headers[name], value, `${what}: ${name}`);
  }
  const page = headers["content-security-policy"] !== NOTHING;
  if (page) {
    assert.match(
      headers["content-security-policy"] ?? "",
      /^default-src 'none';.*frame-ancestors 'none'$/,
      `${what}: Content-Security-Policy`,
    );
    assert.ok([200, 304].includes(status), `${what}: only a file may have the page's policy`);
  }
  assert.equal(headers["set-cookie"], undefined, `${what}: Set-Cookie`);
  if (method === "HEAD" || status === 204 || status === 304) {
    assert.equal(body.length, 0, `${what}: a body where there must be none`);
    return;
  }
  const isLog = headers["content-type"] === "application/x-ndjson";
  assert.ok(body.length !== 0 || isLog, `${what}: an empty body`);
  assert.equal(headers["content-length"], String(body.length), `${what}: Content-Length`);
  if (page) {
    return;
  }
  if (headers["content-type"] === "text/plain; charset=utf-8") {
    isScript(text, status, what);
  } else if (isLog) {
    const lines = text.split("\n");
    assert.equal(lines.pop(), "", `${what}: the last line has no end`);
    for (const line of lines) {
      JSON.parse(line);
    }
  } else if (headers["content-type"] === "application/x-pem-file") {
    assert.match(text, /^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=]+\n-----END PUBLIC KEY-----\n$/, what);
  } else if (headers["content-type"] === "application/atom+xml; charset=utf-8") {
    assert.match(text, /^<\?xml version="1\.0" encoding="utf-8"\?>\n<feed .*<\/feed>\n$/s, `${what}: no feed`);
  } else if (headers["content-type"] === METRICS) {
    assert.match(text, /^[^\0\r]*\n$/, `${what}: not lines`);
  } else {
    assert.match(
      headers["content-type"],
      /^application\/(problem\+json|http-message-signatures-directory\+json|json)$/,
      `${what}: Content-Type`,
    );
    JSON.parse(text);
  }
}

/** A body that may be piped into an interpreter: ASCII and LF, and one that fails if the status is an error. */
function isScript(text, status, what) {
  assert.match(text, /^[\n\x20-\x7e]+$/, `${what}: not ASCII with LF`);
  if (status !== 200) {
    assert.match(
      text,
      /^#!\/bin\/sh\nprintf '%s\\n' '[^']+' >&2\nexit 1\n$|^\[Console\]::Error\.WriteLine\('[^']+'\)\nexit 1\n$/,
      `${what}: not a script that fails`,
    );
  }
}

/**
 * Sends bytes as they are, for requests that no client library would make.
 *
 * @returns the answer, unchecked: some of these are refused before the Worker sees them
 */
export async function askRaw(origin, bytes) {
  const { hostname, port } = new URL(origin);
  const chunks = [];
  await new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.setTimeout(20_000, () => socket.destroy(new Error("no answer in 20 s")));
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", resolve);
    socket.write(bytes);
  });
  const whole = Buffer.concat(chunks);
  const split = whole.indexOf("\r\n\r\n");
  assert.notEqual(split, -1, `no answer to ${String(bytes).slice(0, 80)}`);
  const [first, ...lines] = whole.toString("latin1", 0, split).split("\r\n");
  const headers = {};
  for (const line of lines) {
    const [, name, value] = /^([^:]+): ?(.*)$/.exec(line);
    headers[name.toLowerCase()] = value;
  }
  const body = whole.subarray(split + 4);
  return { status: Number(first.split(" ")[1]), headers, body, text: body.toString("utf8") };
}

/**
 * Asks again and again until the answer is as wanted: for what becomes true in the background.
 *
 * @param look gives the answer
 * @param wanted throws as long as it is not yet right; its last complaint is reported
 */
export async function eventually(look, wanted, seconds = 15) {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await look();
    try {
      await wanted(answer);
      return answer;
    } catch (error) {
      if (performance.now() > end) {
        error.message += `\n(still so after ${seconds} s)`;
        throw error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Runs `task` for every item, `width` at a time, and gives the results in the items' order. */
export async function each(items, task, width = 32) {
  const queue = items.entries();
  const results = new Array(items.length);
  const worker = async () => {
    for (const [index, item] of queue) {
      results[index] = await task(item, index);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}

/**
 * Returns when the clock's minute has some seconds left: rate limits are simulated by that minute, and count from nothing
 * in the next one.
 */
export async function roomInMinute(seconds = 15) {
  const left = 60_000 - (Date.now() % 60_000);
  if (left < seconds * 1000) {
    await new Promise((resolve) => setTimeout(resolve, left));
  }
}

export function closeConnections() {
  shared.destroy();
}
