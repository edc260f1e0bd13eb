//! What was seen, with the frames to open, and then what it may mean.
//!
//! Two sentences at most. The first holds facts only; the second says what could look so, and
//! never accuses a firewall.

use std::fmt::Write as _;

use crate::flow::{EvidenceKind, Flow, Handshake, Sender};
use crate::net::{FrameNumber, Transport};
use crate::packet::{Encapsulation, IcmpError};
use crate::verdict::origin::Refusal;
use crate::verdict::record::{Brief, Class, EvidenceRecord, Verdict};
use crate::verdict::schedule::Followed;
use crate::verdict::{Circumstances, Frames, drop_note, icmp, origin, write_frames};

/// Room to write most explanations.
const ROOM: usize = 256;

/// What is told of a flow beside its packets.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) refusal: Option<&'a Refusal>,
    pub(super) followed: Option<&'a Followed>,
    pub(super) evidence: &'a [EvidenceRecord],
}

/// Explains a verdict.
pub(super) fn of(
    flow: &Flow,
    verdict: Verdict,
    told: Told<'_>,
    circumstances: &Circumstances,
) -> Brief {
    let mut text = String::with_capacity(ROOM);
    write(flow, verdict, told, circumstances, &mut text);
    Brief::whole(text)
}

fn write(
    flow: &Flow,
    verdict: Verdict,
    told: Told<'_>,
    circumstances: &Circumstances,
    text: &mut String,
) {
    let Told { refusal, followed, evidence } = told;
    Seen { flow, circumstances, followed }.sentence(verdict, text);
    capitalize(text);
    // Writing to a string does not fail.
    if let Some(other) = flow.also_in {
        let elsewhere = elsewhere(flow, other);
        let _ = write!(text, "; packets of it were also captured {elsewhere}");
    }
    if let Some(mut dropped) = dropped(flow, circumstances) {
        let by_icmp = matches!(verdict, Verdict::Prohibited | Verdict::Unreachable);
        if flow.is_dropped_here() && !by_icmp || verdict.class() == Class::Success {
            // That is the meaning, and there is no need to guess.
            capitalize(&mut dropped);
            let _ = write!(text, ". {dropped}.");
            return;
        }
        let _ = write!(text, "; {dropped}");
    }
    let foreign = flow.tcp.reset_by.and_then(|by| origin::foreign_end(evidence, by));
    match (refusal, foreign) {
        (Some(refusal), _) => {
            text.push_str(". ");
            text.push_str(&refusal.meaning);
        }
        (None, Some(foreign)) if verdict.class() == Class::Success => {
            let _ = write!(
                text,
                ". The path works, and a device on the way may have ended the connection: {foreign}"
            );
        }
        (None, _) => {
            if let Some(meaning) = meaning(flow, verdict) {
                text.push_str(". ");
                text.push_str(meaning);
            }
        }
    }
    text.push('.');
}

/// Where copies were captured: inside something else than the packets that count, or outside of it.
fn elsewhere(flow: &Flow, other: Encapsulation) -> String {
    let listed = |encapsulation: Encapsulation| {
        let layers: Vec<String> = encapsulation.layers().map(|layer| layer.to_string()).collect();
        layers.join(", ")
    };
    match listed(other) {
        layers if layers.is_empty() => format!("outside of {}", listed(flow.encapsulation)),
        layers => format!("inside {layers}"),
    }
}

/// "frames 3 and 5 were dropped by the capturing machine on arrival: why, at what".
fn dropped(flow: &Flow, circumstances: &Circumstances) -> Option<String> {
    let drops = || flow.evidence.iter().filter_map(|found| Some((found.frame, drop_note(found)?)));
    let (_, first) = drops().next()?;
    let alike = drops().filter(|(_, note)| *note == first);
    let frames: Vec<FrameNumber> = alike.map(|(frame, _)| frame).collect();
    let was = if frames.len() == 1 { "was" } else { "were" };
    let others = drops().count() - frames.len();
    let others = if others > 0 { format!("; {others} more otherwise") } else { String::new() };
    let mut text = String::new();
    let _ = write_frames(&mut text, frames.len(), frames.iter().copied());
    let _ = write!(text, " {was} {}{others}", circumstances.words(first));
    Some(text)
}

/// Gives a sentence its capital. All begin with letters of ours.
fn capitalize(text: &mut str) {
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
}

