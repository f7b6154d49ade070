//! What people are told: the texts, and their way from the outbox to the webhook.

use crate::api::ports::{Alert, Batch, Delivery, Store, StoreError};
use crate::core::ledger::event::Row;
use crate::core::ledger::{Live, turned};
use crate::core::time::Timestamp;

use super::ledger::Ledger;

/// For this long nobody else delivers an alert whose delivery has begun. Longer than a webhook may
/// take.
const LEASE_MS: u64 = 30_000;

/// The wait after the first failed delivery; it doubles up to an hour.
const FIRST_RETRY_MS: u64 = 2_000;
const LAST_RETRY_MS: u64 = 3_600_000;

impl<S: Store> Ledger<S> {
    /// The alert to be delivered next, if one is due. It is nobody else's until its lease ends, so
    /// that a crash sends it late rather than never, and a slow webhook gets it once.
    pub fn begin_delivery(&mut self, now: Timestamp) -> Result<Option<Alert>, StoreError> {
        let due = |alert: &Alert| alert.next <= now;
        let Some(alert) = self.store.alerts(1)?.pop().filter(due) else {
            return Ok(None);
        };
        self.store.write(&Batch {
            deliveries: vec![Delivery::Begun {
                id: alert.id,
                next: now.plus_millis(LEASE_MS),
            }],
            ..Batch::default()
        })?;
        Ok(Some(alert))
    }

    /// Takes in how a delivery went.
    pub fn delivered(
        &mut self,
        alert: &Alert,
        result: Result<(), String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let delivery = match result {
            Ok(()) => Delivery::Done {
                id: alert.id,
                at: now,
            },
            Err(error) => Delivery::Failed {
                id: alert.id,
                next: now
                    .plus_millis((FIRST_RETRY_MS << alert.attempts.min(12)).min(LAST_RETRY_MS)),
                error,
            },
        };
        self.store.write(&Batch {
            deliveries: vec![delivery],
            ..Batch::default()
        })
    }
}

/// What is told about a row.
pub(super) fn alert_text(row: &Row) -> String {
    let Row {
        summary,
        actor,
        revision,
        reason,
        ..
    } = row;
    let by = match actor.role {
        Some(role) => format!("{} ({role})", actor.label),
        None => actor.label.clone(),
    };
    let because = if reason.is_empty() {
        String::new()
    } else {
        format!(" Reason: {reason}.")
    };
    format!("{summary}, by {by}.{because} Revision {revision}.")
}

/// The kill switches that a row turns.
pub(super) fn turned_texts(before: &Live, after: &Live, row: &Row) -> Vec<String> {
    let (on, off) = turned(&before.state.document, &after.state.document);
    let by = &row.actor.label;
    let text = |name, what| {
        let revision = row.revision;
        format!("Kill switch {name} was turned {what}, by {by}. Revision {revision}.")
    };
    let on = on.into_iter().map(|name| text(name, "on"));
    on.chain(off.into_iter().map(|name| text(name, "off")))
        .collect()
}
