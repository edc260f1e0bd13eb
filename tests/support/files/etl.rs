//! Writes Windows event traces, as `netsh trace` and `pktmon` do.

use super::{Bytes, Order};
use crate::support::scene::{Frame, Host, Scene};

const NDIS: [u8; 16] = guid(0x2ed6_006e, 0x4729, 0x4609, 0xb423_3ee7_bcd6_78ef);
const PKTMON: [u8; 16] = guid(0x4d4f_80d9, 0xc8bd, 0x4d73, 0xbb5b_19c9_0402_c5ac);
const MANIFEST: [u8; 16] = guid(0xbbcc_f6c1, 0x6cd1, 0x48c4, 0x80ff_8394_82e3_7671);
const SYSTEM: [u8; 16] = guid(0x9b79_ee91, 0xb5fd, 0x41c0, 0xa243_4248_e266_e9d0);

/// The trace's clock at its start, and its steps in a second.
const FIRST_STAMP: i64 = 2_499_815_729_351;
const STEPS: i64 = 10_000_000;
/// 100 ns from 1601 to 1970.
const EPOCH: i64 = 116_444_736_000_000_000;
/// Length of a buffer's header.
pub const BUFFER_HEADER: usize = 72;

/// Components of the machine: a card's driver, a filter, the protocol.
const CARD: u16 = 59;
const FILTER: u16 = 61;
const PROTOCOL: u16 = 65;

const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), d.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// Who captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `netsh trace`: each packet once.
    Netsh,
    /// `pktmon`: each packet at three components; those that were dropped only on the way there.
    Pktmon,
}

/// How buffers are compressed. The compressors are as simple as can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Xpress,
    Lznt1,
    Huffman,
}

/// A frame that the capturing machine dropped.
#[derive(Clone, Copy, Debug)]
pub struct Drop {
    /// Number of the frame in the scene.
    pub frame: usize,
    pub reason: u32,
}

/// Which trace.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    pub by: By,
    pub compression: Compression,
    /// The machine that captures.
    pub on: Host,
    pub drops: &'a [Drop],
    /// Bytes kept of a packet.
    pub packet_size: usize,
    pub events_lost: u32,
    /// Whether the trace was stopped.
    pub stopped: bool,
    /// Whether the trace names the reasons of drops itself.
    pub names_reasons: bool,
    /// Data of a filter's event.
    pub filter: Option<&'a [u8]>,
}

impl Form<'_> {
    pub fn new(by: By, compression: Compression, on: Host) -> Form<'static> {
        Form {
            by,
            compression,
            on,
            drops: &[],
            packet_size: usize::MAX,
            events_lost: 0,
            stopped: true,
            names_reasons: true,
            filter: None,
        }
    }
}

pub fn write(scene: &Scene, form: Form<'_>) -> Vec<u8> {
    let mut events = match form.by {
        By::Netsh => scene.frames.iter().map(|frame| ndis(frame, form.packet_size)).collect(),
        By::Pktmon => pktmon(scene, &form),
    };
    events.extend(rundown(&form));
    // The events of two processors: each in order of time, the file in none.
    let mut buffers = [Vec::new(), Vec::new()];
    for (place, event) in events.into_iter().enumerate() {
        buffers[place / 3 % 2].push(event);
    }
    let mut file = Vec::new();
    let mut written = 1;
    for (processor, records) in (0..).zip(&buffers) {
        // As full as a buffer may be.
        let mut bytes = Vec::new();
        for record in records {
            if bytes.len() + record.len() > BUFFER_SIZE - BUFFER_HEADER {
                file.extend(buffer(&bytes, 0, processor, form.compression));
                written += 1;
                bytes.clear();
            }
            bytes.extend(record);
        }
        file.extend(buffer(&bytes, 0, processor, form.compression));
        written += 1;
    }
    [header_buffer(&form, written), file].concat()
}

/// Size of buffers in memory, and on disk where they are not compressed.
const BUFFER_SIZE: usize = 0x4000;

/// A buffer with these records.
fn buffer(records: &[u8], kind: u16, processor: u16, compression: Compression) -> Vec<u8> {
    let body = match compression {
        Compression::None => records.to_vec(),
        Compression::Xpress => xpress(records),
        Compression::Lznt1 => lznt1(records),
        Compression::Huffman => huffman(records),
    };
    let plain = compression == Compression::None;
    let size = match kind {
        HEADER_BUFFER => 0x400,
        _ if plain => BUFFER_SIZE,
        _ => BUFFER_HEADER + body.len(),
    };
    let mut out = Bytes::new(Order::Little);
    out.u32(u32::try_from(size).unwrap());
    out.raw(&[0xee; 0x24]);
    out.u16(processor);
    out.raw(&[0; 6]);
    out.u32(u32::try_from(BUFFER_HEADER + records.len()).unwrap());
    out.u16(if plain { 1 } else { 0x41 });
    out.u16(kind);
    out.raw(&[0xee; 16]);
    out.raw(&body);
    // What is not used is what was there before.
    out.out.resize(size, 0xff);
    out.out
}

