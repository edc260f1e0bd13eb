//! Writes pcap.

use super::{Bytes, Order};
use crate::support::scene::Scene;

/// Which pcap.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub order: Order,
    /// Nanoseconds, else microseconds.
    pub nanoseconds: bool,
}

impl Form {
    /// What most programs write.
    pub const USUAL: Form = Form { order: Order::Little, nanoseconds: false };
}

/// Length of the file's header.
pub const HEADER: usize = 24;
/// Length of a record's header.
pub const RECORD: usize = 16;

pub fn write(scene: &Scene, form: Form) -> Vec<u8> {
    let (magic, unit) = if form.nanoseconds { (0xa1b2_3c4d, 1) } else { (0xa1b2_c3d4_u32, 1_000) };
    let mut file = Bytes::new(form.order);
    file.u32(magic);
    file.u16(2);
    file.u16(4);
    file.u32(0); // zone: always UTC
    file.u32(0); // accuracy: always 0
    file.u32(262_144); // snap length
    file.u32(1); // Ethernet
    for frame in &scene.frames {
        let length = u32::try_from(frame.bytes.len()).unwrap();
        let second = 1_000_000_000;
        file.u32(u32::try_from(frame.time / second).unwrap());
        file.u32(u32::try_from(frame.time % second / unit).unwrap());
        file.u32(length);
        file.u32(length);
        file.raw(&frame.bytes);
    }
    file.out
}