/// The frames that a verdict rests on.
struct Seen<'a> {
    flow: &'a Flow,
    circumstances: &'a Circumstances,
    followed: Option<&'a Followed>,
}

impl<'a> Seen<'a> {
    fn syns(&self) -> Frames<'a> {
        Frames::of(self.flow, Sender::Initiator, EvidenceKind::Syn)
    }

    fn syn_acks(&self) -> Frames<'a> {
        Frames::of(self.flow, Sender::Responder, EvidenceKind::SynAck)
    }

    /// Resets of the responder.
    fn resets(&self) -> Frames<'a> {
        Frames::of(self.flow, Sender::Responder, EvidenceKind::Rst)
    }

    /// Resets of the initiator.
    fn own_resets(&self) -> Frames<'a> {
        Frames::of(self.flow, Sender::Initiator, EvidenceKind::Rst)
    }

    /// Payload of the initiator, for UDP its requests.
    fn requests(&self) -> Frames<'a> {
        Frames::of(self.flow, Sender::Initiator, EvidenceKind::Data)
    }

    /// Writes what was seen, as a sentence without its full stop.
    fn sentence(&self, verdict: Verdict, text: &mut String) {
        // Writing to a string does not fail.
        let _ = match verdict {
            Verdict::Established => return self.established(text),
            Verdict::EstablishedUnseen => write!(
                text,
                "the handshake is not whole in this capture, but {} show the connection",
                self.span()
            ),
            Verdict::Probed => write!(
                text,
                "SYN in {}, SYN-ACK in {}, then the initiator reset the connection in {}",
                self.syns(),
                self.syn_acks(),
                self.own_resets()
            ),
            Verdict::Answered => return self.answered(text),
            Verdict::NoReply => return self.unanswered(text),
            Verdict::Unconfirmed => write!(
                text,
                "SYN in {}, SYN-ACK in {}, and no confirmation from the initiator",
                self.syns(),
                self.syn_acks()
            ),
            Verdict::Refused => {
                write!(text, "SYN in {}, reset in {}", self.syns(), self.resets())
            }
            Verdict::Prohibited | Verdict::Unreachable => return self.icmp_error(text),
            Verdict::Challenged => return self.challenged(text),
            Verdict::HalfOpen => return self.half_open(text),
            Verdict::Abandoned => write!(
                text,
                "SYN in {}, and the initiator reset it in {} before any answer",
                self.syns(),
                self.own_resets()
            ),
            Verdict::CaptureEnded => {
                self.asked(text);
                if self.flow.first_seen.is_none() {
                    text.push_str(
                        ", and no answer to it; without times nobody can say how long it was waited \
                         for",
                    );
                } else {
                    text.push_str(", and the capture ends ");
                    match self.age() {
                        Some(age) => {
                            push_seconds(text, age);
                            text.push_str(" later");
                        }
                        None => text.push_str("before an answer could be expected"),
                    }
                }
                return self.beside_the_silence(text);
            }
            Verdict::OneWay => return self.one_way(text),
            Verdict::HeadersCut => {
                let cut = self.flow.evidence.iter().find(|evidence| evidence.window.is_none());
                let first = cut.map_or(self.flow.first_frame, |evidence| evidence.frame);
                write!(text, "from frame {first} on the TCP flags are cut off by the snap length")
            }
        };
    }

    fn established(&self, text: &mut String) {
        let tcp = &self.flow.tcp;
        if tcp.simultaneous {
            text.push_str("SYNs from both sides, each acknowledged");
        } else {
            let _ = write!(text, "SYN in {}, SYN-ACK in {}", self.syns(), self.syn_acks());
        }
        let confirmation = self
            .flow
            .evidence
            .iter()
            .filter(|evidence| evidence.sender == Sender::Initiator)
            .find(|evidence| matches!(evidence.kind, EvidenceKind::Ack | EvidenceKind::Data));
        if let Some(confirmation) = confirmation {
            let _ = write!(text, ", confirmed in frame {}", confirmation.frame);
        }
        if tcp.refusals > 0 {
            let _ = write!(text, ", after a reset in {}", self.resets());
        } else if tcp.reset_before_answer {
            let _ = write!(
                text,
                "; the responder reset the connection in {} before any byte of its own",
                self.resets()
            );
        }
    }

    fn answered(&self, text: &mut String) {
        let answer = self.flow.evidence.iter().find(|evidence| {
            evidence.sender == Sender::Responder && evidence.kind == EvidenceKind::Data
        });
        let request = self.requests().up_to(1);
        let _ = match answer {
            Some(answer) => write!(text, "request in {request}, answer in frame {}", answer.frame),
            None => write!(text, "request in {request}, answered"),
        };
    }

    /// "SYN in frame 101, sent again in frames 108 and 131, no answer in 21.0 s".
    fn unanswered(&self, text: &mut String) {
        let (what, frames) = self.call();
        let Some(first) = frames.first() else {
            text.push_str("nothing came back");
            return;
        };
        let _ = write!(text, "{what} in frame {first}");
        // Of many repeats the first ones and the last are in the evidence.
        let repeats = match self.flow.transport() {
            Transport::Tcp => u64::from(self.flow.tcp.syns),
            Transport::Udp => self.flow.initiator.packets,
        };
        let repeats = repeats.saturating_sub(1);
        let again = frames.after_first();
        let count = again.count();
        if let Some(last) = again.numbers().last() {
            let _ = if repeats > count as u64 {
                let early = again.up_to((count - 1).min(3));
                write!(text, ", sent again {repeats} times, first in {early}, last in frame {last}")
            } else {
                write!(text, ", sent again in {again}")
            };
        }
        if let Some(followed) = self.followed {
            let _ = write!(text, " ({})", followed.told());
        }
        text.push_str(", no answer");
        if let Some(age) = self.age() {
            text.push_str(" in ");
            push_seconds(text, age);
        }
        self.beside_the_silence(text);
    }

    /// What came back and is no answer: a reset that does not acknowledge the SYN refuses nothing
    /// (RFC 9293 3.10.7.3), and an ICMP error may be about anything on the way, such as a loop.
    fn beside_the_silence(&self, text: &mut String) {
        let resets = self.resets();
        if !resets.is_empty() {
            let _ = write!(
                text,
                "; the reset in {resets} does not acknowledge it, so the initiator ignores it"
            );
        }
        if let Some((frame, error)) = self.icmp() {
            let _ = write!(text, "; frame {frame} is {}", icmp::note(error));
        }
    }

    /// The first ICMP error, and its frame.
    fn icmp(&self) -> Option<(FrameNumber, IcmpError)> {
        self.flow.evidence.iter().find_map(|evidence| Some((evidence.frame, evidence.icmp?)))
    }

    fn icmp_error(&self, text: &mut String) {
        self.asked(text);
        text.push_str(", answered ");
        let _ = match self.icmp() {
            Some((frame, error)) => write!(text, "in frame {frame} by {}", icmp::note(error)),
            None => write!(text, "by an ICMP error"),
        };
    }

    fn challenged(&self, text: &mut String) {
        let foreign = self
            .flow
            .evidence
            .iter()
            .find(|evidence| evidence.sender == Sender::Responder)
            .map_or(self.flow.last_frame, |evidence| evidence.frame);
        let syns = self.syns();
        let _ = write!(
            text,
            "SYN in {syns}, answered in frame {foreign} by a segment of another connection"
        );
    }

    fn half_open(&self, text: &mut String) {
        let (syns, syn_acks) = (self.syns(), self.syn_acks());
        let _ = if self.flow.tcp.handshake == Handshake::Withdrawn {
            let resets = self.resets();
            write!(
                text,
                "SYN-ACK in {syn_acks}, then the responder reset the connection in {resets}"
            )
        } else if syns.is_empty() {
            let _ = write!(text, "SYN-ACK in {syn_acks}, without the SYN that it answers");
            let resets = self.own_resets();
            if resets.is_empty() {
                return;
            }
            write!(text, ", and reset in {resets} by the side it was sent to")
        } else if syn_acks.is_empty() {
            write!(text, "SYNs from both sides, from the initiator in {syns}, and nothing after")
        } else {
            write!(text, "SYN in {syns}, SYN-ACK in {syn_acks}, and nothing after")
        };
    }

    fn one_way(&self, text: &mut String) {
        let span = self.span();
        let _ = match (self.flow.initiator.packets, self.flow.responder.packets) {
            _ if self.flow.to_group => write!(text, "{span} went to a group of hosts"),
            (_, 0) => write!(text, "only packets of the initiator, in {span}"),
            (0, _) => write!(text, "only packets of the responder, in {span}"),
            _ if self.flow.transport() == Transport::Udp => {
                write!(text, "an answer before any request, and none after it, in {span}")
            }
            _ => write!(text, "packets both ways in {span}, but none that shows a connection"),
        };
    }

    /// What the initiator asked with, and in which frames.
    fn call(&self) -> (&'static str, Frames<'a>) {
        match self.flow.transport() {
            Transport::Tcp if self.syns().is_empty() => ("payload", self.requests()),
            Transport::Tcp => ("SYN", self.syns()),
            Transport::Udp => ("request", self.requests()),
        }
    }

    /// "SYN in frame 7".
    fn asked(&self, text: &mut String) {
        let (what, frames) = self.call();
        let _ = if frames.is_empty() {
            write!(text, "packet in frame {}", self.flow.first_frame)
        } else {
            write!(text, "{what} in {frames}")
        };
    }

    /// "frame 7" or "frames 7 to 9".
    fn span(&self) -> String {
        let (first, last) = (self.flow.first_frame, self.flow.last_frame);
        if first == last { format!("frame {first}") } else { format!("frames {first} to {last}") }
    }

    /// How many nanoseconds the capture goes on after the flow's first packet.
    fn age(&self) -> Option<i64> {
        let end = self.circumstances.capture_end?;
        Some(end.since(self.flow.first_seen?))
    }
}

