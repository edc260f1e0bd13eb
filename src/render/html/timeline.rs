//! The time line: when attempts were made, and which failed, against the time of the captures.
//!
//! Attempts close to each other share a mark that shows the worst of them and says how many there
//! are. Hours in which nothing happened are cut out, and said to be.

use std::collections::BTreeMap;

use crate::capture::Severity;
use crate::net::{Address, Clock, Time, Timestamp, Transport};
use crate::render::html::markup::Markup;
use crate::render::html::sign::Sign;
use crate::render::phrase;
use crate::render::rung::time_of_day;
use crate::render::text::cut;
use crate::render::triage::Triage;
use crate::report::Report;
use crate::verdict::record::JudgedFlow;

/// Lines of attempts in the drawing.
const MOST_LANES: usize = 14;
/// Stretches of time in the drawing.
const MOST_STRETCHES: usize = 6;
/// Silence that is cut out, in nanoseconds: half an hour.
const CUT: i64 = 1_800_000_000_000;
/// Where the marks begin and end, and how wide one is.
const LEFT: i32 = 300;
const RIGHT: i32 = 1080;
const MARK: i32 = 12;
/// Height of a lane, and of what stands above the first.
const LANE: i32 = 26;
const HEAD: i32 = 34;
/// Between stretches of time.
const SEAM: i32 = 22;
/// Letters of a lane's label.
const LETTERS: usize = 42;

/// What a lane is about: who called whom, and where there are few lanes at which port.
type Lane = (Address, Address, Option<(Transport, u16)>);

/// A stretch of time without a long silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    from: i64,
    to: i64,
    failed: u64,
    x: i32,
    width: i32,
}

/// Draws the time line; nothing where nothing failed or no time is known.
pub(super) fn timeline(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    let timed: Vec<(&JudgedFlow, Time)> =
        report.flows.telling().iter().filter_map(|flow| Some((flow, flow.first_seen?))).collect();
    let Some((_, first)) = timed.iter().find(|(flow, _)| Sign::of_flow(flow).is_bad()) else {
        return;
    };
    let clock = first.clock;
    let logged = log_times(report);
    let (stretches, left_out) = stretches(&timed, &logged);
    let shown =
        |(_, time): &(&JudgedFlow, Time)| place(&stretches, time.at.as_nanoseconds()).is_some();
    let timed: Vec<(&JudgedFlow, Time)> = timed.into_iter().filter(shown).collect();
    let lanes = lanes(&timed);
    let has_log = logged.iter().any(|(at, _, _)| place(&stretches, *at).is_some());
    let rows = lanes.len() + usize::from(has_log);
    let height = HEAD + LANE * i32::try_from(rows).unwrap_or(0) + 14;

    page.raw("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"time line\"><svg class=\"times\" role=\"img\" aria-labelledby=\"times-title times-desc\" viewBox=\"0 0 1100 ")
        .number(height)
        .raw("\" width=\"1100\" height=\"")
        .number(height)
        .raw("\"><title id=\"times-title\">Attempts by time</title><desc id=\"times-desc\">");
    for lane in &lanes {
        let failed = timed.iter().filter(|(flow, _)| in_lane(*lane, flow));
        let failed = failed.filter(|(flow, _)| Sign::of_flow(flow).is_bad()).count();
        page.text(&name(*lane, triage)).raw(": ");
        page.text(&phrase::counted(phrase::count(failed), "failed attempt")).raw(". ");
    }
    page.raw("</desc>\n");
    for stretch in &stretches {
        axis(stretch, stretches.len(), clock, height, page);
    }
    for (row, lane) in (0..).zip(&lanes) {
        let y = HEAD + LANE * row + LANE / 2;
        rule(page, y);
        page.raw("<text class=\"lane-name\" x=\"0\" y=\"").number(y + 4).raw("\">");
        page.text(&cut(&name(*lane, triage), LETTERS, "…")).raw("</text>\n");
        marks(*lane, &timed, &stretches, y, page);
    }
    if has_log {
        let y = height - 14 - LANE / 2;
        rule(page, y);
        page.raw("<text class=\"lane-name\" x=\"0\" y=\"").number(y + 4);
        page.raw("\">lines of logs</text>\n");
        for (at, severity, text) in &logged {
            if let Some(x) = place(&stretches, *at) {
                log_mark(x, y, *severity, text, page);
            }
        }
    }
    page.raw("</svg></div>\n");
    if left_out > 0 {
        page.raw("<p class=\"more\">")
            .text(&phrase::counted(left_out, "failed attempt"))
            .raw(" of other times would not fit.</p>");
    }
}

