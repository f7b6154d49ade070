//! The flags that every engine is asked for, and who asks.

/// 25 % of everybody; with a rule, also whoever it holds for.
pub struct Flag {
    pub key: String,
    pub rule: Option<Rule>,
}

/// One of three kinds, which every engine has.
#[derive(Clone, Copy)]
pub enum Rule {
    Country(&'static str),
    Plan([&'static str; 3]),
    /// A semantic version above this one.
    Above(&'static str),
}

impl Rule {
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Country(_) => "country",
            Self::Plan(_) => "plan",
            Self::Above(_) => "app_version",
        }
    }

    /// Whether it holds for the user of `ATTRIBUTES`.
    pub fn holds(self) -> bool {
        match self {
            Self::Country(country) => country == "DE",
            Self::Plan(plans) => plans.contains(&"team"),
            Self::Above(version) => version == "1.2.0",
        }
    }
}

pub const ATTRIBUTES: [(&str, &str); 5] = [
    ("os", "linux"),
    ("language", "de-DE"),
    ("country", "DE"),
    ("plan", "team"),
    ("app_version", "1.4.2"),
];

/// Flags that are asked for together.
pub struct Group {
    pub name: &'static str,
    pub flags: Vec<Flag>,
}

/// Three groups to ask for among 1000 flags.
pub fn groups() -> Vec<Group> {
    let mut first = 0;
    let mut group = |name, flags: Vec<Option<Rule>>| {
        let flag = |(i, rule)| Flag {
            key: format!("feature_{:04}", first + i),
            rule,
        };
        let flags: Vec<Flag> = flags.into_iter().enumerate().map(flag).collect();
        first += flags.len();
        Group { name, flags }
    };
    vec![
        group("one-flag", vec![None]),
        // One that does not hold, so that rule and rollout are both asked.
        group("one-with-a-rule", vec![Some(Rule::Country("FR"))]),
        group("100-flags", (0..100).map(rule).collect()),
        group("the-rest", (0..898).map(rule).collect()),
    ]
}

/// Every third has one; of each kind half hold.
fn rule(i: usize) -> Option<Rule> {
    let holds = (i / 9).is_multiple_of(2);
    match i / 3 % 3 {
        _ if i % 3 != 1 => None,
        0 => Some(Rule::Country(if holds { "DE" } else { "FR" })),
        1 => Some(Rule::Plan([
            "pro",
            "enterprise",
            if holds { "team" } else { "edu" },
        ])),
        _ => Some(Rule::Above(if holds { "1.2.0" } else { "2.0.0" })),
    }
}
