//! One flow in full: its deciding packets as a ladder between two posts, then what they mean and
//! how to find them in other programs.
//!
//! Rungs stand one below the other, each with its frame, the time since the first, an arrow from
//! its sender, and the numbers that tell who sent it. An ICMP error comes from somewhere between
//! the posts, so its arrow begins there; that of a packet that was dropped ends before the other
//! post.

use std::io;

use crate::net::Time;
use crate::render::phrase;
use crate::render::rung;
use crate::render::seen;
use crate::render::terminal::background;
use crate::render::terminal::flows;
use crate::render::terminal::ink::{Ink, inked};
use crate::render::terminal::page::{Page, wrapped};
use crate::render::text;
use crate::render::triage::Triage;
use crate::report::Report;
use crate::verdict::record::{
    EvidenceKind, EvidenceRecord, JudgedFlow, Sender, ServiceOutcome, Verdict,
};

/// Columns of the two posts and what is between them, on a narrow page and on a wide one.
const NARROW_LANE: usize = 20;
const WIDE_LANE: usize = 36;

/// A blank at which no line ends.
const HELD: &str = "\u{a0}";

/// The signs that a ladder is drawn with.
struct Signs {
    post: char,
    line: char,
    left: char,
    right: char,
    lost: char,
}

const UNICODE: Signs = Signs { post: '│', line: '─', left: '◀', right: '▶', lost: '✕' };
const ASCII: Signs = Signs { post: '|', line: '-', left: '<', right: '>', lost: 'x' };

/// Writes every flow of the report.
pub(super) fn write(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    if report.flows.is_empty() {
        return flows::no_flows(report, page);
    }
    flows::captures(report, page)?;
    let triage = Triage::of(report);
    for (place, flow) in report.flows.telling().iter().enumerate() {
        if place > 0 {
            page.blank()?;
        }
        head(report, &triage, flow, page)?;
        rungs(report, flow, page)?;
        meaning(flow, page)?;
    }
    Ok(())
}

/// Which flow it is, and who talks.
fn head(
    report: &Report,
    triage: &Triage<'_>,
    flow: &JudgedFlow,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let service = flow.service.name.as_deref().unwrap_or("no known service");
    let line = format!(
        "{}  {}  {}  {}",
        inked(Ink::Strong, &format!("flow {}", flow.id)),
        page.short(service, 40),
        background::verdict(flow.verdict, flow.class),
        of_frames(report, flow)
    );
    page.spaced(&line)?;
    let ends = format!("{} {} {}", flow.initiator, page.arrow(), flow.responder);
    page.paragraph(2, 4, None, &format!("{} {ends}", flow.transport))?;
    let known = [flow.initiator, flow.responder].map(|end| triage.title(end.address));
    let [from, to] = &known;
    if *from != flow.initiator.address.to_string() || *to != flow.responder.address.to_string() {
        let line = format!("{} {} {}", page.safe(from), page.arrow(), page.safe(to));
        page.paragraph(2, 4, None, &line)?;
    }
    page.blank()
}

fn of_frames(report: &Report, flow: &JudgedFlow) -> String {
    let word = if flow.first_frame == flow.last_frame { "frame" } else { "frames" };
    format!("{word} {}", flows::frames(report, flow))
}

/// The columns of a ladder, before what is said of its rungs.
struct Columns {
    frame: usize,
    time: usize,
    lane: usize,
}

impl Columns {
    fn used(&self) -> usize {
        2 + self.frame + 2 + self.time + 2 + self.lane + 2
    }
}

