// Many writers at once: nothing is lost, nothing is made twice.
import assert from "node:assert/strict";
import { Agent } from "node:http";
import { after, before, describe, test } from "node:test";
import { askJson, closeConnections, each } from "../support/http.mjs";
import { call, client, isSound, tick } from "../support/ledger.mjs";
import { ADMIN_TOKEN, start } from "../support/router.mjs";
import { WORLD } from "../support/world.mjs";

const WRITERS = 200;

describe("writers at once", () => {
  let router;
  let admin;
  // As many connections as there are writers.
  const agent = new Agent({ keepAlive: true });
  before(async () => {
    router = await start({ config: WORLD });
    admin = client(router.direct);
    await tick(router);
  });
  after(async () => {
    agent.destroy();
    await router.end();
  });

  /** What one writer adds: a feature of its own, or a member of its own. */
  const change = (i) =>
    i % 4 < 2
      ? ["/features/*", { [`of_writer_${i}`]: { percentage: i % 101 } }]
      : ["/admin/cohorts/internal_test/members", { add: [{ id: `writer-${i}`, label: `writer ${i}` }] }];

  test(`${WRITERS}, half with If-Match: no update is lost`, async (t) => {
    let lost = 0;
    const write = async (_, i) => {
      const [path, body] = change(i);
      if (i % 2 === 0) {
        const { status, json, text } = await call(router.direct, ADMIN_TOKEN, "POST", path, body, {}, { agent });
        assert.equal(status, 200, text);
        return json.revision;
      }
      for (;;) {
        const read = await call(router.direct, ADMIN_TOKEN, "GET", "/admin/cohorts", undefined, {}, { agent });
        const headers = { "If-Match": read.headers.etag };
        const { status, json, text } = await call(router.direct, ADMIN_TOKEN, "POST", path, body, headers, { agent });
        if (status === 200) {
          assert.equal(json.revision, Number(read.headers.etag.slice(1, -1)) + 1, "it was the next one");
          return json.revision;
        }
        assert.equal(status, 412, text);
        assert.ok(json.revision > Number(read.headers.etag.slice(1, -1)));
        lost += 1;
      }
    };
    const begin = performance.now();
    const revisions = await each(Array.from({ length: WRITERS }), write, WRITERS);
    t.diagnostic(`${WRITERS} writes in ${Math.round(performance.now() - begin)} ms; ${lost} lost races were run again`);
    assert.ok(lost > 0, "they did race");

    const rows = await isSound(router);
    // The first row is the adoption of what KV held.
    assert.deepEqual([rows[0].action, rows[0].revision], ["config.adopt", WORLD.revision]);
    assert.deepEqual(
      rows.map((row) => row.revision),
      rows.map((_, i) => WORLD.revision + i),
      "revisions without gaps",
    );
    assert.deepEqual(
      revisions.sort((a, b) => a - b),
      rows.slice(1).map((row) => row.revision),
      "one row for each acknowledged write",
    );

    const config = await admin.get("/admin/config");
    const { labels } = await admin.get("/admin/cohorts/internal_test/members");
    for (let i = 0; i < WRITERS; i += 1) {
      const [, body] = change(i);
      if (body.add) {
        assert.ok(labels.includes(`writer ${i}`), `writer ${i} was lost`);
      } else {
        assert.deepEqual(config.features["*"][`of_writer_${i}`], body[`of_writer_${i}`], `writer ${i} was lost`);
      }
    }
    assert.equal(labels.length, WRITERS / 2 + 1);
  });

  test("the log is in the order of its times", async () => {
    const rows = await admin.log();
    for (const [i, row] of rows.slice(1).entries()) {
      assert.ok(
        Date.parse(row.at) >= Date.parse(rows[i].at),
        `row ${row.seq} (${row.action}) of ${row.at} comes after one of ${rows[i].at}`,
      );
    }
  });

  test("twenty identical requests with one Idempotency-Key: one row, one answer", async () => {
    const before = (await admin.log()).length;
    const send = (body) =>
      call(router.direct, ADMIN_TOKEN, "POST", "/admin/tokens", body, { "Idempotency-Key": "once" }, { agent });
    const body = { role: "viewer", label: "minted once" };
    const answers = await each(Array.from({ length: 20 }), () => send(body), 20);
    const replayed = answers.filter(({ headers }) => headers["idempotent-replayed"] === "true");
    assert.equal(replayed.length, 19);
    assert.equal(new Set(answers.map(({ json }) => json.token.id)).size, 1);
    assert.equal(new Set(answers.map(({ headers }) => headers.etag)).size, 1);
    assert.ok(answers.every(({ status }) => status === 201));
    assert.ok(replayed.every(({ json }) => json.token.secret === undefined || json.token.secret === null));
    const rows = await isSound(router);
    assert.equal(rows.length, before + 1);
    assert.equal((await admin.get("/admin/tokens")).tokens.length, 1);

    const other = await send({ ...body, label: "another" });
    assert.equal(other.status, 422, other.text);
    assert.equal((await admin.log()).length, before + 1);
  });

  test("the same key of another token is another key", async () => {
    const one = await admin.mint("release_manager", "one");
    const send = (token) =>
      call(router.direct, token, "POST", "/features/*", { shared: true }, { "Idempotency-Key": "shared" });
    const first = await send(ADMIN_TOKEN);
    const second = await send(one);
    assert.deepEqual([first.json.changed, second.json.changed], [true, false]);
    assert.equal(second.headers["idempotent-replayed"], undefined);
  });

  test("the edge serves what was written last", async () => {
    const { revision } = await admin.post("/rollout/v1.1.0-beta", { percentage: 60 });
    const rows = await isSound(router);
    assert.equal(rows.at(-1).revision, revision);
    assert.equal(
      (await askJson(router.direct, "/ops/status.json", { headers: { Authorization: `Bearer ${ADMIN_TOKEN}` } })).json
        .rows,
      rows.length,
    );
  });
});

after(closeConnections);
