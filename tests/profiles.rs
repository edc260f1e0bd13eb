//! The built-in profiles against the facts they were made from: nothing is missing, and nothing is
//! invented.
//!
//! `port-facts.tsv` holds the facts. Each is covered by a row of a profile of its set, or stands
//! below with the reason why it is left out; each row of each profile has a fact; and how much a row
//! is needed follows from its facts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};

use portmortem::matrix::{Direction, Matrix, Need, PortRange, Requirement};

/// A line of the table.
#[derive(Debug)]
struct Fact {
    number: u32,
    set: &'static str,
    from: &'static str,
    to: &'static str,
    transport: &'static str,
    port: &'static str,
    both: bool,
    need: &'static str,
    conditional: bool,
    configurable: bool,
}

fn facts() -> Vec<Fact> {
    let lines = include_str!("port-facts.tsv").lines().filter(|line| !line.starts_with('#'));
    let facts: Vec<Fact> = lines
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [fact, set, from, to, transport, port, direction, need, conditional, configurable] =
                fields[..]
            else {
                panic!("not ten fields: {line}");
            };
            Fact {
                number: fact.strip_prefix('P').unwrap().parse().unwrap(),
                set,
                from,
                to,
                transport,
                port,
                both: direction == "bi",
                need,
                conditional: conditional == "yes",
                configurable: configurable == "yes",
            }
        })
        .collect();
    assert_eq!(facts.len(), 420);
    facts
}

/// Which profiles are to cover a set of facts.
fn profiles_of(set: &str) -> &'static [&'static str] {
    match set {
        "configmgr" | "configmgr-legacy" | "configmgr-errata" => &["configmgr"],
        "ad-windows" | "ad-trust" => &["active-directory"],
        // What is printed for the pairs of the article, and what its members need beside.
        "scenario-trust" => &["configmgr-dc", "active-directory"],
        "seed" => &["configmgr-dc"],
        _ => panic!("unknown set {set}"),
    }
}

/// Facts without a row, with the reason.
const LEFT_OUT: [(&[u32], &str); 9] = [
    (&[5, 259, 286, 362, 380, 396], "ICMP has no ports; requirements are TCP and UDP"),
    (
        &[162],
        "TCP 1434 is a slip for the browser's UDP 1434 (fact 316), or the dedicated admin port",
    ),
    (
        &[229, 230, 231, 232, 233, 234, 235, 236, 237, 238, 239, 240, 241],
        "the application catalog was removed",
    ),
    (&[242, 243], "hybrid management of devices was removed"),
    (&[245, 246, 247, 248, 249, 250, 251], "remote tools of SMS 2003"),
    (&[307, 308, 309, 310], "reading a member's event log is no matter of the directory"),
    (&[314, 317, 318, 319, 320, 324, 325, 331], "services of Windows in general"),
    (
        &[315, 316, 321, 322, 323, 326, 327, 328, 329, 330],
        "SQL Server, DHCP, BranchCache and clusters are no part of the directory",
    ),
    (&[363, 364], "the administrator chooses the port; the endpoint mapper tells it"),
];

