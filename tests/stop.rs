//! The `emergency-stop` key: every value stops at least what it names, and never nothing.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::core::stop::Stop;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{config, decided, snapshot};

/// Three releases: two that offer builds of their own, and one that offers what another does.
fn world() -> Value {
    json!({"releases": {
        "v1.1.0-beta": {"version": "1.1.0-beta.2", "percentage": 100, "state": "active"},
        "early": {"version": "1.1.0-beta.1", "percentage": 100, "state": "active"},
        "also-early": {"version": "1.1.0-beta.1", "percentage": 100, "state": "paused"},
    }})
}

const NAMES: [&str; 3] = ["also-early", "early", "v1.1.0-beta"];

/// `"none"`, `"all"`, `"all (unread)"`, or the names.
fn show(stop: &Stop) -> String {
    match stop {
        Stop::None => "none".to_owned(),
        Stop::All { unread: false } => "all".to_owned(),
        Stop::All { unread: true } => "all (unread)".to_owned(),
        Stop::Releases(names) => {
            let names: Vec<&str> = names.keys().map(|name| name.as_str()).collect();
            names.join(" ")
        }
    }
}

#[test]
fn every_value_of_the_key() {
    let config = config(&world());
    let check = |value: Option<&str>, expect: &str| {
        let stop = Stop::parse(value, Some(&config));
        assert_eq!(show(&stop), expect, "{value:?}");
    };
    check(None, "none");
    check(Some("all"), "all");
    // What a shell's `echo all |` or an editor leaves around it.
    for value in ["all\n", " all ", "\tall\r\n", "all,", ",all"] {
        check(Some(value), "all");
    }
    check(Some("early"), "early");
    check(Some("v1.1.0-beta\n"), "v1.1.0-beta");
    for value in [
        "early,v1.1.0-beta",
        "early v1.1.0-beta",
        " early ,\n\tv1.1.0-beta,,",
        "v1.1.0-beta\r\nearly\r\nearly",
        "early\u{a0}v1.1.0-beta",
    ] {
        check(Some(value), "early v1.1.0-beta");
    }
    // The version that a release offers names that release, or those releases.
    check(Some("1.1.0-beta.2"), "v1.1.0-beta");
    check(Some("1.1.0-beta.1"), "also-early early");
    check(Some("1.1.0-beta.2 early"), "early v1.1.0-beta");

    // Whatever cannot be read could be the name of the release that has to stop.
    for value in [
        "",
        " ",
        ",",
        "\n",
        "\0",
        "ALL",
        "All",
        "all!",
        "\"all\"",
        "all early",
        "*",
        "true",
        "false",
        "none",
        "off",
        "0",
        "no",
        "Early",
        "v1.1.0-bta",
        "early,v9",
        "early;v1.1.0-beta",
        "1.0.4",
        "v1.1.0-beta.2",
        "1.1.0-beta",
        "{\"stop\":false}",
        "\u{feff}all",
        "пожар",
        "🔥",
    ] {
        check(Some(value), "all (unread)");
    }

    // Without a configuration no name is known.
    assert_eq!(show(&Stop::parse(None, None)), "none");
    assert_eq!(show(&Stop::parse(Some("all"), None)), "all");
    assert_eq!(show(&Stop::parse(Some("early"), None)), "all (unread)");
}

/// The decisions agree: what is covered is not offered, and the rest still is.
#[test]
fn a_stop_is_felt_at_once() {
    let check = |stop: Option<&str>, expect: &str| {
        assert_eq!(
            decided(&snapshot(&world(), stop), "inside"),
            expect,
            "{stop:?}"
        );
        // At 100 % also who has no unit is in, and must get out again.
        assert_eq!(decided(&snapshot(&world(), stop), ""), expect, "{stop:?}");
    };
    check(None, "1.1.0-beta.2 bucket");
    check(Some("v1.1.0-beta"), "1.1.0-beta.1 bucket");
    check(Some("early"), "1.1.0-beta.2 bucket");
    check(Some("v1.1.0-beta 1.1.0-beta.1"), "1.0.4 emergency_stop");
    check(Some("all"), "1.0.4 emergency_stop");
    check(Some("garbage"), "1.0.4 emergency_stop");
    check(Some(""), "1.0.4 emergency_stop");
}

fn words() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        proptest::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
        proptest::sample::select(vec!["1.1.0-beta.1", "1.1.0-beta.2", "all", "1.0.4", "v9"])
            .prop_map(str::to_owned),
        "[a-z0-9.-]{0,12}",
        any::<String>(),
    ];
    proptest::collection::vec(word, 0..6)
}

proptest! {
    #[test]
    fn a_value_stops_at_least_what_it_names(words in words(), separator in "[, \\n\\t]{1,3}") {
        let config = config(&world());
        let stop = Stop::parse(Some(&words.join(&separator)), Some(&config));
        for (name, release) in config.releases.iter() {
            let named = |word: &String| {
                word == "all" || word == name.as_str() || *word == release.version.to_string()
            };
            if words.iter().any(named) {
                prop_assert!(stop.covers(name), "{words:?} lets {name} through");
            }
        }
    }

    #[test]
    fn no_value_stops_nothing(value: String) {
        let config = config(&world());
        let stop = Stop::parse(Some(&value), Some(&config));
        prop_assert!(config.releases.keys().any(|name| stop.covers(name)));
    }
}
