//! The signs of a page: a shape, a word and a colour for each outcome, so that nothing is said by
//! colour alone.

use crate::matrix::Outcome;
use crate::render::html::markup::Markup;
use crate::render::phrase;
use crate::render::seen;
use crate::verdict::record::{Class, JudgedFlow};

/// A sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    /// No answer: a cross.
    Dropped,
    /// Something said no: a circle with a bar.
    Refused,
    /// The service failed above a path that works: a triangle.
    Failed,
    /// Some worked and some failed: a circle half filled.
    Mixed,
    /// The captures do not tell: a question mark.
    Doubt,
    /// Works: a tick.
    Good,
    /// Nobody tried: a dash.
    Untried,
}

impl Sign {
    /// Every sign, worst first.
    pub(super) const ALL: [Sign; 7] = [
        Sign::Dropped,
        Sign::Refused,
        Sign::Failed,
        Sign::Mixed,
        Sign::Doubt,
        Sign::Good,
        Sign::Untried,
    ];

    /// That of an outcome.
    pub(super) fn of_outcome(outcome: Outcome) -> Sign {
        match outcome {
            Outcome::Open => Sign::Good,
            Outcome::Dropped => Sign::Dropped,
            Outcome::Refused => Sign::Refused,
            Outcome::ServiceFailed => Sign::Failed,
            Outcome::Mixed => Sign::Mixed,
            Outcome::CannotTell => Sign::Doubt,
            Outcome::NotExercised => Sign::Untried,
        }
    }

    /// That of a flow.
    pub(super) fn of_flow(flow: &JudgedFlow) -> Sign {
        match flow.class {
            Class::Success if seen::service_failed(flow) => Sign::Failed,
            Class::Success => Sign::Good,
            Class::Timeout => Sign::Dropped,
            Class::Reject => Sign::Refused,
            Class::Inconclusive => Sign::Doubt,
        }
    }

    /// The word beside it, in a sheet.
    pub(super) fn word(self) -> &'static str {
        match self {
            Sign::Dropped => "dropped",
            Sign::Refused => "refused",
            Sign::Failed => "service failed",
            Sign::Mixed => "mixed",
            Sign::Doubt => "cannot tell",
            Sign::Good => "open",
            Sign::Untried => "not exercised",
        }
    }

    /// Its colour, as a class of the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Sign::Dropped => "dropped",
            Sign::Refused => "refused",
            Sign::Failed => "failed",
            Sign::Mixed => "mixed",
            Sign::Doubt => "doubt",
            Sign::Good => "good",
            Sign::Untried => "untried",
        }
    }

    /// Whether it says that something does not work, as far as the captures tell.
    pub(super) fn is_bad(self) -> bool {
        match self {
            Sign::Dropped | Sign::Refused | Sign::Failed | Sign::Mixed => true,
            Sign::Doubt | Sign::Good | Sign::Untried => false,
        }
    }

    /// Draws it in a line of text. The word is to stand beside it.
    pub(super) fn draw(self, page: &mut Markup) {
        page.raw("<svg class=\"sign ")
            .raw(self.class())
            .raw("\" viewBox=\"0 0 16 16\" aria-hidden=\"true\"><use href=\"#sign-")
            .raw(self.class())
            .raw("\"/></svg>");
    }

    /// Draws it within a drawing, with its middle at a point.
    pub(super) fn draw_at(self, page: &mut Markup, x: i32, y: i32, size: i32) {
        page.raw("<use class=\"mark ")
            .raw(self.class())
            .raw("\" href=\"#sign-")
            .raw(self.class())
            .raw("\" x=\"")
            .number(x - size / 2)
            .raw("\" y=\"")
            .number(y - size / 2)
            .raw("\" width=\"")
            .number(size)
            .raw("\" height=\"")
            .number(size)
            .raw("\"/>");
    }
}

/// What a flow did, in a word or two: its verdict, or what its service did where the path works.
pub(super) fn did(flow: &JudgedFlow) -> String {
    let word = if Sign::of_flow(flow) == Sign::Failed {
        flow.service.outcome.as_str()
    } else {
        flow.verdict.as_str()
    };
    phrase::words(word)
}

/// The shapes, once for the page.
pub(super) fn shapes(page: &mut Markup) {
    page.raw(
        r#"<svg class="shapes" width="0" height="0" aria-hidden="true" focusable="false"><defs>
<symbol id="sign-dropped" viewBox="0 0 16 16"><path d="M3.5 3.5l9 9M12.5 3.5l-9 9"/></symbol>
<symbol id="sign-refused" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6"/><path d="M4.5 8h7"/></symbol>
<symbol id="sign-failed" viewBox="0 0 16 16"><path d="M8 2l6.3 11.5H1.7z"/><path d="M8 6.2v3.6M8 11.4v.4"/></symbol>
<symbol id="sign-mixed" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6"/><path class="solid" d="M8 2a6 6 0 0 1 0 12z"/></symbol>
<symbol id="sign-doubt" viewBox="0 0 16 16"><path d="M5 5.6a3 3 0 1 1 4.6 2.6C8.5 8.9 8 9.4 8 10.5M8 13v.3"/></symbol>
<symbol id="sign-good" viewBox="0 0 16 16"><path d="M2.8 8.6l3.5 3.6 7-8"/></symbol>
<symbol id="sign-untried" viewBox="0 0 16 16"><path d="M5 8h6"/></symbol>
<marker id="tip-good" class="tip good" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 .5l7.5 3.5L0 7.5z"/></marker>
<marker id="tip-doubt" class="tip doubt" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 .5l7.5 3.5L0 7.5z"/></marker>
</defs></svg>
"#,
    );
}
