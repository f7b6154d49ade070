//! What people are told of a feature that is being rolled out (seed 002, "Rollout Notification").

use super::ids::{FlagKey, Percentage};

/// The sentence; `None` before the feature is for anybody, and once it is for everybody.
pub fn banner(key: &FlagKey, title: Option<&str>, percentage: Percentage) -> Option<String> {
    if percentage == Percentage::ZERO || percentage == Percentage::FULL {
        return None;
    }
    let title = title.map_or_else(|| titled(key.as_str()), str::to_owned);
    Some(format!(
        "{title} is now available for {percentage}% of users."
    ))
}

/// `intent_bar_v1_rollout` is the Intent Bar.
fn titled(key: &str) -> String {
    let mut words: Vec<&str> = key
        .split(['_', '-', '.'])
        .filter(|w| !w.is_empty())
        .collect();
    if words.len() > 1 && words.last() == Some(&"rollout") {
        words.pop();
    }
    let is_version = |word: &&str| {
        word.strip_prefix('v')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    if words.len() > 1 && words.last().is_some_and(is_version) {
        words.pop();
    }
    let capital = |word: &&str| {
        let mut word = (*word).to_owned();
        if let Some(first) = word.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        word
    };
    words.iter().map(capital).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        let said = |key: &str, title: Option<&str>, percentage: f64| {
            let key = key.parse().unwrap();
            banner(&key, title, Percentage::try_from(percentage).unwrap())
        };
        let expected = "Intent Bar is now available for 10% of users.";
        assert_eq!(said("intent_bar_v1_rollout", None, 10.0).unwrap(), expected);
        let expected = "AV1 is now available for 0.5% of users.";
        assert_eq!(
            said("av1_encode_rollout", Some("AV1"), 0.5).unwrap(),
            expected
        );
        let expected = "Live Captions is now available for 50% of users.";
        assert_eq!(said("live-captions.rollout", None, 50.0).unwrap(), expected);
        let expected = "Rollout is now available for 1% of users.";
        assert_eq!(said("rollout", None, 1.0).unwrap(), expected);
        for percentage in [0.0, 100.0] {
            assert_eq!(said("intent_bar", None, percentage), None);
        }
    }
}
