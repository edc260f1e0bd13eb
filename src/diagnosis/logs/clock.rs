//! How far the clock of a log is off that of the captures.
//!
//! A packet that a firewall logs as dropped and that a capture holds tells it to the second.
//! Errors of setup tell no more than the zone: they come some time after the attempt that failed.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::{ClockOffset, DropEntry, LogEntry, LogRecord, Tells, signs};
use crate::net::{Endpoint, FrameNumber, Time, Transport};
use crate::verdict::record::{Class, EvidenceKind, EvidenceRecord, JudgedFlow, Sender};

const SECOND: i64 = 1_000_000_000;
/// Zones lie whole quarters of an hour apart, and none further than 14 hours from UTC.
const QUARTER: i64 = 15 * 60 * SECOND;
const MOST_QUARTERS: i64 = 14 * 4;
/// What clocks of one domain may differ by: beyond, Kerberos refuses them (RFC 4120, 8.2, and the
/// default of Windows).
const MOST_DRIFT: i64 = 5 * 60 * SECOND;
/// And by what the packet of a single line may be off.
const MOST_DRIFT_OF_ONE: i64 = 2 * 60 * SECOND;
/// Lines of one log that are packets of the captures lie within this of each other: it tells
/// whole seconds, and writes late at times.
const SPREAD: i64 = SECOND + SECOND / 5;
/// Pairs of line and packet that are looked at.
const MOST_PAIRS: usize = 20_000;
/// An error is logged so long after the last packet of the attempt at most.
const ERROR_WITHIN: i64 = 30 * SECOND;

/// Who sent what to whom.
pub(super) type Way = (Transport, Endpoint, Endpoint);

/// A packet that wants an answer, or is one.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) flow: u64,
    pub(super) from: Sender,
    pub(super) frame: FrameNumber,
    pub(super) time: Time,
}

/// Packets of the captures by their way, of those ways alone that logs tell of.
pub(super) type SentPackets = BTreeMap<Way, Vec<Sent>>;

pub(super) fn way_of(drop: &DropEntry) -> Way {
    (drop.transport, drop.source, drop.destination)
}

/// The packets of a flow that may have been dropped.
pub(super) fn sent(flow: &JudgedFlow) -> impl Iterator<Item = EvidenceRecord> {
    flow.evidence.iter().filter(|packet| {
        matches!(packet.kind, EvidenceKind::Syn | EvidenceKind::SynAck | EvidenceKind::Data)
    })
}

/// The packets that lines of these logs may be about.
pub(super) fn sent_packets<'f>(
    logs: &[LogRecord],
    flows: impl Iterator<Item = &'f JudgedFlow>,
) -> SentPackets {
    let entries = logs.iter().flat_map(|log| &log.entries);
    let mut packets: SentPackets =
        entries.filter_map(|entry| Some((way_of(&entry.drop?), Vec::new()))).collect();
    if packets.is_empty() {
        return packets;
    }
    for flow in flows {
        let there = (flow.transport, flow.initiator, flow.responder);
        let back = (flow.transport, flow.responder, flow.initiator);
        for (way, from) in [(there, Sender::Initiator), (back, Sender::Responder)] {
            let Some(known) = packets.get_mut(&way) else { continue };
            known.extend(sent(flow).filter(|packet| packet.from == from).filter_map(|packet| {
                Some(Sent { flow: flow.id, from, frame: packet.frame, time: packet.time? })
            }));
        }
    }
    packets
}

/// Finds the offset of each log anew from its lines and the flows.
pub fn set_clocks(logs: &mut [LogRecord], flows: &[JudgedFlow]) {
    if logs.is_empty() {
        return;
    }
    let packets = sent_packets(logs, flows.iter());
    for log in logs {
        log.clock_offset = by_drops(log, &packets).or_else(|| by_errors(log, flows));
    }
}

/// A line and a packet that may be the same.
struct Match {
    /// From the time of the line to that of the packet.
    difference: i64,
    line: u64,
    frame: FrameNumber,
    /// Seconds that the clocks are apart when what may be the zone is taken off.
    drift: i64,
}

