//! Brings the fragments of IP packets to the flows that only the first of each can name.
//!
//! Fragments must come in the order of the capture. From the one with the ports on, each is a
//! packet of its flow with its own bytes; those that came before are counted with it. Nothing is
//! put together but headers that were cut up themselves, as nobody but a scanner does, so the table
//! holds no payload: it is bounded in packets, and what waits is forgotten after a minute.
//!
//! A fragment that has the ports counts even where the rest of its packet never comes. No host
//! takes such a packet, but it was sent, and an attempt to talk is what a flow is.
//!
//! Where fragments overlap, those that came first are believed. An IPv6 host takes none of them (RFC
//! 5722); for us they were sent all the same.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use etherparse::{IpNumber, ip_number};
use foldhash::fast::FixedState;

use crate::capture::Frame;
use crate::net::{FrameNumber, SeqNumber, Timestamp, Transport};
use crate::packet::encapsulation::Encapsulation;
use crate::packet::network::{Fragment, Ip};
use crate::packet::skipped::{Skipped, SkippedTally};
use crate::packet::transport::{Content, Flags, content};
use crate::packet::{Above, Body, Packet, decode_with};

/// Packets in pieces that are remembered.
const MOST_PACKETS: usize = 4_096;

/// Fragments of one packet that may come before the one with its header; 64 KiB on Ethernet are 45.
const MOST_EARLY: usize = 64;

/// Nanoseconds that a packet may take to arrive (RFC 8200 4.5).
const LIFETIME: i64 = 60_000_000_000;

/// Bytes that are kept of a header in pieces: the longest TCP header, and what makes them fit into
/// the bits of a number.
const MOST_HEADER: usize = 64;

/// What is known of packets that came in pieces.
#[derive(Debug, Default)]
pub struct FragmentTable {
    packets: HashMap<Key, Entry, FixedState>,
    /// Packets by age, with their birth: one that began anew stands here again.
    ages: VecDeque<(Key, u64)>,
    births: u64,
    skipped: SkippedTally,
}

/// What the pieces of a packet have in common (RFC 791 3.2, RFC 8200 4.5).
///
/// Not what they are wrapped in: the pieces of a packet that was captured on both sides of a tunnel
/// are copies, and found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: u8,
}

#[derive(Debug)]
struct Entry {
    birth: u64,
    since: Option<Timestamp>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The header is not there yet.
    Waiting(Box<Early>),
    /// What becomes of the pieces that are still to come.
    Known(Later),
}

/// The pieces that came before the header was there.
#[derive(Debug)]
struct Early {
    /// The first bytes, and which of them came.
    header: [u8; MOST_HEADER],
    known: u64,
    /// Offset and length of each, copies left out.
    pieces: Vec<(usize, usize)>,
    frames: u64,
    first_frame: FrameNumber,
}

/// What becomes of later fragments.
#[derive(Clone, Copy, Debug)]
enum Later {
    /// They belong to a flow.
    Flow {
        transport: Transport,
        source_port: u16,
        destination_port: u16,
        /// Where the payload begins: its sequence number.
        begins_at: SeqNumber,
        /// Bytes of headers before it.
        headers: usize,
    },
    /// They are counted as nothing but this.
    Skipped(Skipped),
}