const HEADER_BUFFER: u16 = 4;

fn header_buffer(form: &Form<'_>, written: u32) -> Vec<u8> {
    let filetime = |nanoseconds: i64| (nanoseconds / 100 + EPOCH).cast_unsigned();
    let mut data = Bytes::new(Order::Little);
    data.u32(u32::try_from(BUFFER_SIZE).unwrap());
    data.u32(0x0002_000a);
    data.u32(20_348);
    data.u32(2);
    data.u64(if form.stopped { filetime(Scene::START + 60_000_000_000) } else { 0 });
    data.raw(&[0; 12]);
    data.u32(if form.stopped { written } else { 0 });
    data.u32(1);
    data.u32(8); // bytes of a pointer
    data.u32(form.events_lost);
    data.u32(2_594);
    data.raw(&[0xee; 16]);
    data.raw(&[0; 176]); // a time zone
    data.u64(0xdead);
    data.u64(STEPS.cast_unsigned());
    data.u64(filetime(Scene::START));
    data.u32(1); // counts steps
    data.u32(0);
    data.raw(&utf16("NetTrace"));
    data.raw(&utf16("C:\\trace.etl"));
    let mut record = Bytes::new(Order::Little);
    record.u16(2);
    record.raw(&[2, 0xc0]);
    record.u16(u16::try_from(0x20 + data.out.len()).unwrap());
    record.raw(&[0, 0]);
    record.u64(0);
    record.u64(FIRST_STAMP.cast_unsigned());
    record.u64(0);
    record.raw(&data.out);
    buffer(&padded(record.out), HEADER_BUFFER, 0, Compression::None)
}

fn padded(mut record: Vec<u8>) -> Vec<u8> {
    record.resize(record.len().next_multiple_of(8), 0);
    record
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn stamp(time: i64) -> u64 {
    (FIRST_STAMP + (time - Scene::START) / (1_000_000_000 / STEPS)).cast_unsigned()
}

fn event(provider: &[u8; 16], id: u16, keyword: u64, time: i64, data: &[u8]) -> Vec<u8> {
    let mut out = Bytes::new(Order::Little);
    out.u16(u16::try_from(0x50 + data.len()).unwrap());
    out.raw(&[0x13, 0xc0, 0, 0, 0, 0]);
    out.u32(8); // thread
    out.u32(4); // process
    out.u64(stamp(time));
    out.raw(provider);
    out.u16(id);
    out.raw(&[0, 16, 4, 0, 0, 0]);
    out.u64(keyword);
    out.raw(&[0; 24]);
    out.raw(data);
    padded(out.out)
}

fn classic(guid: &[u8; 16], opcode: u8, data: &[u8]) -> Vec<u8> {
    let mut out = Bytes::new(Order::Little);
    out.u16(u16::try_from(0x30 + data.len()).unwrap());
    out.raw(&[0x14, 0xc0, opcode, 0, 0, 0]);
    out.u64(0);
    out.u64(stamp(Scene::START + 50_000_000_000));
    out.raw(guid);
    out.u64(0);
    out.raw(data);
    padded(out.out)
}

/// A whole Ethernet packet, sent.
fn ndis(frame: &Frame, most: usize) -> Vec<u8> {
    const ETHERNET_WHOLE: u64 = 0x8000_0601_c000_0001;
    let bytes = &frame.bytes[..most.min(frame.bytes.len())];
    let mut data = Bytes::new(Order::Little);
    data.u32(12);
    data.u32(12);
    data.u32(u32::try_from(bytes.len()).unwrap());
    data.raw(bytes);
    data.raw(&[0; 16]);
    event(&NDIS, 1001, ETHERNET_WHOLE, frame.time, &data.out)
}

const RX: u16 = 3;
const TX: u16 = 4;
/// From one component to the next.
const STEP: i64 = 5_000;

fn pktmon(scene: &Scene, form: &Form<'_>) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    for (number, frame) in (1..).zip(&scene.frames) {
        let sent = frame.bytes[6..12] == form.on.mac();
        let direction = if sent { TX } else { RX };
        let way = if sent { [PROTOCOL, FILTER, CARD] } else { [CARD, FILTER, PROTOCOL] };
        let drop = form.drops.iter().find(|drop| drop.frame == number);
        let seen = if drop.is_some() && sent { 1 } else { 3 };
        for (component, appearance) in way.into_iter().zip(1..=seen) {
            // At the card it is as the scene says.
            let behind = i64::from(appearance) - if sent { 3 } else { 1 };
            let sighting = Sighting {
                number,
                appearance,
                direction,
                kind: 1,
                component,
                reason: 0,
                bytes: &frame.bytes,
            };
            let time = frame.time + if drop.is_some() && sent { 0 } else { behind * STEP };
            events.push(sighting.event(160, time, form.packet_size));
        }
        if let Some(drop) = drop {
            let sighting = Sighting {
                number,
                appearance: 0,
                direction,
                kind: 3,
                component: PROTOCOL,
                reason: drop.reason,
                bytes: &frame.bytes[14..],
            };
            events.push(sighting.event(170, frame.time + 4 * STEP, form.packet_size));
        }
    }
    events
}