/// The roles that a word of the sources stands for. All groups must be covered, each by any of its
/// roles.
fn roles_of(word: &str) -> &'static [&'static [&'static str]] {
    match word {
        "Any" | "Any computer" | "Any ConfigMgr computer" | "Member computer" => {
            &[&["domain-member"]]
        }
        "Asset Intelligence sync point" => &[&["asset-intelligence-point"]],
        // The cloud's own distribution point is retired; the gateway holds the content.
        "CMG VM scale set"
        | "CMG classic cloud service"
        | "Cloud distribution point"
        | "Cloud management gateway" => &[&["cloud-gateway"]],
        "Azure (CMG)" | "Azure Logic App" | "Exchange Online" | "Internet" | "Microsoft cloud" => {
            &[&["internet"]]
        }
        "CAS (root domain)" => &[&["cas", "domain-member"]],
        "Primary site server (child domain)" => &[&["primary", "domain-member"]],
        "CMG connection point" => &[&["cloud-gateway-connector"]],
        "Certificate registration point" => &[&["certificate-registration-point"]],
        "Certification authority" | "Issuing CA" => &[&["certification-authority"]],
        "Client" => &[&["client"]],
        "Console" => &[&["console"]],
        "DFS namespace server / DC"
        | "Domain controller"
        | "Domain controller (GC)"
        | "Domain controller (other domain)"
        | "Domain controller (remote domain)"
        | "Domain controller (site server domain)" => &[&["domain-controller"]],
        "Domain controller (child domain)" => &[&["child-dc"]],
        "Domain controller (root domain)" => &[&["root-dc"]],
        "Domain controller / member (either domain)" => {
            &[&["domain-controller"], &["domain-member"]]
        }
        "DHCP server" => &[&["dhcp-server"]],
        "DNS server (usually DC)" => &[&["dns-server"], &["domain-controller"]],
        "WINS server" => &[&["wins-server"]],
        "Windows infrastructure server" => {
            &[&["dns-server", "dhcp-server", "wins-server", "domain-controller"]]
        }
        "Data warehouse service point" => &[&["data-warehouse-point"]],
        "Distribution point" | "Distribution point (multicast)" | "Distribution point (source)" => {
            &[&["distribution-point"]]
        }
        "Distribution point (PXE)" => &[&["pxe-server"]],
        "Pull distribution point" => &[&["pull-distribution-point"]],
        "Endpoint Protection point" => &[&["endpoint-protection-point"]],
        "Enrollment point" => &[&["enrollment-point"]],
        "Enrollment proxy point" => &[&["enrollment-proxy-point"]],
        "Exchange connector" => &[&["exchange-connector"]],
        "Exchange on-premises" => &[&["exchange-server"]],
        "Fallback status point" => &[&["fallback-status-point"]],
        "File server" | "Remote content library server" => &[&["file-server"]],
        "Internet-based site system (MP/DP/SUP/FSP)" => {
            &[&["management-point"], &["software-update-point"], &["fallback-status-point"]]
        }
        "Mac computer" | "Mobile device" => &[&["mobile-device"]],
        "Management point" | "Management point (untrusted domain)" => &[&["management-point"]],
        "NDES policy module" => &[&["policy-module"]],
        "Reporting services point" => &[&["reporting-point"]],
        "SMS Provider" | "SMS Provider (source hierarchy)" => &[&["sms-provider"]],
        "SQL Server"
        | "SQL Server (SUSDB)"
        | "SQL Server (availability group replica)"
        | "SQL Server (replica)"
        | "SQL Server (source and destination site DB)" => &[&["sql-server"]],
        "Service connection point" => &[&["service-connection-point"]],
        "Site server"
        | "Site server (destination hierarchy)"
        | "Site server (setup)"
        | "Site server / parent-child SQL" => &[&["site-server"]],
        "Site server / client" => &[&["site-server"], &["client"]],
        // The upstream server of a child site is its parent's software update point.
        "Software update point" => &[&["software-update-point", "wsus"]],
        "WSUS (upstream)" => &[&["wsus", "software-update-point"]],
        "State migration point" => &[&["state-migration-point"]],
        _ => &[],
    }
}

/// The roles of the side that opens.
fn openers_of(fact: &Fact) -> &'static [&'static [&'static str]] {
    // Replication, in a table whose other rows are about members too.
    if fact.need == "dc-to-dc" { &[&["domain-controller"]] } else { roles_of(fact.from) }
}

/// Rows whose port can be given though the facts call it fixed, or the other way, with the reason.
const OTHER_PORTS: [(&str, &str); 5] = [
    ("peer-cache", "a setting of the client's cache"),
    ("peer-cache-broadcast", "a setting of the client's cache"),
    ("cmg-sup-http", "follows the web site of WSUS, as in every other row"),
    ("cmg-sup-https", "follows the web site of WSUS, as in every other row"),
    ("site-sql-epm", "a footnote about SQL Server's ports, set beside 135 too"),
];

/// Needs that differ from those of their facts, with the reason.
const OTHER_NEEDS: [(&str, &str); 7] = [
    ("kerberos-udp", "newer Windows uses TCP"),
    ("dns-tcp", "only for answers that are too long for a datagram"),
    ("kpasswd-udp", "TCP serves the same"),
    ("rpc-epm-udp", "required by the article, and nothing is known to listen there"),
    ("rpc-dynamic-udp", "required by the article, and nothing is known to use it"),
    ("client-mp-notification", "falls back to HTTP or HTTPS"),
    ("cmg-https", "one virtual machine or several: one of the two"),
];

