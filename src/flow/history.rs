//! A flow's packets as letters, in Zeek's notation.
//!
//! `S` SYN, `H` SYN-ACK, `A` pure ACK, `D` payload, `F` FIN, `R` RST; capitals from the
//! initiator. Unlike Zeek there is one letter for each SYN, SYN-ACK, FIN and RST and for each
//! repeat of one; `A` and `D` stand once for each side, as in Zeek.

use std::fmt;

/// All letters, as the initiator's.
const LETTERS: [u8; 6] = *b"SHADFR";

/// The letters of a flow. The first 30 are kept, `+` stands for the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct History {
    letters: [u8; History::MOST],
    length: u8,
    more: bool,
    /// Which letters are among them that stand only once, by [`once`].
    once: u8,
}

/// A bit for each letter that stands only once.
#[inline]
fn once(letter: u8) -> u8 {
    match letter {
        b'A' => 1,
        b'a' => 1 << 1,
        b'D' => 1 << 2,
        b'd' => 1 << 3,
        _ => 0,
    }
}

impl History {
    const MOST: usize = 30;

    /// Writes a letter, given as the initiator's.
    #[inline]
    pub(super) fn push(&mut self, letter: u8, from_initiator: bool) {
        let letter = if from_initiator { letter } else { letter.to_ascii_lowercase() };
        if self.once & once(letter) != 0 {
            return;
        }
        match self.letters.get_mut(usize::from(self.length)) {
            Some(slot) => {
                *slot = letter;
                self.length += 1;
                self.once |= once(letter);
            }
            None => self.more = true,
        }
    }

    /// Appends it to a record: its length, and two letters a byte.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let code = |letter: &u8| {
            let upper = letter.to_ascii_uppercase();
            let place = LETTERS.iter().position(|known| *known == upper).unwrap_or_default();
            place << 1 | usize::from(letter.is_ascii_lowercase())
        };
        out.push(self.length | if self.more { 0x80 } else { 0 });
        for pair in self.as_bytes().chunks(2) {
            let codes = pair.iter().map(code).rfold(0, |codes, code| codes << 4 | code);
            out.push(u8::try_from(codes).unwrap_or_default());
        }
    }

    /// Reads what [`History::write`] wrote, and leaves what stands behind it.
    pub(super) fn read(from: &mut &[u8]) -> History {
        let mut history = History::default();
        let Some((&head, mut rest)) = from.split_first() else { return history };
        history.length = (head & 0x7f).min(30);
        history.more = head & 0x80 != 0;
        let count = usize::from(history.length);
        for pair in history.letters.get_mut(..count).unwrap_or_default().chunks_mut(2) {
            let Some((&codes, after)) = rest.split_first() else { break };
            rest = after;
            for (letter, code) in pair.iter_mut().zip([codes & 15, codes >> 4]) {
                let known = LETTERS.get(usize::from(code >> 1)).copied().unwrap_or_default();
                *letter = if code & 1 == 0 { known } else { known.to_ascii_lowercase() };
                history.once |= once(*letter);
            }
        }
        *from = rest;
        history
    }

    /// Whether there are no letters: no packet whose flags or payload were captured.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Exchanges the two sides.
    pub(super) fn swap_sides(&mut self) {
        for letter in &mut self.letters {
            *letter ^= 0x20;
        }
        self.once = (self.once & 0b101) << 1 | self.once >> 1 & 0b101;
    }

    fn as_bytes(&self) -> &[u8] {
        self.letters.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl Default for History {
    fn default() -> History {
        History { letters: [0; History::MOST], length: 0, more: false, once: 0 }
    }
}

impl fmt::Display for History {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(str::from_utf8(self.as_bytes()).unwrap_or_default())?;
        if self.more { out.write_str("+") } else { Ok(()) }
    }
}

impl fmt::Debug for History {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syns_are_written_each_and_data_once_a_side() {
        let mut history = History::default();
        for (letter, from_initiator) in
            [(b'S', true), (b'S', true), (b'H', false), (b'D', true), (b'D', true), (b'D', false)]
        {
            history.push(letter, from_initiator);
        }
        assert_eq!(history.to_string(), "SShDd");
        history.swap_sides();
        assert_eq!(history.to_string(), "ssHdD");
    }

    #[test]
    fn a_long_history_says_that_there_is_more() {
        let mut history = History::default();
        for _ in 0..1000 {
            history.push(b'S', true);
        }
        assert_eq!(history.to_string(), format!("{}+", "S".repeat(30)));
    }
}
