//! What was seen, with the frames to open, and then what it may mean.
//!
//! Two sentences at most. The first holds facts only; the second says what could look so, and
//! never accuses a firewall.

use std::fmt::Write as _;

use crate::flow::{Evidence, EvidenceKind, Flow, Handshake, Sender};
use crate::net::{FrameNumber, Transport};
use crate::packet::{Encapsulation, IcmpError};
use crate::verdict::origin::Refusal;
use crate::verdict::record::{Class, EvidenceRecord, Verdict};
use crate::verdict::{Circumstances, Frames, drop_note, icmp, origin, schedule};

/// Explains a verdict.
pub(super) fn of(
    flow: &Flow,
    verdict: Verdict,
    refusal: Option<&Refusal>,
    evidence: &[EvidenceRecord],
    circumstances: &Circumstances,
) -> String {
    let seen = capitalized(&Seen::of(flow, circumstances).sentence(verdict));
    let mut seen = match flow.also_in {
        Some(other) => {
            format!("{seen}; packets of it were also captured {}", elsewhere(flow, other))
        }
        None => seen,
    };
    if let Some(dropped) = dropped(flow, circumstances) {
        let by_icmp = matches!(verdict, Verdict::Prohibited | Verdict::Unreachable);
        if flow.is_dropped_here() && !by_icmp || verdict.class() == Class::Success {
            // That is the meaning, and there is no need to guess.
            return format!("{seen}. {}.", capitalized(&dropped));
        }
        seen = format!("{seen}; {dropped}");
    }
    let foreign = flow.tcp.reset_by.and_then(|by| origin::foreign_end(evidence, by));
    let meaning = match (refusal, foreign) {
        (Some(refusal), _) => Some(refusal.meaning.clone()),
        (None, Some(foreign)) if verdict.class() == Class::Success => Some(format!(
            "The path works, and a device on the way may have ended the connection: {foreign}"
        )),
        (None, _) => meaning(flow, verdict).map(str::to_owned),
    };
    match meaning {
        Some(meaning) => format!("{seen}. {meaning}."),
        None => format!("{seen}."),
    }
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
    Some(format!("{} {was} {}{others}", Frames(&frames), circumstances.words(first)))
}

/// The text with a capital at its beginning.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The frames that a verdict rests on.
struct Seen<'a> {
    flow: &'a Flow,
    circumstances: &'a Circumstances,
    syns: Vec<FrameNumber>,
    syn_acks: Vec<FrameNumber>,
    /// Resets of the responder.
    resets: Vec<FrameNumber>,
    /// Resets of the initiator.
    own_resets: Vec<FrameNumber>,
    /// Payload of the initiator, for UDP its requests.
    requests: Vec<FrameNumber>,
}

