//! Plans: stages, the evidence that each asks for, and who may act on it. `document` is what is written, `read`
//! how it is read, `presets` those that come along; `run` where one stands; `machine` and `decision` what is done,
//! `halt` and `breaker` what stops it, `lint` what cannot work, `person` what people do. Pure: no clock, no store.

mod approval;
mod breaker;
mod calendar;
mod decision;
mod document;
mod halt;
mod lint;
mod machine;
pub mod person;
mod presets;
mod read;
pub mod report;
mod run;
#[cfg(not(target_arch = "wasm32"))]
pub mod simulate;

pub use calendar::{Entry, calendar};
pub use decision::decide;
pub use document::{
    Action, Approval, Audience, Autonomy, Breaker, Direction, Freeze, HOUR_MS, Halt, LatencyLimit,
    MINUTE_MS, Mode, Plan, Policy, Rule, Stage, StageGate,
};
pub use halt::fired;
pub use lint::{LAG_MS, lint};
pub use machine::{Look, Order, Step, guard};
pub use presets::{PRESETS, preset};
pub use read::MAX_BYTES;
pub use run::{
    Baseline, Check, Circuit, Decision, Fired, Given, Judged, Pending, Run, Seen, Status,
};
