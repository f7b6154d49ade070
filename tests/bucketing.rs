//! What bucketing promises, for all percentages, identities and configurations: nobody is evicted
//! by raising, nobody admitted by lowering, shares are what they say, decisions are independent of
//! each other, and a stop beats everything.
//!
//! The samples of the statistical tests are fixed, so each of these always passes or always fails.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::net::{Ipv4Addr, Ipv6Addr};

use caro_edge::core::bucket::{Bucket, Purpose, RolloutHash, Salt, UnitHash};
use caro_edge::core::config::Config;
use caro_edge::core::decide::{Reason, decide};
use caro_edge::core::decode::to_hex;
use caro_edge::core::defaults::Defaults;
use caro_edge::core::identity::Unit;
use caro_edge::core::ids::Percentage;
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::document;

const SALT: Salt = Salt::new(*b"a salt for tests");

fn thousandths(t: u32) -> f64 {
    f64::from(t) / 1000.0
}

/// The golden document at a percentage, without cohorts and lists unless `more` says so.
fn resolve(percentage: u32, more: &Value, stop: Option<&str>) -> Snapshot {
    let mut patch = json!({
        "releases": {"v1.1.0-beta": {"percentage": thousandths(percentage), "cohorts": null, "deny": null}},
        "canary": null,
    });
    support::merge(&mut patch, more);
    let config = Config::parse(&document(&patch)).unwrap();
    let stop = Stop::parse(stop, Some(&config));
    Snapshot::new(&config, stop, &Defaults::default())
}

fn gets_beta(snapshot: &Snapshot, unit: Option<&Unit<'_>>) -> bool {
    decide(snapshot, unit).build != snapshot.stable
}

/// Any requester that has a unit.
#[derive(Debug, Clone)]
enum Who {
    Id(String),
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Who {
    fn unit(&self) -> Unit<'_> {
        match self {
            Self::Id(id) => Unit::from_id(id).unwrap().unwrap(),
            Self::V4(octets) => Unit::V4(*octets),
            Self::V6(prefix) => Unit::V6(*prefix),
        }
    }
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        "[^\\p{Cc}]{1,40}".prop_map(Who::Id),
        any::<[u8; 4]>().prop_map(Who::V4),
        any::<[u8; 8]>().prop_map(Who::V6),
    ]
}

const SHARE: std::ops::RangeInclusive<u32> = 0..=100_000;

