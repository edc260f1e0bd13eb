//! The ladder of a flow: its deciding packets between two posts, with what a careful reader looks
//! at beside them, and the silences between them.
//!
//! It is a table, so that it can be read aloud and copied; the style sheet draws the posts and
//! arrows. `script.js` builds the same rows for flows that are not laid out here.

use crate::net::FrameNumber;
use crate::render::html::markup::Markup;
use crate::render::phrase;
use crate::render::rung;
use crate::report::Report;
use crate::verdict::record::{EvidenceRecord, JudgedFlow, Sender};

/// Silence that is worth a row, in nanoseconds.
const SHORT_PAUSE: i64 = 100_000_000;

/// A row of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A packet.
    Rung {
        /// Time of day.
        time: String,
        /// Its frame.
        frame: FrameNumber,
        /// Classes of its arrow.
        arrow: &'static str,
        /// Who sends it, for those who cannot see the arrow.
        sender: &'static str,
        /// What it is.
        label: String,
        /// The numbers that tell who sent it, as they stand in it.
        facts: Vec<String>,
        /// What else there is to say of it.
        note: Option<String>,
    },
    /// Time that passes without a packet that decides.
    Silence {
        /// Class of its height: the longer, the taller.
        height: &'static str,
        /// How long, where it is known.
        pause: Option<String>,
        /// What did not come, where nothing follows.
        ending: Option<&'static str>,
    },
}

/// The rows of a flow's ladder.
pub(super) fn steps(report: &Report, flow: &JudgedFlow) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut before: Option<EvidenceRecord> = None;
    for (place, packet) in flow.evidence.iter().enumerate() {
        let pause = before.as_ref().and_then(|before| rung::pause(before.time, packet.time));
        if let Some(pause) = pause.filter(|pause| *pause >= SHORT_PAUSE) {
            steps.push(silence(Some(pause), None));
        }
        steps.push(rung(flow, place, &packet));
        before = Some(packet);
    }
    if let Some(ending) = rung::ending(flow.verdict) {
        let last = flow.evidence.last().and_then(|packet| packet.time);
        let end = report.captures.get(flow.capture).and_then(|capture| capture.last_seen);
        steps.push(silence(rung::pause(last, end), Some(ending)));
    }
    steps
}

/// Draws the ladder of a flow.
pub(super) fn ladder(report: &Report, flow: &JudgedFlow, page: &mut Markup) {
    page.raw("<table class=\"ladder\"><caption class=\"hidden\">Packets that decide, in order</caption><thead><tr><th scope=\"col\">time</th><th scope=\"col\">frame</th><th scope=\"col\" class=\"posts\"><span>")
        .name(&flow.initiator.to_string())
        .raw("</span> <span>")
        .name(&flow.responder.to_string())
        .raw("</span></th><th scope=\"col\">seen in it</th></tr></thead><tbody>");
    for step in steps(report, flow) {
        match step {
            Step::Rung { time, frame, arrow, sender, label, facts, note } => {
                page.raw("<tr class=\"rung\"><td class=\"when\">").text(&time);
                page.raw("</td><td class=\"frame\">").text(&frame.to_string());
                page.raw("</td><td class=\"lane\"><span class=\"arrow ").raw(arrow);
                page.raw("\"><span class=\"hidden\">").raw(sender).raw(" sends </span><b>");
                page.text(&label).raw("</b></span></td><td class=\"facts\">");
                for fact in &facts {
                    page.raw("<span>").text(fact).raw("</span> ");
                }
                if let Some(note) = &note {
                    page.raw("<q>").text(note).raw("</q>");
                }
                page.raw("</td></tr>");
            }
            Step::Silence { height, pause, ending } => {
                page.raw("<tr class=\"pause ").raw(height).raw("\"><td colspan=\"2\">");
                page.text(&pause.unwrap_or_default()).raw("</td><td class=\"lane\">");
                if let Some(ending) = ending {
                    page.raw("<em>").raw(ending).raw("</em>");
                }
                page.raw("</td><td></td></tr>");
            }
        }
    }
    page.raw("</tbody></table>");
}

fn rung(flow: &JudgedFlow, place: usize, packet: &EvidenceRecord) -> Step {
    Step::Rung {
        time: packet.time.map_or_else(|| "–".to_owned(), rung::time_of_day),
        frame: packet.frame,
        arrow: match (packet.from, rung::says_no(packet.kind)) {
            (Sender::Initiator, false) => "right",
            (Sender::Initiator, true) => "right no",
            (Sender::Responder, false) => "left",
            (Sender::Responder, true) => "left no",
            (Sender::Network, _) => "left short no",
        },
        sender: match packet.from {
            Sender::Initiator => "the initiator",
            Sender::Responder => "the responder",
            Sender::Network => "the network",
        },
        label: rung::label(flow, place, packet),
        facts: rung::facts(packet),
        note: packet.note.as_deref().map(str::to_owned),
    }
}

fn silence(pause: Option<i64>, ending: Option<&'static str>) -> Step {
    let height = match pause.unwrap_or(0) / 1_000_000 {
        ..1_000 => "p1",
        1_000..4_000 => "p2",
        4_000..10_000 => "p3",
        _ => "p4",
    };
    let told = pause.filter(|pause| *pause > 0).map(phrase::duration);
    let pause = told.map(|told| match ending {
        Some(_) => format!("the capture goes on for {told}"),
        None => format!("+{told}"),
    });
    Step::Silence { height, pause, ending }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;
    use crate::verdict::record::Verdict;

    #[test]
    fn a_ladder_tells_repeats_spacing_and_the_numbers_of_a_reset() {
        let report = samples::seed();
        let drawn = |verdict| {
            let flow = report.flows.telling().iter().find(|flow| flow.verdict == verdict).unwrap();
            let mut page = Markup::new();
            ladder(&report, flow, &mut page);
            page.as_str().to_owned()
        };
        let dropped = drawn(Verdict::NoReply);
        assert_eq!(dropped.matches("SYN again").count(), 2, "{dropped}");
        assert!(dropped.contains("<em>no answer</em>"));
        let refused = drawn(Verdict::Refused);
        let reset = "arrow left no\"><span class=\"hidden\">the responder sends </span><b>RST</b>";
        assert!(refused.contains(reset), "{refused}");
        assert!(!refused.contains("no answer"));
    }
}