fn rungs(report: &Report, flow: &JudgedFlow, page: &mut Page<'_>) -> io::Result<()> {
    let Some(first) = flow.evidence.first() else { return Ok(()) };
    let signs = if page.unicode() { UNICODE } else { ASCII };
    let times = times(flow);
    let frames = flow.evidence.iter().map(|packet| packet.frame.to_string().len());
    let columns = Columns {
        frame: frames.max().unwrap_or(0).max("frame".len()),
        time: times.iter().map(String::len).max().unwrap_or(0).max("time".len()),
        lane: (page.width() / 4 + 4).clamp(NARROW_LANE, WIDE_LANE),
    };
    let gap = " ".repeat(columns.lane.saturating_sub("initiator".len() + "responder".len()));
    let Columns { frame, time, .. } = columns;
    let titles = format!("{:>frame$}  {:>time$}  initiator{gap}responder", "frame", "time");
    page.line(&format!("  {}", inked(Ink::Faint, &titles)))?;
    // Beside a reset every number counts: it is compared with those of the other packets.
    let has_reset = flow.evidence.has(EvidenceKind::Rst);
    let in_full = has_reset || page.verbose();
    for ((place, packet), time) in flow.evidence.iter().enumerate().zip(&times) {
        let lane = lane(flow, place, &packet, columns.lane, &signs);
        let about = about(flow, place, &packet, in_full, page);
        rung_line([&packet.frame.to_string(), time, &lane], &about, &columns, &signs, page)?;
    }
    if let Some(ending) = rung::ending(flow.verdict) {
        let last = flow.evidence.last().unwrap_or(first);
        let end = report.captures.get(flow.capture).and_then(|capture| capture.last_seen);
        let goes_on = rung::pause(last.time, end).filter(|pause| *pause > 0);
        let about = match goes_on {
            Some(pause) if flow.verdict == Verdict::CaptureEnded => {
                format!("{ending}, {} later", phrase::duration(pause))
            }
            Some(pause) => {
                format!("{ending}; the capture goes on for {}", phrase::duration(pause))
            }
            None => ending.to_owned(),
        };
        rung_line(["", "", &posts(columns.lane, &signs)], &about, &columns, &signs, page)?;
    }
    page.blank()
}

/// A line of a ladder, and more lines where what is said of it needs them.
fn rung_line(
    [frame, time, lane]: [&str; 3],
    about: &str,
    columns: &Columns,
    signs: &Signs,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let Columns { frame: frame_width, time: time_width, .. } = *columns;
    let lines = wrapped(about, page.width().saturating_sub(columns.used()), 0, 0);
    let lines: Vec<String> = lines.iter().map(|line| line.replace(HELD, " ")).collect();
    let first = lines.first().map_or("", String::as_str);
    page.line(&format!("  {frame:>frame_width$}  {time:>time_width$}  {lane}  {first}"))?;
    let margin = " ".repeat(2 + frame_width + 2 + time_width + 2);
    for line in lines.iter().skip(1) {
        page.line(&format!("{margin}{}  {line}", posts(columns.lane, signs)))?;
    }
    Ok(())
}

/// The two posts with nothing between them.
fn posts(width: usize, signs: &Signs) -> String {
    format!("{}{}{}", signs.post, " ".repeat(width.saturating_sub(2)), signs.post)
}

/// A packet between the posts.
fn lane(
    flow: &JudgedFlow,
    place: usize,
    packet: &EvidenceRecord,
    width: usize,
    signs: &Signs,
) -> String {
    let Signs { post, line, left, right, lost } = *signs;
    let label = match packet.kind {
        // That it is dropped by the capturing machine stands beside it.
        EvidenceKind::Drop => "dropped".to_owned(),
        EvidenceKind::Syn
        | EvidenceKind::SynAck
        | EvidenceKind::Ack
        | EvidenceKind::Rst
        | EvidenceKind::Icmp
        | EvidenceKind::Fin
        | EvidenceKind::Data => rung::label(flow, place, packet),
    };
    let inner = width.saturating_sub(2);
    // Dashes before the label, and what is left of them behind it.
    let before: String = std::iter::repeat_n(line, 3).collect();
    let behind = |used: usize| -> String {
        let left = inner.saturating_sub(used + 5 + text::columns(&label));
        std::iter::repeat_n(line, left).collect()
    };
    let drawn = match (packet.from, packet.kind) {
        (Sender::Network, _) => {
            let from = " network ";
            let used = from.len() + 1;
            format!("{left}{before} {label} {}{from}", behind(used))
        }
        (Sender::Initiator, EvidenceKind::Drop) => {
            let rest = " ".repeat(behind(1).chars().count());
            format!("{before} {label} {lost}{rest}")
        }
        (Sender::Responder, EvidenceKind::Drop) => {
            let rest = " ".repeat(behind(1).chars().count());
            format!("{rest}{lost} {label} {before}")
        }
        (Sender::Initiator, _) => format!("{before} {label} {}{right}", behind(1)),
        (Sender::Responder, _) => format!("{left}{} {label} {before}", behind(1)),
    };
    let drawn = if rung::says_no(packet.kind) {
        inked(Ink::Refused, &drawn)
    } else if rung::is_repeat(flow, place, packet) {
        inked(Ink::Silent, &drawn)
    } else if packet.from == Sender::Responder {
        inked(Ink::Good, &drawn)
    } else {
        drawn
    };
    format!("{post}{drawn}{post}")
}

