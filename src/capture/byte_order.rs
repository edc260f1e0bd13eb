//! Numbers in the byte order of the machine that wrote the capture.

/// The byte order of a capture, or of one section of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl ByteOrder {
    /// The `u16` at `offset`; `None` where the bytes end before it does.
    pub(super) fn u16(self, bytes: &[u8], offset: usize) -> Option<u16> {
        let array = *bytes.get(offset..)?.first_chunk()?;
        Some(match self {
            ByteOrder::Little => u16::from_le_bytes(array),
            ByteOrder::Big => u16::from_be_bytes(array),
        })
    }

    /// The `u32` at `offset`; `None` where the bytes end before it does.
    pub(super) fn u32(self, bytes: &[u8], offset: usize) -> Option<u32> {
        let array = *bytes.get(offset..)?.first_chunk()?;
        Some(match self {
            ByteOrder::Little => u32::from_le_bytes(array),
            ByteOrder::Big => u32::from_be_bytes(array),
        })
    }

    /// The `u64` at `offset`; `None` where the bytes end before it does.
    pub(super) fn u64(self, bytes: &[u8], offset: usize) -> Option<u64> {
        let array = *bytes.get(offset..)?.first_chunk()?;
        Some(match self {
            ByteOrder::Little => u64::from_le_bytes(array),
            ByteOrder::Big => u64::from_be_bytes(array),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_order_and_stop_at_the_end() {
        let bytes = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(ByteOrder::Little.u16(&bytes, 1), Some(0x0201));
        assert_eq!(ByteOrder::Big.u16(&bytes, 1), Some(0x0102));
        assert_eq!(ByteOrder::Little.u32(&bytes, 1), Some(0x0403_0201));
        assert_eq!(ByteOrder::Big.u32(&bytes, 1), Some(0x0102_0304));
        assert_eq!(ByteOrder::Little.u64(&bytes, 1), Some(0x0807_0605_0403_0201));
        assert_eq!(ByteOrder::Big.u64(&bytes, 1), Some(0x0102_0304_0506_0708));
        assert_eq!(ByteOrder::Big.u64(&bytes, 2), None);
        assert_eq!(ByteOrder::Big.u16(&bytes, usize::MAX), None);
    }
}
