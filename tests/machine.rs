//! What the machine does, one thing at a time, and what it once got wrong, each by name. Its promises over anything
//! that may happen are in `machine_properties.rs`.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "support/machine.rs"]
mod machine;

use caro_edge::core::config::State as ReleaseState;
use caro_edge::core::ids::Percentage;
use caro_edge::core::json::Json;
use caro_edge::core::ledger;
use caro_edge::core::plan::{Baseline, Circuit, Status};
use caro_edge::core::role::Role;
use machine::{NOW, World, breaker, counted, four, halts, percent, well};
use serde_json::json;

#[test]
fn an_announcement_is_called_off_by_what_comes_before_it_is_due() {
    for (spoil, said) in [
        ("gate", "paused at 5 %: errors failed"),
        ("error", "called off"),
        ("halt", "paused at 5 %"),
        ("kill", "a kill switch is on"),
        ("edit", "changed by hand from 5 % to 10 %"),
        ("state", "paused or ended by hand"),
    ] {
        let mut world = World::begun(&four(json!({"halts": halts("pause")})));
        world.evidence = Ok(well());
        world.minutes(125);
        assert_eq!(world.told("b at 25 % in 30 min"), 1);
        match spoil {
            "gate" => world.evidence = Ok(counted(2000, 300)),
            "error" => world.evidence = Err("nobody answers".into()),
            "halt" => world.tell(&[("p0_open", 1.0)], &[]),
            "kill" => world.kill(true),
            "edit" => drop(world.set(Some(10.0), None).unwrap()),
            _ => drop(world.set(None, Some(ReleaseState::Paused)).unwrap()),
        }
        world.minutes(60);
        assert_eq!(world.told(said), 1, "{spoil}: {:#?}", world.alerts);
        assert_eq!(world.run().stage, 0, "{spoil}");
        assert_ne!(world.percentage(), percent(25.0), "{spoil}");
    }
}

#[test]
fn a_pause_takes_neither_the_soak_nor_the_lead_time_away() {
    let mut world = World::begun(&four(json!({})));
    world.evidence = Ok(well());
    world.hours(1);
    world.pause().unwrap();
    world.hours(10);
    world.is_at(0, 5.0, Status::Paused);
    world.resume().unwrap();
    world.minutes(59);
    assert!(world.run().pending.is_none());
    // The soak is over; the decision comes within the hour, and then the lead.
    world.minutes(2);
    assert!(world.run().pending.is_some());
    world.pause().unwrap();
    world.hours(1);
    world.resume().unwrap();
    world.hours(1);
    assert_eq!(world.told("b at 25 % in 30 min"), 2);
    world.minutes(31);
    world.is_at(1, 25.0, Status::Running);
}

#[test]
fn a_rollback_to_less_begins_that_stage_anew() {
    let mut world = World::begun(&four(json!({"stages": [
        {"id": "a", "percentage": 5, "soak": {"min_hours": 2}},
        {"id": "b", "percentage": 25, "soak": {"min_hours": 2}, "approval": {"roles": ["release_manager"]}},
        {"id": "c", "percentage": 50, "soak": {"min_hours": 2}, "approval": {"roles": ["release_manager"]}},
        {"id": "d", "percentage": 100},
    ]})));
    world.evidence = Ok(well());
    world.hours(3);
    world.approve("b", "one", Role::ReleaseManager).unwrap();
    world.hours(4);
    world.is_at(2, 50.0, Status::Running);
    world.approve("c", "one", Role::ReleaseManager).unwrap();
    world.rollback(25.0, 0).unwrap();
    world.is_at(1, 25.0, Status::Paused);
    world.resume().unwrap();
    // Who agreed to leave c did not agree to leave b, and b's soak begins anew.
    assert!(world.run().approvals.is_empty());
    world.minutes(119);
    assert_eq!(world.run().why, "soaking, 1 h to go");
    world.hours(10);
    world.is_at(1, 25.0, Status::Running);
    assert_eq!(world.told("c at 50 % waits for approval"), 1);
}

#[test]
fn below_the_first_stage_nothing_is_skipped() {
    let mut world = World::begun(&four(json!({"halts": halts("step_down"),
        "policy": {"autonomy": {"step_down": "act"}, "lead_minutes": {"advance": 0}}})));
    world.evidence = Ok(well());
    world.tell(&[("p0_open", 1.0)], &[]);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    // It still holds: it pauses again, and says so again.
    world.resume().unwrap();
    world.is_at(0, 5.0, Status::Running);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    assert_eq!(world.told("down to 0 %, and paused"), 2);
    world.tell(&[("p0_open", 0.0)], &[]);
    world.resume().unwrap();
    world.is_at(0, 5.0, Status::Running);
}

