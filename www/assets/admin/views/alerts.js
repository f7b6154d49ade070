// What people were told, and how the router is.
import { h } from "../../dom.js";
import { num, relative, when, words } from "../../format.js";
import { badge, card, empty, facts, faults, note, soft, table } from "../parts.js";

const PUBLISHING = { in_sync: "good", pending: "warn", empty: "quiet" };

function outbox(ops) {
  const { alerts, publishing } = ops;
  return [
    card(
      "Delivery",
      facts([
        ["Webhook", alerts.webhook ? badge("set", "good") : badge("not set", "warn")],
        ["Wait", num(alerts.pending)],
        ["Delivered", num(alerts.delivered)],
        alerts.oldest && ["Oldest that waits", when(alerts.oldest)],
        alerts.last_error && ["Last error", alerts.last_error],
      ]),
    ),
    card(
      "Publishing to KV",
      facts([
        ["State", badge(publishing.state, PUBLISHING[publishing.state] ?? "stop")],
        ["Ledger", `revision ${num(ops.revision)}`],
        publishing.published && [
          "KV",
          `revision ${num(publishing.published.revision)}, `,
          when(publishing.published.at, true),
        ],
        publishing.behind > 0 && ["Behind", num(publishing.behind)],
        publishing.error && ["Error", publishing.error],
        publishing.failing_since && ["Failing since", when(publishing.failing_since)],
      ]),
      publishing.problems.length > 0 && [soft("A person’s edit of KV cannot be used:"), faults(publishing.problems)],
    ),
  ];
}

function checks(health) {
  const items = Object.entries(health?.checks ?? {});
  return card(
    "Health",
    items.length === 0
      ? empty("The router’s health cannot be read now.")
      : table(
          "Checks",
          ["Check", "State", "What it says"],
          items.map(([name, check]) => [
            words(name),
            check.ok ? badge("ok", "good") : badge("not ok", "stop"),
            [check.detail, check.problems?.length > 0 && faults(check.problems)],
          ]),
        ),
  );
}

function told(alerts) {
  if (alerts === null)
    return card("Alerts", empty("This router does not list its alerts; the webhook and the audit log have them."));
  return card(
    "Alerts",
    !alerts.webhook &&
      note(
        "warn",
        h("p", {}, "Nobody is told: ALERT_WEBHOOK is not set. Alerts wait until it is:"),
        h("pre", { tabindex: "0" }, "npx wrangler secret put ALERT_WEBHOOK"),
      ),
    alerts.alerts.length === 0
      ? empty("Nobody had to be told of anything.")
      : table(
          "Alerts",
          ["What", "When", "Delivered", ["Tries", "n"]],
          alerts.alerts.map((alert) => [
            alert.text,
            [when(alert.at, true), h("p", { class: "soft" }, relative(alert.at))],
            alert.delivered_at
              ? when(alert.delivered_at, true)
              : [
                  badge("waits", "warn"),
                  alert.next_attempt_at && h("p", { class: "soft" }, `next try ${relative(alert.next_attempt_at)}`),
                ],
            num(alert.attempts),
          ]),
        ),
  );
}

async function health() {
  try {
    // With 503 it is an answer, too.
    return await (await fetch("/health", { cache: "no-store", credentials: "omit" })).json();
  } catch {
    return null;
  }
}

export async function view(view) {
  const [alerts, ops, checked] = await Promise.all([
    view.perhaps("/admin/alerts", { limit: 50 }, (error) => {
      if (error.status === 404) return null;
      throw error;
    }),
    view.read("/ops/status.json"),
    health(),
  ]);
  return [told(alerts), outbox(ops), checks(checked)];
}
