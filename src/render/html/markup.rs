//! Builds HTML in which only this program's own source is markup.
//!
//! [`Markup::raw`] takes nothing but literals, and everything else that is written is escaped for
//! wherever a literal may have left off: between tags, or within an attribute in double quotes.
//! So no text of a capture can open a tag, end an attribute, or begin a script.

use std::borrow::Cow;

use crate::render::text::{acts, plain};

/// Characters of one piece of text. What is longer says more about its maker than about a host.
const LONGEST: usize = 4_000;

/// A piece of a page.
#[derive(Debug, Default)]
pub(super) struct Markup {
    html: String,
}

impl Markup {
    /// Nothing yet.
    pub(super) fn new() -> Markup {
        Markup::default()
    }

    /// Markup, as it stands in this program's source.
    pub(super) fn raw(&mut self, html: &'static str) -> &mut Markup {
        self.html.push_str(html);
        self
    }

    /// Text of any origin: shown letter by letter, whatever it holds.
    pub(super) fn text(&mut self, text: &str) -> &mut Markup {
        push_escaped(&mut self.html, &plain(&bounded(text)));
        self
    }

    /// A name of any origin, set apart from its surroundings: letters that are written from right
    /// to left cannot carry those with them.
    pub(super) fn name(&mut self, text: &str) -> &mut Markup {
        self.raw("<bdi>").text(text).raw("</bdi>")
    }

    /// A number, in plain digits.
    pub(super) fn number<N: Into<i128>>(&mut self, number: N) -> &mut Markup {
        self.html.push_str(&number.into().to_string());
        self
    }

    /// A length or an index, in plain digits.
    pub(super) fn count(&mut self, number: usize) -> &mut Markup {
        self.html.push_str(&number.to_string());
        self
    }

    /// What was built apart.
    pub(super) fn append(&mut self, other: &Markup) -> &mut Markup {
        self.html.push_str(&other.html);
        self
    }

    /// A button that copies the text of the element before it; only a script shows it.
    pub(super) fn copy_button(&mut self, what: &'static str) -> &mut Markup {
        self.raw("<button type=\"button\" class=\"copy\" data-copy>copy<span class=\"hidden\"> ")
            .raw(what)
            .raw("</span></button>")
    }

    /// Whether nothing was written.
    pub(super) fn is_empty(&self) -> bool {
        self.html.is_empty()
    }

    /// The HTML.
    pub(super) fn as_str(&self) -> &str {
        &self.html
    }
}

/// Text up to a length.
fn bounded(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

fn push_escaped(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(character),
        }
    }
}

/// A string as JSON within a script element: no tag, comment or entity can begin in it, and no
/// character that acts is left (the same escapes are shown as between tags).
pub(super) fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for character in plain(&bounded(text)).chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '<' => json.push_str("\\u003c"),
            '>' => json.push_str("\\u003e"),
            '&' => json.push_str("\\u0026"),
            // `plain` left none; if it ever does, the document stays whole.
            _ if acts(character) => json.push(char::REPLACEMENT_CHARACTER),
            _ => json.push(character),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_cannot_open_a_tag_or_end_an_attribute() {
        let mut page = Markup::new();
        page.raw("<a title=\"").text("\"><script>alert('&')</script>\u{202e}\n").raw("\">");
        assert_eq!(
            page.as_str(),
            "<a title=\"&quot;&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;\
             \\u{202e}\\n\">"
        );
    }

    #[test]
    fn long_text_is_cut() {
        let mut page = Markup::new();
        page.text(&"é".repeat(LONGEST + 1));
        assert_eq!(page.as_str().chars().count(), LONGEST + 1);
        assert!(page.as_str().ends_with('…'));
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_text(text in "[\\PC<>&\"'\u{0}-\u{1f}\u{202a}-\u{202e}]{0,40}") {
            let mut page = Markup::new();
            page.text(&text);
            prop_assert!(!page.as_str().contains(['<', '>', '"', '\'']));
            prop_assert!(!page.as_str().contains(acts));
            let mut json = String::new();
            push_json_string(&mut json, &text);
            prop_assert!(!json.contains(['<', '>', '&']));
            let back: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back, plain(&text));
        }
    }
}
