//! The evidence that plans are judged by and people look at, fetched for the ledger.

use worker::Env;

use crate::api::control::evidence::Charted;
use crate::api::control::plans::{Asked, Query};
use crate::core::evidence::series::Chart;
use crate::core::evidence::{self, Span};

use super::gate;

/// Asks the counters.
pub async fn asked(env: &Env, query: Query) -> Asked {
    let spans = query.spans.iter().map(|(from, to)| Span {
        from: *from,
        to: *to,
    });
    let wanted = evidence::Query {
        release: query.release.to_string(),
        spans: spans.collect(),
    };
    let answer = gate::evidence(env, &wanted).await.map(|spans| {
        let of = |rows: &Vec<_>| evidence::evidence(rows, query.share);
        spans.iter().map(of).collect()
    });
    Asked { query, answer }
}

/// The same for a chart.
pub async fn charted(env: &Env, chart: Chart) -> Charted {
    let answer = gate::chart(env, &chart).await;
    Charted { chart, answer }
}