#[test]
fn a_step_down_is_to_the_people_of_the_stage_before() {
    let stages = json!([
        {"id": "only", "percentage": 0, "audience": {"mode": "only", "cohorts": ["friends"]}, "soak": {"min_hours": 1}},
        {"id": "more", "percentage": 10, "audience": {"mode": "or", "cohorts": ["friends", "beta"]}},
    ]);
    let policy = json!({"autonomy": {"step_down": "act"}, "lead_minutes": {"advance": 0}});
    let plan =
        json!({"stages": stages, "gates": [], "halts": halts("step_down"), "policy": policy});
    let mut world = World::begun(&four(plan));
    assert_eq!(world.cohorts(), ["friends"]);
    world.hours(1);
    world.is_at(1, 10.0, Status::Running);
    assert_eq!(world.cohorts(), ["friends", "beta"]);
    world.tell(&[("p0_open", 1.0)], &[]);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    assert_eq!(world.cohorts(), ["friends"]);
    world.resume().unwrap();
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    assert!(world.cohorts().is_empty());
    world.tell(&[("p0_open", 0.0)], &[]);
    world.resume().unwrap();
    world.is_at(0, 0.0, Status::Running);
    assert_eq!(world.cohorts(), ["friends"]);
}

#[test]
fn a_breaker_opens_tries_and_closes() {
    let mut world = World::begun(&four(json!({"breaker": breaker()})));
    world.evidence = Ok(counted(10, 0));
    world.health(false, 2);
    world.minutes(1);
    world.is_at(0, 5.0, Status::Running);
    world.health(false, 1);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    // While nobody has it, all is well: that proves nothing.
    world.health(true, 9);
    world.minutes(14);
    world.is_at(0, 0.0, Status::Paused);
    world.minutes(1);
    world.is_at(0, 0.5, Status::Paused);
    for _ in 0..2 {
        world.minutes(1);
        world.health(true, 1);
        world.minutes(1);
        world.is_at(0, 0.5, Status::Paused);
    }
    world.health(true, 1);
    world.minutes(1);
    world.is_at(0, 5.0, Status::Running);
    // And what fails again opens it again.
    world.health(false, 3);
    world.minutes(1);
    world.health(true, 9);
    world.minutes(16);
    world.is_at(0, 0.5, Status::Paused);
    // Between two looks: the row of passes is a new one.
    world.health(false, 1);
    world.health(true, 3);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    assert_eq!(world.told("opened again"), 1);
    world.resume().unwrap();
    world.is_at(0, 5.0, Status::Running);
    assert_eq!(world.run().circuit, Circuit::Closed);
}

#[test]
fn a_breaker_does_not_close_past_people_kills_and_halts() {
    for what in ["pause", "edit", "kill", "halt", "error", "paused before"] {
        let mut world = World::begun(&four(
            json!({"breaker": breaker(), "halts": halts("pause")}),
        ));
        world.evidence = Ok(counted(10, 0));
        if what == "paused before" {
            world.pause().unwrap();
        }
        world.health(false, 3);
        world.minutes(1);
        world.is_at(0, 0.0, Status::Paused);
        match what {
            "pause" => drop(world.pause().unwrap()),
            "edit" => drop(world.set(Some(0.0), None).unwrap()),
            _ => {}
        }
        if what != "pause" && what != "paused before" {
            world.minutes(16);
            world.is_at(0, 0.5, Status::Paused);
        }
        match what {
            "edit" => drop(world.set(Some(0.1), None).unwrap()),
            "kill" => world.kill(true),
            "halt" => world.tell(&[("p0_open", 1.0)], &[]),
            "error" => world.evidence = Err("nobody answers".into()),
            _ => {}
        }
        for _ in 0..30 {
            world.minutes(1);
            world.health(true, 1);
        }
        assert_eq!(world.run().status, Status::Paused, "{what}");
        assert!(world.percentage() <= percent(0.5), "{what}");
        world.kill(false);
        world.tell(&[("p0_open", 0.0)], &[]);
        world.evidence = Ok(counted(10, 0));
        world.resume().unwrap();
        world.minutes(1);
        world.is_at(0, 5.0, Status::Running);
    }
}

