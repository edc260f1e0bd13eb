//! Netlogon pings: what a domain controller tells of itself when it is looked for.
//!
//! The answer stands in an LDAP attribute, mostly over UDP ([MS-ADTS] 6.3.1.9, 6.3.3.2). It names
//! the host, its domain and forest, its site and the one of the asker.

use std::fmt::Write as _;

use crate::net::NameSource;
use crate::probe::{Duty, Holder, Meaning, Standing, dns, text};

/// [MS-ADTS] 6.3.1.3.
const PAUSED: u16 = 20;
const RESPONSE_EX: u16 = 23;
const PAUSED_EX: u16 = 24;
const USER_UNKNOWN_EX: u16 = 25;

/// [MS-ADTS] 6.3.1.2.
const PRIMARY: u32 = 0x1;
const GLOBAL_CATALOG: u32 = 0x4;
const KEY_DISTRIBUTION: u32 = 0x20;
const TIME_SERVICE: u32 = 0x40;
/// It holds the secrets of some accounts only (Windows 2008 and newer).
const READ_ONLY: u32 = 0x800;

/// Operation, padding, flags and the domain's identifier.
const FIXED: usize = 24;

/// What an answer is worth, and what it says, for the answer that carries it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub standing: Standing,
    pub detail: String,
}

/// Reads the value of the attribute `netlogon`.
pub(super) fn tell(bytes: &[u8], signals: &mut Vec<Meaning>) -> Option<Told> {
    let operation = u16::from_le_bytes(*bytes.first_chunk()?);
    match operation {
        PAUSED | PAUSED_EX => Some(Told {
            standing: Standing::Failed,
            detail: "the netlogon service of this domain controller is paused: it serves no logons"
                .to_owned(),
        }),
        RESPONSE_EX | USER_UNKNOWN_EX => extended(operation, bytes, signals),
        // The answers to old askers hold nothing that these do not.
        _ => {
            Some(Told { standing: Standing::Served, detail: "answered in the old form".to_owned() })
        }
    }
}

/// The form of today: names in the manner of DNS, with pointers from the beginning of the value.
fn extended(operation: u16, bytes: &[u8], signals: &mut Vec<Meaning>) -> Option<Told> {
    let flags = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let mut at = FIXED;
    let mut name = || {
        let (name, after) = dns::name_at(bytes, at)?;
        at = after;
        Some(name)
    };
    let (forest, domain, host) = (name()?, name()?, name()?);
    // The names of NetBIOS, and the user who was asked for.
    let _ = (name()?, name()?, name()?);
    let (site, asker_site) = (name().unwrap_or_default(), name().unwrap_or_default());
    let mut roles = vec![if flags & READ_ONLY == 0 {
        "domain controller"
    } else {
        "read-only domain controller"
    }];
    for (flag, role) in [
        (PRIMARY, "PDC emulator"),
        (GLOBAL_CATALOG, "global catalog"),
        (KEY_DISTRIBUTION, "KDC"),
        (TIME_SERVICE, "time source"),
    ] {
        if flags & flag != 0 {
            roles.push(role);
        }
    }
    let mut detail = format!("{host} of {domain}: {}", roles.join(", "));
    // Writing to a string does not fail.
    if !site.is_empty() {
        let _ = write!(detail, "; site {site}");
    }
    if asker_site != site {
        match asker_site.as_str() {
            "" => detail.push_str("; the asker's subnet is in no site"),
            _ => {
                let _ = write!(detail, "; the asker is in site {asker_site}");
            }
        }
    }
    if operation == USER_UNKNOWN_EX {
        detail.push_str("; it does not know the account that was asked for");
    }
    if !domain.is_empty() {
        let duty = duty_of(&domain, &forest);
        let of = if duty == Duty::RootController {
            ", the root of its forest".to_owned()
        } else {
            format!(" in the forest {forest}")
        };
        let how =
            text(format!("told a netlogon ping that it is {host} of the domain {domain}{of}"));
        signals.push(Meaning::Does { holder: Holder::Speaker, duty, how });
    }
    if !host.is_empty() {
        // In the words that DNS has for the same thing ([MS-ADTS] 6.3.2.3).
        let mut serves = |purpose: String| {
            signals.push(Meaning::Serves { purpose, host: host.clone() });
        };
        serves(format!("_ldap._tcp.dc._msdcs.{domain}"));
        if flags & GLOBAL_CATALOG != 0 {
            serves(format!("_ldap._tcp.gc._msdcs.{forest}"));
        }
        if flags & PRIMARY != 0 {
            serves(format!("_ldap._tcp.pdc._msdcs.{domain}"));
        }
        signals.push(Meaning::Introduced { name: host, by: NameSource::Ldap });
    }
    Some(Told { standing: Standing::Served, detail: text(detail) })
}