impl FragmentTable {
    /// Decodes a frame that [`decode`](crate::packet::decode) calls a [`Skipped::Fragment`]. Gives
    /// `None` where it holds no packet of a flow, or not yet.
    pub fn decode<'a>(&mut self, frame: Frame<'a>) -> Option<Packet<'a>> {
        match decode_with(frame, Some(self)) {
            Ok(packet) => Some(packet),
            // It waits, and is counted when it is clear what for.
            Err(Skipped::Fragment) => None,
            Err(reason) => {
                self.skipped.count(reason, frame.number);
                None
            }
        }
    }

    /// The frames that hold no packet of a flow, at the end of the capture.
    pub fn into_skipped(mut self) -> SkippedTally {
        while let Some((key, birth)) = self.ages.pop_front() {
            self.forget(&key, birth, Skipped::HeadlessFragment);
        }
        self.skipped
    }

    /// What stands above the header of a fragment.
    pub(super) fn above<'a>(
        &mut self,
        ip: &Ip<'a>,
        fragment: Fragment,
        frame: &Frame<'_>,
        layers: &mut Encapsulation,
    ) -> Result<Above<'a>, Skipped> {
        let key = Key {
            source: ip.source,
            destination: ip.destination,
            id: fragment.id,
            protocol: fragment.protocol,
        };
        self.forget_outlived(&key, frame.time);
        let enough = enough_header(ip.protocol);
        // Headers behind those of extensions are not put together: nothing sends such pieces.
        if fragment.offset == 0 && (ip.length >= enough || fragment.lead > 0) {
            let early = self.early(&key).map_or(0, Early::length);
            let all = Ip { length: ip.length.saturating_add(early), ..*ip };
            let above = super::above(&all, layers);
            let headers = fragment.lead + header_length(ip.protocol, ip.payload);
            self.know(key, frame.time, Later::after(&above, headers));
            return above;
        }
        if let Some(Entry { state: State::Known(later), .. }) = self.packets.get(&key) {
            return later.content(ip, fragment.offset).map(Above::Content);
        }
        let Some(early) = self.wait(key, frame) else { return Err(Skipped::HeadlessFragment) };
        early.add(fragment.offset, ip);
        let Some(header) = early.header(enough) else {
            early.frames += 1;
            return Err(Skipped::Fragment);
        };
        let headers = header_length(ip.protocol, header);
        let whole = Ip { payload: header, length: early.length(), ..*ip };
        let found = content(&whole).map(|found| {
            let payload = match headers.checked_sub(fragment.offset) {
                Some(inside) => ip.payload.get(inside..).unwrap_or_default(),
                None => &[],
            };
            Above::Content(Content { payload, ..found.without_payload() })
        });
        self.know(key, frame.time, Later::after(&found, headers));
        found
    }

    fn early(&self, key: &Key) -> Option<&Early> {
        match &self.packets.get(key)?.state {
            State::Waiting(early) => Some(early),
            State::Known(_) => None,
        }
    }

    /// The place of a piece whose header is not there yet.
    fn wait(&mut self, key: Key, frame: &Frame<'_>) -> Option<&mut Early> {
        if self.early(&key).is_none() {
            let early = Box::new(Early {
                header: [0; MOST_HEADER],
                known: 0,
                pieces: Vec::new(),
                frames: 0,
                first_frame: frame.number,
            });
            self.begin(key, frame.time, State::Waiting(early));
        }
        match &mut self.packets.get_mut(&key)?.state {
            State::Waiting(early) => Some(early),
            State::Known(_) => None,
        }
    }

    /// Remembers what becomes of the pieces still to come. A first fragment that comes again may
    /// belong to a new packet with an old identification, so the last one counts.
    fn know(&mut self, key: Key, now: Option<Timestamp>, later: Later) {
        if let Some(birth) = self.packets.get(&key).map(|entry| entry.birth) {
            self.forget(&key, birth, Skipped::EarlyFragment);
        }
        self.begin(key, now, State::Known(later));
    }

    fn begin(&mut self, key: Key, since: Option<Timestamp>, state: State) {
        self.births += 1;
        let birth = self.births;
        self.packets.insert(key, Entry { birth, since, state });
        self.ages.push_back((key, birth));
        while self.ages.len() > MOST_PACKETS
            && let Some((oldest, birth)) = self.ages.pop_front()
        {
            self.forget(&oldest, birth, Skipped::FragmentGivenUp);
        }
    }

    fn forget_outlived(&mut self, key: &Key, now: Option<Timestamp>) {
        if let Some(Entry { birth, since: Some(since), .. }) = self.packets.get(key)
            && now.is_some_and(|now| now.since(*since) > LIFETIME)
        {
            self.forget(key, *birth, Skipped::HeadlessFragment);
        }
    }

    /// Forgets a packet, if it is still the one that was born then. What waits in it is counted.
    fn forget(&mut self, key: &Key, birth: u64, reason: Skipped) {
        if self.packets.get(key).is_some_and(|entry| entry.birth == birth)
            && let Some(Entry { state: State::Waiting(early), .. }) = self.packets.remove(key)
            && early.frames > 0
        {
            self.skipped.add(reason, early.frames, early.first_frame);
        }
    }
}