fn by_drops(log: &LogRecord, packets: &SentPackets) -> Option<ClockOffset> {
    let mut matches = Vec::new();
    for entry in &log.entries {
        let (Some(drop), Some(time)) = (&entry.drop, entry.time) else { continue };
        for sent in packets.get(&way_of(drop)).into_iter().flatten() {
            let difference = sent.time.at.since(time.at);
            let zones_known = sent.time.clock.zone_known && time.clock.zone_known;
            let drift = if zones_known { difference.abs() } else { beside_zone(difference) };
            matches.push(Match { difference, line: entry.line, frame: sent.frame, drift });
        }
        if matches.len() > MOST_PAIRS {
            break;
        }
    }
    matches.sort_by_key(|pair| (pair.difference, pair.line, pair.frame));
    let best = densest(&matches)?;
    let (first, last) = (best.first()?, best.last()?);
    let lines: BTreeSet<u64> = best.iter().map(|pair| pair.line).collect();
    let drift = best.iter().map(|pair| pair.drift).min()?;
    // A port may be used again: few lines that fit are chance where clocks were that wrong.
    let most_drift = match lines.len() {
        1 => MOST_DRIFT_OF_ONE,
        2 => MOST_DRIFT,
        _ => i64::MAX,
    };
    if drift > most_drift {
        return None;
    }
    let middle = first.difference / 2 + last.difference / 2;
    let whole_seconds = log.first_seen.is_some_and(|time| time.clock.digits == 0);
    // Such a log cuts the fraction off, so its lines are early by up to a second.
    let offset = if whole_seconds { middle.div_euclid(SECOND) * SECOND } else { middle };
    let earliest = best.iter().min_by_key(|pair| pair.line)?;
    let (line, frame) = (earliest.line, earliest.frame);
    let evidence = match lines.len() {
        1 => format!("line {line} is the packet of frame {frame}"),
        2 => format!("line {line} is the packet of frame {frame}, and another line fits"),
        count => {
            format!("line {line} is the packet of frame {frame}, and {} other lines fit", count - 1)
        }
    };
    Some(ClockOffset { milliseconds: offset / 1_000_000, evidence })
}

/// How far a difference is off the next that a zone can make.
fn beside_zone(difference: i64) -> i64 {
    let quarters = difference.saturating_add(QUARTER / 2).div_euclid(QUARTER);
    if quarters.abs() > MOST_QUARTERS {
        return difference.abs();
    }
    difference.saturating_sub(quarters * QUARTER).abs()
}

/// The matches, sorted by difference, within [`SPREAD`] of each other that are about most lines;
/// of as many the ones with the least drift, then the least difference.
fn densest(matches: &[Match]) -> Option<&[Match]> {
    let mut best: Option<(usize, i64, i64, &[Match])> = None;
    let mut lines: BTreeMap<u64, usize> = BTreeMap::new();
    let mut start = 0;
    for (end, pair) in matches.iter().enumerate() {
        *lines.entry(pair.line).or_default() += 1;
        while let Some(first) = matches.get(start)
            && pair.difference.saturating_sub(first.difference) > SPREAD
        {
            if let Some(count) = lines.get_mut(&first.line) {
                *count -= 1;
                if *count == 0 {
                    lines.remove(&first.line);
                }
            }
            start += 1;
        }
        let window = matches.get(start..=end)?;
        let drift = window.iter().map(|pair| pair.drift).min()?;
        let rank = (lines.len(), -drift, -pair.difference.abs());
        if best
            .as_ref()
            .is_none_or(|(lines, drift, difference, _)| rank > (*lines, *drift, *difference))
        {
            best = Some((rank.0, rank.1, rank.2, window));
        }
    }
    best.map(|(_, _, _, window)| window)
}

/// The zone of a log that tells none, or of captures that do not: the one in which its errors
/// follow attempts that failed, if there is only one such.
fn by_errors(log: &LogRecord, flows: &[JudgedFlow]) -> Option<ClockOffset> {
    let errors: Vec<(u64, Time)> = log
        .entries
        .iter()
        .filter(|entry| tells_of_failure(entry))
        .filter_map(|entry| Some((entry.line, entry.time?)))
        .collect();
    let failed = flows.iter().filter(|flow| matches!(flow.class, Class::Timeout | Class::Reject));
    let failed: Vec<(Time, Time)> =
        failed.filter_map(|flow| Some((flow.first_seen?, flow.last_seen?))).collect();
    let (_, logged) = errors.first()?;
    let (captured, _) = failed.first()?;
    if logged.clock.zone_known && captured.clock.zone_known {
        return None;
    }
    let windows = Windows::of(failed.iter().map(|(first, last)| {
        (first.at.as_nanoseconds(), last.at.as_nanoseconds().saturating_add(ERROR_WITHIN))
    }));
    let fitting = |quarters: i64| -> Vec<u64> {
        let fits =
            |time: &Time| windows.hold(time.at.as_nanoseconds().saturating_add(quarters * QUARTER));
        errors.iter().filter(|(_, time)| fits(time)).map(|(line, _)| *line).collect()
    };
    let mut zones: Vec<(i64, Vec<u64>)> =
        (-MOST_QUARTERS..=MOST_QUARTERS).map(|quarters| (quarters, fitting(quarters))).collect();
    // Stable: of zones that fit alike the smaller offset comes first.
    zones.sort_by_key(|(quarters, lines)| (std::cmp::Reverse(lines.len()), quarters.abs()));
    let (quarters, lines) = zones.first()?;
    let next = zones.get(1).map_or(0, |(_, lines)| lines.len());
    let line = lines.first()?;
    if lines.len() < 2 * next || lines.len() == next {
        return None;
    }
    let minutes = quarters * 15;
    let evidence = match lines.len() {
        1 => format!("line {line} then follows an attempt that failed, in no other zone"),
        count => format!("line {line} and {} more then follow attempts that failed", count - 1),
    };
    Some(ClockOffset { milliseconds: minutes * 60_000, evidence })
}

