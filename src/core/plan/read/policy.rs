//! Who may act, and when.

use super::{MAX_ITEMS, choice, items};
use crate::core::decode::{Decoder, Object, Path};
use crate::core::ids::Percentage;
use crate::core::json::Json;
use crate::core::plan::document::{Action, Autonomy, Freeze, MINUTE_MS, Policy};
use crate::core::time::Timestamp;

/// Half of the requesters: further only with a person (seed 000, "Guardrails").
const DEFAULT_MAX: u32 = 50_000;

const DAY_MINUTES: u64 = 1440;

impl Default for Policy {
    /// Seed 000's: it advances and pauses by itself, never rolls back by itself, and says so half an hour before.
    fn default() -> Self {
        Self {
            advance: Autonomy::Act,
            pause: Autonomy::Act,
            step_down: Autonomy::Suggest,
            rollback: Autonomy::Suggest,
            max_percentage: Percentage::from_thousandths(DEFAULT_MAX).unwrap_or_default(),
            lead_advance_ms: 30 * MINUTE_MS,
            lead_rollback_ms: 0,
            on_no_data: Action::Hold,
            on_inconclusive: Action::Hold,
            drain_ms: 0,
            freezes: Vec::new(),
            guard_ms: MINUTE_MS,
            decide_ms: 60 * MINUTE_MS,
        }
    }
}

pub(super) fn policy(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Policy> {
    let mut policy = Policy::default();
    let mut o = d.object(json, at)?;
    o.optional(d, "autonomy", |d, json, at| {
        autonomy(d, &mut policy, json, at)
    });
    let max = o.optional(d, "max_percentage", Decoder::percentage);
    policy.max_percentage = max.unwrap_or(policy.max_percentage);
    o.optional(d, "lead_minutes", |d, json, at| {
        let mut o = d.object(json, at)?;
        time(
            d,
            &mut o,
            "advance",
            MINUTE_MS,
            (0, DAY_MINUTES),
            &mut policy.lead_advance_ms,
        );
        time(
            d,
            &mut o,
            "rollback",
            MINUTE_MS,
            (0, DAY_MINUTES),
            &mut policy.lead_rollback_ms,
        );
        o.finish(d);
        Some(())
    });
    let stays = [("hold", Action::Hold), ("pause", Action::Pause)];
    for (name, field) in [
        ("no_data", &mut policy.on_no_data),
        ("inconclusive", &mut policy.on_inconclusive),
    ] {
        let action = o.optional(d, name, |d, json, at| choice(d, json, at, &stays));
        *field = action.unwrap_or(*field);
    }
    time(
        d,
        &mut o,
        "drain_seconds",
        1000,
        (0, 86_400),
        &mut policy.drain_ms,
    );
    time(
        d,
        &mut o,
        "guard_seconds",
        1000,
        (10, 3600),
        &mut policy.guard_ms,
    );
    time(
        d,
        &mut o,
        "decide_minutes",
        MINUTE_MS,
        (1, DAY_MINUTES),
        &mut policy.decide_ms,
    );
    let freezes = o.optional(d, "freezes", |d, json, at| {
        Some(items(d, json, at, 0..=MAX_ITEMS, freeze))
    });
    policy.freezes = freezes.unwrap_or_default();
    o.finish(d);
    Some(policy)
}

/// A time in units, if it is there.
fn time(
    d: &mut Decoder,
    o: &mut Object<'_, '_>,
    name: &'static str,
    unit_ms: u64,
    (least, most): (u64, u64),
    field: &mut u64,
) {
    let read = o.optional(d, name, |d, json, at| d.integer(json, at, least, most));
    *field = read.map_or(*field, |units| units * unit_ms);
}

fn autonomy(d: &mut Decoder, policy: &mut Policy, json: &Json, at: &Path<'_>) -> Option<()> {
    let mut o = d.object(json, at)?;
    let choices = [("act", Autonomy::Act), ("suggest", Autonomy::Suggest)];
    for (name, field) in [
        ("advance", &mut policy.advance),
        ("pause", &mut policy.pause),
        ("step_down", &mut policy.step_down),
        ("rollback", &mut policy.rollback),
    ] {
        let read = o.optional(d, name, |d, json, at| choice(d, json, at, &choices));
        *field = read.unwrap_or(*field);
    }
    o.finish(d);
    Some(())
}

fn freeze(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Freeze> {
    let mut o = d.object(json, at)?;
    let freeze = match o.has("days") {
        true => {
            let days = o.required(d, "days", |d, json, at| {
                Some(items(d, json, at, 1..=7, day))
            });
            let from_ms = o.required(d, "from", of_day);
            let to_ms = o.required(d, "to", of_day);
            ends_after(d, at, from_ms, to_ms);
            days.zip(from_ms)
                .zip(to_ms)
                .map(|((days, from_ms), to_ms)| Freeze::Weekly {
                    days,
                    from_ms,
                    to_ms,
                })
        }
        false => {
            let from = o.required(d, "from", Decoder::parse::<Timestamp>);
            let to = o.required(d, "to", Decoder::parse::<Timestamp>);
            ends_after(d, at, from, to);
            from.zip(to).map(|(from, to)| Freeze::Between { from, to })
        }
    };
    o.finish(d);
    freeze
}

fn ends_after<T: PartialOrd>(d: &mut Decoder, at: &Path<'_>, from: Option<T>, to: Option<T>) {
    if from.zip(to).is_some_and(|(from, to)| to <= from) {
        d.report(&at.key("to"), "must be after from; a night is two freezes");
    }
}

fn day(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<u8> {
    let days = [
        ("mon", 0),
        ("tue", 1),
        ("wed", 2),
        ("thu", 3),
        ("fri", 4),
        ("sat", 5),
        ("sun", 6),
    ];
    choice(d, json, at, &days)
}

/// A time of the day in UTC, `00:00` to `24:00`, in milliseconds.
fn of_day(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<u64> {
    let parse = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let two = |digits: &str| {
            let is = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            is.then(|| digits.parse::<u64>().ok()).flatten()
        };
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        let of_day = hours * 60 + minutes;
        (minutes < 60 && of_day <= DAY_MINUTES).then_some(of_day * MINUTE_MS)
    };
    let read = json.as_str().and_then(parse);
    if read.is_none() {
        d.report(at, "must be a time of the day in UTC, from 00:00 to 24:00");
    }
    read
}
