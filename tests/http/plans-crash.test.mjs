// The runtime killed while a plan is decided about: no stage is entered twice or passed over, and no alert is lost.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeConnections } from "../support/http.mjs";
import { call, client, folder, log, withHands } from "../support/ledger.mjs";
import { HOUR, START } from "../support/plans.mjs";
import { random } from "../support/random.mjs";
import { ADMIN_TOKEN } from "../support/router.mjs";

const RELEASE = "/rollout/v1.1.0-beta";
const STAGES = 8;

const PLAN = {
  name: "steps",
  stages: Array.from({ length: STAGES }, (_, i) => ({
    id: `step_${i}`,
    percentage: 10 * (i + 1),
    soak: { min_hours: 1 },
  })),
  policy: { lead_minutes: { advance: 0 }, max_percentage: 100 },
};

test("killed during decisions", { timeout: 180_000 }, async (t) => {
  const chance = random(20_261_122);
  const persist = folder();
  let router = await withHands({ persist, config: START });
  let moved = 0;
  const pass = async (ms) => {
    moved += ms;
    await router.control({ advance: ms });
  };
  try {
    await router.control({ tick: true });
    await router.admin.post(`${RELEASE}/plan`, { plan: PLAN, start: true });
    const before = (await router.admin.get("/ops/status.json")).alerts.pending;
    let unanswered = 0;
    for (let round = 0; round < STAGES + 3; round++) {
      await pass(2 * HOUR);
      // A person, the bot and cron at once, and the machine fails meanwhile.
      const asked = [0, 1, 2, 3].map(() =>
        call(router.direct, ADMIN_TOKEN, "POST", `${RELEASE}/evaluate`, {}).catch(() => {
          unanswered += 1;
        }),
      );
      const ticked = router.control({ tick: true }).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, chance.below(200)));
      router.kill();
      await Promise.all([...asked, ticked]);
      await router.end().catch(() => {});
      router = await withHands({ persist });
      await router.control({ advance: moved });
      const { ok, detail } = await client(router.direct).get("/admin/audit/verify");
      assert.equal(ok, true, detail);
    }
    // What was held up by that goes on.
    for (let i = 0; i < STAGES; i++) {
      await pass(2 * HOUR);
      await router.control({ tick: true });
    }
    const rows = await log(router.direct);
    const entered = rows.flatMap(({ changes }) =>
      changes.flatMap(({ merge }) => merge?.releases?.["v1.1.0-beta"]?.percentage ?? []),
    );
    assert.deepEqual(
      entered,
      PLAN.stages.map(({ percentage }) => percentage),
    );
    const { status } = await router.admin.get(`${RELEASE}/plan`);
    assert.equal(status, "complete");
    // Each stage but the first, which was there before, and that the plan is complete.
    const told = (await router.admin.get("/ops/status.json")).alerts.pending - before;
    assert.equal(told, STAGES - 1 + 1);
    t.diagnostic(`${STAGES + 3} kills, ${unanswered} calls without an answer`);
  } finally {
    await router.end().catch(() => {});
  }
});

after(closeConnections);
