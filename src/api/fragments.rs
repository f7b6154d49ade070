//! Parts of answers that are kept ready: what each feature says for each choice. Of a hundred features
//! there are more combinations than can be kept, but each has a few choices.

use crate::core::flags::{Choice, FeatureSet, Flag};
use crate::core::ids::FlagKey;
use crate::core::snapshot::FeatureSetId;
use crate::core::table::Table;

/// What is kept at most, in bytes; beyond it a part is made anew each time.
const MAX_BYTES: usize = 4 << 20;

/// How a feature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As a member of the flat map.
    Flat,
    /// As OFREP has it.
    Ofrep,
}

/// One feature's, by choice.
type Texts = Vec<(Choice, String)>;

/// Those of one snapshot.
#[derive(Debug, Default)]
pub struct Fragments {
    /// By the feature's place, its texts by choice.
    kept: Table<(FeatureSetId, Form), Vec<Texts>>,
    bytes: usize,
}

impl Fragments {
    /// Writes every feature, with commas between them.
    pub fn join(
        &mut self,
        out: &mut String,
        (id, form): (FeatureSetId, Form),
        set: &FeatureSet,
        choices: &[Choice],
        make: impl Fn(&FlagKey, &Flag, Choice) -> String,
    ) {
        if !self.kept.contains(&(id, form)) {
            self.kept
                .insert((id, form), vec![Vec::new(); choices.len()]);
        }
        let Some(kept) = self.kept.get_mut(&(id, form)) else {
            return;
        };
        for ((key, flag, choice), texts) in set.chosen(choices).zip(kept) {
            if !out.ends_with(['{', '[']) {
                out.push(',');
            }
            if let Some((_, text)) = texts.iter().find(|(known, _)| *known == choice) {
                out.push_str(text);
                continue;
            }
            let text = make(key, flag, choice);
            out.push_str(&text);
            if self.bytes + text.len() <= MAX_BYTES {
                self.bytes += text.len();
                texts.push((choice, text));
            }
        }
    }
}
