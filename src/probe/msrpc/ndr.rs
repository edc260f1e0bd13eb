//! Reads values as network data representation lays them out: C706 chapter 14, and its 64-bit
//! kind, [MS-RPCE] 2.2.5.

use crate::probe::Uuid;

/// How a sender writes values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Least significant byte first.
    pub little: bool,
    /// Counts and pointers take eight bytes, not four (NDR64).
    pub wide: bool,
}

impl Layout {
    /// What [MS-DCOM] writes into its own blobs, whoever sends them.
    pub(super) const DCOM: Layout = Layout { little: true, wide: false };
}

/// Values, one after the other. Each is aligned to its size, counted from the beginning.
#[derive(Clone, Debug)]
pub(super) struct Values<'a> {
    bytes: &'a [u8],
    at: usize,
    layout: Layout,
}

impl<'a> Values<'a> {
    pub(super) fn new(bytes: &'a [u8], layout: Layout) -> Values<'a> {
        Values { bytes, at: 0, layout }
    }

    /// Goes on to a multiple of this, a power of two.
    pub(super) fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        Some(())
    }

    /// So many bytes, where all of them are there.
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align(N)?;
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let [byte] = self.array()?;
        Some(byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let bytes = self.array()?;
        Some(if self.layout.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let bytes = self.array()?;
        Some(if self.layout.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let bytes = self.array()?;
        Some(if self.layout.little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }

    /// A count, or the number that stands for a pointer.
    pub(super) fn count(&mut self) -> Option<u64> {
        if self.layout.wide { self.u64() } else { self.u32().map(u64::from) }
    }

    /// Whether a pointer points to something.
    pub(super) fn pointer(&mut self) -> Option<bool> {
        self.count().map(|number| number != 0)
    }

    pub(super) fn uuid(&mut self) -> Option<Uuid> {
        self.align(4)?;
        Some(uuid(self.bytes(16)?.first_chunk()?, self.layout.little))
    }

    /// The alignment of what holds counts or pointers.
    pub(super) fn align_structure(&mut self) -> Option<()> {
        self.align(if self.layout.wide { 8 } else { 4 })
    }
}

/// An identifier: its first three parts are numbers, and written like numbers.
pub(super) fn uuid(bytes: &[u8; 16], little: bool) -> Uuid {
    let mut bytes = *bytes;
    if little {
        let (numbers, _) = bytes.split_at_mut(8);
        let (first, others) = numbers.split_at_mut(4);
        let (second, third) = others.split_at_mut(2);
        first.reverse();
        second.reverse();
        third.reverse();
    }
    Uuid(u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Layout = Layout { little: true, wide: false };
    const BIG: Layout = Layout { little: false, wide: false };

    #[test]
    fn values_are_aligned_to_their_size() {
        let bytes = [1, 0xff, 2, 0, 3, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let mut values = Values::new(&bytes, LITTLE);
        assert_eq!(values.u8(), Some(1));
        assert_eq!(values.u16(), Some(2));
        assert_eq!(values.u32(), Some(3));
        assert_eq!(values.u8(), Some(4));
        assert_eq!(values.u64(), None, "it would begin at 16");
    }

    #[test]
    fn wide_counts_take_eight_bytes() {
        let bytes = [0, 0, 0, 0, 9, 9, 9, 9, 7, 0, 0, 0, 0, 0, 0, 0];
        let mut values = Values::new(&bytes, Layout { little: true, wide: true });
        assert_eq!(values.u32(), Some(0));
        assert_eq!(values.count(), Some(7));
    }

    #[test]
    fn identifiers_are_read_in_either_order() {
        // The endpoint mapper's, C706 appendix O, as a little-endian and a big-endian host write
        // it.
        let mapper = Uuid(0xe1af_8308_5d1f_11c9_91a4_0800_2b14_a0fa);
        let node = [0x91, 0xa4, 0x08, 0x00, 0x2b, 0x14, 0xa0, 0xfa];
        let little = [&[0x08, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11], &node[..]].concat();
        let big = [&[0xe1, 0xaf, 0x83, 0x08, 0x5d, 0x1f, 0x11, 0xc9], &node[..]].concat();
        assert_eq!(Values::new(&little, LITTLE).uuid(), Some(mapper));
        assert_eq!(Values::new(&big, BIG).uuid(), Some(mapper));
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let mut values = Values::new(&[1, 2, 3], BIG);
        assert_eq!(values.u32(), None);
        assert_eq!(values.bytes(usize::MAX), None);
        assert_eq!(values.bytes(3), Some(&[1, 2, 3][..]));
    }
}
