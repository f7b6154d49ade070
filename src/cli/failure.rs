//! What ends a command: an exit code that scripts can tell apart, and a sentence that says how to mend it.

use std::fmt;

use serde_json::{Value, json};

/// How a command ended. The numbers never change: scripts compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was done, or was so already.
    Ok = 0,
    /// What was asked is answered with no: a check failed, two things differ, a file cannot be used.
    No = 1,
    /// The command line is wrong, or needs `--yes` because nobody can be asked.
    Usage = 2,
    /// No token, or one whose role does not allow it.
    Denied = 3,
    /// No such release, flag or other thing.
    Missing = 4,
    /// Refused: the present state or a rule does not allow it, somebody was faster, or the answer to the question was no.
    Refused = 5,
    /// Nothing was changed yet: a second person has to agree.
    Waiting = 6,
    /// The router could not be reached, or failed; it is not known whether it did anything.
    Unreachable = 7,
}

/// Every exit code with what it means, for `--help` and the manual page.
pub const EXITS: [(Exit, &str); 8] = [
    (Exit::Ok, "done, or it was so already"),
    (Exit::No, "the answer is no: a check failed, things differ"),
    (Exit::Usage, "the command line is wrong, or needs --yes"),
    (Exit::Denied, "no token, or its role does not allow this"),
    (
        Exit::Missing,
        "no such release, flag, cohort or other thing",
    ),
    (
        Exit::Refused,
        "refused: a rule, a faster change, or you said no",
    ),
    (
        Exit::Waiting,
        "nothing changed yet: a second person has to agree",
    ),
    (Exit::Unreachable, "the router did not answer, or failed"),
];

/// An error that a person can do something about.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The router's problem document (RFC 9457), if it sent one.
    pub problem: Option<Value>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            problem: None,
        }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(Exit::Missing, message)
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As `--json` says it, on standard error.
    pub fn json(&self) -> Value {
        json!({ "error": {
            "exit": self.exit as u8,
            "message": self.message,
            "hint": self.hint,
            "problem": self.problem,
        }})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What any error means to a script, and how it is said.
pub fn failure_of(error: &anyhow::Error) -> Failure {
    let known = error.downcast_ref::<Failure>();
    // What was being done stands in front of why it failed.
    let message = format!("{error:#}");
    match known {
        Some(known) => Failure {
            exit: known.exit,
            message,
            hint: known.hint.clone(),
            problem: known.problem.clone(),
        },
        None => Failure::new(Exit::No, message),
    }
}
