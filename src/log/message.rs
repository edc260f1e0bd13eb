//! Lines in, messages out: one message may take several lines, and both forms of Configuration
//! Manager may stand in one file.

use crate::capture::Severity;
use crate::log::{cmtrace, setup};
use crate::net::Time;

/// Bytes of a message that are held. The longest in earnest are statements of SQL.
const MOST_BYTES: usize = 64 << 10;

/// What a log says at a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Number of its first line.
    pub(super) line: u64,
    pub(super) text: String,
    pub(super) time: Option<Time>,
    /// As it is marked; `None` where only its words can tell.
    pub(super) severity: Option<Severity>,
    pub(super) component: Option<String>,
}

/// What became of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Message(Message),
    /// So many lines from this one on are of no form that we know.
    NotUnderstood {
        line: u64,
        lines: u64,
    },
}

/// Lines of a message that still goes on.
#[derive(Default)]
struct Open {
    first: u64,
    lines: Vec<String>,
    bytes: usize,
}

impl Open {
    fn push(&mut self, number: u64, line: &str) {
        if self.lines.is_empty() {
            self.first = number;
        }
        // What is longer than any message is kept up to there.
        let room = MOST_BYTES.saturating_sub(self.bytes);
        let end = line
            .char_indices()
            .map(|(at, letter)| at + letter.len_utf8())
            .take_while(|end| *end <= room)
            .last();
        let line = line.get(..end.unwrap_or_default()).unwrap_or_default();
        self.bytes = self.bytes.saturating_add(line.len() + 1);
        self.lines.push(line.to_owned());
    }

    fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES
    }

    fn take(&mut self) -> Option<(u64, Vec<String>)> {
        self.bytes = 0;
        let lines = std::mem::take(&mut self.lines);
        (!lines.is_empty()).then_some((self.first, lines))
    }

    /// The lines as lines that nobody understands.
    fn give_up(&mut self) -> Option<Told> {
        let (line, lines) = self.take()?;
        Some(Told::NotUnderstood { line, lines: lines.len() as u64 })
    }
}

/// Puts lines of Configuration Manager together to messages.
#[derive(Default)]
pub(super) struct Messages {
    /// A message between [`cmtrace::BEGIN`] and its marks.
    bracketed: Open,
    /// Lines without marks: those of the message in whose last line marks will stand.
    unmarked: Open,
    /// The last message that began with its time: it ends where the next one begins.
    timed: Option<Message>,
}

impl Messages {
    /// Takes the next line; gives what ended with it.
    pub(super) fn line(&mut self, number: u64, line: &str) -> Vec<Told> {
        let mut told = Vec::new();
        let begins = line.trim_start().starts_with(cmtrace::BEGIN);
        if !self.bracketed.lines.is_empty() && !begins {
            self.bracketed.push(number, line);
            self.read_bracketed(&mut told);
        } else if begins {
            told.extend(self.bracketed.give_up());
            self.end_others(&mut told);
            self.bracketed.push(number, line);
            self.read_bracketed(&mut told);
        } else if setup::is_marked(line) {
            told.extend(self.timed.take().map(Told::Message));
            let (first, before) = self.unmarked.take().unwrap_or((number, Vec::new()));
            told.push(match setup::read_marked(line, first, &before) {
                Some(message) => Told::Message(message),
                None => Told::NotUnderstood { line: first, lines: number - first + 1 },
            });
        } else if let Some(message) = setup::read_timed(line, number) {
            self.end_others(&mut told);
            self.timed = Some(message);
        } else if line.trim().is_empty() {
        } else if let Some(message) = &mut self.timed {
            if message.text.len().saturating_add(line.len()) < MOST_BYTES {
                message.text.push('\n');
                message.text.push_str(line.trim_end());
            }
        } else {
            self.unmarked.push(number, line);
            if self.unmarked.is_full() {
                told.extend(self.unmarked.give_up());
            }
        }
        told
    }

    /// At the end of the file: gives what is left, and the line of a message that does not end.
    pub(super) fn finish(mut self) -> (Vec<Told>, Option<u64>) {
        let mut told = Vec::new();
        told.extend(self.timed.take().map(Told::Message));
        let open = self.bracketed.take().or_else(|| self.unmarked.take());
        (told, open.map(|(first, _)| first))
    }