/// Which kind of controller holds a domain. Another tree of a forest is neither its root nor below
/// it.
fn duty_of(domain: &str, forest: &str) -> Duty {
    let (domain, forest) = (domain.to_ascii_lowercase(), forest.to_ascii_lowercase());
    match domain.strip_suffix(&forest) {
        Some("") => Duty::RootController,
        Some(below) if !forest.is_empty() && below.ends_with('.') => Duty::ChildController,
        _ => Duty::DomainController,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer of dc1 in example.com, which is its own forest.
    pub(in crate::probe) fn answer(operation: u16, flags: u32) -> Vec<u8> {
        let mut bytes = [&operation.to_le_bytes()[..], &[0; 2], &flags.to_le_bytes()].concat();
        bytes.extend([7; 16]);
        // The forest at 24; then the domain as a pointer to it, and the host's label before one.
        bytes.extend(b"\x07example\x03com\x00");
        bytes.extend([0xc0, 24]);
        bytes.extend(b"\x03dc1\xc0\x18");
        bytes.extend(b"\x07EXAMPLE\x00\x03DC1\x00\x00");
        bytes.extend(b"\x06Berlin\x00\x06Munich\x00");
        bytes.extend([5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        bytes
    }

    #[test]
    fn a_domain_controller_tells_its_name_its_domain_and_its_duties() {
        let mut signals = Vec::new();
        let told = tell(&answer(RESPONSE_EX, PRIMARY | GLOBAL_CATALOG), &mut signals).unwrap();
        assert_eq!(told.standing, Standing::Served);
        let expected = "dc1.example.com of example.com: domain controller, PDC emulator, global \
                        catalog; site Berlin; the asker is in site Munich";
        assert_eq!(told.detail, expected);
        let purposes: Vec<&str> = signals
            .iter()
            .filter_map(|meaning| {
                let Meaning::Serves { purpose, host } = meaning else { return None };
                (host == "dc1.example.com").then_some(purpose.as_str())
            })
            .collect();
        assert_eq!(
            purposes,
            [
                "_ldap._tcp.dc._msdcs.example.com",
                "_ldap._tcp.gc._msdcs.example.com",
                "_ldap._tcp.pdc._msdcs.example.com"
            ]
        );
        assert_eq!(
            signals.last(),
            Some(&Meaning::Introduced { name: "dc1.example.com".to_owned(), by: NameSource::Ldap })
        );
    }

    #[test]
    fn a_controller_of_the_forests_root_is_told_from_one_below_it() {
        for (domain, forest, expected) in [
            ("example.com", "Example.com", Duty::RootController),
            ("child.example.com", "example.com", Duty::ChildController),
            ("other.org", "example.com", Duty::DomainController),
            ("notexample.com", "example.com", Duty::DomainController),
            ("example.com", "", Duty::DomainController),
        ] {
            assert_eq!(duty_of(domain, forest), expected, "{domain}");
        }
    }

    #[test]
    fn a_read_only_controller_is_told_from_a_writable_one() {
        // [MS-ADTS] 6.3.1.2: 0x100 is writable, 0x800 some secrets, 0x1000 all secrets.
        for (flags, expected) in [(0x1100, ": domain controller"), (0x800, ": read-only domain")] {
            let told = tell(&answer(RESPONSE_EX, flags), &mut Vec::new()).unwrap();
            assert!(told.detail.contains(expected), "{}", told.detail);
        }
    }

    #[test]
    fn a_paused_service_fails() {
        let told = tell(&answer(PAUSED_EX, 0), &mut Vec::new()).unwrap();
        assert_eq!(told.standing, Standing::Failed);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            end in 0_usize..80,
        ) {
            let mut signals = Vec::new();
            tell(&[&[23, 0][..], &bytes].concat(), &mut signals);
            let whole = answer(RESPONSE_EX, 0);
            tell(&whole[..end.min(whole.len())], &mut signals);
        }
    }
}