/// The lanes with the most failures; by port where those are few enough.
fn lanes(timed: &[(&JudgedFlow, Time)]) -> Vec<Lane> {
    let bad = || timed.iter().map(|(flow, _)| *flow).filter(|flow| Sign::of_flow(flow).is_bad());
    let mut by_port: BTreeMap<Lane, (u64, u64)> = BTreeMap::new();
    let mut by_pair: BTreeMap<Lane, (u64, u64)> = BTreeMap::new();
    for flow in bad() {
        let (from, to) = (flow.initiator.address, flow.responder.address);
        let port = (flow.transport, flow.responder.port);
        by_port.entry((from, to, Some(port))).or_insert((0, flow.id)).0 += 1;
        by_pair.entry((from, to, None)).or_insert((0, flow.id)).0 += 1;
    }
    let lanes = if by_port.len() <= MOST_LANES { by_port } else { by_pair };
    let mut lanes: Vec<_> = lanes.into_iter().collect();
    lanes.sort_by_key(|(_, (many, _))| std::cmp::Reverse(*many));
    lanes.truncate(MOST_LANES);
    // Then in the order of time, as they are read.
    lanes.sort_by_key(|(_, (_, first))| *first);
    lanes.into_iter().map(|(lane, _)| lane).collect()
}

fn in_lane((from, to, port): Lane, flow: &JudgedFlow) -> bool {
    (flow.initiator.address, flow.responder.address) == (from, to)
        && port.is_none_or(|port| port == (flow.transport, flow.responder.port))
}

fn name((from, to, port): Lane, triage: &Triage<'_>) -> String {
    let short = |address: Address| {
        let name = triage.name(address);
        // A name alone is shorter than with its address.
        let alone = name.strip_suffix(&address.to_string()).map(str::trim).unwrap_or_default();
        if alone.is_empty() { name } else { alone.to_owned() }
    };
    match port {
        Some((transport, port)) => {
            format!("{transport}/{port} {} → {}", short(from), short(to))
        }
        None => format!("{} → {}", short(from), short(to)),
    }
}

/// Lines of logs by the time of the captures, as far as their clocks are known.
fn log_times(report: &Report) -> Vec<(i64, Severity, String)> {
    let mut times = Vec::new();
    for log in &report.logs {
        let offset = log.clock_offset.as_ref().map_or(0, |offset| offset.milliseconds);
        for entry in log.entries.iter().filter(|entry| entry.severity != Severity::Info) {
            if let Some(time) = entry.time {
                let at = time.at.as_nanoseconds();
                let at = at.saturating_add(offset.saturating_mul(1_000_000));
                times.push((at, entry.severity, format!("line {}: {}", entry.line, entry.text)));
            }
        }
    }
    times
}

/// Stretches of time that hold failures, and how many failures lie in those that do not fit.
fn stretches(
    timed: &[(&JudgedFlow, Time)],
    logged: &[(i64, Severity, String)],
) -> (Vec<Stretch>, u64) {
    let mut moments: Vec<(i64, u64)> = timed
        .iter()
        .map(|(flow, time)| (time.at.as_nanoseconds(), u64::from(Sign::of_flow(flow).is_bad())))
        .chain(timed.iter().filter_map(|(flow, _)| Some((flow.last_seen?.at.as_nanoseconds(), 0))))
        .chain(logged.iter().map(|(at, _, _)| (*at, 0)))
        .collect();
    moments.sort_unstable();
    let mut stretches: Vec<Stretch> = Vec::new();
    for (at, failed) in moments {
        match stretches.last_mut() {
            Some(last) if at.saturating_sub(last.to) <= CUT => {
                last.to = at;
                last.failed += failed;
            }
            _ => stretches.push(Stretch { from: at, to: at, failed, x: 0, width: 0 }),
        }
    }
    stretches.retain(|stretch| stretch.failed > 0);
    let mut most: Vec<u64> = stretches.iter().map(|stretch| stretch.failed).collect();
    most.sort_unstable_by_key(|failed| std::cmp::Reverse(*failed));
    let least = most.get(MOST_STRETCHES - 1).copied().unwrap_or(0);
    let all: u64 = most.iter().sum();
    stretches.retain(|stretch| stretch.failed >= least);
    stretches.truncate(MOST_STRETCHES);
    let shown: u64 = stretches.iter().map(|stretch| stretch.failed).sum();
    let many = i32::try_from(stretches.len()).unwrap_or(1).max(1);
    let width = (RIGHT - LEFT - SEAM * (many - 1)) / many;
    for (place, stretch) in (0..).zip(&mut stretches) {
        stretch.x = LEFT + place * (width + SEAM);
        stretch.width = width;
    }
    (stretches, all - shown)
}