/// A profile, with the wider roles of each role.
struct Profile {
    matrix: Matrix,
    wider: BTreeMap<String, BTreeSet<String>>,
}

impl Profile {
    fn new(name: &str) -> Profile {
        let matrix = Matrix::built_in(name).unwrap();
        let kinds: BTreeMap<&str, Option<&str>> =
            matrix.roles.iter().map(|role| (role.name.as_str(), role.kind_of.as_deref())).collect();
        let wider = kinds
            .keys()
            .map(|role| {
                let chain = std::iter::successors(Some(*role), |role| kinds[role]);
                ((*role).to_owned(), chain.map(str::to_owned).collect())
            })
            .collect();
        Profile { matrix, wider }
    }

    /// Whether a row of `named` is about hosts of this role.
    fn has(&self, role: &str, named: &str) -> bool {
        self.wider.get(role).is_some_and(|wider| wider.contains(named))
    }

    /// Whether a row lets a host of one role call one of the other.
    fn allows(&self, row: &Requirement, from: &str, to: &str) -> bool {
        let forth = self.has(from, &row.from) && self.has(to, &row.to);
        let back = self.has(from, &row.to) && self.has(to, &row.from);
        forth || (row.direction == Direction::Both && back)
    }

    /// Whether rows cover a fact between these roles, in each direction that it has.
    fn covers(&self, fact: &Fact, from: &[&str], to: &[&str]) -> bool {
        let rows = || self.matrix.requirements.iter().filter(|row| has_port(row, fact));
        let covered = |from: &str, to: &str| rows().any(|row| self.allows(row, from, to));
        from.iter()
            .any(|from| to.iter().any(|to| covered(from, to) && (!fact.both || covered(to, from))))
    }

    /// Whether a fact is one about this row.
    fn is_about(&self, row: &Requirement, fact: &Fact) -> bool {
        let ends = |from: &str, to: &str| {
            let some = |word: &str, named: &str| {
                roles_of(word).iter().copied().flatten().any(|role| self.has(role, named))
            };
            some(from, &row.from) && some(to, &row.to)
        };
        has_port(row, fact) && (ends(fact.from, fact.to) || (fact.both && ends(fact.to, fact.from)))
    }
}

/// Whether a row has transport and port of a fact.
fn has_port(row: &Requirement, fact: &Fact) -> bool {
    if row.transport.as_str() != fact.transport {
        return false;
    }
    let has = |text: &str| row.ports.contains(&text.parse::<PortRange>().unwrap());
    match fact.port {
        // All these are printed for the same: the ports that RPC takes as it needs them.
        "rpc-dynamic" | "49152-65535" | "1024-5000" | "1025-5000" | "1024-65535" => row.rpc_dynamic,
        "site-db-port" => row.configurable.as_deref() == Some("sql"),
        // Answers go to 68; nobody is called there.
        "67-68" => has("67"),
        ports if ports.starts_with(|letter: char| letter.is_ascii_digit()) => {
            ports.split('|').all(has)
        }
        _ => false,
    }
}