#[test]
fn a_rollback_is_announced_where_the_policy_says_so() {
    let policy = json!({"autonomy": {"rollback": "act"}, "lead_minutes": {"advance": 0, "rollback": 15},
        "drain_seconds": 300});
    let plan = four(json!({"halts": halts("rollback"), "policy": policy}));
    let mut world = World::begun(&plan);
    world.tell(&[("p0_open", 1.0)], &[]);
    world.minutes(1);
    world.is_at(0, 5.0, Status::Paused);
    assert_eq!(
        world.told("paused at 5 %, rolled back in 15 min unless it is over by then"),
        1
    );
    world.minutes(14);
    world.is_at(0, 5.0, Status::Paused);
    world.minutes(1);
    assert_eq!(world.run().status, Status::RolledBack);
    assert_eq!(world.run().why, "p0_open is 1, beyond 0");
    world.minutes(6);
    world.is_at(0, 0.0, Status::RolledBack);
    assert_eq!(world.told("the rollback is verified"), 1);
    // Over by then.
    let mut world = World::begun(&plan);
    world.tell(&[("p0_open", 1.0)], &[]);
    world.minutes(5);
    world.tell(&[("p0_open", 0.0)], &[]);
    world.minutes(20);
    world.is_at(0, 5.0, Status::Paused);
    assert_eq!(world.told("what was announced is called off"), 1);
}

#[test]
fn a_rollback_takes_over_a_drain() {
    let policy = json!({"autonomy": {"rollback": "act"}, "drain_seconds": 300});
    let mut world = World::begun(&four(json!({"halts": halts("rollback"), "policy": policy})));
    world.set(Some(50.0), None).unwrap();
    world.guard();
    world.resume().unwrap();
    world.rollback(25.0, 600_000).unwrap();
    world.minutes(5);
    assert!(world.percentage() < percent(45.0) && world.percentage() > percent(30.0));
    world.tell(&[("p0_open", 1.0)], &[]);
    world.guard();
    assert_eq!(world.run().status, Status::RolledBack);
    world.minutes(6);
    assert_eq!(world.percentage(), Percentage::ZERO);
    assert_eq!(world.told("the rollback is verified"), 1);
    assert_eq!(world.told("did not hold"), 0);
}

#[test]
fn nothing_is_decided_past_a_kill_or_an_edit() {
    let plan = four(json!({"policy": {"lead_minutes": {"advance": 0}}}));
    for what in ["kill", "edit", "state", "nothing"] {
        let mut world = World::begun(&plan);
        world.hours(3);
        world.evidence = Ok(well());
        match what {
            "kill" => world.kill(true),
            "edit" => drop(world.set(Some(3.0), None).unwrap()),
            "state" => drop(world.set(None, Some(ReleaseState::Stopped)).unwrap()),
            _ => {}
        }
        world.evaluate();
        assert_eq!(world.run().stage, usize::from(what == "nothing"), "{what}");
        if what == "nothing" {
            continue;
        }
        assert!(world.promote(false).is_err());
        world.minutes(2);
        assert_eq!(world.run().status, Status::Paused, "{what}");
        if what == "state" {
            // It stays what the person made of it.
            assert!(world.resume().is_err());
        }
    }
}

#[test]
fn what_comes_back_is_told_again() {
    // Nothing may be done: all that is left is to tell.
    let policy = json!({"autonomy": {"pause": "suggest", "rollback": "suggest"}});
    let mut world = World::begun(&four(json!({"halts": halts("rollback"), "policy": policy})));
    for times in 1..=3 {
        world.tell(&[("p0_open", 1.0)], &[]);
        world.hours(2);
        assert_eq!(world.told("suggested: POST /rollout/v2/rollback"), times);
        world.tell(&[("p0_open", 0.0)], &[]);
        world.hours(2);
    }
}

#[test]
fn what_holds_a_stage_is_told_once() {
    let mut world = World::begun(&four(json!({})));
    world.hours(1);
    assert_eq!(world.told("held"), 0);
    world.hours(9);
    assert_eq!(world.told("held at 5 %: errors has no data"), 1);
    world.evidence = Err("nobody answers".into());
    world.hours(5);
    assert_eq!(world.told("the evidence cannot be read: nobody answers"), 1);
    assert_eq!(world.told("held"), 2);
    world.is_at(0, 5.0, Status::Running);
}

#[test]
fn a_stage_that_takes_too_long_is_told_however_often_it_is_decided() {
    let stages = json!([{"id": "a", "percentage": 5, "soak": {"min_hours": 1, "max_hours": 3}}, {"id": "b", "percentage": 9}]);
    for policy in [json!({}), json!({"decide_minutes": 1})] {
        let mut world = World::begun(&four(json!({"stages": stages, "policy": policy})));
        world.hours(6);
        assert_eq!(world.told("a takes longer than 3 h: errors has no data"), 1);
    }
}

