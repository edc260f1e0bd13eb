//! Sentences in a few bytes, written out when somebody asks for them.
//!
//! A report holds an explanation for each of a million flows, and hardly anybody reads more than a
//! few of them. All are made of the same phrases and of numbers between them, so that is what is
//! kept: which phrase of [`PHRASES`], which number, which phrase. What is no such phrase is kept as it is,
//! so any text comes out as it went in.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use foldhash::fast::FixedState;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::net::letters::Letters;
use crate::net::varint;

/// Bytes that are kept in place.
const IN_PLACE: usize = 22;

/// In place of a phrase: its text follows, behind the length.
const OTHER: u8 = u8::MAX;

/// Digits of the longest number: what is longer is two.
const MOST_DIGITS: usize = 18;

/// What stands between the numbers of nearly all sentences about flows and cells. The order does not
/// matter; a sentence that changes only takes more memory until its phrases are changed here.
const PHRASES: &[&str] = &[
    "",
    " ",
    ".",
    ":",
    ", ",
    "; ",
    "/",
    "-",
    "-0",
    ":0",
    ".0",
    "T",
    "T0",
    ")",
    "Z",
    " and ",
    " to ",
    " is ",
    " at ",
    " with ",
    // What was seen.
    "SYN in frame ",
    "SYN in frames ",
    ", sent again in frame ",
    ", sent again in frames ",
    ", SYN-ACK in frame ",
    ", SYN-ACK in frames ",
    ", confirmed in frame ",
    ", reset in frame ",
    ", reset in frames ",
    ", after a reset in frame ",
    ", after a reset in frames ",
    ", then the initiator reset the connection in frame ",
    "; the responder reset the connection in frame ",
    " before any byte of its own. The path works; the service, or a device that looks into the connection, \
     ended it.",
    "SYN-ACK in frame ",
    "Request in frame ",
    "Request in frames ",
    "request in frame ",
    ", answer in frame ",
    ", answered in frame ",
    "The handshake is not whole in this capture, but frame ",
    "The handshake is not whole in this capture, but frames ",
    " show the connection.",
    "Frame ",
    "Frames ",
    " went to a group of hosts.",
    "Only packets of the initiator, in frame ",
    "Only packets of the initiator, in frames ",
    "Only packets of the responder, in frame ",
    "Only packets of the responder, in frames ",
    ", no answer in ",
    ", and the capture ends ",
    " ms later. That is too soon to tell.",
    " s later. That is too soon to tell.",
    // By which schedule.
    " (at ",
    " s: ",
    " of the ",
    " s: all SYNs that Windows ",
    " to Server ",
    " sends), no answer in ",
    " s: all SYNs that newer Windows sends), no answer in ",
    " s: all SYNs that Linux sends), no answer in ",
    " s: the caller gave up before), no answer in ",
    " s before the next was due), no answer in ",
    " SYNs of Windows ",
    " SYNs of newer Windows, and the capture ended ",
    " SYNs of newer Windows, and none at ",
    " SYNs of Linux, and the capture ended ",
    " SYNs of Linux, and none at ",
    ", and the capture ended ",
    ", and none at ",
    // What it may mean.
    ". That is what a closed port sends: the host was reached and nothing listens there.",
    ". The host may not listen there, or a device on the way may refuse.",
    " s. One lost packet would look like this, and so would a firewall that drops or a host that is down.",
    " ms. One lost packet would look like this, and so would a firewall that drops or a host that is down.",
    " s. A firewall that drops looks like this; so does a host that is down, or whose own firewall drops.",
    " s. A firewall that drops looks like this; so do a lost datagram and a service that does not answer.",
    ", and nothing after. The capture does not show whether the connection came about.",
    ", without the SYN that it answers. The capture does not show whether the connection came about.",
    // Who refused.
    "the reset in frame ",
    " has sequence number ",
    " and acknowledges the SYN, as a closed port answers (RFC ",
    "its window is ",
    " rather than the usual ",
    "its time to live is ",
    ", and that of the host's SYN-ACK in frame ",
    ", and that of the host's SYN in frame ",
    ", and that of the host's payload in frame ",
    ", and that of the host's FIN in frame ",
    // Of many attempts.
    " attempts: ",
    " worked, ",
    " worked; the first that worked: SYN in frame ",
    " worked; the first that worked: request in frame ",
    " without an answer or confirmation",
    " without an answer or confirmation, ",
    " without an answer or confirmation; in turns; the first failure: SYN in frame ",
    " without an answer or confirmation; in turns; the first failure: request in frame ",
    " refused; in turns; the first failure: SYN in frame ",
    " refused; in turns; the first failure: request in frame ",
    ", sent again in ",
    ", RST in frame ",
    ", again in ",
    ", no answer at ",
    "Z; the last worked: SYN in frame ",
    "Z; the last worked: request in frame ",
    "Z; worked first: SYN in frame ",
    "Z; worked first: request in frame ",
    "Z; failed from then on: SYN in frame ",
    "Z; failed from then on: request in frame ",
];

