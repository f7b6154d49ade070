//! The client's rules, without network or disk: who decides a value, when to ask next, what may be asked.

#![cfg(all(feature = "client", not(target_arch = "wasm32")))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use caro_edge::client::merge::{Sources, Table, Told};
use caro_edge::client::schedule::{FLOOR_MS, LONGEST_MS, SKEW_MS, Schedule, retry_after};
use caro_edge::client::{BuildError, Client, Origin, Source, Values, platform};
use caro_edge::core::time::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

const HOUR: u64 = 3_600_000;

const SWITCHES: [(&str, Option<&str>); 3] = [
    ("command_execution_disabled", None),
    ("llm_backends_disabled", Some("embedded_backend")),
    ("telemetry_disabled", Some("telemetry_opt_in")),
];

fn table(json: Value) -> Table {
    let entries = json.as_object().unwrap().clone();
    entries
        .into_iter()
        .map(|(key, value)| (key.parse().unwrap(), value))
        .collect()
}

fn told(json: Value, killed: bool) -> Told {
    Told {
        value: json,
        killed,
        banner: None,
    }
}

type Router = std::collections::BTreeMap<caro_edge::core::ids::FlagKey, Told>;

fn router(entries: &[(&str, Value, bool)]) -> Router {
    let told = |(key, value, killed): &(&str, Value, bool)| {
        (key.parse().unwrap(), told(value.clone(), *killed))
    };
    entries.iter().map(told).collect()
}

fn merged(router: Option<&Router>, [overrides, platform, defaults]: [Value; 3]) -> Values {
    let sources = Sources {
        router,
        overrides: &table(overrides),
        platform: &table(platform),
        defaults: &table(defaults),
    };
    sources.merge()
}

fn show(values: &Values, key: &str) -> (Value, Origin) {
    let feature = values.get(key).unwrap();
    (feature.value.clone(), feature.origin)
}

#[test]
fn who_decides() {
    let all = [
        json!({"f": "override"}),
        json!({"f": "platform"}),
        json!({"f": "default"}),
    ];
    let [o, p, d] = all.clone();
    let router_ = router(&[("f", json!("router"), false)]);
    let none = json!({});
    let check = |values: Values, value: &str, origin| {
        assert_eq!(show(&values, "f"), (json!(value), origin));
    };
    check(
        merged(Some(&router_), all.clone()),
        "override",
        Origin::Override,
    );
    check(
        merged(Some(&router_), [none.clone(), p.clone(), d.clone()]),
        "router",
        Origin::Router,
    );
    check(
        merged(None, [none.clone(), p, d.clone()]),
        "platform",
        Origin::PlatformDefault,
    );
    check(
        merged(None, [none.clone(), none.clone(), d]),
        "default",
        Origin::Default,
    );
    let killed = router(&[("f", json!("off"), true)]);
    check(merged(Some(&killed), all), "off", Origin::Killed);
    assert_eq!(merged(None, [none.clone(), none.clone(), o]).get("g"), None);
}

#[test]
fn a_kill_switch_takes_its_feature_along() {
    for (switch, feature) in SWITCHES {
        let Some(feature) = feature else { continue };
        // By whoever turns it on.
        for place in 0..3 {
            let mut tables = [json!({}), json!({}), json!({})];
            tables[2][feature] = json!(true);
            tables[place][switch] = json!(true);
            let router = router(&[(feature, json!(true), false), (switch, json!(false), false)]);
            let values = merged(Some(&router), tables);
            assert_eq!(show(&values, switch), (json!(true), Origin::Killed));
            assert_eq!(show(&values, feature), (json!(false), Origin::Killed));
            assert!(values.is_killed(feature) && values.is_killed(switch));
        }
        // What is no switch has no value that is surely off.
        let router = router(&[
            (feature, json!("large"), false),
            (switch, json!(true), true),
        ]);
        let values = merged(Some(&router), [json!({}), json!({}), json!({})]);
        assert_eq!(show(&values, feature), (Value::Null, Origin::Killed));
    }
}

