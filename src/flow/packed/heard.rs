//! What a flow's application said, in few bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thin_vec::ThinVec;

use crate::flow::packed::Origin;
use crate::flow::packed::bytes::{Reader, Writer};
use crate::net::{FrameNumber, KnownName, NameSource, Timestamp, Transport};
use crate::probe::{
    Announcement, Answer, ClockReading, Code, CodeSet, Duty, Heard, HeardDuty, Holder, Speaker,
    Uuid, protocol_at, protocol_place,
};

// Which parts there are.
const ASKED: u64 = 1;
const SERVED: u64 = 1 << 1;
const CALLED: u64 = 1 << 2;
const INTRODUCED: u64 = 1 << 3;
const NAMES: u64 = 1 << 4;
const DUTIES: u64 = 1 << 5;
const STEP: u64 = 1 << 6;
const FAILURES: u64 = 1 << 7;
const CALLS: u64 = 1 << 8;
const ANNOUNCED: u64 = 1 << 9;
const SERVES: u64 = 1 << 10;
const LEASES_ASKED: u64 = 1 << 11;
const LEASES_GIVEN: u64 = 1 << 12;
const CLOCK: u64 = 1 << 13;

/// Whether all of it can be written: what keeps every signal cannot.
pub(super) fn fits(heard: &Heard) -> bool {
    heard.signals.is_none()
}

/// Writes all that was heard.
pub(super) fn write(heard: &Heard, origin: &Origin, out: &mut Writer<'_>) {
    let parts = [
        (ASKED, heard.asked.is_some()),
        (SERVED, heard.served.is_some()),
        (CALLED, !heard.called.is_empty()),
        (INTRODUCED, !heard.introduced.is_empty()),
        (NAMES, !heard.names.is_empty()),
        (DUTIES, !heard.duties.is_empty()),
        (STEP, heard.step.is_some()),
        (FAILURES, !heard.failures.is_empty()),
        (CALLS, !heard.calls.is_empty()),
        (ANNOUNCED, !heard.announced.is_empty()),
        (SERVES, !heard.serves.is_empty()),
        (LEASES_ASKED, !heard.leases_asked.is_empty()),
        (LEASES_GIVEN, !heard.leases_given.is_empty()),
        (CLOCK, heard.clock.is_some()),
    ];
    out.number(parts.iter().filter(|(_, there)| *there).map(|(part, _)| part).sum());
    out.byte(heard.protocol.map_or(0, |name| protocol_place(name) + 1));
    for answer in [&heard.asked, &heard.served, &heard.step].into_iter().flatten() {
        write_answer(answer, origin, out);
    }
    list(out, &heard.failures, |out, answer| write_answer(answer, origin, out));
    list(out, &heard.calls, |out, (uuid, frame)| {
        out.bytes(&uuid.0.to_be_bytes());
        origin.write_frame(*frame, out);
    });
    list(out, &heard.announced, |out, (announcement, frame)| {
        write_announcement(announcement, out);
        origin.write_frame(*frame, out);
    });
    list(out, &heard.names, |out, known| {
        write_address(known.address, out);
        out.byte(known.source as u8);
        out.text(&known.name);
    });
    list(out, &heard.serves, |out, (purpose, host)| {
        out.text(purpose);
        out.text(host);
    });
    list(out, &heard.duties, |out, duty| write_duty(duty, origin, out));
    list(out, &heard.introduced, |out, (speaker, source, name)| {
        out.byte(write_speaker(*speaker));
        out.byte(*source as u8);
        out.text(name);
    });
    list(out, &heard.called, |out, (source, name)| {
        out.byte(*source as u8);
        out.text(name);
    });
    list(out, &heard.leases_asked, |out, (number, name)| {
        out.number((*number).into());
        out.text(name);
    });
    list(out, &heard.leases_given, |out, (number, address)| {
        out.number((*number).into());
        write_address(*address, out);
    });
    if let Some(clock) = &heard.clock {
        origin.write_time(clock.says, out);
        write_maybe_time(clock.captured, origin, out);
        origin.write_frame(clock.frame, out);
    }
}

