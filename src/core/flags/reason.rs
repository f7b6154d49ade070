//! Why a requester gets what they get of a feature.

/// Why a feature answers what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The same for everybody.
    Static,
    /// Switched off.
    Disabled,
    /// A kill switch is on.
    Killed,
    /// An emergency stop is on.
    Stopped,
    /// Outside its schedule.
    Scheduled,
    /// A feature that it waits for answers otherwise.
    Prerequisite,
    /// On the deny list.
    Denied,
    /// In a cohort that is always in.
    Cohort,
    /// Another feature names it as its fallback, and is off.
    Fallback,
    /// A rule holds.
    Rule,
    /// In the holdout.
    HeldOut,
    /// Outside its share of the layer.
    Layer,
    /// By the bucket, in or out.
    Bucket,
    /// They had it before and asked to keep it.
    Sticky,
    /// Nothing identifies the requester, and it is not for everybody.
    NoUnit,
}

impl Reason {
    pub const ALL: [Self; 15] = [
        Self::Static,
        Self::Disabled,
        Self::Killed,
        Self::Stopped,
        Self::Scheduled,
        Self::Prerequisite,
        Self::Denied,
        Self::Cohort,
        Self::Fallback,
        Self::Rule,
        Self::HeldOut,
        Self::Layer,
        Self::Bucket,
        Self::Sticky,
        Self::NoUnit,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Disabled => "disabled",
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::Scheduled => "scheduled",
            Self::Prerequisite => "prerequisite",
            Self::Denied => "denied",
            Self::Cohort => "cohort",
            Self::Fallback => "fallback",
            Self::Rule => "rule",
            Self::HeldOut => "holdout",
            Self::Layer => "layer",
            Self::Bucket => "bucket",
            Self::Sticky => "sticky",
            Self::NoUnit => "no_unit",
        }
    }

    /// In a sentence.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Static => "the same for everybody",
            Self::Disabled => "switched off",
            Self::Killed => "a kill switch is on",
            Self::Stopped => "an emergency stop is on",
            Self::Scheduled => "outside its schedule",
            Self::Prerequisite => "a feature that it waits for answers otherwise",
            Self::Denied => "the requester is on the deny list",
            Self::Cohort => "the requester is in a cohort that always gets it",
            Self::Fallback => "another feature falls back to it",
            Self::Rule => "a rule holds",
            Self::HeldOut => "the requester is in the holdout",
            Self::Layer => "the requester is in another part of the layer",
            Self::Bucket => "by the requester's bucket",
            Self::Sticky => "the requester had it before and keeps it",
            Self::NoUnit => "nothing identifies the requester",
        }
    }
}
