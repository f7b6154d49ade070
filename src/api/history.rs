//! `GET /history.json` and `GET /feed.atom`. They are the ledger's to know and anybody's to ask, so the ledger is kept from
//! being asked: an isolate asks it at most once in five seconds, answers from what it got for twenty, and while one
//! request asks the others are answered from what there is, or wait for it. The ledger itself makes the text once in
//! five seconds, however many isolates there are.

use crate::core::time::Timestamp;
use crate::wire::etag;
use crate::wire::history::Changes;
use crate::wire::problem::ProblemType;

use super::reply::Reply;

/// What was got is answered from for this long, and this long at least, whatever changes.
const FRESH_MS: u64 = 20_000;
const AGAIN_MS: u64 = 5_000;

/// Who asks and was not heard of for so long is not waited for.
const LOCK_MS: u64 = 3_000;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    Atom,
}

/// What an isolate knows.
#[derive(Debug, Default)]
pub struct History {
    kept: Option<Kept>,
    /// Since when a request asks the ledger.
    asking: Option<Timestamp>,
    /// When it did not answer.
    failed: Option<Timestamp>,
}

#[derive(Debug)]
struct Kept {
    json: Reply,
    atom: Reply,
    revision: u64,
    at: Timestamp,
}

/// What a request does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    Serve(Reply),
    /// Ask the ledger, tell [`History::took`], and come again.
    Ask,
    /// Come again in a moment.
    Wait,
}

impl History {
    /// What needs no asking. `revision`: what this isolate knows that there is.
    pub fn fresh(&self, form: Form, revision: Option<u64>, now: Timestamp) -> Option<Reply> {
        let kept = self.kept.as_ref()?;
        let behind = revision.is_some_and(|revision| revision > kept.revision);
        let good_for = if behind { AGAIN_MS } else { FRESH_MS };
        (now.apart(kept.at) < good_for).then(|| kept.reply(form))
    }

    /// What a request that came at `since` does next.
    pub fn turn(
        &mut self,
        form: Form,
        revision: Option<u64>,
        since: Timestamp,
        now: Timestamp,
    ) -> Turn {
        if let Some(reply) = self.fresh(form, revision, now) {
            return Turn::Serve(reply);
        }
        let lately = |at: Option<Timestamp>, ms: u64| at.is_some_and(|at| now.apart(at) < ms);
        let rest = lately(self.failed, AGAIN_MS);
        let asking = lately(self.asking, LOCK_MS);
        let is_patient = now.apart(since) < LOCK_MS;
        match &self.kept {
            _ if !rest && !asking => {
                self.asking = Some(now);
                Turn::Ask
            }
            Some(kept) => Turn::Serve(kept.reply(form)),
            None if asking && is_patient => Turn::Wait,
            None => Turn::Serve(unavailable()),
        }
    }

    /// Takes in what the ledger said, or that it said nothing.
    pub fn took(&mut self, answer: Option<String>, origin: &str, now: Timestamp) {
        self.asking = None;
        let read = answer.and_then(|text| Some((serde_json::from_str(&text).ok()?, text)));
        let Some((changes, text)) = read else {
            self.failed = Some(now);
            return;
        };
        let changes: Changes = changes;
        let feed = feed(&changes, origin);
        let revision = changes.revision;
        let sent = |reply: Reply| {
            let tag = etag::of_body(&reply.body);
            reply
                .open()
                .with("ETag", tag)
                .with("X-Caro-Revision", revision.to_string())
        };
        self.failed = None;
        self.kept = Some(Kept {
            json: sent(Reply::new(200, "application/json", CACHE, text)),
            atom: sent(Reply::new(
                200,
                "application/atom+xml; charset=utf-8",
                CACHE,
                feed,
            )),
            revision,
            at: now,
        });
    }
}

const CACHE: &str = "public, max-age=30";

impl Kept {
    fn reply(&self, form: Form) -> Reply {
        match form {
            Form::Json => self.json.clone(),
            Form::Atom => self.atom.clone(),
        }
    }
}

fn unavailable() -> Reply {
    let detail =
        "The ledger does not answer, and nothing was heard of it before. Try again in a moment.";
    Reply::problem(ProblemType::LedgerUnavailable, detail).with("Retry-After", "5")
}

/// The changes as an Atom feed (RFC 4287). An entry is known by its revision, which means one thing for good.
pub fn feed(changes: &Changes, origin: &str) -> String {
    let newest = changes.changes.first().map(|change| change.at);
    let updated = newest.unwrap_or(changes.generated_at);
    let (product, origin) = (escaped(&changes.product), escaped(origin));
    let mut feed = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <feed xmlns=\"http://www.w3.org/2005/Atom\">\n\
         <id>{origin}/feed.atom</id>\n\
         <title>{product}: what is rolled out</title>\n\
         <updated>{updated}</updated>\n\
         <author><name>{product}</name></author>\n\
         <link rel=\"self\" type=\"application/atom+xml\" href=\"{origin}/feed.atom\"/>\n\
         <link rel=\"alternate\" type=\"text/html\" href=\"{origin}/status\"/>\n"
    );
    for change in &changes.changes {
        let (at, revision, text) = (change.at, change.revision, escaped(&change.text));
        feed.push_str(&format!(
            "<entry>\n<id>{origin}/feed.atom#revision-{revision}</id>\n<title>{text}</title>\n\
             <updated>{at}</updated>\n\
             <link rel=\"alternate\" type=\"text/html\" href=\"{origin}/status\"/>\n\
             <content type=\"text\">{text}</content>\n</entry>\n"
        ));
    }
    feed.push_str("</feed>\n");
    feed
}

/// As XML has it, in text and in attributes; without the characters that XML 1.0 cannot have at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => {}
            c => escaped.push(c),
        }
    }
    escaped
}