#[test]
fn a_number_that_goes_stale_neither_halts_nor_passes() {
    let gates = json!([{"number": "p0_open", "at_most": 0, "max_age_hours": 24}]);
    let mut world = World::begun(&four(json!({"gates": gates, "halts": halts("pause")})));
    world.tell(&[("p0_open", 0.0)], &[]);
    world.hours(1);
    world.pause().unwrap();
    world.hours(30);
    world.resume().unwrap();
    world.hours(8);
    world.is_at(0, 5.0, Status::Running);
    assert_eq!(
        world.told("p0_open has no data (what was told last is too old)"),
        1
    );
}

#[test]
fn approvals_that_do_not_count() {
    let approval =
        json!({"roles": ["release_manager", "engineering_lead"], "count": 2, "lifetime_hours": 3});
    let stages = json!([
        {"id": "a", "percentage": 5, "soak": {"min_hours": 2}, "approval": approval},
        {"id": "b", "percentage": 25},
    ]);
    let plan = four(json!({"stages": stages, "policy": {"lead_minutes": {"advance": 0}}}));
    let mut world = World::new(&plan);
    // Before it has begun.
    assert!(world.approve("a", "one", Role::ReleaseManager).is_err());
    world.start().unwrap();
    world.evidence = Ok(well());
    assert!(world.approve("b", "one", Role::ReleaseManager).is_err());
    for role in [Role::Bot, Role::Viewer, Role::Engineer] {
        assert!(world.approve("a", "nobody", role).is_err());
    }
    // The same person twice, and then another one whose approval meets an old one that is over.
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.hours(3);
    world.approve("a", "two", Role::EngineeringLead).unwrap();
    world.hours(2);
    world.is_at(0, 5.0, Status::Running);
    // Of an older plan.
    let seen = world.live.clone();
    let end = ledger::end_plan(&seen, &world.name, world.now).unwrap();
    world.take(&end).unwrap();
    let document = Json::parse(&plan.to_string()).unwrap();
    world
        .make(|live, name, now| ledger::set_plan(live, name, &document, now))
        .unwrap();
    world.start().unwrap();
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.hours(3);
    world.is_at(0, 5.0, Status::Running);
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.approve("a", "two", Role::EngineeringLead).unwrap();
    world.hours(1);
    world.is_at(1, 25.0, Status::Running);
}

#[test]
fn an_approval_that_runs_out_before_the_announced_step_calls_it_off() {
    let mut world = World::begun(&four(json!({"stages": [
        {"id": "a", "percentage": 5, "soak": {"min_hours": 2}, "approval": {"roles": ["release_manager"], "lifetime_hours": 1}},
        {"id": "b", "percentage": 25},
    ]})));
    world.evidence = Ok(well());
    world.minutes(75);
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.minutes(50);
    assert_eq!(world.told("b at 25 % in 30 min"), 1);
    world.minutes(40);
    assert_eq!(
        world.told("what was announced is called off: b at 25 % waits for approval"),
        1
    );
    world.is_at(0, 5.0, Status::Running);
}

#[test]
fn two_people_agree_to_everybody_however_it_is_reached() {
    let stages = json!([{"id": "all", "percentage": 100}]);
    let mut world = World::new(&four(json!({"stages": stages})));
    let rule = Json::parse(r#"{"policy": {"approvals": {"full_rollout": true}}}"#).unwrap();
    let mut document = world.live.state.document.clone();
    document.merge(&rule);
    let adopted = ledger::adopt(&world.live, &document);
    world.take(&adopted).unwrap();
    let seen = world.seen();
    let outcome = ledger::start_plan(&world.live, &world.name, &seen, Baseline::default(), NOW);
    assert_eq!(outcome.unwrap().held, Some(ledger::Held::FullRollout));
}

#[test]
fn a_plan_that_ends_below_everybody_is_complete_there() {
    let stages = json!([{"id": "a", "percentage": 5, "soak": {"min_hours": 2}}, {"id": "b", "percentage": 20}]);
    let mut world = World::begun(&four(json!({"stages": stages})));
    world.evidence = Ok(well());
    world.hours(6);
    world.is_at(1, 20.0, Status::Complete);
    world.hours(3);
    assert_eq!(world.told("the plan is complete at 20 %"), 1);
    // Asking for a decision does not change what it is, or why.
    let why = world.run().why.clone();
    world.evaluate();
    assert_eq!(world.run().why, why);
}
