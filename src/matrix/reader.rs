//! Reads the values of a TOML file, and notes what is wrong with them, and where.
//!
//! Nothing stops at the first fault: a value that is wrong is noted and left out, and the file is
//! read to its end.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::matrix::fault::{Error, Fault, Position, quoted, suggestion};
use crate::matrix::{Direction, Need, PortRange, Role};
use crate::net::Transport;

pub(super) type Table<'i> = DeTable<'i>;
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Reads values, and notes what is wrong with them.
pub(super) struct Reader<'t> {
    text: &'t str,
    /// The file's name in messages.
    pub(super) path: &'t str,
    faults: Vec<(usize, String)>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, path: &'t str) -> Reader<'t> {
        // Windows editors put a byte order mark before UTF-8.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Reader { text, path, faults: Vec::new() }
    }

    /// The text as TOML.
    pub(super) fn document(&mut self) -> Option<DeTable<'t>> {
        match DeTable::parse(self.text) {
            Ok(document) => Some(document.into_inner()),
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                let message = error.message().replace('\n', ", ");
                self.fault(offset, format!("this is not TOML: {message}"));
                None
            }
        }
    }

    pub(super) fn fault(&mut self, offset: usize, message: String) {
        self.faults.push((offset, message));
    }

    pub(super) fn fault_count(&self) -> usize {
        self.faults.len()
    }

    /// The line of a byte.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        Position::of(self.text, offset).line
    }

    /// What was read, if nothing was wrong with it.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, Error> {
        self.faults.sort();
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            Some(_) | None => {
                let place = |offset| Some(Position::of(self.text, offset));
                let faults = self.faults.into_iter();
                let faults =
                    faults.map(|(offset, message)| Fault { position: place(offset), message });
                Err(Error { path: self.path.to_owned(), faults: faults.collect() })
            }
        }
    }

    /// Notes every key that is none of `known`.
    pub(super) fn check_keys(&mut self, table: &Table<'_>, known: &[&str], place: &str) {
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let end = suggestion(name, known.iter().copied());
                self.fault(
                    key.span().start,
                    format!("unknown key {} in {place}{end}", quoted(name)),
                );
            }
        }
    }

    pub(super) fn text<'v>(&mut self, value: &'v Value<'_>, what: &str) -> Option<&'v str> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text.as_ref());
        }
        self.fault(value.span().start, format!("{what} is a text in quotes"));
        None
    }

    /// A value, or the values of a list.
    pub(super) fn one_or_many<'v, 'i>(value: &'v Value<'i>) -> Vec<&'v Value<'i>> {
        if let DeValue::Array(values) = value.get_ref() {
            values.iter().collect()
        } else {
            vec![value]
        }
    }
}

/// Reading the words of a row.
impl Reader<'_> {
    /// A name that stands in options and tables: letters, digits, `-`, `_` and `.`.
    pub(super) fn word(&mut self, value: &Value<'_>, what: &str) -> Option<String> {
        let text = self.text(value, what)?;
        let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
        if !text.is_empty() && text.chars().all(fits) {
            return Some(text.to_owned());
        }
        let message = format!("{} cannot be {what}: use letters, digits and -", quoted(text));
        self.fault(value.span().start, message);
        None
    }

    pub(super) fn role(&mut self, value: &Value<'_>, roles: &[Role]) -> Option<String> {
        let name = self.text(value, "a role")?;
        if roles.iter().any(|role| role.name == name) {
            return Some(name.to_owned());
        }
        let end = suggestion(name, roles.iter().map(|role| role.name.as_str()));
        self.fault(value.span().start, format!("unknown role {}{end}", quoted(name)));
        None
    }

    pub(super) fn transports(&mut self, value: &Value<'_>) -> Vec<Transport> {
        let mut transports = Vec::new();
        for entry in Reader::one_or_many(value) {
            let Some(word) = self.text(entry, "a transport") else { continue };
            let known = Transport::ALL.iter().find(|transport| transport.as_str() == word);
            match known {
                Some(transport) if transports.contains(transport) => {
                    self.fault(entry.span().start, format!("transport \"{word}\" stands twice"));
                }
                Some(transport) => transports.push(*transport),
                None => {
                    let end = suggestion(word, Transport::ALL.iter().map(|known| known.as_str()));
                    let message = format!("unknown transport {}{end}", quoted(word));
                    self.fault(entry.span().start, message);
                }
            }
        }
        if transports.is_empty() && Reader::one_or_many(value).is_empty() {
            self.fault(value.span().start, "the list of transports is empty".to_owned());
        }
        transports
    }

    pub(super) fn direction(&mut self, value: &Value<'_>) -> Option<Direction> {
        let word = self.text(value, "direction")?;
        let found = Direction::ALL.iter().find(|direction| direction.as_str() == word);
        if found.is_none() {
            let end = suggestion(word, Direction::ALL.iter().map(|known| known.as_str()));
            self.fault(value.span().start, format!("unknown direction {}{end}", quoted(word)));
        }
        found.copied()
    }

    pub(super) fn need(&mut self, table: &Table<'_>) -> Option<Need> {
        let (need, one_of) = (get(table, "need"), get(table, "one_of"));
        if let (Some(_), Some(group)) = (need, one_of) {
            let message = "need and one_of exclude each other: leave one of them out";
            self.fault(group.span().start, message.to_owned());
            return None;
        }
        if let Some(group) = one_of {
            return self.word(group, "the name of a group").map(Need::OneOf);
        }
        let Some(value) = need else { return Some(Need::Required) };
        if let DeValue::Table(table) = value.get_ref() {
            self.check_keys(table, &["one_of"], "need");
            let Some(group) = get(table, "one_of") else {
                self.fault(value.span().start, "write need = { one_of = \"GROUP\" }".to_owned());
                return None;
            };
            return self.word(group, "the name of a group").map(Need::OneOf);
        }
        let word = self.text(value, "need")?;
        match word {
            "required" => return Some(Need::Required),
            "optional" => return Some(Need::Optional),
            _ => {}
        }
        let end = if word.starts_with("one_of") || word.starts_with("one-of") {
            "; write need = { one_of = \"GROUP\" }".to_owned()
        } else {
            suggestion(word, ["required", "optional"])
        };
        self.fault(value.span().start, format!("unknown need {}{end}", quoted(word)));
        None
    }

    pub(super) fn yes_or_no(&mut self, value: &Value<'_>, what: &str) -> bool {
        if let DeValue::Boolean(answer) = value.get_ref() {
            return *answer;
        }
        self.fault(value.span().start, format!("{what} is true or false"));
        true
    }
}

