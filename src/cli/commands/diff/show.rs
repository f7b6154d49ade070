//! How a comparison is shown.

use serde_json::{Value, json};

use crate::cli::output::{Output, bold, dim, items, plain, shown, text_of, warn};
use crate::core::compare::{FeatureCount, Group, Histogram, Tally};
use crate::core::ids::FlagKey;
use crate::core::impact::Share;

/// The longest bar of a histogram, in characters.
const BAR: u64 = 40;

/// So many of all, as a share from 0 to 1.
pub fn part(count: u64, of: u64) -> f64 {
    match of {
        0 => 0.0,
        of => count as f64 / of as f64,
    }
}

/// A share as a percentage with as many decimals as it needs, at most three.
pub fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The shares side by side, then what is behind them.
pub fn show(out: &Output, answer: &Value, sampled: Option<&Tally>, given: Option<&Tally>) {
    let exact = answer.get("exact").unwrap_or(&Value::Null);
    let populations = [("sampled", sampled), ("given", given)];
    let populations: Vec<(&str, &Tally)> = populations
        .iter()
        .filter_map(|(name, tally)| Some((*name, (*tally)?)))
        .collect();
    let head = populations
        .iter()
        .map(|(name, tally)| format!("{} {}", tally.ids, name.to_uppercase()));
    let head: Vec<String> = ["".to_owned(), "EXACT".to_owned()]
        .into_iter()
        .chain(head)
        .collect();
    let count = |tally: &Tally, name: &str| match name {
        "enter" => tally.enter,
        "leave" => tally.leave,
        "switch" => tally.switch,
        _ => tally.stay,
    };
    let rows = ["enter", "leave", "switch", "stay"].map(|name| {
        let mut row = vec![name.to_owned(), format!("{} %", text_of(exact, name))];
        let shares = populations.iter();
        row.extend(shares.map(|(_, tally)| percent(part(count(tally, name), tally.ids))));
        row
    });
    out.table(&head.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    for step in items(exact, "moves") {
        let part = |name| text_of(step, name);
        out.line(format!(
            "{} % go from {} to {}",
            part("share"),
            part("from"),
            part("to")
        ));
    }
    let listed = exact.get("listed").unwrap_or(&Value::Null);
    let some = |name: &str| listed.get(name).and_then(Value::as_u64).unwrap_or(0) > 0;
    if ["enter", "leave", "switch"].into_iter().any(some) {
        let part = |name| text_of(listed, name);
        out.line(format!(
            "of {} on lists {} enter, {} leave, {} switch",
            part("people"),
            part("enter"),
            part("leave"),
            part("switch"),
        ));
    }
    for (name, tally) in populations {
        if tally.builds + tally.flags == 0 && tally.features.is_empty() {
            continue;
        }
        out.line(format!("\nof {} ids, {name}:", tally.ids));
        show_features(out, tally);
        for histogram in tally.histograms() {
            show_histogram(out, histogram);
        }
        show_groups(out, &tally.groups());
    }
}

fn show_features(out: &Output, tally: &Tally) {
    if tally.features.is_empty() {
        return;
    }
    let row = |((release, key), count): (&(String, FlagKey), &FeatureCount)| {
        let exact = |share: fn(&FeatureCount) -> Option<Share>| {
            share(count).map_or_else(|| "-".to_owned(), |s| format!("{} %", shown(&json!(s))))
        };
        let sampled = |count: u64| percent(part(count, tally.ids));
        vec![
            key.to_string(),
            release.clone(),
            exact(|count| Some(count.exact.as_ref()?.on)),
            sampled(count.on),
            exact(|count| Some(count.exact.as_ref()?.off)),
            sampled(count.off),
            sampled(count.other),
        ]
    };
    let rows: Vec<Vec<String>> = tally.features.iter().map(row).collect();
    let head = [
        "FLAG",
        "OF",
        "ON, EXACT",
        "ON",
        "OFF, EXACT",
        "OFF",
        "OTHER VALUE",
    ];
    out.table(&head, &rows);
}

fn show_histogram(out: &Output, histogram: &Histogram) {
    let name = &histogram.decider.name;
    let most = histogram.changed.iter().copied().max().unwrap_or(0).max(1);
    let step = 100 / histogram.changed.len().max(1);
    let bins = histogram.changed.iter().enumerate();
    let bins = bins.map(|(at, count)| (at * step, (at + 1) * step, *count));
    if !out.is_terminal() {
        let rows = bins.filter(|(.., count)| *count > 0);
        let rows = rows.map(|(from, to, count)| {
            vec![name.clone(), format!("{from}-{to} %"), count.to_string()]
        });
        out.table(&[], &rows.collect::<Vec<_>>());
        return;
    }
    out.line(format!("\nbuckets of {} that change", bold(name)));
    // With one empty bar around what there is.
    let some = |count: &u64| *count > 0;
    let first = histogram.changed.iter().position(some).unwrap_or(0);
    let last = histogram.changed.iter().rposition(some).unwrap_or(0);
    let bins = bins.take(last + 2).skip(first.saturating_sub(1));
    for (from, to, count) in bins {
        let bar = "█".repeat(usize::try_from(count * BAR / most).unwrap_or_default());
        let count = dim(&count.to_string());
        out.line(format!("{from:>4} – {to:>3} %  {bar} {count}"));
    }
}

fn show_groups(out: &Output, groups: &[&Group]) {
    if groups.is_empty() {
        return;
    }
    let row = |group: &&Group| {
        vec![
            group.decider.name.clone(),
            format!("{} → {}", group.before, group.after),
            group.cause.as_str().to_owned(),
            group.ids.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = groups.iter().map(row).collect();
    if out.is_terminal() {
        out.line("");
    }
    out.table(&["DECIDES OTHERWISE", "RULE", "CAUSE", "IDS"], &rows);
    let outliers = groups.iter().filter(|group| group.cause.is_outlier());
    let outliers: Vec<Vec<String>> = outliers
        .flat_map(|group| {
            let name = &group.decider.name;
            group.examples.iter().map(move |example| {
                vec![
                    plain(&example.id),
                    name.clone(),
                    format!("{} → {}", example.from, example.to),
                    example.before.clone(),
                    example.after.clone(),
                ]
            })
        })
        .collect();
    if !outliers.is_empty() {
        out.line(warn("outliers: no percentage explains these"));
        out.table(&["ID", "OF", "GETS", "BEFORE", "AFTER"], &outliers);
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_are_shown_in_percent() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.005), "0.5 %");
        assert_eq!(percent(0.25), "25 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(1.0 / 3.0), "33.333 %");
    }
}