    fn end_others(&mut self, told: &mut Vec<Told>) {
        told.extend(self.timed.take().map(Told::Message));
        told.extend(self.unmarked.give_up());
    }

    /// Reads the messages that are complete, and gives up one that does not end.
    fn read_bracketed(&mut self, told: &mut Vec<Told>) {
        // The marks stand on the line in which the text ends.
        let ends = self.bracketed.lines.last().is_some_and(|line| line.contains(cmtrace::END));
        if !ends && !self.bracketed.is_full() {
            return;
        }
        let text = self.bracketed.lines.join("\n");
        let first = self.bracketed.first;
        let mut rest = text.as_str();
        let mut line = first;
        while let Some((message, behind)) = cmtrace::read(rest, line) {
            let used = rest.len().saturating_sub(behind.len());
            line += rest.get(..used).unwrap_or_default().matches('\n').count() as u64;
            told.push(Told::Message(message));
            rest = behind;
        }
        if rest.len() == text.len() {
            return told.extend(self.bracketed.give_up());
        }
        self.bracketed.take();
        if rest.trim_start().starts_with(cmtrace::BEGIN) {
            self.bracketed.push(line, rest);
        } else if !rest.trim().is_empty() {
            told.push(Told::NotUnderstood { line, lines: 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: &str = "<time=\"10:15:02.123+000\" date=\"05-27-2014\" component=\"C\" context=\"\" \
                         type=\"1\" thread=\"1\" file=\"f\">";

    /// "line: text" of each message, "?line+lines" of what is not understood, and where the last
    /// message has no end.
    fn told(text: &str) -> (Vec<String>, Option<u64>) {
        let mut messages = Messages::default();
        let mut all = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            all.extend(messages.line(number, line));
        }
        let (rest, open) = messages.finish();
        all.extend(rest);
        let shown = all.into_iter().map(|told| match told {
            Told::Message(message) => format!("{}: {}", message.line, message.text),
            Told::NotUnderstood { line, lines } => format!("?{line}+{lines}"),
        });
        (shown.collect(), open)
    }

    #[test]
    fn all_forms_may_stand_in_one_file() {
        let text = format!(
            "<![LOG[one]LOG]!>{MARKS}\n\
             two  $$<Setup><05-27-2014 10:15:02.123+000><thread=1 (0x1)>\n\
             <05-27-2014 10:15:02> three\n   goes on\n\
             <![LOG[four\nin\n\nlines]LOG]!>{MARKS}\n\
             five\nsix  $$<Setup><05-27-2014 10:15:02.123+000><thread=1 (0x1)>\n"
        );
        let (messages, open) = told(&text);
        let expected =
            ["1: one", "2: two", "3: three\n   goes on", "5: four\nin\n\nlines", "9: five\nsix"];
        assert_eq!(messages, expected);
        assert_eq!(open, None);
    }

    #[test]
    fn several_messages_may_stand_in_one_line() {
        let text = format!(
            "<![LOG[one]LOG]!>{MARKS}<![LOG[two]LOG]!>{MARKS}<![LOG[thr\nee]LOG]!>{MARKS}\n"
        );
        assert_eq!(told(&text).0, ["1: one", "1: two", "1: thr\nee"]);
    }

    #[test]
    fn lines_of_no_form_are_counted_where_they_stand() {
        let text = format!(
            "<![LOG[never ends\n<![LOG[one]LOG]!>{MARKS}\nrubbish\nmore\n<![LOG[two]LOG]!>{MARKS}rubbish\n\
             text $$<no marks\n<![LOG[and the end"
        );
        let (messages, open) = told(&text);
        assert_eq!(messages, ["?1+1", "2: one", "?3+2", "5: two", "?5+1", "?6+1"]);
        assert_eq!(open, Some(7));
    }

    #[test]
    fn a_message_without_end_is_held_up_to_a_bound() {
        let mut messages = Messages::default();
        messages.line(1, "<![LOG[begins");
        let line = "x".repeat(1_000);
        let told: Vec<Told> = (2..100).flat_map(|number| messages.line(number, &line)).collect();
        assert!(matches!(told.as_slice(), [Told::NotUnderstood { line: 1, .. }, ..]), "{told:?}");
        assert!(messages.unmarked.bytes <= MOST_BYTES + 1);
    }
}