static NUMBERS: LazyLock<HashMap<&str, u8, FixedState>> =
    LazyLock::new(|| PHRASES.iter().copied().zip(0..OTHER).collect());

/// A text of which as many are kept as there are flows.
///
/// Two are the same if their texts are.
#[derive(Clone, Default)]
pub struct Brief(Bytes);

#[derive(Clone)]
enum Bytes {
    /// Phrases and numbers in turns, a phrase first.
    Few { length: u8, bytes: [u8; IN_PLACE] },
    /// The same.
    More(Box<[u8]>),
    /// The text.
    Whole(Box<str>),
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::Few { length: 0, bytes: [0; IN_PLACE] }
    }
}

impl Brief {
    /// A text as it is: for one that is soon printed and forgotten.
    pub fn whole(text: String) -> Brief {
        Brief(Bytes::Whole(text.into()))
    }

    /// Keeps the text in a few bytes from now on.
    pub fn pack(&mut self) {
        if let Bytes::Whole(text) = &self.0 {
            *self = Brief::of(text);
        }
    }

    /// Keeps a text in a few bytes.
    pub fn of(text: &str) -> Brief {
        let mut bytes = Vec::with_capacity(2 * IN_PLACE);
        let mut rest = text;
        while !rest.is_empty() {
            let (phrase, behind) = rest.split_at(first_number(rest));
            push_phrase(&mut bytes, phrase);
            let digits = behind.bytes().take(MOST_DIGITS).take_while(u8::is_ascii_digit).count();
            let (number, behind) = behind.split_at(digits);
            // None at the end.
            if let Ok(number) = number.parse() {
                varint::push(&mut bytes, number);
            }
            rest = behind;
        }
        let mut few = [0; IN_PLACE];
        match (u8::try_from(bytes.len()), few.get_mut(..bytes.len())) {
            (Ok(length), Some(room)) => {
                room.copy_from_slice(&bytes);
                Brief(Bytes::Few { length, bytes: few })
            }
            // A copy takes no more room than it fills.
            _ => Brief(Bytes::More(Box::from(&bytes[..]))),
        }
    }

    /// The text.
    pub fn text(&self) -> Cow<'_, str> {
        let mut rest = match &self.0 {
            Bytes::Whole(text) => return Cow::Borrowed(text),
            Bytes::Few { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Bytes::More(bytes) => bytes,
        };
        let first = take_phrase(&mut rest);
        if rest.is_empty() {
            return first.into();
        }
        let mut text = String::with_capacity(256);
        text.push_str(first);
        while !rest.is_empty() {
            text.push_str(Letters::of_number(varint::take(&mut rest)).as_str());
            if !rest.is_empty() {
                text.push_str(take_phrase(&mut rest));
            }
        }
        text.into()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Bytes::Few { length, .. } => *length == 0,
            Bytes::More(bytes) => bytes.is_empty(),
            Bytes::Whole(text) => text.is_empty(),
        }
    }
}

/// Where the first number begins. Zeros before a number are none of its digits, and belong to the
/// phrase before.
fn first_number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let begins = |place: usize| match bytes.get(place..) {
        Some([b'0', next, ..]) => !next.is_ascii_digit(),
        Some([digit, ..]) => digit.is_ascii_digit(),
        _ => true,
    };
    (0..bytes.len()).find(|place| begins(*place)).unwrap_or(bytes.len())
}

fn push_phrase(bytes: &mut Vec<u8>, phrase: &str) {
    if let Some(number) = NUMBERS.get(phrase) {
        return bytes.push(*number);
    }
    bytes.push(OTHER);
    varint::push(bytes, phrase.len() as u64);
    bytes.extend_from_slice(phrase.as_bytes());
}

