//! Names of hosts, the best first, and which addresses are one host.
//!
//! Two addresses are one host where that is proven:
//!
//! - The user's own file gives both one name.
//! - The host calls itself by one whole name at both: its directory service, the challenge of a
//!   sign-on, or the list of its bindings for remote calls. Where one address says two names (a
//!   cluster, a device that shares out calls), its word proves nothing.
//! - Name servers give one whole name to one private IPv4 address and a few IPv6 addresses. With
//!   several IPv4 addresses it may be a name that several hosts share, as that of a domain is.
//! - One network card on the capture's own network sends for both, and for one IPv4 address only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::net::{Address, KnownName, NameSource, first_label, looks_like_a_name};

/// Names shown of one host.
const MOST_NAMES: usize = 32;
/// IPv6 addresses that one name may have and still be one host's.
const MOST_V6: usize = 4;
/// Addresses of one host.
const MOST_ADDRESSES: usize = 16;

/// Addresses of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SameHost {
    /// The addresses, sorted.
    pub addresses: Vec<Address>,
    /// What proves it, as a sentence.
    pub evidence: String,
}

/// Names by address, the best first: those of one host before those that are a domain's or that
/// several addresses have, then by trust, and among equals whole names before short ones.
pub fn ranked(mut names: Vec<KnownName>) -> Vec<(Address, String)> {
    let domains = domains(&names);
    let mut addresses_of: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for known in &names {
        addresses_of.entry(known.name.to_ascii_lowercase()).or_default().insert(known.address);
    }
    let is_shared = |lower: &String| {
        let addresses = addresses_of.get(lower);
        domains.contains(lower)
            || addresses.is_some_and(|all| all.iter().filter(|it| it.is_ipv4()).count() > 1)
    };
    // Stable: what a file names first stays first.
    names.sort_by_cached_key(|known| {
        let lower = known.name.to_ascii_lowercase();
        let written = known.source == NameSource::HostsFile;
        let shared = !written && (is_shared(&lower) || lower.contains('_'));
        (shared, known.source, !written && !lower.contains('.'))
    });
    names.into_iter().map(|known| (Address::Ip(known.address), known.name)).collect()
}

/// Names to show, by address: those that look like names, each once. A short name that begins a
/// whole one says nothing more.
pub(super) fn shown(
    ranked: &[(Address, String)],
    same: &[SameHost],
) -> BTreeMap<Address, Vec<String>> {
    let mut shown: BTreeMap<Address, Vec<String>> = BTreeMap::new();
    let mut add = |address: Address, name: &str| {
        let names = shown.entry(address).or_default();
        let known = names.iter().any(|known| {
            known.eq_ignore_ascii_case(name)
                || !name.contains('.') && first_label(known) == name.to_ascii_lowercase()
        });
        if !known && names.len() < MOST_NAMES && looks_like_a_name(name) {
            names.push(name.to_owned());
        }
    };
    for (address, name) in ranked {
        add(*address, name);
    }
    // Behind its own names an address has those of the others of its host.
    let members: BTreeMap<Address, &SameHost> =
        same.iter().flat_map(|host| host.addresses.iter().map(move |it| (*it, host))).collect();
    for (address, name) in ranked {
        for other in members.get(address).iter().flat_map(|host| &host.addresses) {
            add(*other, name);
        }
    }
    shown.retain(|_, names| !names.is_empty());
    shown
}

/// The domains of these names, in lower case: no host's names, though hosts are asked for by them.
fn domains(names: &[KnownName]) -> BTreeSet<String> {
    let mut domains = BTreeSet::new();
    for known in names {
        let lower = known.name.to_ascii_lowercase();
        let mut rest = lower.as_str();
        while let Some((_, parent)) = rest.split_once('.') {
            domains.insert(parent.to_owned());
            rest = parent;
        }
    }
    domains
}

/// A set of addresses that are one host, with what proves it.
struct Proof {
    addresses: BTreeSet<IpAddr>,
    why: String,
}

/// Addresses that are one host, as far as names and network cards prove it. `cards` are addresses
/// with the network card that alone has them. Only addresses that `talk` count.
pub fn same_hosts(
    names: &[KnownName],
    cards: &[(IpAddr, &str)],
    talk: impl Fn(Address) -> bool,
) -> Vec<SameHost> {
    let own = own_names(names);
    let mut proofs = by_file(names);
    proofs.extend(by_own_word(&own));
    proofs.extend(by_name_servers(names));
    proofs.extend(by_cards(cards));
    let mut groups: Vec<(BTreeSet<IpAddr>, BTreeSet<String>)> = Vec::new();
    for Proof { mut addresses, why } in proofs.into_iter().filter(|it| it.addresses.len() > 1) {
        addresses.retain(|address| talk(Address::Ip(*address)));
        if addresses.len() < 2 {
            continue;
        }
        let (joined, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(group, _)| !group.is_disjoint(&addresses));
        groups = apart;
        let mut all = (addresses, BTreeSet::from([why]));
        for (group, reasons) in &joined {
            all.0.extend(group);
            all.1.extend(reasons.iter().cloned());
        }
        let says: BTreeSet<&String> = all.0.iter().filter_map(|address| own.get(address)).collect();
        // What one proof joins and the hosts' own words keep apart stays apart.
        if says.len() > 1 || all.0.len() > MOST_ADDRESSES {
            groups.extend(joined);
        } else {
            groups.push(all);
        }
    }
    let mut hosts: Vec<SameHost> = groups
        .into_iter()
        .map(|(addresses, why)| SameHost {
            addresses: addresses.into_iter().map(Address::Ip).collect(),
            evidence: why.into_iter().collect::<Vec<_>>().join("; "),
        })
        .collect();
    hosts.sort_by(|one, other| one.addresses.cmp(&other.addresses));
    hosts
}

