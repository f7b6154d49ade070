// What the ledger keeps on the disk: its layout is pinned, because it outlives every version of the router, and what
// somebody changes there is found.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { closeConnections } from "../support/http.mjs";
import { call, chained, client, folder, isSound, startOn, tick } from "../support/ledger.mjs";
import { ADMIN_TOKEN } from "../support/router.mjs";
import { WORLD } from "../support/world.mjs";

/** The file of the ledger's object in a router's storage. */
function file(path) {
  const all = readdirSync(path, { recursive: true, withFileTypes: true });
  const files = all.filter((entry) => entry.isFile() && entry.name.endsWith(".sqlite"));
  const names = files.map((entry) => join(entry.parentPath, entry.name));
  const own = names.filter((name) => {
    const database = new DatabaseSync(name);
    const found = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'log'").get();
    database.close();
    return found !== undefined;
  });
  assert.equal(own.length, 1, `${names}`);
  return own[0];
}

function open(path, body) {
  const database = new DatabaseSync(file(path));
  try {
    return body(database);
  } finally {
    database.close();
  }
}

const STEPS = [
  ["/rollout/v1.1.0-beta", { percentage: 30 }],
  ["/admin/kill-switches", { telemetry_disabled: true, reason: "leaks" }],
  ["/admin/cohorts/internal_test/members", { add: [{ id: "person-77", label: "a tester" }] }],
  ["/rollout/v1.1.0-beta/emergency-stop", { reason: "crashes" }],
];

/** A stopped ledger with six rows and a token; gives its folder and the token. */
async function kept() {
  const path = folder();
  const router = await startOn(path, { config: WORLD });
  try {
    await tick(router);
    const admin = client(router.direct);
    const token = await admin.mint("viewer");
    for (const [at, body] of STEPS) {
      await call(router.direct, ADMIN_TOKEN, "POST", at, body, { "Idempotency-Key": at });
    }
    await isSound(router);
    return { path, token };
  } finally {
    await router.end();
  }
}

const column = (name, type, rest = {}) => ({ name, type, required: false, key: false, ...rest });
const LAYOUT = {
  meta: [column("key", "TEXT", { key: true }), column("value", "TEXT", { required: true })],
  log: [
    column("seq", "INTEGER", { key: true }),
    column("revision", "INTEGER", { required: true }),
    column("at", "INTEGER", { required: true }),
    column("actor", "TEXT", { required: true }),
    column("action", "TEXT", { required: true }),
    column("target", "TEXT", { required: true }),
    column("text", "TEXT", { required: true }),
    column("hash", "TEXT", { required: true }),
  ],
  history: [column("seq", "INTEGER", { key: true }), column("text", "TEXT", { required: true })],
  checkpoint: [column("seq", "INTEGER", { key: true }), column("text", "TEXT", { required: true })],
  answer: [
    column("key", "TEXT", { key: true }),
    column("at", "INTEGER", { required: true }),
    column("text", "TEXT", { required: true }),
  ],
  alert: [
    column("id", "INTEGER", { key: true }),
    column("at", "INTEGER", { required: true }),
    column("text", "TEXT", { required: true }),
    column("attempts", "INTEGER", { required: true }),
    column("next", "INTEGER", { required: true }),
    column("delivered", "INTEGER"),
    column("error", "TEXT"),
  ],
  published: [column("revision", "INTEGER", { key: true }), column("hash", "TEXT", { required: true })],
};

describe("the ledger's file", () => {
  let path;
  let token;
  before(async () => {
    ({ path, token } = await kept());
  });

  test("has these tables", () => {
    open(path, (database) => {
      const names = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
      // The runtime keeps tables of its own.
      const own = names.map(({ name }) => name).filter((name) => !/^(_cf_|sqlite_)/.test(name));
      assert.deepEqual(own.sort(), Object.keys(LAYOUT).sort());
      for (const [table, columns] of Object.entries(LAYOUT)) {
        const found = database.prepare(`PRAGMA table_info(${table})`).all();
        assert.deepEqual(
          found.map(({ name, type, notnull, pk }) => column(name, type, { required: notnull === 1, key: pk === 1 })),
          columns,
          table,
        );
      }
      const indices = database.prepare("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").all();
      assert.deepEqual(indices.map(({ name }) => name).sort(), ["alert_waiting", "answer_at", "log_revision"]);
      const meta = database.prepare("SELECT value FROM meta WHERE key = 'schema'").get();
      assert.equal(meta.value, "2");
    });
  });

  test("has the rows that are exported, chained", () => {
    open(path, (database) => {
      const stored = database.prepare("SELECT * FROM log ORDER BY seq").all();
      const rows = chained(stored.map(({ text, hash }) => `${text.slice(0, -1)},"hash":"${hash}"}`));
      assert.equal(rows.length, 6);
      for (const [i, row] of rows.entries()) {
        const { seq, revision, at, actor, action, target } = stored[i];
        assert.deepEqual(
          [seq, revision, at, actor, action, target],
          [row.seq, row.revision, Date.parse(row.at), row.actor.id, row.action, row.target],
        );
      }
    });
  });

  test("holds no token, no id and no address", () => {
    open(path, (database) => {
      for (const table of Object.keys(LAYOUT)) {
        const text = JSON.stringify(database.prepare(`SELECT * FROM ${table}`).all());
        for (const secret of [token, ADMIN_TOKEN, "person-77"]) {
          assert.ok(!text.includes(secret), `${table} holds ${secret}`);
        }
      }
    });
  });
});