/// Where a moment lies, if it is in the drawing.
fn place(stretches: &[Stretch], at: i64) -> Option<i32> {
    let stretch = stretches.iter().find(|stretch| (stretch.from..=stretch.to).contains(&at))?;
    Some(stretch.at(at))
}

impl Stretch {
    fn at(&self, at: i64) -> i32 {
        let span = i128::from(self.to) - i128::from(self.from);
        let part = (i128::from(at) - i128::from(self.from)) * i128::from(self.width);
        let x = if span == 0 { i128::from(self.width) / 2 } else { part / span };
        self.x + i32::try_from(x).unwrap_or(0)
    }
}

/// Times at which a stretch is marked: round ones, at most so many.
fn ticks(stretch: &Stretch, most: i64) -> Vec<i64> {
    const MS: i64 = 1_000_000;
    const S: i64 = 1_000 * MS;
    let steps = [
        MS,
        2 * MS,
        5 * MS,
        10 * MS,
        20 * MS,
        50 * MS,
        100 * MS,
        200 * MS,
        500 * MS,
        S,
        2 * S,
        5 * S,
        10 * S,
        15 * S,
        30 * S,
        60 * S,
        120 * S,
        300 * S,
        600 * S,
        900 * S,
        1_800 * S,
        3_600 * S,
        7_200 * S,
        21_600 * S,
        43_200 * S,
        86_400 * S,
        604_800 * S,
    ];
    let span = stretch.to.saturating_sub(stretch.from);
    let Some(step) = steps.into_iter().find(|step| span / step < most) else {
        return vec![stretch.from];
    };
    let first = stretch.from.div_euclid(step).saturating_add(1).saturating_mul(step);
    let first = if stretch.from.rem_euclid(step) == 0 { stretch.from } else { first };
    let ticks = (0..most).filter_map(|number| first.checked_add(step.checked_mul(number)?));
    let ticks: Vec<i64> = ticks.filter(|at| *at <= stretch.to).collect();
    if ticks.is_empty() { vec![stretch.from] } else { ticks }
}

fn axis(stretch: &Stretch, all: usize, clock: Clock, height: i32, page: &mut Markup) {
    let time_of =
        |at: i64| Timestamp::from_nanoseconds(i128::from(at)).map(|at| Time { at, clock });
    let date = time_of(stretch.from).map(|time| time.to_string());
    if let Some((date, _)) = date.as_deref().and_then(|time| time.split_once('T')) {
        page.raw("<text class=\"date\" x=\"").number(stretch.x).raw("\" y=\"11\">").text(date);
        page.raw(if clock.zone_known && all < 4 { " UTC</text>" } else { "</text>" });
    }
    let most = match all {
        1 => 7,
        2 => 4,
        3 => 2,
        _ => 1,
    };
    for at in ticks(stretch, most) {
        let x = stretch.at(at);
        page.raw("<path class=\"tick\" d=\"M").number(x).raw(" 30V").number(height - 10);
        page.raw("\"/><text class=\"date\" x=\"").number(x.min(RIGHT - 60)).raw("\" y=\"25\">");
        page.text(&time_of(at).map(short_time).unwrap_or_default()).raw("</text>\n");
    }
    let end = stretch.x + stretch.width;
    if end + SEAM < RIGHT {
        page.raw("<path class=\"seam\" d=\"M").number(end + SEAM / 2 - 3);
        page.raw(" 30V").number(height - 10).raw("M").number(end + SEAM / 2 + 3);
        page.raw(" 30V").number(height - 10).raw("\"/>");
    }
}

