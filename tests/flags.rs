//! The features of one requester. Requesters and buckets: `tests/golden/README.md`.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::core::config::Config;
use caro_edge::core::defaults::Defaults;
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use serde_json::{Value, json};

use support::{merge, values};

const RELEASE: &str = "v1.1.0-beta";

/// The golden document with these features instead of its own.
fn world(features: Value) -> Value {
    let mut base: Value = serde_json::from_str(support::CONFIG).unwrap();
    base["features"] = features;
    base
}

fn with(features: Value, patch: Value) -> Value {
    let mut world = world(features);
    merge(&mut world, &patch);
    world
}

/// The features that are on, by key; `None` if the name is not known.
fn on(snapshot: &Snapshot, name: &str, who: &str) -> Option<String> {
    let (_, set) = snapshot.features(name)?;
    let values = values(snapshot, set, who);
    let on = values.into_iter().filter(|(_, value)| *value == true);
    Some(on.map(|(key, _)| key).collect::<Vec<_>>().join(" "))
}

fn snapshot(world: &Value, stop: Option<&str>) -> Snapshot {
    let config = Config::parse(&world.to_string()).unwrap();
    let stop = Stop::parse(stop, Some(&config));
    Snapshot::new(&config, stop, &Defaults::default())
}

fn check(world: &Value, stop: Option<&str>, who: &str, expect: &str) {
    let got = on(&snapshot(world, stop), RELEASE, who).unwrap();
    assert_eq!(got, expect, "{who}, stop {stop:?}: {}", world["features"]);
}

const CAROS: &str = "confidence_refinement embedded_backend static_matcher validation_retry";

#[test]
fn caros_own_defaults() {
    check(&world(json!({})), None, "inside", CAROS);
    // They need no unit, because they are the same for everybody.
    check(&world(json!({})), None, "", CAROS);
    // All five are said, also the one that is off.
    let snapshot = snapshot(&world(json!({})), None);
    let (_, set) = snapshot.features("1.0.4").unwrap();
    let keys: Vec<&str> = set.keys().map(|key| key.as_str()).collect();
    assert_eq!(
        keys.join(" "),
        "confidence_refinement embedded_backend static_matcher telemetry_opt_in validation_retry"
    );
}

/// Compiled-in defaults, overlaid by everybody's features, overlaid by the release's.
#[test]
fn the_closer_word_counts() {
    let only = |everybody: Value, release: Value| world(json!({"*": everybody, RELEASE: release}));
    let off = "confidence_refinement embedded_backend validation_retry";
    check(
        &only(json!({"static_matcher": false}), json!({})),
        None,
        "",
        off,
    );
    check(
        &only(json!({}), json!({"static_matcher": false})),
        None,
        "",
        off,
    );
    check(
        &only(
            json!({"static_matcher": false}),
            json!({"static_matcher": true}),
        ),
        None,
        "",
        CAROS,
    );
    check(
        &only(
            json!({"static_matcher": true}),
            json!({"static_matcher": false}),
        ),
        None,
        "",
        off,
    );
    // The closer word replaces the other whole: no field shines through.
    let gated = json!({"static_matcher": {"percentage": 0}});
    check(&only(gated, json!({"static_matcher": {}})), None, "", CAROS);
    // A feature of one's own joins the defaults.
    check(
        &only(json!({"a_new_one": true}), json!({})),
        None,
        "",
        &format!("a_new_one {CAROS}"),
    );

    // Another release's features are not this one's.
    let others = with(
        json!({"v1.0.3": {"static_matcher": false}}),
        json!({"releases": {"v1.0.3": {"version": "1.0.3", "percentage": 1, "state": "active"}}}),
    );
    check(&others, None, "", CAROS);
}

