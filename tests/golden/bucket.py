"""The bucketing algorithm, version 1, written a second time and from its description alone.

    python3 tests/golden/bucket.py            checks bucket.json
    python3 tests/golden/bucket.py --write    writes it anew
    python3 tests/golden/bucket.py SALT KIND TEXT PURPOSE ROLLOUT
                                              prints unit hash, rollout hash and bucket of one

Only the standard library is used: SHA-256 from hashlib, SipHash-2-4 from the paper (Aumasson and
Bernstein, 2012; checked below with the vector of its appendix A). A port is right when it agrees
with every line of bucket.json. That file may grow; no line of it may ever change, because a change
would move people between arms.
"""

import hashlib
import ipaddress
import json
import pathlib
import sys

FILE = pathlib.Path(__file__).with_name("bucket.json")
MASK = (1 << 64) - 1


def siphash_2_4(key, message):
    def rotl(x, n):
        return (x << n | x >> (64 - n)) & MASK

    def rounds(v, n):
        a, b, c, d = v
        for _ in range(n):
            a = (a + b) & MASK
            c = (c + d) & MASK
            b, d = rotl(b, 13) ^ a, rotl(d, 16) ^ c
            a = rotl(a, 32)
            c = (c + b) & MASK
            a = (a + d) & MASK
            b, d = rotl(b, 17) ^ c, rotl(d, 21) ^ a
            c = rotl(c, 32)
        return a, b, c, d

    k0, k1 = (int.from_bytes(key[i : i + 8], "little") for i in (0, 8))
    v = (k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
         k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573)
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 255])
    for at in range(0, len(padded), 8):
        block = int.from_bytes(padded[at : at + 8], "little")
        v = rounds((v[0], v[1], v[2], v[3] ^ block), 2)
        v = (v[0] ^ block, *v[1:])
    v = rounds((v[0], v[1], v[2] ^ 0xFF, v[3]), 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def unit_bytes(kind, text):
    """The kind byte and the bytes that stand for the requester."""
    if kind == "id":
        return b"i", text.encode()
    address = ipaddress.ip_address(text)
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    return (b"4", address.packed) if address.version == 4 else (b"6", address.packed[:8])


def unit_hash(salt, kind, text):
    return hashlib.sha256(salt + b"".join(unit_bytes(kind, text))).digest()[:16]


def rollout_hash(purpose, rollout):
    parts = (part.encode() for part in (purpose, rollout))
    return hashlib.sha256(b"".join(len(p).to_bytes(4, "big") + p for p in parts)).digest()[:8]


def bucket(unit, rollout):
    return siphash_2_4(unit, rollout) * 100_000 >> 64


SALTS = ["00" * 16, "000102030405060708090a0b0c0d0e0f", "ff" * 16]

UNITS = [
    ("id", "a"),
    ("id", "alice"),
    ("id", "Alice"),
    ("id", " "),
    ("id", "4c0a2f6e-8d0b-4c8e-9f57-2f5b1f4d7a10"),
    # 16 bytes of salt, the kind and 38 of id just fit into one SHA-256 block; 39 need two.
    ("id", "x" * 38),
    ("id", "x" * 39),
    ("id", "x" * 102),
    ("id", "x" * 103),
    ("id", "y" * 256),
    ("id", "é"),
    # The same letter as e and a combining accent: other bytes, so another requester.
    ("id", "e\u0301"),
    ("id", "名前-🦀"),
    ("id", "192.0.2.7"),
    ("address", "192.0.2.7"),
    ("address", "::ffff:192.0.2.7"),
    ("address", "::ffff:c000:207"),
    ("address", "0.0.0.0"),
    ("address", "255.255.255.255"),
    ("address", "2001:db8:1:2:3:4:5:6"),
    ("address", "2001:db8:1:2::"),
    ("address", "2001:DB8:1:2:FFFF:FFFF:FFFF:FFFF"),
    ("address", "2001:db8:1:3::"),
    ("address", "::1"),
]

ROLLOUTS = [
    ("gate", "release/v1.1.0-beta"),
    ("gate", "release/v1.2.0-beta"),
    ("gate", "feature/validation_retry"),
    ("gate", ""),
    ("gate", "a1"),
    ("gate", "a12"),
    ("variant", "a1"),
    ("cohort", "feature/*"),
    ("holdout", "a1"),
    ("gate", "r" * 72),
    ("experiment", "experiment/confidence_threshold"),
    ("count", "experiment/confidence_threshold"),
]

# Ids whose buckets lie at an edge under the second salt and the first rollout: found by counting.
EDGES = [("lowest", 0), ("highest", 99_999)]


def find(salt, rollout, wanted):
    n = 0
    while bucket(unit_hash(salt, "id", f"edge-{n}"), rollout) != wanted:
        n += 1
    return f"edge-{n}"


def generate():
    units = [
        {"salt": salt, "kind": kind, "text": text,
         "hash": unit_hash(bytes.fromhex(salt), kind, text).hex()}
        for salt in SALTS
        for kind, text in UNITS
    ]
    salt, rollout = SALTS[1], rollout_hash(*ROLLOUTS[0])
    for _, wanted in EDGES:
        text = find(bytes.fromhex(salt), rollout, wanted)
        units.append({"salt": salt, "kind": "id", "text": text,
                      "hash": unit_hash(bytes.fromhex(salt), "id", text).hex()})
    rollouts = [{"purpose": p, "id": r, "hash": rollout_hash(p, r).hex()} for p, r in ROLLOUTS]
    buckets = [
        [bucket(bytes.fromhex(u["hash"]), bytes.fromhex(r["hash"])) for r in rollouts]
        for u in units
    ]
    return {
        "about": "Bucketing, algorithm 1. Made by bucket.py; buckets[u][r] is unit u in rollout r.",
        "algorithm": 1,
        "units": units,
        "rollouts": rollouts,
        "buckets": buckets,
    }


def write(document):
    """One line for each vector, so that a change shows as one."""
    lines = ["{"]
    for key, value in document.items():
        if isinstance(value, list):
            rows = ",\n".join(f"    {json.dumps(row, ensure_ascii=True)}" for row in value)
            lines.append(f'  "{key}": [\n{rows}\n  ],')
        else:
            lines.append(f'  "{key}": {json.dumps(value)},')
    lines[-1] = lines[-1].rstrip(",")
    return "\n".join([*lines, "}"]) + "\n"


def main(arguments):
    paper = siphash_2_4(bytes(range(16)), bytes(range(15)))
    assert paper == 0xA129CA6149BE45E5, "this SipHash is not the paper's"
    # Joined without their lengths, these two pairs would be one text and share every bucket.
    assert rollout_hash("a1", "2x") != rollout_hash("a12", "x"), "lengths must delimit"
    if len(arguments) == 5:
        salt, kind, text, purpose, rollout = arguments
        unit = unit_hash(bytes.fromhex(salt), kind, text)
        r = rollout_hash(purpose, rollout)
        print(unit.hex(), r.hex(), bucket(unit, r))
    elif arguments == ["--write"]:
        FILE.write_text(write(generate()))
    elif not arguments:
        if json.loads(FILE.read_text()) != generate():
            sys.exit("bucket.json is not what the algorithm gives")
        print("bucket.json agrees")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