#[test]
fn every_fact_is_covered_or_left_out_for_a_reason() {
    let left_out: BTreeSet<u32> =
        LEFT_OUT.iter().flat_map(|(facts, _)| facts.iter().copied()).collect();
    let profiles: BTreeMap<&str, Profile> =
        Matrix::built_in_names().map(|name| (name, Profile::new(name))).collect();
    let mut faults = Vec::new();
    for fact in facts() {
        let covered = profiles_of(fact.set).iter().any(|name| {
            let profile = &profiles[name];
            let (from, to) = (openers_of(&fact), roles_of(fact.to));
            let covered = |from, to| profile.covers(&fact, from, to);
            !from.is_empty()
                && !to.is_empty()
                && from.iter().all(|from| to.iter().all(|to| covered(from, to)))
        });
        match (covered, left_out.contains(&fact.number)) {
            (true, true) => faults.push(format!("left out, and there: {fact:?}")),
            (false, false) => faults.push(format!("missing: {fact:?}")),
            _ => {}
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_row_has_a_fact_and_the_need_that_follows_from_it() {
    let facts = facts();
    let mut faults = Vec::new();
    for name in Matrix::built_in_names() {
        let profile = Profile::new(name);
        for row in &profile.matrix.requirements {
            let mut fault = |what: &str| faults.push(format!("{name}: {}: {what}", row.id));
            let about: Vec<&Fact> =
                facts.iter().filter(|fact| profile.is_about(row, fact)).collect();
            let any = |needs: &[&str]| about.iter().any(|fact| needs.contains(&fact.need));
            let always = about.iter().any(|fact| {
                !fact.conditional && ["required", "one-of", "default"].contains(&fact.need)
            });
            let other_port = OTHER_PORTS.iter().any(|(id, _)| *id == row.id);
            if !other_port && name == "configmgr" {
                let own = about.iter().filter(|fact| profiles_of(fact.set).contains(&name));
                let changes = own.filter(|fact| fact.configurable).count() > 0;
                if changes != row.configurable.is_some() {
                    fault("a port that can be given, or not, unlike its facts");
                }
            }
            let excused = OTHER_NEEDS.iter().any(|(id, _)| *id == row.id);
            if about.is_empty() {
                fault("no fact");
            }
            if row.direction == Direction::Both && !about.iter().any(|fact| fact.both) {
                fault("both directions without a fact");
            }
            // Nobody is known to answer RPC or LDAP over TLS on UDP.
            if row.listener_known && row.transport.as_str() == "udp" {
                let deaf = row.ports_text() == "135" || row.ports_text() == "636";
                if deaf {
                    fault("nothing is known to listen there");
                }
            }
            match &row.need {
                _ if excused => {}
                Need::OneOf(_) if !any(&["one-of", "preferred", "fallback"]) => {
                    fault("an alternative without a fact");
                }
                Need::Required if any(&["one-of"]) && !any(&["required", "feature"]) => {
                    fault("required, and one of several in the facts");
                }
                Need::Required if !any(&["required"]) && !about.iter().any(|it| it.conditional) => {
                    fault("required without a fact");
                }
                Need::Optional if any(&["required"]) && row.condition.is_none() => {
                    fault("optional, and required in the facts");
                }
                Need::Required | Need::Optional | Need::OneOf(_) => {}
            }
            match &row.condition {
                Some(_) if always && !excused => {
                    fault("a condition, and always needed in the facts");
                }
                None if about.iter().all(|fact| fact.conditional) && !excused => {
                    fault("no condition, and one in the facts");
                }
                Some(_) | None => {}
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_row_says_where_it_comes_from_and_tells_itself_from_the_others() {
    for name in Matrix::built_in_names() {
        let matrix = Matrix::built_in(name).unwrap();
        let mut seen = BTreeSet::new();
        for row in &matrix.requirements {
            assert!(row.source.is_some(), "{name}: {} has no source", row.id);
            let kebab = |text: &str| {
                text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-')
            };
            assert!(kebab(&row.id) && row.id.len() <= 30, "{name}: {}", row.id);
            let key = (&row.from, &row.to, row.transport, row.ports_text());
            assert!(seen.insert(key), "{name}: {} says what another row says", row.id);
        }
        for role in &matrix.roles {
            let named = matrix.requirements.iter().any(|row| {
                let kinds =
                    matrix.roles.iter().filter(|it| it.kind_of.as_deref() == Some(&*role.name));
                let own = [&row.from, &row.to].contains(&&role.name);
                own || role.kind_of.is_some() || kinds.count() > 0
            });
            // The first matrix declares members, which are judged as candidate site servers.
            assert!(
                named || role.name == "domain-member",
                "{name}: nothing is about {}",
                role.name
            );
        }
    }
}

#[test]
fn ports_of_one_name_are_the_same_in_every_row() {
    for name in Matrix::built_in_names() {
        let mut ports: BTreeMap<String, String> = BTreeMap::new();
        for row in Matrix::built_in(name).unwrap().requirements {
            let Some(configurable) = row.configurable.clone() else { continue };
            let first = ports.entry(configurable).or_insert_with(|| row.ports_text()).clone();
            assert_eq!(row.ports_text(), first, "{name}: {}", row.id);
        }
    }
}