/// The whole name that a host says of itself at an address, in lower case, where it says one only.
fn own_names(names: &[KnownName]) -> BTreeMap<IpAddr, String> {
    let mut said: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for known in names {
        let own = match known.source {
            NameSource::Ldap | NameSource::Ntlm => known.name.contains('.'),
            NameSource::Rpc => true,
            NameSource::HostsFile
            | NameSource::Capture
            | NameSource::Dns
            | NameSource::Llmnr
            | NameSource::Mdns
            | NameSource::Nbns
            | NameSource::Dhcp
            | NameSource::Tds
            | NameSource::Smb
            | NameSource::Tls
            | NameSource::Http
            | NameSource::Kerberos => false,
        };
        if own && looks_like_a_name(&known.name) {
            said.entry(known.address).or_default().insert(known.name.to_ascii_lowercase());
        }
    }
    let one = |(address, mut names): (IpAddr, BTreeSet<String>)| {
        // The short name of the same host is no other name.
        if let Some(whole) = names.iter().find(|name| name.contains('.')).cloned() {
            names.retain(|name| name.contains('.') || *name != first_label(&whole));
        }
        names.pop_first().filter(|_| names.is_empty()).map(|name| (address, name))
    };
    said.into_iter().filter_map(one).collect()
}

fn by_file(names: &[KnownName]) -> Vec<Proof> {
    let mut first: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for known in names.iter().filter(|known| known.source == NameSource::HostsFile) {
        first.entry(known.address).or_insert(&known.name);
    }
    let mut by_name: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for (address, name) in first {
        by_name.entry(name.to_ascii_lowercase()).or_default().insert(address);
    }
    let proof =
        |(name, addresses)| Proof { addresses, why: format!("the hosts file calls them {name}") };
    by_name.into_iter().map(proof).collect()
}

fn by_own_word(own: &BTreeMap<IpAddr, String>) -> Vec<Proof> {
    let mut by_name: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
    for (address, name) in own {
        by_name.entry(name).or_default().insert(*address);
    }
    let proof =
        |(name, addresses)| Proof { addresses, why: format!("it calls itself {name} at each") };
    by_name.into_iter().map(proof).collect()
}

fn by_name_servers(names: &[KnownName]) -> Vec<Proof> {
    let domains = domains(names);
    let mut by_name: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    let says = |source| matches!(source, NameSource::Dns | NameSource::Mdns | NameSource::Llmnr);
    for known in names.iter().filter(|known| says(known.source)) {
        by_name.entry(known.name.to_ascii_lowercase()).or_default().insert(known.address);
    }
    by_name.retain(|name, addresses| {
        let v4: Vec<&IpAddr> = addresses.iter().filter(|address| address.is_ipv4()).collect();
        let private = |address: &IpAddr| {
            matches!(address, IpAddr::V4(it) if it.is_private() || it.is_link_local())
        };
        looks_like_a_name(name)
            && name.contains('.')
            && !domains.contains(name)
            && matches!(v4.as_slice(), [one] if private(one))
            && (1..=MOST_V6).contains(&(addresses.len() - 1))
    });
    let proof =
        |(name, addresses)| Proof { addresses, why: format!("name servers call them {name}") };
    by_name.into_iter().map(proof).collect()
}