/// Reads what [`write()`] wrote.
pub(super) fn read(from: &mut Reader<'_>, origin: &Origin) -> Heard {
    let parts = from.number();
    let protocol = from.byte().checked_sub(1).map(protocol_at);
    let mut answer = |part| (parts & part != 0).then(|| read_answer(from, origin));
    let asked = answer(ASKED);
    let served = answer(SERVED);
    let step = answer(STEP);
    let mut heard = Heard { protocol, asked, served, step, ..Heard::default() };
    let there = |part: u64| parts & part != 0;
    heard.failures = items(from, there(FAILURES), |from| read_answer(from, origin));
    heard.calls = items(from, there(CALLS), |from| {
        (Uuid(u128::from_be_bytes(from.array())), origin.read_frame(from))
    });
    heard.announced =
        items(from, there(ANNOUNCED), |from| (read_announcement(from), origin.read_frame(from)));
    heard.names = items(from, there(NAMES), |from| KnownName {
        address: read_address(from),
        source: read_source(from),
        name: from.text(),
    });
    heard.serves = items(from, there(SERVES), |from| (from.text(), from.text()));
    heard.duties = items(from, there(DUTIES), |from| read_duty(from, origin));
    heard.introduced = items(from, there(INTRODUCED), |from| {
        (read_speaker(from.byte()), read_source(from), from.text())
    });
    heard.called = items(from, there(CALLED), |from| (read_source(from), from.text()));
    heard.leases_asked = items(from, there(LEASES_ASKED), |from| (from.small(), from.text()));
    heard.leases_given =
        items(from, there(LEASES_GIVEN), |from| (from.small(), read_address(from)));
    if there(CLOCK) {
        let says = origin.read_time(from);
        let captured = read_maybe_time(from, origin);
        let frame = origin.read_frame(from);
        heard.clock = says.map(|says| ClockReading { says, captured, frame });
    }
    heard
}

/// Writes a list that is not empty: its length, and each item.
fn list<T>(out: &mut Writer<'_>, items: &[T], mut write: impl FnMut(&mut Writer<'_>, &T)) {
    if items.is_empty() {
        return;
    }
    out.number(items.len() as u64);
    for item in items {
        write(out, item);
    }
}