/// Bytes of a transport header that say what the flow needs: TCP's up to the window, all of UDP's.
/// Others are taken as they come.
fn enough_header(protocol: IpNumber) -> usize {
    match protocol {
        ip_number::TCP => 16,
        ip_number::UDP => 8,
        _ => 0,
    }
}

/// Bytes of a transport header, by what it says itself, and at least its fixed part.
fn header_length(protocol: IpNumber, header: &[u8]) -> usize {
    match protocol {
        ip_number::TCP => header.get(12).map_or(20, |offset| usize::from(offset >> 4) * 4).max(20),
        ip_number::UDP => 8,
        _ => 0,
    }
}

impl Early {
    /// Takes a piece into account.
    fn add(&mut self, offset: usize, ip: &Ip<'_>) {
        let piece = (offset, ip.length);
        if self.pieces.len() < MOST_EARLY && !self.pieces.contains(&piece) {
            self.pieces.push(piece);
        }
        let places = self.header.iter_mut().enumerate().skip(offset);
        for ((place, byte), &new) in places.zip(ip.payload) {
            let bit = 1 << place;
            if self.known & bit == 0 {
                self.known |= bit;
                *byte = new;
            }
        }
    }

    /// The header, as far as it came, if at least `enough` bytes of it did.
    fn header(&self, enough: usize) -> Option<&[u8]> {
        let came = self.known.trailing_ones() as usize;
        self.header.get(..came).filter(|_| enough > 0 && came >= enough)
    }

    /// Bytes of all pieces.
    fn length(&self) -> usize {
        self.pieces.iter().fold(0, |sum, (_, length)| sum.saturating_add(*length))
    }
}

impl Later {
    /// What follows from the first fragment, behind whose `headers` bytes the payload stands.
    fn after(first: &Result<Above<'_>, Skipped>, headers: usize) -> Later {
        let found = match first {
            Ok(Above::Content(content)) => content,
            // The packet inside says itself how long it is.
            Ok(Above::Wrapped(_)) | Err(Skipped::Fragment) => {
                return Later::Skipped(Skipped::LaterFragment);
            }
            Err(reason) => return Later::Skipped(*reason),
        };
        let begins_at = match found.body {
            Body::Segment(segment) => segment.seq.plus(u32::from(segment.flags.has(Flags::SYN))),
            Body::Datagram { .. } => SeqNumber(0),
            Body::CutSegment | Body::IcmpError(_) | Body::LaterFragment { .. } => {
                return Later::Skipped(Skipped::LaterFragment);
            }
        };
        Later::Flow {
            transport: found.transport,
            source_port: found.source_port,
            destination_port: found.destination_port,
            begins_at,
            headers,
        }
    }

    /// What a later fragment holds, which stands at `offset` in its packet.
    fn content<'a>(&self, ip: &Ip<'a>, offset: usize) -> Result<Content<'a>, Skipped> {
        let (transport, source_port, destination_port, begins_at, headers) = match *self {
            Later::Skipped(reason) => return Err(reason),
            Later::Flow { transport, source_port, destination_port, begins_at, headers } => {
                (transport, source_port, destination_port, begins_at, headers)
            }
        };
        // Options of TCP may reach into it.
        let of_header = headers.saturating_sub(offset).min(ip.length);
        let before = offset.saturating_sub(headers);
        Ok(Content {
            transport,
            source_port,
            destination_port,
            body: Body::LaterFragment {
                at: begins_at.plus(u32::try_from(before).unwrap_or_default()),
                length: u32::try_from(ip.length - of_header).unwrap_or(u32::MAX),
            },
            payload: ip.payload.get(of_header..).unwrap_or_default(),
            quoted: None,
            unsummed: false,
        })
    }
}