#[test]
fn changes_are_what_is_different() {
    let values = |json| merged(None, [json!({}), json!({}), json]);
    let old = values(json!({"same": 1, "gone": true, "other": "a"}));
    let new = values(json!({"same": 1, "came": true, "other": "b"}));
    let changes = serde_json::to_value(old.changes(&new)).unwrap();
    assert_eq!(
        changes,
        json!([
            {"key": "gone", "old": true, "new": null},
            {"key": "other", "old": "a", "new": "b"},
            {"key": "came", "old": null, "new": true},
        ])
    );
    assert_eq!(new.changes(&new), []);
}

/// Some features and the kill switches.
fn key() -> impl Strategy<Value = String> {
    let names = ["a", "b", "embedded_backend", "telemetry_opt_in"];
    let switches = SWITCHES.map(|(name, _)| name);
    prop::sample::select([&names[..], &switches[..]].concat()).prop_map(str::to_owned)
}

fn local() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        Just(json!("x")),
        Just(json!(3))
    ];
    btree_map(key(), value, 0..6).prop_map(|map| json!(map))
}

/// Each feature with a value when it is not killed, and whether it is: then it is off, as a router says.
fn remote() -> impl Strategy<Value = Router> {
    btree_map(key(), (any::<bool>(), any::<bool>()), 0..7).prop_map(|map| {
        let is_switch = |key: &str| SWITCHES.iter().any(|(name, _)| *name == key);
        let entry = |(key, (on, killed)): (String, (bool, bool))| {
            let value = if killed { is_switch(&key) } else { on };
            (key.parse().unwrap(), told(json!(value), killed))
        };
        map.into_iter().map(entry).collect()
    })
}