/// What stands beside a packet: its numbers, and what else there is to say of it.
fn about(
    flow: &JudgedFlow,
    place: usize,
    packet: &EvidenceRecord,
    in_full: bool,
    page: &Page<'_>,
) -> String {
    let facts = if in_full { rung::facts(packet) } else { few_facts(packet) };
    let mut parts: Vec<String> = facts.iter().map(|fact| fact.replace(' ', HELD)).collect();
    if let Some(note) = &packet.note {
        let mut earlier = flow.evidence.iter().take(place);
        match earlier.find(|it| it.note.as_ref() == Some(note)) {
            Some(same) => parts.push(format!("as in frame {}", same.frame)),
            None => parts.push(page.short(note, 240)),
        }
    }
    parts.join(", ")
}

/// Where nobody refuses: what shows that a repeat is the same attempt, and who answers.
fn few_facts(packet: &EvidenceRecord) -> Vec<String> {
    let seq = packet.seq.filter(|_| packet.kind == EvidenceKind::Syn);
    let ttl = packet.ttl.filter(|_| packet.from == Sender::Responder);
    let mut facts: Vec<String> = Vec::new();
    facts.extend(seq.map(|seq| format!("seq {}", seq.0)));
    facts.extend(ttl.map(|ttl| format!("TTL {ttl}")));
    facts
}

/// The time of day of the first packet, and of each other the time since.
fn times(flow: &JudgedFlow) -> Vec<String> {
    let first = flow.evidence.iter().find_map(|packet| packet.time);
    let since = |time: Time| rung::pause(first, Some(time)).unwrap_or(0);
    // Microseconds where milliseconds would hide the time of an answer.
    let known = flow.evidence.iter().filter_map(|packet| packet.time).map(since);
    let fine = known.filter(|offset| *offset > 0).any(|offset| offset < 10_000_000);
    let mut is_first = true;
    let mut told = |time: Time| {
        if std::mem::take(&mut is_first) {
            return rung::time_of_day(time);
        }
        let microseconds = since(time) / 1_000;
        let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
        if fine {
            format!("+{seconds}.{rest:06} s")
        } else {
            format!("+{seconds}.{:03} s", rest / 1_000)
        }
    };
    flow.evidence.iter().map(|packet| packet.time.map_or_else(String::new, &mut told)).collect()
}

/// What the packets mean, and where to see them.
fn meaning(flow: &JudgedFlow, page: &mut Page<'_>) -> io::Result<()> {
    if flow.service.outcome != ServiceOutcome::NotExamined {
        page.paragraph(2, 4, None, &page.short(&seen::service_of(flow), 600))?;
    }
    let mut verdict = format!(
        "{} ({}), {}",
        phrase::words(flow.verdict.as_str()),
        flow.class,
        phrase::words(flow.confidence.as_str())
    );
    if let Some(origin) = flow.origin {
        verdict = format!("{verdict}, refusal from {}", phrase::words(origin.as_str()));
    }
    page.labelled(2, Some(Ink::Strong), "verdict:", &verdict)?;
    page.paragraph(2, 4, None, &page.short(&flow.explanation.text(), 1200))?;
    for reason in &flow.origin_reasons {
        page.paragraph(4, 6, None, &page.short(&reason.text(), 240))?;
    }
    let filters = &flow.display_filter;
    for (program, filter) in
        [("Wireshark", filters.wireshark()), ("Network Monitor", filters.netmon())]
    {
        let filter = page.short(&filter, 600);
        page.labelled(2, Some(Ink::Strong), &format!("{program}:"), &filter)?;
    }
    Ok(())
}
