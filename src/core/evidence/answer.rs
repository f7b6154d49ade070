//! From counters to what gates are asked about.

use super::{Arm, Row, metric};
use crate::core::gate::{Counts, Evidence, Histogram, LATENCY_EDGES_MS};
use crate::core::ids::Percentage;
use crate::core::snapshot::Snapshot;
use crate::core::table::Table;

/// The evidence of a span. `share`: of requesters, the part that should get the release; see [`share`]. Numbers that
/// somebody told are not among the rows.
pub fn evidence(rows: &[Row], share: f64) -> Evidence {
    let (canary, latencies) = counted(rows, Arm::Canary);
    let (control, control_latencies) = counted(rows, Arm::Control);
    // Those that only the bucket decided: a cohort's members get the release whatever the share is.
    let units = |counts: &Table<String, Counts>| {
        let requests = counts.get(metric::REQUESTS);
        requests.map_or(0, |requests| requests.good)
    };
    Evidence {
        canary_units: units(&canary),
        control_units: units(&control),
        canary,
        control,
        latencies,
        control_latencies,
        numbers: Table::default(),
        platforms: platforms(rows),
        share,
    }
}

type Counted = (Table<String, Counts>, Table<String, Histogram>);

fn counted(rows: &[Row], arm: Arm) -> Counted {
    let (mut counts, mut latencies) = Counted::default();
    for row in rows.iter().filter(|row| row.arm == arm) {
        if row.edge == metric::NO_EDGE {
            let entry = entry(&mut counts, &row.metric, Counts::default);
            if let Some(entry) = entry {
                entry.total += row.total;
                entry.good += row.good;
            }
        } else if let Some(entry) = entry(&mut latencies, &row.metric, edges) {
            count_latency(entry, row.edge, row.total);
        }
    }
    for (_, count) in counts.iter_mut() {
        *count = count.capped();
    }
    (counts, latencies)
}

/// As rows have it.
pub(super) fn count_latency(histogram: &mut Histogram, edge: u32, more: u64) {
    match edge {
        metric::BEYOND => histogram.beyond += more,
        edge => histogram.add(edge, more),
    }
}

fn entry<'t, V>(
    table: &'t mut Table<String, V>,
    key: &str,
    make: impl FnOnce() -> V,
) -> Option<&'t mut V> {
    if !table.contains(key) {
        table.insert(key.to_owned(), make());
    }
    table.get_mut(key)
}

/// With every edge, so that each can be asked about.
fn edges() -> Histogram {
    let mut histogram = Histogram::default();
    for edge in LATENCY_EDGES_MS {
        histogram.up_to.insert(edge, 0);
    }
    histogram
}

/// Where the release was installed or used.
fn platforms(rows: &[Row]) -> Table<String, u64> {
    let mut platforms = Table::default();
    for row in rows.iter().filter(|row| row.arm == Arm::Canary) {
        let seen = match row.metric.as_str() {
            metric::INSTALL_SUCCESS => row.good,
            metric::SESSIONS => row.total,
            _ => 0,
        };
        if seen > 0
            && !row.platform.is_empty()
            && let Some(count) = entry(&mut platforms, &row.platform, || 0)
        {
            *count += seen;
        }
    }
    platforms
}

/// Of the requesters that get either a release or the stable version by their bucket alone, the part that should get
/// the release. Newer releases are asked first, and who is in a cohort by percentage is in neither part.
pub fn share(snapshot: &Snapshot, release: &str) -> f64 {
    let part = |percentage: Percentage| f64::from(percentage.thousandths()) / 100_000.0;
    let (mut left, mut canary) = (1.0, 0.0);
    for other in &snapshot.releases {
        let own = other.percentage(snapshot);
        if other.name.as_str() == release {
            canary = left * part(own);
        }
        if other.is_offered(snapshot) {
            let cohorts = other.cohorts.iter().map(|cohort| cohort.percentage);
            left *= 1.0 - part(cohorts.fold(own, Percentage::max));
        }
    }
    if canary > 0.0 {
        canary / (canary + left)
    } else {
        0.0
    }
}