/** What somebody does to the file, and the row that `verify` names. */
const TAMPERINGS = [
  ["a row's text", "UPDATE log SET text = replace(text, '\"percentage\":30', '\"percentage\":90') WHERE seq = 3", 3],
  ["a reason", "UPDATE log SET text = replace(text, 'leaks', 'fine') WHERE seq = 4", 4],
  ["a row's actor column", "UPDATE log SET actor = 'kv' WHERE seq = 4", 4],
  ["a row's hash", "UPDATE log SET hash = prev.hash FROM log AS prev WHERE log.seq = 5 AND prev.seq = 4", 5],
  ["a row that is gone", "DELETE FROM log WHERE seq = 4", 4],
  ["the last row that is gone", "DELETE FROM log WHERE seq = 6", 6],
];
for (const [name, sql, row] of TAMPERINGS) {
  test(`changed by hand: ${name}`, async () => {
    const { path } = await kept();
    open(path, (database) => database.exec(sql));
    const router = await startOn(path);
    try {
      const verified = await client(router.direct).get("/admin/audit/verify");
      assert.deepEqual([verified.ok, verified.broken_at], [false, row], verified.detail);
      assert.ok(verified.detail.length > 10);
      // It can still be read, and stopped.
      const stop = await client(router.direct).post("/rollout/all/emergency-stop", { reason: "somebody was here" });
      assert.equal(stop.changed, true);
    } finally {
      await router.end();
    }
  });
}

test("a file of the first layout is brought up to this one, with what can be known of before", async () => {
  const { path } = await kept();
  open(path, (database) => database.exec("DROP TABLE history; UPDATE meta SET value = '1' WHERE key = 'schema'"));
  const router = await startOn(path);
  try {
    const { json } = await call(router.direct, undefined, "GET", "/history.json");
    assert.deepEqual(
      json.changes.map(({ text }) => text),
      [
        "v1.1.0-beta: emergency stop",
        "v1.1.0-beta: 25 % → 30 %",
        "the stable version is 1.0.4; v1.1.0-beta: version 1.1.0-beta.2 at 25 %",
      ],
    );
    await isSound(router);
  } finally {
    await router.end();
  }
  open(path, (database) => {
    assert.equal(database.prepare("SELECT count(*) AS n FROM history").get().n, 3);
    assert.equal(database.prepare("SELECT value FROM meta WHERE key = 'schema'").get().value, "2");
  });
});

test("a file of a newer router is not touched: the ledger is unavailable, the edge serves on", async () => {
  const { path } = await kept();
  open(path, (database) => database.exec("UPDATE meta SET value = '3' WHERE key = 'schema'"));
  const router = await startOn(path);
  try {
    const answer = await call(router.direct, ADMIN_TOKEN, "POST", "/features/*", { something: true });
    assert.equal(answer.status, 503);
    assert.equal(answer.json.type, "urn:caro-edge:problem:ledger-unavailable");
    const read = await call(router.direct, ADMIN_TOKEN, "GET", "/admin/audit");
    assert.equal(read.status, 503);
    const health = await call(router.direct, undefined, "GET", "/health");
    assert.deepEqual([health.status, health.json.checks.ledger.ok], [200, false]);
  } finally {
    await router.end();
  }
  open(path, (database) => {
    assert.equal(database.prepare("SELECT count(*) AS n FROM log").get().n, 6);
    database.exec("UPDATE meta SET value = '2' WHERE key = 'schema'");
  });
  const again = await startOn(path);
  try {
    assert.equal((await client(again.direct).log()).length, 6);
  } finally {
    await again.end();
  }
});

test("checkpoints: a ledger of 250 rows opens at the same place, and one that was changed is found", {
  timeout: 120_000,
}, async () => {
  const path = folder();
  let router = await startOn(path, { config: WORLD });
  try {
    await tick(router);
    for (let i = 1; i < 250; i += 1) {
      await client(router.direct).post("/features/*", { [`of_row_${i % 10}`]: { percentage: i % 100 } });
    }
    const [rows, config] = [await isSound(router), await client(router.direct).get("/admin/config")];
    assert.equal(rows.length, 250);
    await router.end();
    open(path, (database) => {
      const seqs = database.prepare("SELECT seq FROM checkpoint ORDER BY seq").all();
      assert.deepEqual(
        seqs.map(({ seq }) => seq),
        [100, 200],
      );
    });
    router = await startOn(path);
    assert.deepEqual(await client(router.direct).get("/admin/config"), config);
    assert.deepEqual(await isSound(router), rows);
    await router.end();
    open(path, (database) =>
      database.exec(
        'UPDATE checkpoint SET text = replace(text, \'"v1.1.0-beta":{\', \'"v1.1.0-beta":{"note":1,\') WHERE seq = 100',
      ),
    );
    router = await startOn(path);
    const verified = await client(router.direct).get("/admin/audit/verify");
    assert.deepEqual([verified.ok, verified.broken_at], [false, 100], verified.detail);
  } finally {
    await router.end();
  }
});

after(closeConnections);