fn by_cards(cards: &[(IpAddr, &str)]) -> Vec<Proof> {
    let mut by_card: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
    for (address, card) in cards {
        by_card.entry(card).or_default().insert(*address);
    }
    // A card that has several in several captures has moved, or its host was given another.
    by_card.retain(|_, addresses| addresses.iter().filter(|it| it.is_ipv4()).count() <= 1);
    let proof = |(card, addresses)| Proof {
        addresses,
        why: format!("one network card on the capture's own network sends for them, {card}"),
    };
    by_card.into_iter().map(proof).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use NameSource::{Capture, Dns, HostsFile, Http, Ldap, Ntlm, Rpc};

    fn names(told: &[(&str, NameSource, &str)]) -> Vec<KnownName> {
        let known = |(address, source, name): &(&str, NameSource, &str)| KnownName {
            address: address.parse().unwrap(),
            source: *source,
            name: (*name).to_owned(),
        };
        told.iter().map(known).collect()
    }

    /// Groups as "address address: evidence".
    fn same(told: &[(&str, NameSource, &str)], cards: &[(&str, &str)]) -> Vec<String> {
        let cards: Vec<(IpAddr, &str)> =
            cards.iter().map(|(address, card)| (address.parse().unwrap(), *card)).collect();
        let hosts = same_hosts(&names(told), &cards, |_| true);
        let text = |host: &SameHost| {
            let addresses: Vec<String> = host.addresses.iter().map(Address::to_string).collect();
            format!("{}: {}", addresses.join(" "), host.evidence)
        };
        hosts.iter().map(text).collect()
    }

    #[test]
    fn the_most_trusted_name_stands_first() {
        let told = names(&[
            ("10.1.0.10", Http, "mp.example.com"),
            ("10.1.0.10", Ntlm, "dc1.example.com"),
            ("10.1.0.10", Dns, "example.com"),
            ("10.1.0.10", Dns, "gc._msdcs.example.com"),
            ("10.1.0.10", Dns, "DC1.example.com"),
            ("10.1.0.10", Capture, "dc1"),
            ("10.1.0.10", Capture, "<script>"),
            ("10.1.0.10", HostsFile, "ROOTDC1"),
            ("10.1.0.10", HostsFile, "dc1.corp.example"),
        ]);
        let shown = shown(&ranked(told), &[]);
        assert_eq!(
            shown[&"10.1.0.10".parse().unwrap()],
            [
                "ROOTDC1",
                "dc1.corp.example",
                "DC1.example.com",
                "mp.example.com",
                "example.com",
                "gc._msdcs.example.com"
            ]
        );
    }

    #[test]
    fn a_host_that_names_itself_alike_at_two_addresses_is_one() {
        let told = [
            ("10.1.0.10", Ldap, "dc1.example.com"),
            ("10.2.0.10", Ntlm, "DC1.example.com"),
            ("2001:db8::10", Rpc, "dc1.example.com"),
            ("10.1.0.11", Ldap, "dc2.example.com"),
        ];
        assert_eq!(
            same(&told, &[]),
            ["10.1.0.10 10.2.0.10 2001:db8::10: it calls itself dc1.example.com at each"]
        );
        // A cluster's address speaks as the node that has it.
        let cluster = [
            told[0],
            ("10.1.0.99", Ldap, "dc1.example.com"),
            ("10.1.0.99", Ldap, "dc2.example.com"),
        ];
        assert!(same(&cluster, &[]).is_empty());
        // Short names are not one of a kind.
        let short = [("10.1.0.10", Ntlm, "SERVER"), ("10.2.0.10", Ntlm, "SERVER")];
        assert!(same(&short, &[]).is_empty());
    }

    #[test]
    fn a_name_of_one_ipv4_address_and_some_ipv6_is_one_hosts() {
        let told = [("10.1.0.10", Dns, "dc1.example.com"), ("fd00::10", Dns, "dc1.example.com")];
        let expected = ["10.1.0.10 fd00::10: name servers call them dc1.example.com"];
        assert_eq!(same(&told, &[]), expected);
        for (what, more) in [
            ("a name that two hosts share", ("10.1.0.11", Dns, "dc1.example.com")),
            ("the name of a domain", ("10.1.0.10", Dns, "a.dc1.example.com")),
        ] {
            assert!(same(&[told[0], told[1], more], &[]).is_empty(), "{what}");
        }
        let public =
            [("192.0.2.7", Dns, "www.example.com"), ("2001:db8::7", Dns, "www.example.com")];
        assert!(same(&public, &[]).is_empty());
    }

    #[test]
    fn one_card_joins_and_the_hosts_own_words_keep_apart() {
        let cards = [("10.0.0.5", "02:00:0a:00:00:05"), ("fe80::5", "02:00:0a:00:00:05")];
        let why = "one network card on the capture's own network sends for them, 02:00:0a:00:00:05";
        assert_eq!(same(&[], &cards), [format!("10.0.0.5 fe80::5: {why}")]);
        let apart = [("10.0.0.5", Ldap, "a.example.com"), ("fe80::5", Ldap, "b.example.com")];
        assert!(same(&apart, &cards).is_empty());
        let moved = [cards[0], cards[1], ("10.0.0.6", "02:00:0a:00:00:05")];
        assert!(same(&[], &moved).is_empty());
    }

    #[test]
    fn the_users_file_joins_what_it_calls_alike() {
        let told = [("10.0.0.5", HostsFile, "cas01"), ("10.9.0.5", HostsFile, "CAS01")];
        assert_eq!(same(&told, &[]), ["10.0.0.5 10.9.0.5: the hosts file calls them cas01"]);
        let shown = shown(&ranked(names(&[told[0]])), &same_hosts(&names(&told), &[], |_| true));
        assert_eq!(shown[&"10.9.0.5".parse().unwrap()], ["cas01"]);
    }
}
