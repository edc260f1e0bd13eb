//! Names of interfaces, and what they are for.

use std::sync::OnceLock;

use crate::probe::Uuid;

/// An interface of remote procedure calls that administrators meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its identifier.
    pub uuid: Uuid,
    /// Its name, as documents and tools write it.
    pub name: &'static str,
    /// What it is for, in words.
    pub purpose: &'static str,
}

impl Interface {
    /// The interface with this identifier, if we know it.
    pub fn of(uuid: Uuid) -> Option<&'static Interface> {
        let known = Interface::known();
        let index = known.binary_search_by_key(&uuid, |interface| interface.uuid).ok()?;
        known.get(index)
    }

    /// Its name, else its identifier.
    pub fn name_of(uuid: Uuid) -> String {
        Interface::of(uuid).map_or_else(|| uuid.to_string(), |interface| interface.name.to_owned())
    }

    /// The interface with this name; the first of several.
    pub fn named(name: &str) -> Option<&'static Interface> {
        Interface::known().iter().find(|interface| interface.name == name)
    }

    fn known() -> &'static [Interface] {
        static KNOWN: OnceLock<Vec<Interface>> = OnceLock::new();
        KNOWN.get_or_init(|| include_str!("interfaces.tsv").lines().filter_map(line).collect())
    }
}

/// A line of the table; `None` for a remark.
fn line(line: &'static str) -> Option<Interface> {
    let mut cells = line.split('\t');
    let (uuid, name, purpose) = (cells.next()?, cells.next()?, cells.next()?);
    Some(Interface { uuid: Uuid::parse(uuid)?, name, purpose })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_interface_and_they_are_sorted() {
        let lines = include_str!("interfaces.tsv").lines();
        let lines = lines.filter(|line| !line.starts_with('#')).count();
        assert_eq!(Interface::known().len(), lines);
        assert!(Interface::known().is_sorted_by(|a, b| a.uuid < b.uuid));
        for interface in Interface::known() {
            assert!(!interface.name.is_empty() && !interface.purpose.is_empty());
            assert!(!interface.purpose.ends_with('.'), "{}", interface.name);
        }
    }

    #[test]
    fn interfaces_have_names() {
        // [MS-DRSR] 1.9 and [MS-NRPC] 1.9.
        let drsuapi = Uuid::parse("e3514235-4b06-11d1-ab04-00c04fc2dcd2").unwrap();
        assert_eq!(Interface::name_of(drsuapi), "DRSUAPI");
        let netlogon = Uuid::parse("12345678-1234-abcd-ef00-01234567cffb").unwrap();
        assert_eq!(Interface::of(netlogon).unwrap().name, "NETLOGON");
        let unknown = Uuid::parse("01234567-89ab-cdef-0123-456789abcdef").unwrap();
        assert_eq!(Interface::name_of(unknown), unknown.to_string());
    }
}