/// Without a fraction that is nought.
fn short_time(time: Time) -> String {
    let text = time_of_day(time);
    match text.split_once('.') {
        Some((seconds, fraction)) => {
            let fraction = fraction.get(..3).unwrap_or(fraction);
            let zero = fraction.bytes().all(|digit| digit == b'0');
            if zero { seconds.to_owned() } else { format!("{seconds}.{fraction}") }
        }
        None => text,
    }
}

fn rule(page: &mut Markup, y: i32) {
    page.raw("<path class=\"rule\" d=\"M").number(LEFT).raw(" ").number(y).raw("H");
    page.number(RIGHT).raw("\"/>");
}

/// The marks of a lane: attempts that share one, by sign.
fn marks(
    lane: Lane,
    timed: &[(&JudgedFlow, Time)],
    stretches: &[Stretch],
    y: i32,
    page: &mut Markup,
) {
    let mut bins: BTreeMap<i32, BTreeMap<Sign, (u64, Time)>> = BTreeMap::new();
    let mut tried: BTreeMap<i32, i32> = BTreeMap::new();
    for (flow, time) in timed.iter().filter(|(flow, _)| in_lane(lane, flow)) {
        let Some(x) = place(stretches, time.at.as_nanoseconds()) else { continue };
        let signs = bins.entry(x / MARK).or_default();
        signs.entry(Sign::of_flow(flow)).or_insert((0, *time)).0 += 1;
        let last = flow.last_seen.and_then(|last| place(stretches, last.at.as_nanoseconds()));
        if let Some(last) = last.filter(|last| Sign::of_flow(flow).is_bad() && *last > x + MARK) {
            let until = tried.entry(x / MARK).or_insert(last);
            *until = last.max(*until);
        }
    }
    // How long it was tried.
    for (bin, until) in tried {
        page.raw("<path class=\"tried\" d=\"M").number(bin * MARK + MARK / 2).raw(" ").number(y);
        page.raw("H").number(until).raw("\"/>");
    }
    for (bin, signs) in bins {
        let Some((worst, (_, time))) = signs.first_key_value() else { continue };
        page.raw("<g><title>").text(&time_of_day(*time)).raw(":");
        for (sign, (many, _)) in &signs {
            page.raw(" ").text(&phrase::number(*many)).raw(" ").raw(sign.word());
        }
        page.raw("</title>");
        worst.draw_at(page, bin * MARK + MARK / 2, y, 14);
        page.raw("</g>\n");
    }
}

fn log_mark(x: i32, y: i32, severity: Severity, text: &str, page: &mut Markup) {
    page.raw("<path class=\"log-line ");
    page.raw(if severity == Severity::Error { "dropped" } else { "mixed" });
    page.raw("\" d=\"M").number(x).raw(" ").number(y - 6).raw("l5 6l-5 6l-5-6z\"><title>");
    page.text(text).raw("</title></path>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    fn stretch(from: i64, to: i64) -> Stretch {
        Stretch { from, to, failed: 1, x: 300, width: 600 }
    }

    #[test]
    fn ticks_stand_at_round_times() {
        let second = 1_000_000_000;
        assert_eq!(
            ticks(&stretch(second / 2, 4 * second), 7),
            [second, 2 * second, 3 * second, 4 * second]
        );
        assert_eq!(
            ticks(&stretch(55 * second, 200 * second), 7),
            [60 * second, 90 * second, 120 * second, 150 * second, 180 * second]
        );
        assert_eq!(ticks(&stretch(7, 7), 7), [7]);
        // The widest span that times can have.
        assert!(ticks(&stretch(i64::MIN, i64::MAX), 7).len() <= 7);
    }

    #[test]
    fn a_moment_lies_where_its_share_of_the_time_says() {
        let of = stretch(1_000, 2_000);
        assert_eq!((of.at(1_000), of.at(1_500), of.at(2_000)), (300, 600, 900));
        assert_eq!(stretch(5, 5).at(5), 600);
    }

    #[test]
    fn it_is_drawn_where_something_failed_at_a_known_time() {
        for (report, drawn) in [
            (samples::seed(), true),
            (samples::good(), false),
            (samples::empty(), false),
            (samples::large(20, 50), true),
        ] {
            let mut page = Markup::new();
            timeline(&report, &Triage::of(&report), &mut page);
            assert_eq!(page.as_str().contains("<svg"), drawn);
        }
    }
}
