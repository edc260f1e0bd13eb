//! Writes pcapng.

use std::net::IpAddr;

use super::{Bytes, Order};
use crate::support::scene::Scene;

/// Which pcapng.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    pub order: Order,
    /// The option `if_tsresol` as it stands in the file: a power of ten, or with the high bit
    /// of two. `None` leaves it out: microseconds.
    pub resolution: Option<u8>,
    /// Remark on the capture.
    pub comment: Option<&'a str>,
    /// Names of the interfaces; frames go to them in turn.
    pub interfaces: &'a [&'a str],
}

impl Form<'_> {
    /// One interface that counts microseconds.
    pub const USUAL: Form<'static> = Form {
        order: Order::Little,
        resolution: None,
        comment: None,
        interfaces: &["Local Area Connection"],
    };
}

/// Length of what stands before the bytes of a frame.
pub const RECORD: usize = 28;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const ENHANCED_PACKET: u32 = 6;

const END: u16 = 0;
const COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;

pub fn write(scene: &Scene, form: Form<'_>) -> Vec<u8> {
    let mut file = Bytes::new(form.order);
    block(&mut file, SECTION_HEADER, |body| {
        body.u32(0x1a2b_3c4d);
        body.u16(1);
        body.u16(0);
        body.u64(u64::MAX); // length of the section: not told
        if let Some(comment) = form.comment {
            option(body, COMMENT, comment.as_bytes());
            option(body, END, &[]);
        }
    });
    for name in form.interfaces {
        block(&mut file, INTERFACE_DESCRIPTION, |body| {
            body.u16(1); // Ethernet
            body.u16(0);
            body.u32(262_144); // snap length
            option(body, IF_NAME, name.as_bytes());
            if let Some(resolution) = form.resolution {
                option(body, IF_TSRESOL, &[resolution]);
            }
            option(body, END, &[]);
        });
    }
    if !scene.names.is_empty() {
        block(&mut file, NAME_RESOLUTION, |body| names(body, scene));
    }
    for (index, frame) in scene.frames.iter().enumerate() {
        let length = u32::try_from(frame.bytes.len()).unwrap();
        let ticks = ticks(frame.time, form.resolution);
        block(&mut file, ENHANCED_PACKET, |body| {
            body.u32(u32::try_from(index % form.interfaces.len()).unwrap());
            body.u32((ticks >> 32) as u32);
            body.u32(ticks as u32);
            body.u32(length);
            body.u32(length);
            body.raw(&frame.bytes);
            body.pad();
            if let Some(comment) = &frame.comment {
                option(body, COMMENT, comment.as_bytes());
                option(body, END, &[]);
            }
        });
    }
    file.out
}

/// Type, length, body, length again.
fn block(file: &mut Bytes, kind: u32, write: impl FnOnce(&mut Bytes)) {
    let mut body = Bytes::new(file.order);
    write(&mut body);
    body.pad();
    file.u32(kind);
    file.u32(body.offset() + 12);
    file.raw(&body.out);
    file.u32(body.offset() + 12);
}

fn option(body: &mut Bytes, code: u16, value: &[u8]) {
    body.u16(code);
    body.u16(u16::try_from(value.len()).unwrap());
    body.raw(value);
    body.pad();
}

fn names(body: &mut Bytes, scene: &Scene) {
    for (address, name) in &scene.names {
        let (kind, mut value) = match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (2, address.octets().to_vec()),
        };
        value.extend_from_slice(name.as_bytes());
        value.push(0);
        option(body, kind, &value); // a record has the form of an option
    }
    option(body, 0, &[]);
}

/// A time in the interface's unit, rounded down.
fn ticks(time: i64, resolution: Option<u8>) -> u64 {
    let resolution = resolution.unwrap_or(6);
    let exponent = u32::from(resolution & 0x7f);
    let a_second = if resolution & 0x80 == 0 { 10_i128.pow(exponent) } else { 1 << exponent };
    u64::try_from(i128::from(time) * a_second / 1_000_000_000).unwrap()
}
