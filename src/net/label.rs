//! Texts of which many records hold the same.

use std::borrow::{Borrow, Cow};
use std::cell::RefCell;
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Deref;

use arcstr::ArcStr;
use foldhash::fast::FixedState;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text in one word, that is kept once for many that are the same: what a million flows were
/// answered is a few hundred texts.
///
/// It reads as the text that it is. Whether two share their bytes is never seen: a thread
/// remembers only the texts it was handed last.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(ArcStr);

/// Texts that a thread remembers.
const REMEMBERED: usize = 256;

thread_local! {
    /// The last text at each place that a hash tells.
    static LAST: RefCell<[ArcStr; REMEMBERED]> =
        const { RefCell::new([const { ArcStr::new() }; REMEMBERED]) };
}

impl Label {
    /// The label with this text.
    pub fn of(text: &str) -> Label {
        let place = FixedState::with_seed(0x6c61_6265).hash_one(text) % REMEMBERED as u64;
        let remembered = LAST.try_with(|last| {
            let mut last = last.borrow_mut();
            let slot = last.get_mut(usize::try_from(place).ok()?)?;
            if *slot != text {
                *slot = text.into();
            }
            Some(slot.clone())
        });
        Label(remembered.ok().flatten().unwrap_or_else(|| text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Label {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Label {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Label {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Label {
    fn from(text: &str) -> Label {
        Label::of(text)
    }
}

impl From<String> for Label {
    fn from(text: String) -> Label {
        Label::of(&text)
    }
}

impl PartialEq<str> for Label {
    fn eq(&self, text: &str) -> bool {
        self.as_str() == text
    }
}

impl PartialEq<&str> for Label {
    fn eq(&self, text: &&str) -> bool {
        self.as_str() == *text
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), out)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), out)
    }
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Label, D::Error> {
        String::deserialize(deserializer).map(Label::from)
    }
}

impl JsonSchema for Label {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_text_is_kept_once_and_takes_a_word() {
        let [one, other] = ["search rootDSE"; 2].map(Label::of);
        assert!(ArcStr::ptr_eq(&one.0, &other.0));
        assert_eq!((size_of::<Label>(), size_of::<Option<Label>>()), (8, 8));
    }

    proptest! {
        #[test]
        fn a_label_is_its_text(texts in prop::collection::vec("(?s).{0,9}", 1..1_000)) {
            // More than are remembered: later ones take the place of earlier ones.
            let labels: Vec<Label> = texts.iter().map(|text| Label::of(text)).collect();
            for (label, text) in labels.iter().zip(&texts) {
                prop_assert_eq!(label, text.as_str());
                let json = serde_json::to_string(label).unwrap();
                prop_assert_eq!(&json, &serde_json::to_string(text).unwrap());
                prop_assert_eq!(&serde_json::from_str::<Label>(&json).unwrap(), label);
            }
        }
    }
}
