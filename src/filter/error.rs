//! What is wrong with a filter, and where.

use std::fmt;
use std::ops::Range;

/// A filter that cannot be read. It shows as its message, the filter, and carets below the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    text: String,
    place: Range<usize>,
    message: String,
}

/// Characters of a filter that are shown before and after the place.
const SHOWN: usize = 60;

impl FilterError {
    pub(super) fn new(text: &str, place: Range<usize>, message: impl Into<String>) -> FilterError {
        FilterError { text: text.to_owned(), place, message: message.into() }
    }

    /// The part of the filter that is wrong; empty where something is missing.
    pub fn place(&self) -> &str {
        self.text.get(self.place.clone()).unwrap_or_default()
    }

    /// What is wrong with it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A filter is one line, whatever was typed.
        let plain = |text: &str| -> String {
            text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
        };
        let before = plain(self.text.get(..self.place.start).unwrap_or_default());
        let wrong = plain(self.place());
        let after = plain(self.text.get(self.place.end..).unwrap_or_default());
        let skipped = before.chars().count().saturating_sub(SHOWN);
        let lead = if skipped > 0 { "…" } else { "" };
        let before: String = before.chars().skip(skipped).collect();
        let wrong: String = wrong.chars().take(SHOWN).collect();
        let tail = if after.chars().count() > SHOWN { "…" } else { "" };
        let after: String = after.chars().take(SHOWN).collect();
        let indent = lead.chars().count() + before.chars().count();
        let carets = wrong.chars().count().max(1);
        write!(
            out,
            "{}\n  {lead}{before}{wrong}{after}{tail}\n  {:indent$}{}",
            self.message,
            "",
            "^".repeat(carets)
        )
    }
}

impl std::error::Error for FilterError {}