fn take_phrase<'a>(bytes: &mut &'a [u8]) -> &'a str {
    match bytes.split_off_first() {
        Some(&OTHER) => {
            let length = usize::try_from(varint::take(bytes)).unwrap_or(usize::MAX);
            let phrase = bytes.split_off(..length.min(bytes.len())).unwrap_or_default();
            str::from_utf8(phrase).unwrap_or_default()
        }
        Some(number) => PHRASES.get(usize::from(*number)).copied().unwrap_or_default(),
        None => "",
    }
}

impl From<&str> for Brief {
    fn from(text: &str) -> Brief {
        Brief::of(text)
    }
}

impl From<String> for Brief {
    fn from(text: String) -> Brief {
        Brief::of(&text)
    }
}

impl PartialEq for Brief {
    fn eq(&self, other: &Brief) -> bool {
        match (&self.0, &other.0) {
            // The same text always gives the same bytes.
            (Bytes::Few { length, bytes }, Bytes::Few { length: others, bytes: other }) => {
                (length, bytes) == (others, other)
            }
            (Bytes::More(bytes), Bytes::More(other)) => bytes == other,
            (Bytes::Few { .. }, Bytes::More(_)) | (Bytes::More(_), Bytes::Few { .. }) => false,
            (Bytes::Whole(_), _) | (_, Bytes::Whole(_)) => self.text() == other.text(),
        }
    }
}

impl Eq for Brief {}

impl PartialEq<str> for Brief {
    fn eq(&self, text: &str) -> bool {
        self.text() == text
    }
}

impl PartialEq<&str> for Brief {
    fn eq(&self, text: &&str) -> bool {
        self.text() == *text
    }
}

impl fmt::Debug for Brief {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text(), out)
    }
}

impl fmt::Display for Brief {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.text())
    }
}

impl Serialize for Brief {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Brief {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Brief, D::Error> {
        String::deserialize(deserializer).map(Brief::from)
    }
}

impl JsonSchema for Brief {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Brief".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::script::play;
    use crate::verdict::judge;
    use crate::verdict::tests::long_after;

    /// Bytes that a text takes, once it is packed.
    fn packed(brief: &Brief) -> usize {
        let mut brief = brief.clone();
        brief.pack();
        match brief.0 {
            Bytes::Few { length, .. } => length.into(),
            Bytes::More(bytes) => bytes.len(),
            Bytes::Whole(_) => unreachable!("it is packed"),
        }
    }

    #[test]
    fn sentences_of_the_most_frequent_flows_take_few_bytes() {
        for (script, most) in [("ShADdFf", 11), ("S", 12), ("Sr", 8), ("SrSrSr", 20)] {
            let explanation = judge(&play(script), 0, &long_after()).explanation;
            assert!(packed(&explanation) <= most, "{explanation}: {}", packed(&explanation));
        }
        let reasons = judge(&play("Sr"), 0, &long_after()).origin_reasons;
        assert!(reasons.iter().all(|it| packed(it) <= IN_PLACE), "{reasons:?}");
        assert_eq!(size_of::<Brief>(), 24);
    }

    #[test]
    fn phrases_are_all_different_and_hold_no_number() {
        assert_eq!(NUMBERS.len(), PHRASES.len());
        for phrase in PHRASES {
            assert_eq!(first_number(phrase), phrase.trim_end_matches('0').len(), "{phrase}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_out_as_it_went_in(
            parts in prop::collection::vec(
                prop_oneof![
                    "[0-9]{0,40}",
                    "(?s).{0,9}",
                    prop::sample::select(PHRASES).prop_map(str::to_owned),
                ],
                0..12,
            ),
        ) {
            let text: String = parts.concat();
            let brief = Brief::of(&text);
            prop_assert_eq!(&brief.text(), &text);
            prop_assert_eq!(brief.is_empty(), text.is_empty());
            let mut whole = Brief::whole(text.clone());
            prop_assert_eq!((&whole.text(), &whole), (&Cow::from(&text), &brief));
            whole.pack();
            prop_assert_eq!((&whole.text(), &whole), (&Cow::from(&text), &brief));
            let json = serde_json::to_string(&brief).unwrap();
            prop_assert_eq!(serde_json::from_str::<Brief>(&json).unwrap(), brief);
        }
    }
}
