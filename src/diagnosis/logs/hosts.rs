//! Hosts of the captures, as the lines of a log name them.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnosis::Evidence;
use crate::log::Named;
use crate::net::Address;

/// What a line names and the captures do not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// Nothing that looks like a host.
    None,
    /// A name: of another host, or of one of which the captures tell the address alone.
    Name,
    /// An address, so it is about another host.
    Address,
}

/// Hosts of the captures, as texts name them.
pub(super) struct Names {
    /// Names and addresses of each.
    of: BTreeMap<Address, BTreeSet<String>>,
    /// Hosts of which a word may be the name, or its first part.
    by_word: BTreeMap<String, BTreeSet<Address>>,
}

impl Names {
    pub(super) fn new(evidence: &Evidence<'_>) -> Names {
        let mut of: BTreeMap<Address, BTreeSet<String>> = BTreeMap::new();
        for flow in &evidence.flows {
            for end in [flow.initiator, flow.responder] {
                of.entry(end.address).or_insert_with(|| BTreeSet::from([end.address.to_string()]));
            }
        }
        for host in evidence.hosts {
            let all = of.entry(host.address).or_default();
            all.insert(host.address.to_string());
            all.extend(host.names.iter().cloned());
            all.extend(host.same_host.iter().map(Address::to_string));
        }
        let mut by_word: BTreeMap<String, BTreeSet<Address>> = BTreeMap::new();
        for (address, names) in &of {
            for name in names {
                let name = name.to_lowercase();
                let short = name.split('.').next().unwrap_or_default().to_owned();
                for word in [short, name] {
                    by_word.entry(word).or_default().insert(*address);
                }
            }
        }
        Names { of, by_word }
    }

    /// What a text names that is no host of the captures.
    pub(super) fn others(&self, said: &Named) -> Others {
        let mut others = Others::None;
        for word in said.words.iter().filter(|word| !self.by_word.contains_key(*word)) {
            if word.parse::<std::net::IpAddr>().is_ok() {
                return Others::Address;
            }
            let first = word.split('.').next().unwrap_or_default();
            // "sql01.corp.example", and not "setup.exe".
            let is_full = word.split('.').count() > 2
                && word.contains(|letter: char| letter.is_ascii_alphabetic());
            if (is_full || said.hosts.contains(word)) && !self.by_word.contains_key(first) {
                others = Others::Name;
            }
        }
        others
    }

    /// The hosts that a text names.
    pub(super) fn of_text(&self, named: &Named) -> BTreeSet<Address> {
        let words = named.words.iter().filter_map(|word| self.by_word.get(word)).flatten();
        let is_named = |address: &&Address| {
            self.of.get(*address).is_some_and(|names| names.iter().any(|name| named.has(name)))
        };
        words.filter(is_named).copied().collect()
    }
}
