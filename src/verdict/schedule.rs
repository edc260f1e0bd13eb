//! When systems repeat a SYN that gets no answer.
//!
//! The spacing of the repeats tells which system calls, and so how many of them were to come:
//! whether the attempt was seen to its end, or the capture stopped in the middle of it.
//!
//! Sources: Windows 2000 to 2003, `TcpInitialRtt` and `TcpMaxConnectRetransmissions` of its
//! registry reference; Vista to 2008 R2, KB2786464; Server 2016 still sends at 0, 3 and 9 s, as
//! Microsoft's own captures of its protocols show; newer Windows, `netsh int tcp show global`
//! (initial RTO 1000 ms, 4 repeats). Linux, `ip-sysctl`: `tcp_syn_retries`, and
//! `tcp_syn_linear_timeouts` since 6.5; before 3.1 the first wait was that of RFC 1122 4.2.3.1.

use crate::flow::{EvidenceKind, Flow, Sender};
use crate::net::{Timestamp, Transport};
use crate::verdict::record::{Course, ScheduleRecord, Verdict};

/// When a system sends the SYNs of one attempt.
struct Schedule {
    /// Whose it is.
    name: &'static str,
    /// Seconds from the first SYN.
    at: &'static [u32],
    /// Time to live that its packets begin with.
    ttl: u8,
}

/// Those that share a beginning stand in the order in which they are met.
const SCHEDULES: [Schedule; 6] = [
    Schedule { name: "Windows 2000 to Server 2016", at: &[0, 3, 9], ttl: 128 },
    Schedule { name: "newer Windows", at: &[0, 1, 3, 7, 15], ttl: 128 },
    Schedule { name: "Windows NT", at: &[0, 3, 9, 21], ttl: 128 },
    Schedule { name: "Linux", at: &[0, 1, 3, 7, 15, 31, 63], ttl: 64 },
    Schedule {
        name: "Linux since 6.5, or macOS",
        at: &[0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67],
        ttl: 64,
    },
    Schedule { name: "Linux before 3.1", at: &[0, 3, 9, 21, 45, 93], ttl: 64 },
];

/// SYNs whose times are compared: of more, the evidence keeps only the last one.
const MOST_COMPARED: usize = 8;

/// A schedule that a flow followed.
pub(super) struct Followed {
    pub(super) record: ScheduleRecord,
    schedule: &'static Schedule,
    /// Nanoseconds that the capture ended before the next SYN was due.
    missing: Option<i64>,
}

/// The schedule that the SYNs of an unanswered flow follow; at least two are needed to tell.
pub(super) fn followed(
    flow: &Flow,
    verdict: Verdict,
    capture_end: Option<Timestamp>,
) -> Option<Followed> {
    if verdict != Verdict::NoReply || flow.transport() != Transport::Tcp || flow.tcp.syns < 2 {
        return None;
    }
    let syns = || {
        let of_initiator = flow.evidence.iter().filter(|it| it.sender == Sender::Initiator);
        of_initiator.filter(|it| it.kind == EvidenceKind::Syn)
    };
    let mut times: Vec<Timestamp> =
        syns().map(|syn| syn.time).take(MOST_COMPARED).collect::<Option<_>>()?;
    times.sort_unstable();
    let ttl = syns().map(|syn| syn.ttl).find(|ttl| *ttl != 0);
    let seen = flow.tcp.syns;
    let count = usize::try_from(seen).ok()?;
    let fitting = || {
        SCHEDULES.iter().filter(|schedule| {
            schedule.ttl == ttl.map_or(schedule.ttl, initial_ttl)
                && schedule.at.len() >= count
                && schedule.begins_with(&times)
        })
    };
    // One that ends here explains why no more came.
    let whole = fitting().find(|it| it.at.len() == count);
    // Windows and Linux both begin with 0 and 1 s, and a text does not tell the time to live.
    let begun = || fitting().next().filter(|it| ttl.is_some() || it.at.get(1) != Some(&1));
    let schedule = whole.or_else(begun)?;
    let first = *times.first()?;
    let (course, missing) = match schedule.at.get(count) {
        None => (Course::Complete, None),
        Some(due) => {
            let due = i64::from(*due) * SECOND;
            let later = capture_end.map_or(0, |end| end.since(first));
            if later < due + tolerance(due) {
                (Course::CaptureEnded, Some((due - later).max(0)))
            } else {
                (Course::GivenUp, None)
            }
        }
    };
    let expected = u32::try_from(schedule.at.len()).ok();
    let record = ScheduleRecord { name: schedule.name.into(), expected, seen, course };
    Some(Followed { record, schedule, missing })
}

/// The time to live that a packet began with, as far as the usual ones go.
pub(super) fn initial_ttl(ttl: u8) -> u8 {
    match ttl {
        0..=32 => 32,
        33..=64 => 64,
        65..=128 => 128,
        129.. => 255,
    }
}

const SECOND: i64 = 1_000_000_000;

/// How far off a repeat may come: timers are coarse, and waits of the very first Windows short.
fn tolerance(wait: i64) -> i64 {
    wait / 10 + SECOND / 10
}

impl Schedule {
    /// Whether SYNs of these times begin it.
    fn begins_with(&self, times: &[Timestamp]) -> bool {
        let waits = self.at.windows(2).zip(times.windows(2));
        times.len() <= self.at.len()
            && waits.into_iter().all(|(due, times)| match (due, times) {
                ([before, due], [earlier, later]) => {
                    let wait = i64::from(due - before) * SECOND;
                    (later.since(*earlier) - wait).abs() <= tolerance(wait)
                }
                _ => false,
            })
    }
}

