//! What an evaluation costs next to other engines: `cargo bench` in this folder.
//!
//! The same flags for the same user in each, from a configuration of 1000. First each is held to
//! the shape, so that none is timed for work that it does not do; at the end, a table.

mod engines;
mod shape;

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion};
use serde_json::Value;

use engines::{Caro, Engine, Eppo, LaunchDarkly, Unleash};
use shape::{Group, groups};

const USER: &str = "0190d3a0-7f3e-7c11-9a42-5f0a6b1c2d3e";

/// Where criterion leaves its figures.
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/criterion");

/// Rules that hold are obeyed, and of everybody else a quarter is in.
fn check<E: Engine>(engine: &E, groups: &[Group]) {
    for group in groups {
        let (mut on, mut asked) = (0, 0);
        for i in 0..1000 {
            let mut flags = group.flags.iter();
            engine.evaluate(group, &E::user(&format!("user-{i}")), |is| {
                let flag = flags.next().expect("an answer for each flag");
                if flag.rule.is_some_and(|rule| rule.holds()) {
                    assert!(is, "{}: {}", E::NAME, flag.key);
                } else {
                    asked += 1;
                    on += u32::from(is);
                }
            });
            assert!(flags.next().is_none(), "{}: a flag was left out", E::NAME);
        }
        let share = f64::from(on) / f64::from(asked);
        assert!(
            (0.2..0.3).contains(&share),
            "{}: {share} of {}",
            E::NAME,
            group.name
        );
    }
}

fn bench<E: Engine>(c: &mut Criterion, groups: &[Group]) {
    let engine = E::new(groups);
    check(&engine, groups);
    let user = E::user(USER);
    for group in groups.iter().take(3) {
        let id = BenchmarkId::new(group.name, E::NAME);
        c.bench_with_input(id, group, |b, group| {
            b.iter(|| {
                let mut on = 0;
                engine.evaluate(black_box(group), black_box(&user), |is| on += u32::from(is));
                on
            });
        });
    }
}

/// The median, in nanoseconds.
fn figure(group: &str, engine: &str) -> Option<f64> {
    let file = Path::new(FIGURES)
        .join(group)
        .join(engine)
        .join("new/estimates.json");
    let estimates: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

fn main() {
    let groups = groups();
    let mut criterion = Criterion::default()
        .output_directory(Path::new(FIGURES))
        .configure_from_args();
    bench::<Caro>(&mut criterion, &groups);
    bench::<Unleash>(&mut criterion, &groups);
    bench::<LaunchDarkly>(&mut criterion, &groups);
    bench::<Eppo>(&mut criterion, &groups);
    criterion.final_summary();

    println!("\nmedian ns, and times caro-edge");
    print!("{:18}", "engine");
    let asked = &groups[..3];
    asked
        .iter()
        .for_each(|group| print!(" | {:>20}", group.name));
    println!();
    for engine in [Caro::NAME, Unleash::NAME, LaunchDarkly::NAME, Eppo::NAME] {
        print!("{engine:18}");
        for group in asked {
            let figures = figure(group.name, engine).zip(figure(group.name, Caro::NAME));
            let cell = figures.map(|(ns, ours)| format!("{ns:.0} ({:.2})", ns / ours));
            print!(" | {:>20}", cell.unwrap_or_default());
        }
        println!();
    }
}
