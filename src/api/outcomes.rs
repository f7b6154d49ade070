//! `POST /experiments/{name}/outcomes`: how it went for a requester, told by their client. Which variant
//! they got is worked out here and not taken from them.

use serde::Serialize;

use crate::core::condition::Attribute;
use crate::core::config::{Experiment, FeatureScope};
use crate::core::decode::Problem as Fault;
use crate::core::experiment::tally::Seen;
use crate::core::flags::{Asking, evaluate_all};
use crate::core::json::Json;
use crate::core::time::Timestamp;
use crate::wire::problem::{Problem, ProblemType};

use super::edge::Edge;
use super::ofrep::attributes;
use super::reply::Reply;
use super::request::{Identity, Request};

/// What to do for a report.
pub struct Report {
    /// Where it is counted.
    pub tally: String,
    pub seen: Vec<Seen>,
    /// The answer, once that is done.
    pub reply: Reply,
}

/// What was counted.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Counted<'a> {
    pub experiment: &'a str,
    /// What the requester got; `null`: they do not take part, and nothing was counted.
    pub variant: Option<&'a str>,
}

/// Understands a report. Nothing to count is no error: the client cannot know who takes part.
///
/// # Errors
/// The answer to one that cannot be understood.
pub fn report(
    edge: &Edge,
    request: &impl Request,
    name: &str,
    body: Option<&[u8]>,
    now: Timestamp,
) -> Result<Report, Reply> {
    let snapshot = &edge.snapshot;
    let experiment = edge.config().and_then(|config| {
        let found = config
            .experiments
            .iter()
            .find(|(key, _)| key.as_str() == name);
        found.map(|(_, experiment)| experiment)
    });
    let Some(experiment) = experiment else {
        let detail = format!("There is no experiment {name}.");
        let detail = if name.len() > 64 {
            "There is no such experiment."
        } else {
            &detail
        };
        return Err(Reply::problem(ProblemType::NotFound, detail));
    };
    let json = super::ofrep::parse(body)?;
    let outcomes = outcomes(experiment, &json)?;
    let identity = Identity::of(request);
    let unit = identity.unit();
    let unit = unit.map_err(|e| Reply::problem(ProblemType::BadIdentity, &e.to_string()))?;
    let release = match &experiment.scope {
        FeatureScope::Release(name) => Some(name.as_str()),
        FeatureScope::All => json.get("release").and_then(Json::as_str),
    };
    let named = release.and_then(|name| snapshot.features(name));
    let set = named.or(snapshot.everybodys_features()).map(|(_, set)| set);
    let none = Json::Object(Vec::new());
    let mut attributes = attributes(json.get("context").unwrap_or(&none));
    if let Some(release) = release {
        attributes.push(("release", Attribute::Text(release)));
    }
    let country = request.header("cf-ipcountry");
    if let Some(country) = &country {
        attributes.push(("country", Attribute::Text(country)));
    }
    let asking = Asking {
        unit,
        attributes: &attributes,
        now,
        held: None,
    };
    let choices = set.map(|set| evaluate_all(snapshot, set, &asking));
    let parts = set.zip(unit).zip(choices.as_deref());
    let parts = parts.map(|((set, unit), choices)| set.taking_part(snapshot, &unit, choices));
    let part = parts.unwrap_or_default().into_iter();
    let part = part.into_iter().find(|(key, ..)| key.as_str() == name);
    let variant = part
        .as_ref()
        .map(|(_, _, variant, _)| variant.name.as_str());
    let seen = part.iter().flat_map(|(_, _, variant, unit)| {
        // Who tells how it went has got it.
        let told = outcomes.iter().cloned().map(Some);
        [None].into_iter().chain(told).map(|outcome| Seen {
            unit: *unit,
            variant: variant.name.to_string(),
            outcome,
        })
    });
    let counted = Counted {
        experiment: name,
        variant,
    };
    // A struct of strings always serializes.
    let text = serde_json::to_string(&counted).unwrap_or_default();
    Ok(Report {
        tally: experiment.rollout_id.clone(),
        seen: seen.collect(),
        reply: Reply::json(202, "no-store", text),
    })
}

/// Which of the metrics were told, and whether each is good.
fn outcomes(experiment: &Experiment, json: &Json) -> Result<Vec<(String, bool)>, Reply> {
    let mut faults = Vec::new();
    let mut fault = |path: String, message: String| faults.push(Fault { path, message });
    let mut told = Vec::new();
    for (key, _) in json.entries() {
        if !["outcomes", "release", "context"].contains(&key.as_str()) {
            fault(format!("/{key}"), "is not known here".to_owned());
        }
    }
    let given = json.get("outcomes").map(Json::entries).unwrap_or_default();
    if given.is_empty() {
        let message = "must be an object from metrics to values".to_owned();
        fault("/outcomes".to_owned(), message);
    }
    for (key, value) in given {
        let at = format!("/outcomes/{key}");
        let metric = experiment.metrics.iter().find(|m| m.name.as_str() == key);
        match metric.map(|metric| metric.is_good(value)) {
            Some(Some(good)) => told.push((key.clone(), good)),
            Some(None) => fault(at, "is not of the metric's type".to_owned()),
            None => {
                let names: Vec<_> = experiment.metrics.iter().map(|m| m.name.as_str()).collect();
                fault(at, format!("is no metric; they are {}", names.join(", ")));
            }
        }
    }
    if faults.is_empty() {
        return Ok(told);
    }
    let detail = "Nothing was counted; \"errors\" says what is wrong and where.";
    let problem = Problem::new(ProblemType::InvalidBody, detail).with_errors(faults);
    Err(Reply::of_problem(&problem).open())
}
