//! K12 text: what Wireshark saves as "K12 text file", after Tektronix' protocol testers.
//!
//! A frame is a rule (`+---`), a line with the time of day and a word for the link, and a line of
//! bytes between bars.

use crate::capture::LinkType;
use crate::capture::text::Text;
use crate::capture::wireshark::clock;
use crate::capture::wireshark::draft::{Draft, Drafts};
use crate::capture::wireshark::hex;
use crate::capture::wireshark::notes::{Note, Notes};

const RULE: &str = "+---------+---------------+----------+";

/// The shape's name, where a text begins like this.
pub(super) fn name(beginning: &str) -> Option<&'static str> {
    beginning.starts_with(RULE).then_some("K12 text")
}

pub(super) fn reader(_: &str) -> Box<dyn Drafts> {
    Box::new(K12 { draft: None })
}

struct K12 {
    draft: Option<Draft>,
}

impl Drafts for K12 {
    fn next(&mut self, text: &mut Text, notes: &mut Notes) -> Option<Draft> {
        while let Some(line) = text.line() {
            if line.starts_with('+') {
                if let Some(draft) = self.draft.take() {
                    return Some(draft);
                }
            } else if let Some(bytes) = line.strip_prefix('|') {
                if let Some(draft) = &mut self.draft {
                    append(draft, bytes);
                }
            } else if let Some((time, link)) = frame_head(&line) {
                let link_type = if link == "ETHER" {
                    LinkType::ETHERNET
                } else {
                    notes.count(Note::LinkWord, text.line_number());
                    LinkType::UNDECLARED
                };
                let draft = Draft { time, link_type: Some(link_type), ..Draft::default() };
                // Without a rule between two frames the head divides them.
                if let Some(before) = self.draft.replace(draft) {
                    return Some(before);
                }
            }
        }
        self.draft.take()
    }
}

/// `09:30:00,000,250   ETHER`
fn frame_head(line: &str) -> Option<(Option<clock::Reading>, &str)> {
    let mut words = line.split_whitespace();
    let time = clock::read(words.next()?)?;
    Some((Some(time), words.next()?))
}

/// `0   |02|00|0a|`: the first column is no byte.
fn append(draft: &mut Draft, line: &str) {
    for column in line.split('|').skip(1) {
        match hex::decode(column.trim()) {
            Some(bytes) if bytes.len() == 1 => draft.bytes.extend(bytes),
            Some(_) | None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::capture::LinkType;
    use crate::capture::tests::{problems, read};

    const SAMPLE: &str = "+---------+---------------+----------+\r\n\
        09:30:00,000,250   ETHER\r\n\
        |0   |02|00|0a|01|00|07|\r\n\r\n\
        +---------+---------------+----------+\r\n\
        09:30:01,002,000   SSCOP\r\n\
        |0   |ff|\r\n";

    #[test]
    fn frames_have_bytes_and_the_time_of_day() {
        let (frames, summary) = read(SAMPLE.as_bytes());
        let bytes = vec![2, 0, 0x0a, 1, 0, 7];
        // 9.5 hours.
        let first = (1, Some(34_200_000_250_000), LinkType::ETHERNET, bytes, 6);
        let second = (2, Some(34_201_002_000_000), LinkType::UNDECLARED, vec![0xff], 1);
        assert_eq!(frames, [first, second]);
        assert_eq!(summary.format.as_deref(), Some("K12 text"));
        assert!(!summary.clock.zone_known);
        assert!(problems(&summary)[0].1.contains("without a date"));
        assert!(problems(&summary)[1].1.contains("1 frames are not Ethernet"));
    }
}
