//! Numbers and texts as few bytes, for [`super`] to write and read again.
//!
//! What is read was written by the same program in the same run; a reader that runs out of bytes
//! gives zeros all the same, and never stops.

use std::borrow::Cow;

use crate::flow::packed::texts::Texts;
use crate::net::{Label, varint};

/// Appends to a record. Texts that others have too are kept apart.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>, pub(super) &'a mut Texts);

impl Writer<'_> {
    #[inline]
    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    #[inline]
    pub(super) fn number(&mut self, value: u64) {
        varint::push(self.0, value);
    }

    /// A number that is near zero on either side.
    #[inline]
    pub(super) fn signed(&mut self, value: i64) {
        varint::push_signed(self.0, value);
    }

    /// The way from one 32-bit number to another, the short way round.
    #[inline]
    pub(super) fn step(&mut self, from: u32, to: u32) {
        self.signed(i64::from(to.wrapping_sub(from).cast_signed()));
    }

    /// The number of the text and a one; or its length and a zero, and the text.
    pub(super) fn text(&mut self, text: &str) {
        if let Some(number) = self.1.number_of(text) {
            self.number(u64::from(number) << 1 | 1);
        } else {
            self.number((text.len() as u64) << 1);
            self.bytes(text.as_bytes());
        }
    }
}

/// Reads a record from its beginning.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8], pub(super) Option<&'a Texts>);

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => [0; N],
        }
    }

    #[inline]
    pub(super) fn number(&mut self) -> u64 {
        varint::take(&mut self.0)
    }

    #[inline]
    pub(super) fn signed(&mut self) -> i64 {
        varint::take_signed(&mut self.0)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as written")]
    #[inline]
    pub(super) fn step(&mut self, from: u32) -> u32 {
        from.wrapping_add(self.signed() as u32)
    }

    /// A number that was written from a type of this size.
    #[expect(clippy::cast_possible_truncation, reason = "as written")]
    #[inline]
    pub(super) fn small(&mut self) -> u32 {
        self.number() as u32
    }

    pub(super) fn text(&mut self) -> String {
        self.told().into_owned()
    }

    fn told(&mut self) -> Cow<'a, str> {
        let head = self.number();
        if head & 1 != 0 {
            return self.1.map_or("", |texts| texts.get(head >> 1)).into();
        }
        let length = usize::try_from(head >> 1).unwrap_or(usize::MAX).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text)
    }

    /// A text that many have.
    pub(super) fn label(&mut self) -> Label {
        Label::of(&self.told())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            number in any::<u64>(),
            signed in any::<i64>(),
            from in any::<u32>(),
            to in any::<u32>(),
            text in ".{0,40}",
        ) {
            let (mut bytes, mut texts) = (Vec::new(), Texts::default());
            let mut out = Writer(&mut bytes, &mut texts);
            out.number(number);
            out.signed(signed);
            out.step(from, to);
            out.text(&text);
            out.text(&text);
            let mut all = Reader(&bytes, Some(&texts));
            prop_assert_eq!(all.number(), number);
            prop_assert_eq!(all.signed(), signed);
            prop_assert_eq!(all.step(from), to);
            prop_assert_eq!(all.text(), text.as_str());
            prop_assert_eq!(all.text(), text.as_str());
            prop_assert_eq!(all.0.len(), 0);
        }
    }

    #[test]
    fn an_empty_record_is_all_zeros() {
        let mut nothing = Reader(&[], None);
        assert_eq!((nothing.number(), nothing.byte(), nothing.text()), (0, 0, String::new()));
    }
}
