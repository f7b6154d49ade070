// Every call of openapi.json, with what its schemas allow and what they do not, against the real Worker: no 5xx, and no
// answer that the document does not describe. tests/schemathesis says how.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { askJson, eventually } from "../support/http.mjs";
import { ADMIN_TOKEN, root, start } from "../support/router.mjs";

const HOME = `${root}.tools/schemathesis`;
const SCHEMATHESIS = `${HOME}/bin/schemathesis`;
const CONFIG = `${root}tests/golden/config.json`;
const FOLDER = `${root}tests/schemathesis`;

/** How many requests are made at least; fewer would be those of a run that broke off. */
const LEAST = 1200;

let router;
before(async () => {
  router = await start({ handleStructuredLogs: () => {} });
  const answer = await fetch(`${router.direct}/admin/config?reason=import&confirm=1`, {
    method: "PUT",
    headers: { Authorization: `Bearer ${ADMIN_TOKEN}`, "Content-Type": "application/json" },
    body: await readFile(CONFIG),
  });
  assert.equal(answer.status, 200, await answer.text());
  await eventually(
    () => askJson(router.direct, "/status.json"),
    ({ json }) => assert.equal(json.revision, 1),
  );
});
after(() => router?.end());

test("every call answers as openapi.json says", { timeout: 400_000 }, async () => {
  const origin = router.direct;
  const { failed, report } = await run([
    ...["--config-file", `${FOLDER}/schemathesis.toml`],
    ...["run", `${root}www/openapi.json`, "--url", origin],
    ...["--header", `Authorization: Bearer ${ADMIN_TOKEN}`],
  ]);
  assert.ok(!failed, report);
  const made = Number(/(\d+) generated/.exec(report)?.[1] ?? 0);
  assert.ok(made >= LEAST, `only ${made} requests were made:\n${report}`);
});

async function run(options) {
  const environment = {
    ...process.env,
    CARO_ORIGIN: router.direct,
    CARO_TOKEN: ADMIN_TOKEN,
    CARO_CONFIG: CONFIG,
    NO_PROXY: "127.0.0.1",
    PYTHONPATH: FOLDER,
    PYTHONDONTWRITEBYTECODE: "1",
  };
  try {
    const limits = { timeout: 380_000, maxBuffer: 1 << 26 };
    const { stdout } = await promisify(execFile)(SCHEMATHESIS, options, { ...limits, cwd: HOME, env: environment });
    return { failed: false, report: stdout };
  } catch (error) {
    return { failed: true, report: `${error.message.split("\n")[0]}\n${error.stdout}\n${error.stderr}` };
  }
}