impl Followed {
    /// "at 0, 3 and 9 s: all SYNs that Windows 2000 to Server 2016 sends".
    pub(super) fn told(&self) -> String {
        let Schedule { name, at, .. } = self.schedule;
        let count = usize::try_from(self.record.seen).unwrap_or(usize::MAX).min(at.len());
        let shown = at.get(..count.min(MOST_COMPARED)).unwrap_or_default();
        let seconds: Vec<String> = shown.iter().map(u32::to_string).collect();
        let seconds = match seconds.split_last() {
            Some((last, [])) => last.clone(),
            Some((_, _)) if count > shown.len() => format!("{} … s", seconds.join(", ")),
            Some((last, before)) => format!("{} and {last} s", before.join(", ")),
            None => String::new(),
        };
        let all = at.len();
        let next = at.get(count).copied().unwrap_or_default();
        match (self.record.course, self.missing) {
            (Course::Complete, _) => {
                format!("at {seconds}: all SYNs that {name} sends")
            }
            (Course::CaptureEnded, None | Some(0)) => format!(
                "at {seconds}: {count} of the {all} SYNs of {name}, and the capture ended when the \
                 next was due"
            ),
            (Course::CaptureEnded, Some(missing)) => format!(
                "at {seconds}: {count} of the {all} SYNs of {name}, and the capture ended {} \
                 before the next was due",
                super::explanation::seconds(missing)
            ),
            (Course::GivenUp, _) => format!(
                "at {seconds}: {count} of the {all} SYNs of {name}, and none at {next} s: the \
                 caller gave up before"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::script::{flows, packets, second};
    use crate::packet::Packet;

    /// A flow of SYNs at these milliseconds, with this time to live.
    fn flow(milliseconds: &[i128], ttl: u8) -> Flow {
        let script = "S".repeat(milliseconds.len());
        let at = |milliseconds: &i128| Timestamp::from_nanoseconds(milliseconds * 1_000_000);
        let packets: Vec<Packet<'_>> = packets(&script)
            .into_iter()
            .zip(milliseconds)
            .map(|(packet, time)| Packet { time: at(time), ttl, ..packet })
            .collect();
        flows(&packets).remove(0)
    }

    fn told(milliseconds: &[i128], ttl: u8, end: usize) -> Option<String> {
        let flow = flow(milliseconds, ttl);
        followed(&flow, Verdict::NoReply, Some(second(end))).map(|followed| followed.told())
    }

    #[test]
    fn a_schedule_is_known_by_the_times_of_its_syns() {
        for (milliseconds, ttl, end, expected) in [
            // Measured: Server 2016, SMB to a host that drops.
            (
                &[0, 3_000, 9_010][..],
                128,
                21,
                Some("at 0, 3 and 9 s: all SYNs that Windows 2000 to Server 2016 sends"),
            ),
            // Measured: Windows XP, three routers away.
            (
                &[0, 2_900, 8_900],
                125,
                21,
                Some("at 0, 3 and 9 s: all SYNs that Windows 2000 to Server 2016 sends"),
            ),
            // A text tells no time to live.
            (
                &[0, 3_000, 9_000],
                0,
                21,
                Some("at 0, 3 and 9 s: all SYNs that Windows 2000 to Server 2016 sends"),
            ),
            (
                &[0, 3_000],
                128,
                5,
                Some(
                    "at 0 and 3 s: 2 of the 3 SYNs of Windows 2000 to Server 2016, and the \
                     capture ended 4.0 s before the next was due",
                ),
            ),
            (
                &[0, 1_000, 3_000],
                128,
                60,
                Some(
                    "at 0, 1 and 3 s: 3 of the 5 SYNs of newer Windows, and none at 7 s: the \
                     caller gave up before",
                ),
            ),
            (
                &[0, 1_000, 3_000, 7_000, 15_000],
                127,
                60,
                Some("at 0, 1, 3, 7 and 15 s: all SYNs that newer Windows sends"),
            ),
            (
                &[0, 1_010, 3_030, 7_060, 15_200, 31_300, 64_000],
                64,
                200,
                Some("at 0, 1, 3, 7, 15, 31 and 63 s: all SYNs that Linux sends"),
            ),
            (
                &[0, 1_000, 2_000, 3_000],
                60,
                4,
                Some(
                    "at 0, 1, 2 and 3 s: 4 of the 11 SYNs of Linux since 6.5, or macOS, and the \
                     capture ended when the next was due",
                ),
            ),
            // Windows or Linux: nobody can tell.
            (&[0, 1_000, 3_000], 0, 60, None),
            // No system that we know.
            (&[0, 500, 1_000], 128, 60, None),
            (&[0, 1_000, 2_000], 128, 60, None),
            (&[0, 3_000, 9_000, 21_000, 45_000], 128, 60, None),
            // One SYN has no spacing.
            (&[0], 128, 60, None),
        ] {
            assert_eq!(told(milliseconds, ttl, end).as_deref(), expected, "{milliseconds:?}");
        }
    }

    #[test]
    fn the_record_says_how_many_syns_were_to_come() {
        let flow = flow(&[0, 3_000], 128);
        let followed = followed(&flow, Verdict::NoReply, Some(second(100))).unwrap();
        let expected = ScheduleRecord {
            name: "Windows 2000 to Server 2016".into(),
            expected: Some(3),
            seen: 2,
            course: Course::GivenUp,
        };
        assert_eq!(followed.record, expected);
    }

    #[test]
    fn attempts_that_were_answered_have_no_schedule() {
        let flow = flow(&[0, 3_000, 9_000], 128);
        assert!(followed(&flow, Verdict::Prohibited, Some(second(100))).is_none());
    }
}