impl<'a> Seen<'a> {
    fn of(flow: &'a Flow, circumstances: &'a Circumstances) -> Seen<'a> {
        let frames = |sender, kind| {
            let of = |evidence: &&Evidence| evidence.sender == sender && evidence.kind == kind;
            flow.evidence.iter().filter(of).map(|evidence| evidence.frame).collect()
        };
        Seen {
            flow,
            circumstances,
            syns: frames(Sender::Initiator, EvidenceKind::Syn),
            syn_acks: frames(Sender::Responder, EvidenceKind::SynAck),
            resets: frames(Sender::Responder, EvidenceKind::Rst),
            own_resets: frames(Sender::Initiator, EvidenceKind::Rst),
            requests: frames(Sender::Initiator, EvidenceKind::Data),
        }
    }

    /// What was seen, as a sentence without its full stop.
    fn sentence(&self, verdict: Verdict) -> String {
        match verdict {
            Verdict::Established => self.established(),
            Verdict::EstablishedUnseen => format!(
                "the handshake is not whole in this capture, but {} show the connection",
                self.span()
            ),
            Verdict::Probed => format!(
                "SYN in {}, SYN-ACK in {}, then the initiator reset the connection in {}",
                Frames(&self.syns),
                Frames(&self.syn_acks),
                Frames(&self.own_resets)
            ),
            Verdict::Answered => self.answered(),
            Verdict::NoReply => self.unanswered(),
            Verdict::Unconfirmed => format!(
                "SYN in {}, SYN-ACK in {}, and no confirmation from the initiator",
                Frames(&self.syns),
                Frames(&self.syn_acks)
            ),
            Verdict::Refused => {
                format!("SYN in {}, reset in {}", Frames(&self.syns), Frames(&self.resets))
            }
            Verdict::Prohibited | Verdict::Unreachable => self.icmp_error(),
            Verdict::Challenged => self.challenged(),
            Verdict::HalfOpen => self.half_open(),
            Verdict::Abandoned => format!(
                "SYN in {}, and the initiator reset it in {} before any answer",
                Frames(&self.syns),
                Frames(&self.own_resets)
            ),
            Verdict::CaptureEnded if self.flow.first_seen.is_none() => format!(
                "{}, and no answer to it; without times nobody can say how long it was waited \
                 for{}",
                self.asked(),
                self.beside_the_silence()
            ),
            Verdict::CaptureEnded => {
                let end = match self.age() {
                    Some(age) => format!("{age} later"),
                    None => "before an answer could be expected".to_owned(),
                };
                let beside = self.beside_the_silence();
                format!("{}, and the capture ends {end}{beside}", self.asked())
            }
            Verdict::OneWay => self.one_way(),
            Verdict::HeadersCut => {
                let cut = self.flow.evidence.iter().find(|evidence| evidence.window.is_none());
                let first = cut.map_or(self.flow.first_frame, |evidence| evidence.frame);
                format!("from frame {first} on the TCP flags are cut off by the snap length")
            }
        }
    }

    fn established(&self) -> String {
        let tcp = &self.flow.tcp;
        let mut text = if tcp.simultaneous {
            "SYNs from both sides, each acknowledged".to_owned()
        } else {
            format!("SYN in {}, SYN-ACK in {}", Frames(&self.syns), Frames(&self.syn_acks))
        };
        let confirmation = self
            .flow
            .evidence
            .iter()
            .filter(|evidence| evidence.sender == Sender::Initiator)
            .find(|evidence| matches!(evidence.kind, EvidenceKind::Ack | EvidenceKind::Data));
        // Writing to a string does not fail.
        if let Some(confirmation) = confirmation {
            let _ = write!(text, ", confirmed in frame {}", confirmation.frame);
        }
        if tcp.refusals > 0 {
            let _ = write!(text, ", after a reset in {}", Frames(&self.resets));
        } else if tcp.reset_before_answer {
            let _ = write!(
                text,
                "; the responder reset the connection in {} before any byte of its own",
                Frames(&self.resets)
            );
        }
        text
    }

    fn answered(&self) -> String {
        let answer = self.flow.evidence.iter().find(|evidence| {
            evidence.sender == Sender::Responder && evidence.kind == EvidenceKind::Data
        });
        let requests = Frames(self.requests.get(..1).unwrap_or_default()).to_string();
        match answer {
            Some(answer) => format!("request in {requests}, answer in frame {}", answer.frame),
            None => format!("request in {requests}, answered"),
        }
    }

    /// "SYN in frame 101, sent again in frames 108 and 131, no answer in 21.0 s".
    fn unanswered(&self) -> String {
        let (what, frames) = self.call();
        let Some((first, again)) = frames.split_first() else {
            return "nothing came back".to_owned();
        };
        // Of many repeats the first ones and the last are in the evidence.
        let repeats = match self.flow.transport() {
            Transport::Tcp => u64::from(self.flow.tcp.syns),
            Transport::Udp => self.flow.initiator.packets,
        };
        let repeats = repeats.saturating_sub(1);
        let again = match again {
            [] => String::new(),
            [early @ .., last] if repeats > again.len() as u64 => {
                let early = Frames(early.get(..3).unwrap_or(early));
                format!(", sent again {repeats} times, first in {early}, last in frame {last}")
            }
            again => format!(", sent again in {}", Frames(again)),
        };
        let end = self.circumstances.capture_end;
        let schedule = schedule::followed(self.flow, Verdict::NoReply, end)
            .map(|followed| format!(" ({})", followed.told()))
            .unwrap_or_default();
        let wait = self.age().map(|age| format!(" in {age}")).unwrap_or_default();
        let beside = self.beside_the_silence();
        format!("{what} in frame {first}{again}{schedule}, no answer{wait}{beside}")
    }

    /// What came back and is no answer: a reset that does not acknowledge the SYN refuses nothing
    /// (RFC 9293 3.10.7.3), and an ICMP error may be about anything on the way, such as a loop.
    fn beside_the_silence(&self) -> String {
        let reset = match &self.resets[..] {
            [] => String::new(),
            resets => format!(
                "; the reset in {} does not acknowledge it, so the initiator ignores it",
                Frames(resets)
            ),
        };
        let error =
            self.icmp().map(|(frame, error)| format!("; frame {frame} is {}", icmp::note(error)));
        reset + &error.unwrap_or_default()
    }

    /// The first ICMP error, and its frame.
    fn icmp(&self) -> Option<(FrameNumber, IcmpError)> {
        self.flow.evidence.iter().find_map(|evidence| Some((evidence.frame, evidence.icmp?)))
    }

    fn icmp_error(&self) -> String {
        let error =
            self.icmp().map(|(frame, error)| format!("in frame {frame} by {}", icmp::note(error)));
        format!("{}, answered {}", self.asked(), error.as_deref().unwrap_or("by an ICMP error"))
    }

    fn challenged(&self) -> String {
        let foreign = self
            .flow
            .evidence
            .iter()
            .find(|evidence| evidence.sender == Sender::Responder)
            .map_or(self.flow.last_frame, |evidence| evidence.frame);
        let syns = Frames(&self.syns);
        format!("SYN in {syns}, answered in frame {foreign} by a segment of another connection")
    }

    fn half_open(&self) -> String {
        let (syns, syn_acks) = (Frames(&self.syns), Frames(&self.syn_acks));
        if self.flow.tcp.handshake == Handshake::Withdrawn {
            let resets = Frames(&self.resets);
            format!("SYN-ACK in {syn_acks}, then the responder reset the connection in {resets}")
        } else if self.syns.is_empty() {
            let reset = match &self.own_resets[..] {
                [] => String::new(),
                resets => format!(", and reset in {} by the side it was sent to", Frames(resets)),
            };
            format!("SYN-ACK in {syn_acks}, without the SYN that it answers{reset}")
        } else if self.syn_acks.is_empty() {
            format!("SYNs from both sides, from the initiator in {syns}, and nothing after")
        } else {
            format!("SYN in {syns}, SYN-ACK in {syn_acks}, and nothing after")
        }
    }

    fn one_way(&self) -> String {
        let span = self.span();
        if self.flow.to_group {
            return format!("{span} went to a group of hosts");
        }
        match (self.flow.initiator.packets, self.flow.responder.packets) {
            (_, 0) => format!("only packets of the initiator, in {span}"),
            (0, _) => format!("only packets of the responder, in {span}"),
            _ if self.flow.transport() == Transport::Udp => {
                format!("an answer before any request, and none after it, in {span}")
            }
            _ => format!("packets both ways in {span}, but none that shows a connection"),
        }
    }

    /// What the initiator asked with, and in which frames.
    fn call(&self) -> (&'static str, &[FrameNumber]) {
        match self.flow.transport() {
            Transport::Tcp if self.syns.is_empty() => ("payload", &self.requests),
            Transport::Tcp => ("SYN", &self.syns),
            Transport::Udp => ("request", &self.requests),
        }
    }

    /// "SYN in frame 7".
    fn asked(&self) -> String {
        match self.call() {
            (_, []) => format!("packet in frame {}", self.flow.first_frame),
            (what, frames) => format!("{what} in {}", Frames(frames)),
        }
    }

    /// "frame 7" or "frames 7 to 9".
    fn span(&self) -> String {
        let (first, last) = (self.flow.first_frame, self.flow.last_frame);
        if first == last { format!("frame {first}") } else { format!("frames {first} to {last}") }
    }

    /// How long the capture goes on after the flow's first packet: seconds with one digit,
    /// milliseconds below one second.
    fn age(&self) -> Option<String> {
        let end = self.circumstances.capture_end?;
        Some(seconds(end.since(self.flow.first_seen?)))
    }
}

/// Nanoseconds as seconds with one digit, or milliseconds below one second.
pub(super) fn seconds(nanoseconds: i64) -> String {
    let milliseconds = nanoseconds.max(0) / 1_000_000;
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        _ => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
    }
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
