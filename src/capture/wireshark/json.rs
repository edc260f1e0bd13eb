//! JSON of tshark and Wireshark: `-T json`, `-T jsonraw`, `-T json -x`, and `-T ek`.
//!
//! Elements are read one after the other, whatever stands around them, so that neither a missing
//! bracket nor a size of gigabytes matters. Keys that occur twice (a tunnel's two `ip` layers) are
//! all read, in order. With raw bytes, frames come out as they were captured.

use std::fmt;
use std::io::BufRead;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::capture::text::Text;
use crate::capture::wireshark::draft::{Draft, Drafts};
use crate::capture::wireshark::fields::{Field, Packet};
use crate::capture::wireshark::notes::{Note, Notes};

/// Bytes of an element: a frame of 16 MiB as digits, and its dissection.
const MOST_ELEMENT_BYTES: usize = 64 << 20;

/// The shape's name, where a text begins like this.
pub(super) fn name(beginning: &str) -> Option<&'static str> {
    let text = beginning.trim_start();
    let object = text.strip_prefix('[').unwrap_or(text).trim_start();
    if !object.starts_with('{') {
        return None;
    }
    let has = |word: &str| beginning.contains(word);
    if object.starts_with("{\"index\"") && (has("\"packets-") || has("\"layers\"")) {
        return Some("tshark EK");
    }
    if !has("\"layers\"") {
        None
    } else if has("\"frame_raw\"") {
        Some("Wireshark JSON with raw bytes")
    } else if has("\"_source\"") || has("\"frame\"") || has("\"frame.") || has("\"frame_frame_") {
        Some("Wireshark JSON")
    } else {
        None
    }
}

pub(super) fn reader(_: &str) -> Box<dyn Drafts> {
    Box::new(Json { element: Vec::new(), line: 0 })
}

struct Json {
    /// The element being read.
    element: Vec<u8>,
    /// The line that it begins in.
    line: u64,
}

/// How reading an element ended.
enum Read {
    Whole,
    TooLong,
    CutOff,
    /// There is none.
    End,
}

impl Drafts for Json {
    fn next(&mut self, text: &mut Text, notes: &mut Notes) -> Option<Draft> {
        loop {
            match self.read_element(text) {
                Read::End => return None,
                Read::CutOff => {
                    notes.cut_off();
                    return None;
                }
                Read::TooLong => notes.count(Note::Element, self.line),
                Read::Whole => {
                    let mut element = Element::default();
                    let mut json = serde_json::Deserializer::from_slice(&self.element);
                    let walk = Walk { element: &mut element, field: None };
                    if walk.deserialize(&mut json).is_err() {
                        notes.count(Note::Element, self.line);
                    } else if element.layers_seen {
                        element.packet.set_chosen(element.chosen);
                        return Some(Draft { line: self.line, ..element.packet.finish() });
                    }
                }
            }
        }
    }
}

impl Json {
    /// Reads the next `{…}` that stands in no other.
    fn read_element(&mut self, text: &mut Text) -> Read {
        self.element.clear();
        let (mut depth, mut in_string, mut escaped, mut too_long) = (0_u64, false, false, false);
        loop {
            let piece = text.fill_buf().unwrap_or_default();
            if piece.is_empty() {
                return if depth == 0 { Read::End } else { Read::CutOff };
            }
            if depth == 0 {
                let start = piece.iter().position(|byte| *byte == b'{');
                let passed = start.unwrap_or(piece.len());
                text.consume(passed);
                if start.is_none() {
                    continue;
                }
                self.line = text.line_number() + 1;
            }
            let piece = text.fill_buf().unwrap_or_default();
            let mut used = 0;
            let mut ended = false;
            for byte in piece {
                used += 1;
                if self.element.len() < MOST_ELEMENT_BYTES {
                    // Nothing that is looked for lies outside ASCII, and packets may put anything
                    // into their strings.
                    self.element.push(if byte.is_ascii() { *byte } else { b'?' });
                } else {
                    too_long = true;
                }
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if in_string => escaped = true,
                    b'"' => in_string = !in_string,
                    b'{' if !in_string => depth += 1,
                    b'}' if !in_string => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    ended = true;
                    break;
                }
            }
            text.consume(used);
            if ended {
                return if too_long { Read::TooLong } else { Read::Whole };
            }
        }
    }
}

