//! Plans: stages, the evidence that each asks for, and who may act on it. `document` is what is written, `read`
//! how it is read, `presets` those that come along, `run` where one stands. Pure: no clock, no store.

mod document;
mod presets;
mod read;
mod run;

pub use document::{
    Action, Approval, Audience, Autonomy, Breaker, Direction, Freeze, HOUR_MS, Halt, LatencyLimit,
    MINUTE_MS, Mode, Plan, Policy, Rule, Stage, StageGate,
};
pub use presets::{PRESETS, preset};
pub use read::MAX_BYTES;
pub use run::{
    Baseline, Check, Circuit, Decision, Fired, Given, Judged, Pending, Run, Seen, Status,
};
