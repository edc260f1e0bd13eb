//! Names of hosts, and who says so.

use std::net::IpAddr;

use crate::words::words;

words! {
    /// Who says that an address has a name, the most trusted first.
    ///
    /// First comes what people wrote down, then what name servers say, then what hosts say of
    /// themselves, and last what others call them: a caller may ask for any name, and one
    /// address may have the names of a hundred web sites.
    NameSource {
        /// The user's own file (`--hosts`).
        HostsFile = "hosts_file",
        /// The capture stores it (pcapng name resolution blocks).
        Capture = "capture",
        /// An answer of a name server.
        Dns = "dns",
        /// What a directory service says of its host: the answer to a netlogon ping, or its root entry.
        Ldap = "ldap",
        /// The challenge of a sign-on, which names the computer; of a caller, its own word.
        Ntlm = "ntlm",
        /// Where objects are to be found, with all names and addresses of their host.
        Rpc = "rpc",
        /// An answer on the link, to whoever asks.
        Llmnr = "llmnr",
        /// An announcement on the link.
        Mdns = "mdns",
        /// NetBIOS: names registered, asked for and listed.
        Nbns = "nbns",
        /// The lease of an address to a host that told its name.
        Dhcp = "dhcp",
        /// SQL Server and its browser, or the caller's name in a login.
        Tds = "tds",
        /// The path of a share, as the caller wrote it.
        Smb = "smb",
        /// The name that was asked for in a hello, or the one in a certificate.
        Tls = "tls",
        /// The host in a request.
        Http = "http",
        /// The service of a ticket that was handed over, or the machine that asked for one.
        Kerberos = "kerberos",
    }
}

/// A name of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KnownName {
    /// The address.
    pub address: IpAddr,
    /// Who says so.
    pub source: NameSource,
    /// The name: hostile, as everything from a capture.
    pub name: String,
}

/// Longest name, and longest part of one (RFC 1035 2.3.4).
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Whether a text is one that people can take for the name of a host: letters, digits, dots,
/// hyphens and underscores, and no address, which would mislead.
///
/// Names come out of captures and are hostile. What does not look like one is kept where it was
/// told, and never stands for a host in a title, a sentence or a table.
pub fn looks_like_a_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let label = |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.chars().all(fits);
    name.len() <= LONGEST
        && name.split('.').all(label)
        // A name that ends in a number is an address with a slip in it (RFC 1123 2.1).
        && !name.rsplit('.').next().is_some_and(|last| last.bytes().all(|it| it.is_ascii_digit()))
}

/// A name without what says only that it is whole: the dot at the end.
pub fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// "dc1" of "DC1.example.com" and of "DC1": a host tells its short or its long name by protocol.
pub fn first_label(name: &str) -> String {
    name.split('.').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_look_like_names() {
        for name in [
            "CAS01",
            "dc1.corp.example",
            "3com",
            "a_b-c",
            "xn--bcher-kva.example",
            "10.in-addr.arpa",
        ] {
            assert!(looks_like_a_name(name), "{name}");
        }
    }

    #[test]
    fn what_misleads_or_acts_is_no_name() {
        let long = ["x".repeat(64), ["abc"; 64].join(".")];
        let others = [
            "",
            ".",
            "a..b",
            "10.9.9.9",
            "10.9",
            "2001:db8::1",
            "<script>",
            "=cmd",
            "$(reboot)",
            "a b",
            "a\nb",
            "\u{1b}[2J",
            "bücher",
            "x;y",
            "12345",
        ];
        for name in others.into_iter().chain(long.iter().map(String::as_str)) {
            assert!(!looks_like_a_name(name), "{name}");
        }
    }

    #[test]
    fn what_people_wrote_is_trusted_before_what_callers_say() {
        assert!(NameSource::ALL.is_sorted());
        assert!(NameSource::HostsFile < NameSource::Dns && NameSource::Ntlm < NameSource::Http);
    }
}