#[test]
fn by_percentage() {
    // Bucket of `inside` in feature/confidence_refinement: 26_016.
    let at = |p: f64| world(json!({"*": {"confidence_refinement": {"percentage": p}}}));
    let out = "embedded_backend static_matcher validation_retry";
    check(&at(0.0), None, "inside", out);
    check(&at(26.016), None, "inside", out);
    check(&at(26.017), None, "inside", CAROS);
    check(&at(100.0), None, "inside", CAROS);
    // 0 admits nobody and 100 everybody, also who has no unit; between the two that one is out.
    check(&at(0.0), None, "", out);
    check(&at(99.999), None, "", out);
    check(&at(100.0), None, "", CAROS);

    // Two features draw different buckets, unless they say that they are one.
    let pair = |id: Value| {
        let mut renamed = json!({"percentage": 30});
        merge(&mut renamed, &id);
        world(json!({"*": {"confidence_refinement": {"percentage": 30}, "renamed": renamed}}))
    };
    check(
        &pair(json!({"rollout_id": "confidence_refinement"})),
        None,
        "inside",
        &CAROS.replace("static", "renamed static"),
    );
    check(
        &pair(json!({"rollout_id": "confidence_refinement"})),
        None,
        "outside",
        out,
    );
    check(&pair(json!({})), None, "inside", CAROS);

    // `enabled: false` is a kill: percentage and cohorts have no say.
    let killed = json!({"enabled": false, "percentage": 100, "cohorts": ["internal_test"]});
    check(
        &world(json!({"*": {"confidence_refinement": killed}})),
        None,
        "member",
        out,
    );
}

#[test]
fn cohorts_always_get_it() {
    let feature = |f: Value, cohort: Value| {
        with(
            json!({"*": {"extra": f}}),
            json!({"cohorts": {"internal_test": cohort}}),
        )
    };
    let extra = CAROS.replace("static", "extra static");
    let none = json!({"percentage": 0});
    let named = json!({"percentage": 0, "cohorts": ["internal_test"]});
    let member = |f: &Value, cohort: Value, expect: &str| {
        check(&feature(f.clone(), cohort), None, "member", expect);
    };
    // Named by the feature, or naming it, or naming all.
    member(&none, json!({}), CAROS);
    member(&named, json!({}), &extra);
    member(&none, json!({"features": ["extra"]}), &extra);
    member(&none, json!({"features": ["all"]}), &extra);
    member(&none, json!({"features": ["another"]}), CAROS);
    member(&none, json!({"features": []}), CAROS);
    // Off, or killed: then it is no cohort.
    member(&named, json!({"enabled": false}), CAROS);
    let kill = |patch: Value| {
        let mut world = feature(named.clone(), json!({"features": ["all"]}));
        merge(&mut world, &json!({"kill_switches": patch}));
        check(&world, None, "member", CAROS);
    };
    kill(json!({"cohorts": ["internal_test"]}));
    kill(json!({"canary": true}));
    kill(json!({"features": ["extra"]}));
    // By percentage, in the release's own bucket: 40_312 for `outside`.
    for (p, expect) in [(40.312, CAROS), (40.313, &extra)] {
        check(
            &feature(named.clone(), json!({"percentage": p})),
            None,
            "outside",
            expect,
        );
    }
    check(&feature(named.clone(), json!({})), None, "outside", CAROS);
    check(&feature(named.clone(), json!({})), None, "", CAROS);
}

#[test]
fn kill_switches() {
    let everything = json!({"*": {"telemetry_opt_in": true}});
    let check = |kill: Value, told: &[&str], expect: &str| {
        let world = with(everything.clone(), json!({"kill_switches": kill}));
        check(&world, None, "inside", expect);
        let told_now = snapshot(&world, None).client_kills;
        assert_eq!(told_now, told, "{kill}");
    };
    let all =
        "confidence_refinement embedded_backend static_matcher telemetry_opt_in validation_retry";
    check(json!({}), &[], all);
    check(
        json!({"telemetry_disabled": true}),
        &["telemetry_disabled"],
        CAROS,
    );
    check(
        json!({"llm_backends_disabled": true}),
        &["llm_backends_disabled"],
        "confidence_refinement static_matcher telemetry_opt_in validation_retry",
    );
    // No feature stands for it; the client is told.
    check(
        json!({"command_execution_disabled": true}),
        &["command_execution_disabled"],
        all,
    );
    check(
        json!({"features": ["static_matcher", "validation_retry", "no_such_feature"]}),
        &[],
        "confidence_refinement embedded_backend telemetry_opt_in",
    );
    // The canary's kill takes releases away, not features.
    check(json!({"canary": true}), &[], all);
}