/// Nanoseconds as seconds with one digit, or milliseconds below one second.
pub(super) fn seconds(nanoseconds: i64) -> String {
    let mut text = String::new();
    push_seconds(&mut text, nanoseconds);
    text
}

fn push_seconds(text: &mut String, nanoseconds: i64) {
    let milliseconds = nanoseconds.max(0) / 1_000_000;
    // Writing to a string does not fail.
    let _ = match milliseconds {
        0..1_000 => write!(text, "{milliseconds} ms"),
        _ => write!(text, "{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
    };
}

/// Who says that a packet cannot be delivered tells what that may mean.
fn unreachable(flow: &Flow) -> &'static str {
    let by_host = flow
        .evidence
        .iter()
        .any(|evidence| evidence.icmp.is_some() && evidence.sender == Sender::Responder);
    if by_host {
        "The host was reached, and says that nothing listens there or that it does not want this"
    } else {
        "A router or a device on the way says that it could not or would not deliver the packet"
    }
}

/// What a verdict may mean that is no refusal.
fn meaning(flow: &Flow, verdict: Verdict) -> Option<&'static str> {
    let tcp = flow.tcp.syns > 0;
    match verdict {
        Verdict::Established if flow.tcp.reset_before_answer => Some(
            "The path works; the service, or a device that looks into the connection, ended it",
        ),
        Verdict::Established
        | Verdict::EstablishedUnseen
        | Verdict::Probed
        | Verdict::Answered
        | Verdict::Refused
        | Verdict::OneWay => None,
        Verdict::NoReply if tcp && flow.tcp.syns == 1 => Some(
            "One lost packet would look like this, and so would a firewall that drops or a host \
             that is down",
        ),
        Verdict::NoReply if tcp => Some(
            "A firewall that drops looks like this; so does a host that is down, or whose own \
             firewall drops",
        ),
        Verdict::NoReply => Some(
            "A firewall that drops looks like this; so do a lost datagram and a service that does \
             not answer",
        ),
        Verdict::Unconfirmed => Some(
            "The way back to the initiator may be dropped, or its confirmation, or the \
             responder's queue may be full",
        ),
        Verdict::Prohibited => Some("A filter on the way, or on the host, says that it refuses"),
        Verdict::Unreachable => Some(unreachable(flow)),
        Verdict::Challenged => Some(
            "The responder, or a firewall that keeps state, may still know an older connection",
        ),
        Verdict::HalfOpen => Some("The capture does not show whether the connection came about"),
        Verdict::Abandoned => Some("The program may have given up at once, or it is a scanner"),
        // Without times it is not known how soon it was.
        Verdict::CaptureEnded if flow.first_seen.is_none() => None,
        Verdict::CaptureEnded => Some("That is too soon to tell"),
        Verdict::HeadersCut => {
            Some("Capture again with a snap length of at least 128 bytes, or none")
        }
    }
}