proptest! {
    #[test]
    fn the_same_requester_gets_the_same(who in who(), percentage in SHARE) {
        let (one, other) = (resolve(percentage, &json!({}), None), resolve(percentage, &json!({}), None));
        let unit = who.unit();
        prop_assert_eq!(decide(&one, Some(&unit)), decide(&other, Some(&unit)));
    }

    #[test]
    fn raising_evicts_nobody_and_lowering_admits_nobody(who in who(), a in SHARE, b in SHARE) {
        let unit = who.unit();
        let (low, high) = (a.min(b), a.max(b));
        let low = gets_beta(&resolve(low, &json!({}), None), Some(&unit));
        let high = gets_beta(&resolve(high, &json!({}), None), Some(&unit));
        prop_assert!(low <= high);
    }

    #[test]
    fn zero_is_nobody_and_a_hundred_everybody(who in who()) {
        let unit = who.unit();
        let (nobody, everybody) = (resolve(0, &json!({}), None), resolve(100_000, &json!({}), None));
        prop_assert!(!gets_beta(&nobody, Some(&unit)));
        prop_assert!(gets_beta(&everybody, Some(&unit)));
    }

    #[test]
    fn without_a_unit_only_a_hundred_admits(percentage in 0..100_000_u32) {
        let decision = decide(&resolve(percentage, &json!({}), None), None);
        prop_assert_eq!(decision.reason, Reason::NoUnit);
        let everybody = resolve(100_000, &json!({}), None);
        prop_assert!(gets_beta(&everybody, None));
    }

    /// A person may be in a rollout by a cohort's percentage first and by the release's later.
    #[test]
    fn a_smaller_cohort_lies_inside_a_larger_one(who in who(), a in SHARE, b in SHARE, release in SHARE) {
        let cohort = |percentage: u32| json!({
            "releases": {"v1.1.0-beta": {"cohorts": ["internal_test"]}},
            "cohorts": {"internal_test": {"percentage": thousandths(percentage), "members": []}},
        });
        let unit = who.unit();
        let (small, large) = (a.min(b), a.max(b));
        let small_in = gets_beta(&resolve(release, &cohort(small), None), Some(&unit));
        let large_in = gets_beta(&resolve(release, &cohort(large), None), Some(&unit));
        prop_assert!(small_in <= large_in);
        // Moving on from the cohort to a release of that share keeps the same people.
        let cohort_alone = gets_beta(&resolve(0, &cohort(large), None), Some(&unit));
        let release_alone = gets_beta(&resolve(large, &json!({}), None), Some(&unit));
        prop_assert_eq!(cohort_alone, release_alone);
    }

    #[test]
    fn a_stop_beats_everything(
        who in who(),
        percentage in SHARE,
        cohort in SHARE,
        listed: [bool; 4],
        killed: bool,
        by_state: bool,
        value in prop_oneof![
            Just("all".to_owned()), Just("v1.1.0-beta".to_owned()), Just("1.1.0-beta.2".to_owned()),
            any::<String>(),
        ],
        known: bool,
    ) {
        let unit = who.unit();
        // The salt of the golden document.
        let salt = Salt::new(caro_edge::core::decode::hex("4f02099013e52f8bcd1b3b857f599e04").unwrap());
        let hash = to_hex(&UnitHash::of(&salt, &unit).as_u128().to_be_bytes());
        let list = |on: bool| if on { json!([hash]) } else { json!([]) };
        let more = json!({
            "releases": {"v1.1.0-beta": {"cohorts": ["internal_test"], "deny": list(listed[0]),
                "state": if by_state { "stopped" } else { "active" }}},
            "cohorts": {"internal_test": {"percentage": thousandths(cohort), "members": list(listed[1])}},
            "canary": {"enabled": listed[2], "allowlist": list(listed[3])},
            "kill_switches": {"canary": killed},
        });
        let stop = (!by_state).then_some(value.as_str());
        let snapshot = resolve(percentage, &more, stop);
        let decision = decide(&snapshot, known.then_some(&unit));
        prop_assert_eq!((decision.build, decision.reason), (snapshot.stable, Reason::EmergencyStop));
    }

    #[test]
    fn the_hosts_of_a_network_share_a_bucket(network: [u8; 8], a: [u8; 8], b: [u8; 8]) {
        let address = |host: [u8; 8]| {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&network);
            octets[8..].copy_from_slice(&host);
            Ipv6Addr::from(octets)
        };
        // Mapped IPv4 addresses are not one network.
        prop_assume!(address(a).to_ipv4_mapped().is_none() && address(b).to_ipv4_mapped().is_none());
        let unit = |host| Unit::from_address(&address(host).to_string()).unwrap();
        prop_assert_eq!(UnitHash::of(&SALT, &unit(a)).as_u128(), UnitHash::of(&SALT, &unit(b)).as_u128());
    }

    /// However an IPv4 address is written, it is the same requester.
    #[test]
    fn a_mapped_address_is_the_address(octets: [u8; 4]) {
        let v4 = Ipv4Addr::from(octets);
        for text in [v4.to_string(), v4.to_ipv6_mapped().to_string(), format!(" {v4} ")] {
            prop_assert_eq!(Unit::from_address(&text), Some(Unit::V4(octets)));
        }
    }

    /// The kind is hashed too: an id that looks like an address is not that address.
    #[test]
    fn kinds_differ(bytes in proptest::collection::vec(0x20..0x7f_u8, 8)) {
        let text = std::str::from_utf8(&bytes).unwrap();
        let v6 = Unit::V6(bytes.clone().try_into().unwrap());
        let v4 = Unit::V4(bytes[..4].try_into().unwrap());
        let hash = |unit: Unit<'_>| UnitHash::of(&SALT, &unit).as_u128();
        prop_assert_ne!(hash(Unit::Id(text)), hash(v6));
        prop_assert_ne!(hash(Unit::Id(&text[..4])), hash(v4));
    }
}

const SAMPLE: u32 = 100_000;

