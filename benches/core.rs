//! What a decision costs natively: `cargo bench --bench core`.
//!
//! Targets: `decide` for one requester at most 110 ns with SHA instructions, 100 features for one
//! requester at most 2 us.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use caro_edge::core::bucket::{Bucket, Purpose, RolloutHash, Salt, UnitHash};
use caro_edge::core::condition::Attribute;
use caro_edge::core::config::Config;
use caro_edge::core::decide::decide;
use caro_edge::core::defaults::Defaults;
use caro_edge::core::flags::{Asking, evaluate_all};
use caro_edge::core::identity::Unit;
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use caro_edge::core::time::Timestamp;
use criterion::{Criterion, criterion_group, criterion_main};

/// A document with one release at 25 % and so many features, each at 25 %.
fn document(features: usize) -> String {
    let assets = r#"{"assets":{"linux-amd64":{"size":1,"sha256":"1111111111111111111111111111111111111111111111111111111111111111"}},
        "excluded_platforms":["linux-arm64","macos-intel","macos-silicon","windows-amd64"]}"#;
    let flags: Vec<_> = (0..features)
        .map(|i| format!(r#""feature_{i:04}":{{"percentage":25}}"#))
        .collect();
    format!(
        r#"{{"schema":1,"revision":1,"salt":"000102030405060708090a0b0c0d0e0f","stable":"1.0.4",
        "versions":{{"1.0.4":{assets},"1.1.0-beta.2":{assets}}},
        "releases":{{"v1.1.0-beta":{{"version":"1.1.0-beta.2","percentage":25,"state":"active"}}}},
        "features":{{"v1.1.0-beta":{{{}}}}}}}"#,
        flags.join(",")
    )
}

fn snapshot(features: usize) -> Snapshot {
    let config = Config::parse(&document(features)).unwrap();
    let defaults = Defaults {
        features: Default::default(),
        ..Defaults::default()
    };
    Snapshot::new(&config, Stop::None, &defaults)
}

fn benches(c: &mut Criterion) {
    let id = "0190d3a0-7f3e-7c11-9a42-5f0a6b1c2d3e";
    let salt = Salt::new([7; 16]);
    let unit = Unit::Id(id);
    let hash = UnitHash::of(&salt, &unit);
    let rollout = RolloutHash::of(Purpose::Gate, "release/v1.1.0-beta");

    c.bench_function("unit hash of a UUID", |b| {
        b.iter(|| UnitHash::of(black_box(&salt), black_box(&unit)));
    });
    c.bench_function("bucket of a unit hash", |b| {
        b.iter(|| Bucket::of(black_box(&hash), black_box(rollout)));
    });

    let one = snapshot(1);
    c.bench_function("decide for one requester", |b| {
        b.iter(|| decide(black_box(&one), black_box(Some(&unit))));
    });
    let hundred = snapshot(100);
    let (_, set) = hundred.features("v1.1.0-beta").unwrap();
    let asking = Asking::unit(Some(unit), Timestamp::from_millis(0));
    c.bench_function("100 features for one requester", |b| {
        b.iter(|| evaluate_all(black_box(&hundred), set, black_box(&asking)));
    });

    for features in [5, 1000] {
        let text = document(features);
        c.bench_function(&format!("parse a document of {features} features"), |b| {
            b.iter(|| Config::parse(black_box(&text)));
        });
    }
}

/// 5,000 features, some with rules, of everybody and of 100 releases.
fn large() -> String {
    let features = |from: usize, to: usize| {
        let feature = |i: usize| match i % 3 {
            0 => format!(r#""feature_{i}":{{"percentage":25}}"#),
            1 => format!(r#""feature_{i}":true"#),
            _ => format!(
                r#""feature_{i}":{{"percentage":0,"rules":[{{"if":{{"attribute":"os","in":["linux","macos"]}}}}]}}"#
            ),
        };
        (from..to).map(feature).collect::<Vec<_>>().join(",")
    };
    let mut text = document(1);
    let (mut releases, mut scopes) = (String::new(), format!(r#""*":{{{}}}"#, features(0, 400)));
    for i in 0..100 {
        releases += &format!(r#""r{i}":{{"version":"1.0.4","percentage":{i},"state":"active"}},"#);
        let (from, to) = (400 + 46 * i, 446 + 46 * i);
        scopes += &format!(r#","r{i}":{{{}}}"#, features(from, to));
    }
    text = text.replacen(r#""features":{"#, &format!(r#""features":{{{scopes},"#), 1);
    text.replacen(r#""releases":{"#, &format!(r#""releases":{{{releases}"#), 1)
}

fn large_documents(c: &mut Criterion) {
    let text = large();
    let config = Config::parse(&text).unwrap();
    c.bench_function("parse 5000 features of 100 releases", |b| {
        b.iter(|| Config::parse(black_box(&text)));
    });
    c.bench_function("resolve 5000 features of 100 releases", |b| {
        b.iter(|| Snapshot::new(black_box(&config), Stop::None, &Defaults::default()));
    });
    let snapshot = Snapshot::new(&config, Stop::None, &Defaults::default());
    let (_, set) = snapshot.features("r7").unwrap();
    let unit = Unit::Id("0190d3a0-7f3e-7c11-9a42-5f0a6b1c2d3e");
    let attributes = [("os", Attribute::Text("windows"))];
    let asking = Asking {
        unit: Some(unit),
        attributes: &attributes,
        now: Timestamp::from_millis(0),
        held: None,
    };
    c.bench_function("446 features, a third with rules, for one requester", |b| {
        b.iter(|| evaluate_all(black_box(&snapshot), set, black_box(&asking)));
    });
}

criterion_group!(all, benches, large_documents);
criterion_main!(all);