fn items<T>(
    from: &mut Reader<'_>,
    there: bool,
    mut read: impl FnMut(&mut Reader<'_>) -> T,
) -> ThinVec<T> {
    let count = if there { from.number() } else { 0 };
    (0..count).map(|_| read(from)).collect()
}

fn write_answer(answer: &Answer, origin: &Origin, out: &mut Writer<'_>) {
    let Answer { protocol, subject, code, detail, frame, time } = answer;
    let flags = u8::from(code.is_some()) | u8::from(detail.is_some()) << 1;
    out.byte(protocol_place(protocol) << 2 | flags);
    out.text(subject);
    if let Some(code) = code {
        out.byte(code.set as u8);
        out.number(code.number.into());
    }
    if let Some(detail) = detail {
        out.text(detail);
    }
    origin.write_frame(*frame, out);
    write_maybe_time(*time, origin, out);
}

fn read_answer(from: &mut Reader<'_>, origin: &Origin) -> Answer {
    let head = from.byte();
    let subject = from.label();
    let code = (head & 1 != 0).then(|| {
        let set = CodeSet::ALL.get(usize::from(from.byte())).copied();
        Code { set: set.unwrap_or(CodeSet::DnsRcode), number: from.small() }
    });
    let detail = (head & 2 != 0).then(|| from.label());
    let frame = origin.read_frame(from);
    let time = read_maybe_time(from, origin);
    Answer { protocol: protocol_at(head >> 2), subject, code, detail, frame, time }
}

fn write_announcement(announcement: &Announcement, out: &mut Writer<'_>) {
    let Announcement { uuid, transport, address, port, name } = announcement;
    let transport = match transport {
        None => 0,
        Some(Transport::Tcp) => 1,
        Some(Transport::Udp) => 2,
    };
    let there = [uuid.is_some(), address.is_some(), name.is_some()].map(u8::from);
    out.byte(transport | there[0] << 2 | there[1] << 3 | there[2] << 4);
    if let Some(uuid) = uuid {
        out.bytes(&uuid.0.to_be_bytes());
    }
    if let Some(address) = address {
        write_address(*address, out);
    }
    if let Some(name) = name {
        out.text(name);
    }
    out.number((*port).into());
}

#[expect(clippy::cast_possible_truncation, reason = "as written")]
fn read_announcement(from: &mut Reader<'_>) -> Announcement {
    let head = from.byte();
    Announcement {
        transport: match head & 3 {
            0 => None,
            1 => Some(Transport::Tcp),
            _ => Some(Transport::Udp),
        },
        uuid: (head & 1 << 2 != 0).then(|| Uuid(u128::from_be_bytes(from.array()))),
        address: (head & 1 << 3 != 0).then(|| read_address(from)),
        name: (head & 1 << 4 != 0).then(|| from.text()),
        port: from.small() as u16,
    }
}

fn write_duty(duty: &HeardDuty, origin: &Origin, out: &mut Writer<'_>) {
    let HeardDuty { holder, from, duty, how, frame } = duty;
    let holder_kind = match holder {
        Holder::Speaker => 0,
        Holder::Peer => 1,
        Holder::Host(_) => 2,
    };
    out.byte(holder_kind << 1 | write_speaker(*from));
    if let Holder::Host(address) = holder {
        write_address(*address, out);
    }
    out.byte(*duty as u8);
    out.text(how);
    origin.write_frame(*frame, out);
}

fn read_duty(from: &mut Reader<'_>, origin: &Origin) -> HeardDuty {
    let head = from.byte();
    let holder = match head >> 1 {
        0 => Holder::Speaker,
        1 => Holder::Peer,
        _ => Holder::Host(read_address(from)),
    };
    let duty = Duty::ALL.get(usize::from(from.byte())).copied();
    HeardDuty {
        holder,
        from: read_speaker(head & 1),
        duty: duty.unwrap_or(Duty::Client),
        how: from.text(),
        frame: origin.read_frame(from),
    }
}

fn write_speaker(speaker: Speaker) -> u8 {
    u8::from(speaker == Speaker::Responder)
}

fn read_speaker(number: u8) -> Speaker {
    if number == 0 { Speaker::Initiator } else { Speaker::Responder }
}

fn read_source(from: &mut Reader<'_>) -> NameSource {
    NameSource::ALL.get(usize::from(from.byte())).copied().unwrap_or(NameSource::Dns)
}

fn write_address(address: IpAddr, out: &mut Writer<'_>) {
    match address {
        IpAddr::V4(address) => {
            out.byte(4);
            out.bytes(&address.octets());
        }
        IpAddr::V6(address) => {
            out.byte(6);
            out.bytes(&address.octets());
        }
    }
}

fn read_address(from: &mut Reader<'_>) -> IpAddr {
    match from.byte() {
        4 => IpAddr::V4(Ipv4Addr::from(from.array::<4>())),
        _ => IpAddr::V6(Ipv6Addr::from(from.array::<16>())),
    }
}

fn write_maybe_time(time: Option<Timestamp>, origin: &Origin, out: &mut Writer<'_>) {
    out.byte(time.is_some().into());
    if let Some(time) = time {
        origin.write_time(time, out);
    }
}

fn read_maybe_time(from: &mut Reader<'_>, origin: &Origin) -> Option<Timestamp> {
    if from.byte() == 0 { None } else { origin.read_time(from) }
}

impl Origin {
    fn write_frame(&self, frame: FrameNumber, out: &mut Writer<'_>) {
        out.signed(frame.0.wrapping_sub(self.frame).cast_signed());
    }

    fn read_frame(&self, from: &mut Reader<'_>) -> FrameNumber {
        FrameNumber(self.frame.wrapping_add(from.signed().cast_unsigned()))
    }
}