proptest! {
    /// Whatever anybody says: what is killed is off, and a kill switch that one has on is on.
    #[test]
    fn nothing_turns_on_what_is_killed(router in proptest::option::of(remote()), o in local(), p in local(), d in local()) {
        let values = merged(router.as_ref(), [o.clone(), p.clone(), d.clone()]);
        for (name, feature) in SWITCHES {
            let told = router.as_ref().and_then(|router| router.get(name));
            let on = told.is_some_and(|told| told.value == json!(true))
                || [&o, &p, &d].iter().any(|table| table[name] == json!(true));
            prop_assert_eq!(values.is_killed(name), on);
            if on {
                prop_assert_eq!(&values.get(name).unwrap().value, &json!(true));
                prop_assert!(feature.is_none_or(|f| values.get(f).unwrap().value != json!(true)));
            }
        }
        for (key, _) in router.iter().flatten().filter(|(_, told)| told.killed) {
            let is_switch = SWITCHES.iter().any(|(name, _)| *name == key.as_str());
            prop_assert_eq!(&values.get(key.as_str()).unwrap().value, &json!(is_switch));
            prop_assert!(values.is_killed(key.as_str()));
        }
    }

    /// Between a floor and the interval, whatever happened before; twice as long at most each time.
    #[test]
    fn the_back_off_has_bounds(failures in 0_u32..u32::MAX, interval in 1_000_u64..604_800_000, random: u64, now in 0_i64..4_000_000_000_000) {
        let now = Timestamp::from_millis(now);
        let before = Schedule { failures, ..Schedule::default() };
        let after = before.failed(now, interval, random, None);
        let wait = after.next.millis_since(now);
        prop_assert!(wait <= interval, "{wait}");
        prop_assert!(wait >= FLOOR_MS.min(interval), "{wait}");
        prop_assert!(wait <= FLOOR_MS.saturating_mul(1_u64.checked_shl(failures.saturating_add(1)).unwrap_or(u64::MAX)));
        prop_assert_eq!(after.failures, failures.saturating_add(1));
        prop_assert!(!after.is_due(now, interval));
        prop_assert!(after.is_due(after.next, interval));
    }

    #[test]
    fn after_an_answer_the_interval_give_or_take_a_tenth(interval in 1_000_u64..604_800_000, random: u64) {
        let now = Timestamp::from_millis(1_768_467_600_000);
        let after = Schedule::succeeded(now, interval, random);
        let wait = after.next.millis_since(now);
        prop_assert!(wait.abs_diff(interval) <= interval / 10);
        prop_assert!(!after.is_due(now, interval));
        prop_assert!(after.is_due(after.next, interval));
    }

    /// No clock and no file keeps a client from ever asking again.
    #[test]
    fn nothing_puts_off_for_good(set_at: i64, next: i64, failures: u32, interval in 1_000_u64..604_800_000, now in 0_i64..4_000_000_000_000) {
        let [set_at, next] = [set_at, next].map(Timestamp::from_millis);
        let schedule = Schedule { set_at, next, failures };
        let later = Timestamp::from_millis(now).plus_millis(LONGEST_MS.max(interval + interval / 10) + SKEW_MS);
        let now = Timestamp::from_millis(now);
        prop_assert!(schedule.is_due(now, interval) || schedule.is_due(later, interval));
    }

    /// Files and headers of any kind are refused in words.
    #[test]
    fn any_retry_after(value in ".{0,40}") {
        let understood = retry_after(&value, Timestamp::from_millis(0)).is_some();
        prop_assert!(!understood || value.contains(|c: char| c.is_ascii_digit()));
    }

    #[test]
    fn any_locale(values in vec(proptest::option::of(".{0,12}"), 3)) {
        let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
        let read = |name: &str| values[names.iter().position(|n| *n == name).unwrap()].clone();
        if let Some(tag) = platform::locale(read) {
            prop_assert!(tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{tag}");
        }
    }
}

#[test]
fn a_router_may_ask_for_a_pause() {
    let now: Timestamp = "2026-01-15T09:00:00Z".parse().unwrap();
    assert_eq!(retry_after("120", now), Some(120_000));
    assert_eq!(
        retry_after(" Thu, 15 Jan 2026 09:02:00 GMT", now),
        Some(120_000)
    );
    assert_eq!(retry_after("Wed, 14 Jan 2026 09:02:00 GMT", now), Some(0));
    assert_eq!(retry_after("soon", now), None);
    let wait = |asked| {
        let after = Schedule::default().failed(now, HOUR, 0, Some(asked));
        after.next.millis_since(now)
    };
    assert_eq!(wait(3 * HOUR), 3 * HOUR, "longer than the interval");
    assert_eq!(wait(1), FLOOR_MS, "not sooner than without");
    assert_eq!(wait(u64::MAX), LONGEST_MS);
}

/// Ten failures in a row, with the dice at their highest.
#[test]
fn the_back_off_doubles() {
    let mut schedule = Schedule::default();
    let mut now = Timestamp::from_millis(0);
    let mut minutes = Vec::new();
    for _ in 0..8 {
        schedule = schedule.failed(now, HOUR, u64::MAX, None);
        minutes.push(schedule.next.millis_since(now) / 60_000);
        now = schedule.next;
    }
    assert_eq!(minutes, [2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn languages() {
    let locale = |all: &str, lang: &str| {
        platform::locale(|name| match name {
            "LC_ALL" => Some(all.to_owned()),
            "LANG" => Some(lang.to_owned()),
            _ => None,
        })
    };
    assert_eq!(locale("", "de_DE.UTF-8"), Some("de-DE".into()));
    assert_eq!(locale("sr_RS@latin", "en"), Some("sr-RS".into()));
    assert_eq!(locale("C.UTF-8", "de_DE"), None);
    assert_eq!(locale("", "../../etc"), None);
}

fn built(url: &str) -> Result<Client, BuildError> {
    let builder = Client::builder(url).release("v1.1.0-beta");
    builder.no_cache().no_overrides().build()
}

#[test]
fn wrong_arguments_are_told_at_once() {
    for url in [
        "",
        "get.caro.sh",
        "ftp://get.caro.sh",
        "https://get.caro.sh/prefix",
        "https://get.caro.sh/?x=1",
        "https://user:secret@get.caro.sh",
        // Whoever is on the way could say anything.
        "http://get.caro.sh",
    ] {
        assert!(matches!(built(url), Err(BuildError::Url { .. })), "{url}");
    }
    for url in [
        "https://get.caro.sh",
        "https://get.caro.sh/",
        "http://localhost:8787",
        "http://127.0.0.1:1",
        "http://[::1]:1",
    ] {
        assert!(built(url).is_ok(), "{url}");
    }
    let pem = caro_edge::auth::keys::PublicKey::new([9; 32]).pem();
    let new = || {
        Client::builder("https://get.caro.sh")
            .release("v1")
            .no_cache()
            .no_overrides()
    };
    assert!(new().pem(&pem).build().unwrap().status().signed);
    let plain = Client::builder("http://get.caro.sh")
        .release("v1")
        .pem(&pem);
    assert!(
        plain.no_cache().no_overrides().build().is_ok(),
        "signed, so without TLS"
    );

    let error = |builder: caro_edge::client::Builder| builder.build().unwrap_err();
    assert_eq!(
        error(Client::builder("https://get.caro.sh")),
        BuildError::NoRelease
    );
    assert!(matches!(
        error(new().release("V 1")),
        BuildError::Release { .. }
    ));
    assert!(matches!(
        error(new().id("a".repeat(257))),
        BuildError::Id(_)
    ));
    assert_eq!(error(new().id("grüße")), BuildError::IdCharacters);
    assert_eq!(error(new().id(" a")), BuildError::IdCharacters);
    assert!(
        matches!(error(new().keys([])), BuildError::Keys(_)),
        "an empty list is no opt-out"
    );
    assert!(matches!(error(new().pem("<html>")), BuildError::Keys(_)));
    assert!(matches!(
        error(new().defaults([("A B", true)])),
        BuildError::Default { .. }
    ));
    assert_eq!(error(new().interval(Duration::ZERO)), BuildError::Interval);
    assert_eq!(
        error(new().timeout(Duration::from_secs(61))),
        BuildError::Timeout
    );
}

#[test]
fn without_anything_there_are_safe_defaults() {
    let builder = Client::builder("https://get.caro.sh")
        .release("v1")
        .no_cache()
        .no_overrides();
    let client = builder
        .attributes("macos", "arm64", Some("de-DE & more"))
        .defaults([
            ("telemetry_cloud_sync", json!(false)),
            ("model", json!("small")),
        ])
        .platform_defaults("macos", None, [("model", "metal")])
        .platform_defaults("linux", None, [("model", "cpu")])
        .build()
        .unwrap();
    assert!(client.bool("validation_retry", false));
    assert!(!client.bool("telemetry_opt_in", true));
    assert!(
        client.bool("mlx_backend", false),
        "where there is Apple's GPU"
    );
    assert_eq!(client.string("model", "none"), "metal");
    assert_eq!(client.number("unknown", 0.5), 0.5);
    assert_eq!(client.json("unknown", json!([1])), json!([1]));
    let status = client.status();
    assert_eq!(status.source, Source::Defaults);
    assert_eq!(
        status.url,
        "https://get.caro.sh/features/v1?detail=1&os=macos&arch=arm64&locale=de-DE%20%26%20more"
    );
    // Another type is the reader's default, and is told.
    assert!(client.bool("model", true));
    assert_eq!(client.string("validation_retry", "x"), "x");
    assert_eq!(client.number("model", 2.0), 2.0);
    let warnings = client.status().warnings.join("\n");
    assert!(
        warnings.contains("model was read") && warnings.contains("validation_retry was read"),
        "{warnings}"
    );
}