/// A packet at a component.
struct Sighting<'a> {
    number: usize,
    appearance: u16,
    direction: u16,
    /// 1 Ethernet, 3 IP.
    kind: u16,
    component: u16,
    reason: u32,
    bytes: &'a [u8],
}

impl Sighting<'_> {
    fn event(&self, id: u16, time: i64, most: usize) -> Vec<u8> {
        let logged = &self.bytes[..most.min(self.bytes.len())];
        let mut data = Bytes::new(Order::Little);
        data.u64(1_071_654 + u64::try_from(self.number).unwrap());
        data.u16(1);
        data.u16(self.appearance);
        data.u16(self.direction);
        data.u16(self.kind);
        data.u16(self.component);
        data.u16(1); // edge
        data.u16(0); // filter
        data.u32(self.reason);
        data.u32(if self.reason == 0 { 0 } else { 0xe000_4138 });
        data.u16(u16::try_from(self.bytes.len()).unwrap());
        data.u16(u16::try_from(logged.len()).unwrap());
        data.raw(logged);
        event(&PKTMON, id, 0x10, time, &data.out)
    }
}

/// What is written when the trace is stopped.
fn rundown(form: &Form<'_>) -> Vec<Vec<u8>> {
    let end = Scene::START + 50_000_000_000;
    let mut events = Vec::new();
    if form.by == By::Netsh {
        let mut row = vec![0; 1_352];
        row[8] = 12;
        for (at, text) in [(28, "Ethernet"), (542, "A Network Card")] {
            let text = utf16(text);
            row[at..at + text.len()].copy_from_slice(&text);
        }
        events.push(classic(&SYSTEM, 36, &row));
        return events;
    }
    for (id, driver, description) in [
        (CARD, "netvsc.sys", "A Network Card"),
        (FILTER, "wfplwfs.sys", "WFP 802.3 MAC Layer LightWeight Filter"),
        (PROTOCOL, "tcpip.sys", "TCPIP"),
    ] {
        let data = [&id.to_le_bytes()[..], &[4, 0], &utf16(driver), &utf16(description)].concat();
        events.push(event(&PKTMON, 20, 2, end, &data));
    }
    if form.names_reasons {
        let mut map = Bytes::new(Order::Little);
        let name = utf16("DropReason");
        let labels = [(909, "Inspection drop "), (1204, "INET: transport endpoint was not found ")];
        let labels_at = 16 + 8 * labels.len() + name.len();
        map.u32(u32::try_from(16 + 8 * labels.len()).unwrap());
        map.u32(1);
        map.u32(u32::try_from(labels.len()).unwrap());
        map.u32(0);
        let mut texts = Vec::new();
        for (number, label) in labels {
            map.u32(u32::try_from(labels_at + texts.len()).unwrap());
            map.u32(number);
            texts.extend(utf16(label));
        }
        map.raw(&name);
        map.raw(&texts);
        events.push(classic(&MANIFEST, 33, &[&PKTMON[..], &map.out].concat()));
    }
    if let Some(data) = form.filter {
        events.push(event(&PKTMON, 100, 1, end, data));
    }
    events
}

/// Literals only: 32 of them behind each word of flags; ones stand behind the last.
fn xpress(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for literals in bytes.chunks(32) {
        let flags = if literals.len() == 32 { 0 } else { u32::MAX >> literals.len() };
        out.extend(flags.to_le_bytes());
        out.extend(literals);
    }
    out
}

/// Chunks as they are.
fn lznt1(bytes: &[u8]) -> Vec<u8> {
    let chunk = |bytes: &[u8]| {
        let header = 0x3000 | u16::try_from(bytes.len() - 1).unwrap();
        [&header.to_le_bytes(), bytes].concat()
    };
    bytes.chunks(4096).flat_map(chunk).collect()
}

/// Codes of nine bits, which are the symbols themselves.
fn huffman(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in bytes.chunks(1 << 16) {
        out.extend([0x99; 256]);
        let mut bits: Vec<bool> = Vec::new();
        // What a reader looks at: 32 bits, and 16 more whenever fewer than 16 are left.
        let (mut words, mut extra) = (2, 16);
        for byte in block {
            bits.extend((0..9).rev().map(|bit| u16::from(*byte) >> bit & 1 == 1));
            extra -= 9;
            if extra < 0 {
                extra += 16;
                words += 1;
            }
        }
        bits.resize(words * 16, false);
        for word in bits.chunks(16) {
            let word = word.iter().fold(0_u16, |word, bit| word << 1 | u16::from(*bit));
            out.extend(word.to_le_bytes());
        }
    }
    out
}