#[test]
fn emergencies() {
    let keep = json!({"*": {
        "static_matcher": {"on_emergency": "keep"},
        "validation_retry": {"on_emergency": "off"},
        "confidence_refinement": {"percentage": 50, "on_emergency": "keep"},
    }});
    // What is kept keeps its rollout too.
    let kept = "confidence_refinement static_matcher";
    for stop in ["all", "", "v1.1.0-beta", "1.1.0-beta.2", "garbage"] {
        check(&world(keep.clone()), Some(stop), "inside", kept);
        check(
            &world(keep.clone()),
            Some(stop),
            "outside",
            "static_matcher",
        );
        check(&world(json!({})), Some(stop), "inside", "");
    }
    let state = |state: &str| {
        with(
            keep.clone(),
            json!({"releases": {RELEASE: {"state": state}}}),
        )
    };
    check(&state("stopped"), None, "inside", kept);
    for other in ["draft", "paused", "complete"] {
        check(&state(other), None, "inside", CAROS);
    }
    // Keeping through a stop is not keeping through a kill.
    let killed = with(
        keep,
        json!({"kill_switches": {"features": ["static_matcher"]}}),
    );
    check(&killed, Some("all"), "outside", "");

    // A stop by name leaves everybody's features alone; `all` does not.
    let everybody = |stop| on(&snapshot(&world(json!({})), Some(stop)), "1.0.4", "inside").unwrap();
    assert_eq!(everybody("v1.1.0-beta"), CAROS);
    assert_eq!(everybody("all"), "");
}

#[test]
fn many_features() {
    let defaults = Defaults::default();
    for count in [58, 59, 60, 64, 123, 124, 300] {
        let mut flags = serde_json::Map::new();
        for i in 0..count {
            flags.insert(format!("f{i:03}"), json!(i % 3 == 0));
        }
        let snapshot = snapshot(&world(json!({"*": flags})), None);
        let (_, set) = snapshot.features(RELEASE).unwrap();
        let pairs = values(&snapshot, set, "inside");
        assert_eq!(pairs.len(), count + defaults.features.len());
        for (key, on) in pairs {
            let expect = match key.as_str().strip_prefix('f') {
                Some(i) => i.parse::<usize>().unwrap() % 3 == 0,
                None => defaults.features.get(key.as_str()) == Some(&true),
            };
            assert_eq!(on, expect, "{key} of {count}");
        }
    }
}

#[test]
fn by_what_name() {
    let shadow = json!({"releases": {
        "1.0.3": {"version": "1.0.4", "percentage": 0, "state": "active"},
        "spring": {"version": "1.0.3", "percentage": 0, "state": "active"},
    }});
    let features = json!({
        RELEASE: {"of_beta": true}, "1.0.3": {"of_one": true}, "spring": {"of_spring": true},
    });
    let snapshot = snapshot(&with(features, shadow), None);
    let own = |name: &str| {
        let on = on(&snapshot, name, "inside")?;
        let own: Vec<&str> = on.split(' ').filter(|key| key.starts_with("of_")).collect();
        Some(own.join(" "))
    };
    let check =
        |name: &str, expect: Option<&str>| assert_eq!(own(name).as_deref(), expect, "{name}");
    check("v1.1.0-beta", Some("of_beta"));
    check("1.1.0-beta.2", Some("of_beta"));
    check("v1.1.0-beta.2", Some("of_beta"));
    check("spring", Some("of_spring"));
    // A release that is called like another's version: its own name counts first.
    check("1.0.3", Some("of_one"));
    check("v1.0.3", Some("of_spring"));
    // Listed, but no release offers it: everybody's.
    check("1.1.0-beta.1", Some(""));
    for unknown in [
        "",
        "v",
        "9.9.9",
        "1.1.0-beta",
        "*",
        "Spring",
        "spring ",
        "nothing",
    ] {
        check(unknown, None);
    }
}

#[test]
fn without_a_configuration() {
    let fallback = |stop| Snapshot::fallback(&Defaults::default(), stop);
    for name in ["v1.1.0-beta", "1.0.4", "9.9.9", "spring"] {
        assert_eq!(
            on(&fallback(Stop::None), name, "inside").as_deref(),
            Some(CAROS),
            "{name}"
        );
        // The stop can be read when the configuration cannot.
        let stopped = fallback(Stop::All { unread: true });
        assert_eq!(on(&stopped, name, "inside").as_deref(), Some(""), "{name}");
    }
    assert_eq!(on(&fallback(Stop::None), "no such name", ""), None);
}
