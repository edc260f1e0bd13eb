//! Texts that many flows of a capture have in common, each kept once.
//!
//! Ten thousand flows ask for the same name, and say so twice each. What a capture says only once is
//! not worth a place here: so there is an end to how many are kept, and what comes after it is
//! written where it belongs.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// Bytes of all texts that are kept.
const MOST: usize = 1 << 20;

/// Texts by number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32, FixedState>,
    bytes: usize,
}

impl Texts {
    /// The number of a text, if it is kept, or there is room for it.
    pub(super) fn number_of(&mut self, text: &str) -> Option<u32> {
        if text.len() < 2 {
            return None;
        }
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        // Twice: here and among the numbers.
        let bytes = self.bytes + 2 * text.len();
        if bytes > MOST {
            return None;
        }
        let number = u32::try_from(self.all.len()).ok()?;
        self.bytes = bytes;
        self.all.push(text.into());
        self.numbers.insert(text.into(), number);
        Some(number)
    }

    /// The text of a number.
    pub(super) fn get(&self, number: u64) -> &str {
        let text = usize::try_from(number).ok().and_then(|number| self.all.get(number));
        text.map_or("", |text| text)
    }

    /// Says that no more texts come.
    pub(super) fn close(&mut self) {
        self.numbers = HashMap::default();
    }

    /// Bytes of memory, about.
    pub(super) fn bytes(&self) -> usize {
        let numbers = self.numbers.capacity() * size_of::<(Box<str>, u32)>();
        self.bytes + self.all.capacity() * size_of::<Box<str>>() + numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_until_there_is_no_more_room() {
        let mut texts = Texts::default();
        let first = texts.number_of("search rootDSE");
        assert!(first.is_some());
        assert_eq!(texts.number_of("search rootDSE"), first);
        assert_ne!(texts.number_of("negotiate"), first);
        let mut others = (0..100_000).map(|it| texts.number_of(&format!("{it:032}")));
        assert_eq!(others.by_ref().take(1_000).filter(Option::is_none).count(), 0);
        assert_eq!(others.last(), Some(None));
        assert_eq!(texts.number_of("search rootDSE"), first);
        assert_eq!(texts.get(first.unwrap().into()), "search rootDSE");
        assert!(texts.bytes < MOST);
    }
}