/// The unit hashes of 100,000 neighbours: consecutive addresses, networks and numbers, which a weak
/// hash would bunch together.
fn sample(kind: &str) -> Vec<UnitHash> {
    (0..SAMPLE)
        .map(|i| match kind {
            "IPv4" => UnitHash::of(&SALT, &Unit::V4((0x0a00_0000 + i).to_be_bytes())),
            "IPv6" => {
                let network = (0x2001_0db8_u64 << 32) + u64::from(i);
                UnitHash::of(&SALT, &Unit::V6(network.to_be_bytes()))
            }
            _ => UnitHash::of(&SALT, &Unit::Id(&format!("user-{i}"))),
        })
        .collect()
}

#[test]
fn shares_are_what_they_say() {
    let gate = RolloutHash::of(Purpose::Gate, "release/v1.1.0-beta");
    for kind in ["IPv4", "IPv6", "id"] {
        let buckets: Vec<Bucket> = sample(kind).iter().map(|u| Bucket::of(u, gate)).collect();
        for percent in [0.5, 5.0, 25.0, 50.0, 99.5] {
            let share = Percentage::try_from(percent).unwrap();
            let admitted = buckets.iter().filter(|b| b.is_in(share)).count();
            let got = admitted as f64 * 100.0 / f64::from(SAMPLE);
            assert!(
                (got - percent).abs() <= 0.5,
                "{kind}: {got} % instead of {percent} %"
            );
        }
    }
}

/// Pearson's statistic for independence in a table of counts, margins estimated.
fn chi_square(table: &[[f64; 10]; 10]) -> f64 {
    let total: f64 = table.iter().flatten().sum();
    let row = |i: usize| table[i].iter().sum::<f64>();
    let column = |j: usize| table.iter().map(|row| row[j]).sum::<f64>();
    let cell = |i: usize, j: usize| {
        let expected = row(i) * column(j) / total;
        (table[i][j] - expected).powi(2) / expected
    };
    (0..10)
        .flat_map(|i| (0..10).map(move |j| (i, j)))
        .map(|(i, j)| cell(i, j))
        .sum()
}

/// Being in one rollout says nothing about another, nor the gate about the variant inside it: the
/// joint distribution of tenths is that of independent draws.
#[test]
fn purposes_and_rollouts_are_independent() {
    let of = |purpose, id| RolloutHash::of(purpose, id);
    let gate = of(Purpose::Gate, "feature/a");
    let others = [
        ("the variant", of(Purpose::Variant, "feature/a")),
        ("the cohort", of(Purpose::Cohort, "feature/a")),
        ("the holdout", of(Purpose::Holdout, "feature/a")),
        ("another feature", of(Purpose::Gate, "feature/b")),
        (
            "a feature with a longer name",
            of(Purpose::Gate, "feature/a1"),
        ),
        ("a release", of(Purpose::Gate, "release/a")),
    ];
    let units = sample("id");
    let tenth = |unit: &UnitHash, r| (Bucket::of(unit, r).value() * 10 / Bucket::COUNT) as usize;
    for (name, other) in others {
        let mut table = [[0.0; 10]; 10];
        for unit in &units {
            table[tenth(unit, gate)][tenth(unit, other)] += 1.0;
        }
        // 81 degrees of freedom: 126.08 is exceeded by chance once in a thousand.
        let statistic = chi_square(&table);
        assert!(statistic < 126.08, "the gate and {name}: {statistic}");
    }
    // The statistic would see it: a gate depends on itself.
    let mut table = [[0.0; 10]; 10];
    for unit in &units {
        table[tenth(unit, gate)][tenth(unit, gate)] += 1.0;
    }
    assert!(chi_square(&table) > 100_000.0);
}

/// The three kinds of neighbours, each spread over all hundred hundredths.
#[test]
fn neighbours_are_spread_evenly() {
    let gate = RolloutHash::of(Purpose::Gate, "release/v1.1.0-beta");
    for kind in ["IPv4", "IPv6", "id"] {
        let mut counts = [0.0; 100];
        for unit in sample(kind) {
            counts[(Bucket::of(&unit, gate).value() / 1000) as usize] += 1.0;
        }
        let expected = f64::from(SAMPLE) / 100.0;
        let statistic: f64 = counts
            .iter()
            .map(|n: &f64| (n - expected).powi(2) / expected)
            .sum();
        // 99 degrees of freedom: 148.23 is exceeded by chance once in a thousand.
        assert!(statistic < 148.23, "{kind}: {statistic}");
    }
}
