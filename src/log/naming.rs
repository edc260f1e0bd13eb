//! What a text names: words that may be hosts, and ports.

use std::collections::BTreeSet;

/// Words of a text that may be names or addresses of hosts, and the ports that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// In lower case, each once: whole words with their points, as "dc1.corp.example".
    pub words: BTreeSet<String>,
    /// Of those, the ones that stand as hosts do: behind `\\`, or behind "//" of an address.
    pub hosts: BTreeSet<String>,
    /// Ports: "10.1.0.10:135", "port 1433", "tcp/389".
    pub ports: BTreeSet<u16>,
}

impl Named {
    /// Looks through a text.
    pub fn of(text: &str) -> Named {
        let mut named = Named::default();
        let mut previous = String::new();
        let belongs = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ':')
        };
        let mut at = 0;
        while let Some(start) = text.get(at..).and_then(|rest| rest.find(belongs)) {
            let start = at + start;
            let rest = text.get(start..).unwrap_or_default();
            let end = rest.find(|letter: char| !belongs(letter)).unwrap_or(rest.len());
            at = start + end;
            let word = rest
                .get(..end)
                .unwrap_or_default()
                .trim_matches(|letter| matches!(letter, '.' | ':' | '-'));
            let word = word.to_ascii_lowercase();
            let ahead = text.get(..start).unwrap_or_default();
            let is_host = ahead.ends_with("\\\\") || ahead.ends_with("://");
            // An IPv6 address has colons of its own.
            let (name, port) = match word.split_once(':') {
                Some((name, digits)) if !digits.contains(':') => (name, digits.parse::<u16>().ok()),
                Some(_) | None => (word.as_str(), None),
            };
            named.ports.extend(port);
            let says_port = matches!(previous.as_str(), "port" | "tcp" | "udp" | "ports");
            if says_port && let Ok(port) = name.parse() {
                named.ports.insert(port);
            }
            if !name.is_empty() {
                if is_host {
                    named.hosts.insert(name.to_owned());
                }
                named.words.insert(name.to_owned());
            }
            previous = word;
        }
        named
    }

    /// Whether a host of this name or address is named.
    ///
    /// The name may be given in full or be the first part of it. A short one that could be any
    /// word counts only where it stands as hosts do.
    pub fn has(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() {
            return false;
        }
        if self.hosts.contains(&name) || (self.words.contains(&name) && is_distinct(&name)) {
            return true;
        }
        if name.parse::<std::net::IpAddr>().is_ok() {
            return false;
        }
        let short = name.split('.').next().unwrap_or_default();
        short.len() < name.len()
            && (self.hosts.contains(short) || (self.words.contains(short) && is_distinct(short)))
    }
}

/// Whether a name is no word that a log might hold without meaning the host.
fn is_distinct(name: &str) -> bool {
    name.len() > 2
        && name
            .contains(|letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '.' | ':'))
        && name.contains(|letter: char| letter.is_ascii_alphabetic() || matches!(letter, '.' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_name_and_address() {
        let named = Named::of(
            "Failed to connect to \\\\SQL\\admin$ of dc1.corp.example (10.1.0.10:135), [2001:db8::a], \
             tcp:CAS01. Site system Server",
        );
        for name in ["SQL.corp.example", "sql", "DC1.corp.example", "10.1.0.10", "2001:db8::a"] {
            assert!(named.has(name), "{name} in {named:?}");
        }
        // Words that stand there, and are no hosts for that.
        for name in ["system", "Server.corp.example", "10.1.0.1", "dc10.corp.example", "corp", ""] {
            assert!(!named.has(name), "{name} in {named:?}");
        }
        assert_eq!(named.ports, BTreeSet::from([135]));
    }

    #[test]
    fn ports_are_found_where_they_are_called_so() {
        let named = Named::of(
            "Call to HttpSendRequestSync failed for port 443, sent 80 bytes to TCP 1433 and udp/389",
        );
        assert_eq!(named.ports, BTreeSet::from([389, 443, 1433]));
        assert_eq!(Named::of("port 99999, 10:15:02").ports, BTreeSet::new());
    }

    #[test]
    fn the_first_part_of_a_name_is_enough_where_it_is_distinct() {
        let named = Named::of("ERROR: CAS01 cannot reach DC-ROOT.");
        assert!(named.has("cas01.corp.example") && named.has("dc-root.corp.example"));
        assert!(!named.has("cas011.corp.example"));
    }
}