/// Reading ports.
impl Reader<'_> {
    /// The ports of a row, and whether the dynamic ranges are among them.
    pub(super) fn ports(
        &mut self,
        value: &Value<'_>,
        dynamic: &[PortRange],
    ) -> (Vec<PortRange>, bool) {
        let mut ports = Vec::new();
        let mut rpc_dynamic = false;
        let entries = Reader::one_or_many(value);
        if entries.is_empty() {
            self.fault(value.span().start, "the list of ports is empty".to_owned());
        }
        for entry in entries {
            let place = entry.span().start;
            if let DeValue::String(text) = entry.get_ref()
                && text == "rpc-dynamic"
            {
                if rpc_dynamic {
                    self.fault(place, "\"rpc-dynamic\" stands twice".to_owned());
                }
                rpc_dynamic = true;
                for range in dynamic {
                    self.add_range(&mut ports, *range, place);
                }
            } else if let Some(range) = self.range(entry) {
                self.add_range(&mut ports, range, place);
            }
        }
        ports.sort_unstable();
        (ports, rpc_dynamic)
    }

    pub(super) fn ranges(&mut self, value: &Value<'_>, what: &str) -> Vec<PortRange> {
        let mut ports = Vec::new();
        for entry in Reader::one_or_many(value) {
            if let Some(range) = self.range(entry) {
                self.add_range(&mut ports, range, entry.span().start);
            }
        }
        if ports.is_empty() {
            self.fault(value.span().start, format!("{what} names no port"));
        }
        ports.sort_unstable();
        ports
    }

    pub(super) fn single_ports(&mut self, value: &Value<'_>, what: &str) -> Vec<u16> {
        let mut ports = Vec::new();
        for entry in Reader::one_or_many(value) {
            match self.range(entry) {
                Some(range) if range.first == range.last => ports.push(range.first),
                Some(_) => {
                    let message = format!("{what} lists single ports");
                    self.fault(entry.span().start, message);
                }
                None => {}
            }
        }
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn add_range(&mut self, ports: &mut Vec<PortRange>, range: PortRange, place: usize) {
        let overlaps = |other: &&PortRange| other.first <= range.last && range.first <= other.last;
        if let Some(other) = ports.iter().find(overlaps) {
            self.fault(place, format!("{range} overlaps {other} of the same list"));
        } else {
            ports.push(range);
        }
    }

    fn range(&mut self, value: &Value<'_>) -> Option<PortRange> {
        match read_range(value.get_ref()) {
            Ok(range) => Some(range),
            Err(message) => {
                self.fault(value.span().start, message);
                None
            }
        }
    }
}

fn read_range(value: &DeValue<'_>) -> Result<PortRange, String> {
    if let DeValue::Integer(number) = value {
        let port = i64::from_str_radix(number.as_str(), number.radix());
        let port = port.ok().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        let port = port.ok_or_else(|| format!("{number} is no port: ports are 1 to 65535"))?;
        return Ok(PortRange { first: port, last: port });
    }
    let DeValue::String(text) = value else {
        return Err("a port is a number, a range as \"49152-65535\", or \"rpc-dynamic\"".to_owned());
    };
    let Some((first, last)) = text.split_once(['-', '–']) else {
        return match text.trim().parse::<u16>() {
            Ok(port) if port > 0 => Ok(PortRange { first: port, last: port }),
            Ok(_) => Err(format!("{} is no port: ports are 1 to 65535", quoted(text))),
            Err(_) => {
                let end = suggestion(text, ["rpc-dynamic"]);
                Err(format!("{} is neither a port nor a range{end}", quoted(text)))
            }
        };
    };
    let port = |part: &str| part.trim().parse::<u16>().ok().filter(|port| *port > 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(PortRange { first, last }),
        (Some(first), Some(last)) => {
            let range = PortRange { first: last, last: first };
            Err(format!("range {first}-{last} runs backwards; did you mean \"{range}\"?"))
        }
        _ => {
            let end = suggestion(text, ["rpc-dynamic"]);
            Err(format!("{} is no range of ports 1 to 65535{end}", quoted(text)))
        }
    }
}

pub(super) fn get<'v, 'i>(table: &'v Table<'i>, key: &str) -> Option<&'v Value<'i>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
}
