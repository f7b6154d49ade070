// The bucketing algorithm once more, independently of src/core: node's SHA-256 and a SipHash-2-4 after the paper
// (Aumasson and Bernstein, 2012) on BigInt.
import { createHash } from "node:crypto";

const MASK = (1n << 64n) - 1n;
const rotate = (x, by) => ((x << by) | (x >> (64n - by))) & MASK;
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

function round(v) {
  v[0] = (v[0] + v[1]) & MASK;
  v[2] = (v[2] + v[3]) & MASK;
  v[1] = rotate(v[1], 13n) ^ v[0];
  v[3] = rotate(v[3], 16n) ^ v[2];
  v[0] = rotate(v[0], 32n);
  v[2] = (v[2] + v[1]) & MASK;
  v[0] = (v[0] + v[3]) & MASK;
  v[1] = rotate(v[1], 17n) ^ v[2];
  v[3] = rotate(v[3], 21n) ^ v[0];
  v[2] = rotate(v[2], 32n);
}

/** SipHash-2-4 of any message. */
export function sipHash(key, message) {
  const k = [key.readBigUInt64LE(0), key.readBigUInt64LE(8)];
  const constants = ["736f6d6570736575", "646f72616e646f6d", "6c7967656e657261", "7465646279746573"];
  const v = constants.map((c, i) => BigInt(`0x${c}`) ^ k[i % 2]);
  const padded = Buffer.alloc(message.length + 8 - (message.length % 8));
  message.copy(padded);
  padded[padded.length - 1] = message.length & 0xff;
  for (let at = 0; at < padded.length; at += 8) {
    const block = padded.readBigUInt64LE(at);
    v[3] ^= block;
    round(v);
    round(v);
    v[0] ^= block;
  }
  v[2] ^= 0xffn;
  for (let i = 0; i < 4; i += 1) {
    round(v);
  }
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

const length = (text) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Buffer.byteLength(text));
  return bytes;
};

/** The unit of an explicit id. */
export const unitOfId = (id) => ["i", Buffer.from(id, "utf8")];
/** The unit of four octets. */
export const unitOfV4 = (octets) => ["4", Buffer.from(octets)];
/** The unit of an IPv6 address, given as eight 16-bit groups: its /64. */
export const unitOfV6 = (groups) => [
  "6",
  Buffer.from(groups.slice(0, 4).flatMap((group) => [group >> 8, group & 255])),
];

/** 0..=99_999. */
export function bucket(salt, [kind, unit], rolloutId, purpose = "gate") {
  const key = sha256(Buffer.from(salt, "hex"), kind, unit).subarray(0, 16);
  const rollout = sha256(length(purpose), purpose, length(rolloutId), rolloutId).subarray(0, 8);
  return Number((sipHash(key, rollout) * 100_000n) >> 64n);
}