fn tells_of_failure(entry: &LogEntry) -> bool {
    let of_network = |tells: Tells| !matches!(tells, Tells::Cut | Tells::NotRegistered);
    entry.drop.is_none() && signs(&entry.text).iter().any(|sign| of_network(sign.tells))
}

/// Spans of time, put together where they touch.
pub(super) struct Windows(Vec<(i64, i64)>);

impl Windows {
    pub(super) fn of(spans: impl Iterator<Item = (i64, i64)>) -> Windows {
        let mut spans: Vec<(i64, i64)> = spans.collect();
        spans.sort_unstable();
        let mut windows: Vec<(i64, i64)> = Vec::new();
        for (start, end) in spans {
            match windows.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                Some(_) | None => windows.push((start, end)),
            }
        }
        Windows(windows)
    }

    pub(super) fn hold(&self, time: i64) -> bool {
        let behind = self.0.partition_point(|(start, _)| *start <= time);
        let before = behind.checked_sub(1).and_then(|place| self.0.get(place));
        before.is_some_and(|(_, end)| time <= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::logs::samples::{drop_line, error_line, log, syns, time};
    use crate::matrix::sample::flow;
    use crate::verdict::record::Verdict;

    fn offset(mut logs: Vec<LogRecord>, flows: &[JudgedFlow]) -> Option<(i64, String)> {
        set_clocks(&mut logs, flows);
        let offset = logs.into_iter().next()?.clock_offset?;
        Some((offset.milliseconds, offset.evidence))
    }

    /// Calls to LDAP at these milliseconds after 10:15:00.
    fn call(milliseconds: &[i64]) -> JudgedFlow {
        syns(flow(1, "10.0.0.5", "10.1.0.10", "tcp", 389, Verdict::NoReply), milliseconds)
    }

    #[test]
    fn dropped_packets_tell_the_offset_to_the_second() {
        let flows = [call(&[2_300, 5_300, 11_300])];
        for (lines, expected) in [
            // The same clock; the log cuts the fraction off.
            (vec!["10:15:02", "10:15:05", "10:15:11"], 0),
            // Two hours east, and four seconds fast.
            (vec!["12:15:06", "12:15:09", "12:15:15"], -7_204_000),
            // One line tells the zone alone: of three calls it may be any.
            (vec!["08:15:02"], 7_200_000),
        ] {
            let entries = (5..)
                .zip(&lines)
                .map(|(line, at)| drop_line(line, at, "10.0.0.5:52702", "10.1.0.10:389", false));
            let (found, evidence) = offset(vec![log(entries.collect())], &flows).unwrap();
            assert_eq!(found, expected, "{lines:?}: {evidence}");
            assert!(evidence.starts_with("line 5 is the packet of frame 10"), "{evidence}");
        }
    }

    #[test]
    fn other_ports_and_chance_tell_nothing() {
        let flows = [call(&[2_300, 5_300, 11_300])];
        let other = drop_line(5, "10:15:02", "10.0.0.5:52703", "10.1.0.10:389", false);
        assert_eq!(offset(vec![log(vec![other])], &flows), None);
        // Seven minutes beside any zone.
        let chance = drop_line(5, "10:22:10", "10.0.0.5:52702", "10.1.0.10:389", false);
        assert_eq!(offset(vec![log(vec![chance])], &flows), None);
    }

    #[test]
    fn errors_tell_the_zone_where_one_alone_fits() {
        let flows = [call(&[2_300, 5_300, 11_300])];
        let line = error_line(9, "12:15:23", "Failed to connect to DC1, error 1722");
        let found = offset(vec![log(vec![line.clone()])], &flows).unwrap();
        assert_eq!(found.0, -7_200_000);
        assert!(found.1.starts_with("line 9 then follows"), "{}", found.1);
        let known = LogEntry { time: line.time.map(|at| time(at.at, true)), ..line };
        assert_eq!(offset(vec![log(vec![known])], &flows), None);
        let none = error_line(9, "12:25:23", "Failed to connect to DC1, error 1722");
        assert_eq!(offset(vec![log(vec![none])], &flows), None);
    }

    #[test]
    fn windows_are_put_together() {
        let windows = Windows::of([(5, 9), (1, 3), (2, 4), (20, 30), (6, 7)].into_iter());
        assert_eq!(windows.0, [(1, 4), (5, 9), (20, 30)]);
        let held: Vec<i64> = (0..32).filter(|time| windows.hold(*time)).collect();
        assert_eq!(held, [1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
    }
}