/// What was read of an element.
#[derive(Default)]
struct Element {
    packet: Packet,
    /// Fields that were chosen (`-e`), which have all their values together.
    chosen: Vec<(Field, Vec<String>)>,
    /// Whether it is a packet at all: EK has lines between them.
    layers_seen: bool,
}

/// Walks through a value in the order of the text.
struct Walk<'a> {
    element: &'a mut Element,
    /// The field that the value belongs to.
    field: Option<Field>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a packet of Wireshark")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        if let Some(field) = self.field {
            self.element.packet.set(field, value);
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.visit_str(if value { "1" } else { "0" })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        // EK has null for what has no value of its own, as `tcp.analysis.reused_ports`.
        self.visit_str("")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let Walk { element, field } = self;
        match field {
            // The bytes, then offset, length, bit mask and type.
            Some(Field::FrameBytes) => {
                values.next_element_seed(Walk { element, field })?;
                while values.next_element::<IgnoredAny>()?.is_some() {}
            }
            Some(field) => {
                let mut all = Vec::new();
                while let Some(value) = values.next_element::<Leaf>()? {
                    all.push(value.0);
                }
                element.chosen.push((field, all));
            }
            // Layers of the same name, where keys do not occur twice.
            None => while values.next_element_seed(Walk { element, field: None })?.is_some() {},
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            self.element.layers_seen |= key == "layers";
            let field = Field::named(&key);
            if field.is_none() && key.ends_with("_raw") {
                entries.next_value::<IgnoredAny>()?;
            } else {
                entries.next_value_seed(Walk { element: self.element, field })?;
            }
        }
        Ok(())
    }
}

/// A value as text; empty for what is more than a value.
struct Leaf(String);

impl<'de> serde::Deserialize<'de> for Leaf {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Leaf, D::Error> {
        let value = serde_json::Value::deserialize(value)?;
        Ok(Leaf(match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(set) => u8::from(set).to_string(),
            serde_json::Value::Null
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => String::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::LinkType;
    use crate::capture::tests::{problems, read};

    /// A frame in the layout of `tshark -T json -x`, with only what is looked at.
    const RAW: &str = r#"[
  {
    "_index": "packets-2012-11-13",
    "_source": {
      "layers": {
        "frame_raw": ["0a0b0c0d", 0, 4, 0, 1],
        "frame": {
          "frame.encap_type": "1",
          "frame.time_epoch": "1352799000.000250000",
          "frame.number": "1",
          "frame.len": "60"
        },
        "text": "a brace } and a \" quote",
        "eth_raw": ["0a0b", 0, 2, 0, 1]
      }
    }
  }
]
"#;

    #[test]
    fn raw_bytes_are_frames() {
        let (frames, summary) = read(RAW.as_bytes());
        let bytes = vec![10, 11, 12, 13];
        assert_eq!(frames, [(1, Some(1_352_799_000_000_250_000), LinkType::ETHERNET, bytes, 60)]);
        assert_eq!(summary.format.as_deref(), Some("Wireshark JSON with raw bytes"));
        assert!(summary.clock.zone_known);
        assert_eq!(problems(&summary), []);
    }

    #[test]
    fn an_element_that_is_cut_off_is_told() {
        let whole = RAW.trim_end().trim_end_matches(']');
        let second = whole.trim_start_matches('[');
        let text = format!("{whole},{}", &second[..second.len() / 2]);
        let (frames, summary) = read(text.as_bytes());
        assert_eq!(frames.len(), 1);
        assert!(problems(&summary)[0].1.contains("ends in the middle"), "{summary:?}");
    }

    #[test]
    fn other_json_is_not_ours() {
        for text in [
            "{}",
            "[1, 2]",
            "{\"schema\": \"portmortem.report/1\"}",
            "{\"layers\": [{\"weights\": 1}]}",
            "layers",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_json_like_text_is_survived(
            words in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", "\"", ":", ",", "\\", "\"layers\":", "\"frame_raw\":",
                "\"ip.src\":", "\"10.0.0.5\"", "\"tcp.flags\":", "\"0x02\"", "1e999", "null",
                "\"frame.time_epoch\":", "\"9e99\"", "é",
            ]), 0..60),
        ) {
            let text = format!("{{\"layers\":{{\"frame_raw\":\"00\"}}}}{}", words.concat());
            read(text.as_bytes());
        }
    }
}
