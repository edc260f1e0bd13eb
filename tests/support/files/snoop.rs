//! Writes snoop (RFC 1761).

use super::{Bytes, Order};
use crate::support::scene::Scene;

pub fn write(scene: &Scene) -> Vec<u8> {
    let mut file = Bytes::new(Order::Big);
    file.raw(b"snoop\0\0\0");
    file.u32(2);
    file.u32(4); // Ethernet
    for frame in &scene.frames {
        let length = u32::try_from(frame.bytes.len()).unwrap();
        let second = 1_000_000_000;
        file.u32(length);
        file.u32(length);
        file.u32(24 + length.next_multiple_of(4));
        file.u32(0); // nothing lost
        file.u32(u32::try_from(frame.time / second).unwrap());
        file.u32(u32::try_from(frame.time % second / 1_000).unwrap());
        file.raw(&frame.bytes);
        file.pad();
    }
    file.out
}
