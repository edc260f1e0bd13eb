//! Names that nobody finds: name servers that never answer, and names that none of them knows.
//!
//! A host that finds no name calls nobody, so the trouble shows as calls that are missing. Only
//! names of the directory count: Windows asks for many others, and lives without them.

use std::collections::{BTreeMap, BTreeSet};

use crate::capture::Severity;
use crate::diagnosis::cause::cause_of;
use crate::diagnosis::wording::Words;
use crate::diagnosis::{Evidence, Finding, FindingKind, Ids, Known};
use crate::matrix::{count_of, is_weak, list_of, seen, service_failed, then};
use crate::net::{Address, Transport};
use crate::probe::is_outside;
use crate::verdict::record::{Class, JudgedFlow, NO_ANSWER_TO};

/// Names and servers that a sentence names.
const NAMED: usize = 3;

/// Names that Windows tries of its own accord in every domain it knows.
const TRIED_ANYWHERE: [&str; 6] =
    ["wpad", "isatap", "teredo", "autodiscover", "enterpriseregistration", "lyncdiscover"];

/// Services of the directory, as they are asked for (RFC 2782; [MS-ADTS] 6.3.2.3).
const DIRECTORY: [&str; 4] = ["_ldap.", "_kerberos.", "_gc.", "_kpasswd."];

/// What hosts asked of name servers.
pub(super) struct Lookups<'a> {
    /// Callers and servers that answered them at least once, without an error.
    pub(super) answered: Known<(Address, Address)>,
    /// Callers that got no such answer from anybody, and asked.
    pub(super) in_the_dark: BTreeSet<Address>,
    /// Calls without an answer, of callers and servers that never gave one.
    silent: BTreeMap<(Address, Address), Vec<&'a JudgedFlow>>,
    /// Names that nobody knew, by who asked.
    missing: BTreeMap<Address, Missing<'a>>,
}

/// Names that nobody knew to one caller.
#[derive(Default)]
pub(super) struct Missing<'a> {
    /// Domains without a domain controller.
    pub(super) domains: BTreeSet<String>,
    /// Hosts of the directory's domains.
    pub(super) hosts: BTreeSet<String>,
    flows: Vec<&'a JudgedFlow>,
}

/// Whether somebody else answers, and the servers that do not.
type Servers = (bool, BTreeSet<Address>);

/// Kind and name of a question, as "A" and "dc1.example.com"; in lower case, without a dot at its
/// end.
pub(super) fn question(flow: &JudgedFlow) -> Option<(&str, String)> {
    let detail = flow.service.detail.as_deref()?;
    let subject = detail.strip_prefix(NO_ANSWER_TO).unwrap_or(detail);
    let subject = subject.split_once(':').map_or(subject, |(subject, _)| subject);
    let (kind, name) = subject.split_once(' ')?;
    Some((kind, name.trim().trim_end_matches('.').to_ascii_lowercase()))
}

/// The domain whose directory is asked for: what follows the last label of `_msdcs`, `_sites` and
/// the like.
fn directory_domain(name: &str) -> Option<&str> {
    if !DIRECTORY.iter().any(|service| name.starts_with(service)) {
        return None;
    }
    let last = name.rfind("._")?;
    let (_, domain) = name.get(last + 1..)?.split_once('.')?;
    // A workgroup asks for its own name too, and that is no domain.
    domain.contains('.').then_some(domain)
}

fn first_label(name: &str) -> &str {
    name.split_once('.').map_or(name, |(first, _)| first)
}

impl<'a> Lookups<'a> {
    pub(super) fn of(evidence: &Evidence<'a>) -> Lookups<'a> {
        let is_lookup = |flow: &&JudgedFlow| flow.responder.port == 53;
        let flows: Vec<&JudgedFlow> = evidence.flows.iter().copied().filter(is_lookup).collect();
        let pair = |flow: &JudgedFlow| (flow.initiator.address, flow.responder.address);
        let answers = evidence.all_flows().filter(|flow| {
            is_lookup(flow) && flow.class == Class::Success && !service_failed(flow)
        });
        let (answered, served): (Known<_>, Known<Address>) =
            answers.map(|flow| (pair(flow), flow.initiator.address)).unzip();
        let mut silent: BTreeMap<(Address, Address), Vec<&JudgedFlow>> = BTreeMap::new();
        let mut in_the_dark = BTreeSet::new();
        for flow in &flows {
            let Some(cause) = cause_of(flow) else { continue };
            let (from, to) = pair(flow);
            if !served.contains(&from) && !is_weak(flow) {
                in_the_dark.insert(from);
            }
            if cause != FindingKind::ServiceFailed && !answered.contains(&(from, to)) {
                silent.entry((from, to)).or_default().push(flow);
            }
        }
        // A single datagram may be lost, and TCP alone is for long answers.
        silent.retain(|_, flows| {
            flows.iter().any(|flow| flow.transport == Transport::Udp)
                && (flows.len() > 1 || !flows.iter().all(|flow| is_weak(flow)))
        });
        let missing = missing(evidence, &flows);
        Lookups { answered, in_the_dark, silent, missing }
    }

    /// What a caller asked for and nobody knew.
    pub(super) fn missing(&self, from: Address) -> Option<&Missing<'a>> {
        self.missing.get(&from)
    }

    /// Findings about name servers that no cell is about, and about names; with the callers that
    /// each is about, and the flows it tells.
    pub(super) fn findings(
        &self,
        evidence: &Evidence<'a>,
        words: &Words<'_, 'a>,
    ) -> Vec<(FindingKind, Finding, BTreeSet<Address>)> {
        let mut findings = self.silent_servers(evidence, words);
        findings.extend(self.unknown_names(evidence, words));
        findings
    }

    fn silent_servers(
        &self,
        evidence: &Evidence<'a>,
        words: &Words<'_, 'a>,
    ) -> Vec<(FindingKind, Finding, BTreeSet<Address>)> {
        // Those of silent flows that a cell is about.
        let silent: Ids = self.silent.values().flatten().map(|flow| flow.id).collect();
        let of_cells = evidence.sheet.cells.iter().flat_map(|cell| &cell.flows);
        let judged: Ids = of_cells.filter(|id| silent.contains(*id)).copied().collect();
        let mut by_caller: BTreeMap<Address, BTreeMap<Address, Vec<&JudgedFlow>>> = BTreeMap::new();
        for ((from, to), flows) in &self.silent {
            if !flows.iter().any(|flow| judged.contains(&flow.id)) {
                by_caller.entry(*from).or_default().insert(*to, flows.clone());
            }
        }
        // Callers of the same servers are one finding, those in the dark before the others.
        let mut groups: BTreeMap<Servers, BTreeMap<Address, Vec<&JudgedFlow>>> = BTreeMap::new();
        for (from, servers) in by_caller {
            let key = (!self.in_the_dark.contains(&from), servers.keys().copied().collect());
            groups.entry(key).or_default().insert(from, servers.into_values().flatten().collect());
        }
        let mut findings = Vec::new();
        for ((is_served, servers), callers) in groups {
            let flows: Vec<&JudgedFlow> = callers.values().flatten().copied().collect();
            let Some(first) = flows.iter().min_by_key(|flow| flow.id) else { continue };
            let callers: BTreeSet<Address> = callers.into_keys().collect();
            let from = words.titled_all(&callers);
            let named: Vec<String> = servers.iter().map(|server| words.titled(*server)).collect();
            let to = list_of(&named, NAMED);
            // A server that has no way to the internet is silent about its names, and is up.
            let outside = servers.iter().all(|server| evidence.is_heard(*server))
                && flows
                    .iter()
                    .all(|flow| question(flow).is_some_and(|(_, name)| is_outside(&name)));
            let asked =
                question(first).map(|(kind, name)| format!(" to the question {kind} {name}"));
            let several = if servers.len() == 1 { "name server" } else { "name servers" };
            let finding = Finding {
                title: format!("{from} gets no answer from {several} {to} on DNS"),
                explanation: then(
                    &format!(
                        "{}, the first{}: {}",
                        count_of(flows.len(), "lookup"),
                        asked.unwrap_or_default(),
                        seen(first, evidence.several)
                    ),
                    if is_served {
                        "Another name server answers, so names are found, some seconds late"
                    } else {
                        "Nobody else answered either. A host that finds no name calls nobody: what \
                         it needs was not tried"
                    },
                ),
                next_step: format!(
                    "check that {} run{} DNS and can be reached on udp/53 and tcp/53 from {}, or set \
                     other name servers there",
                    list_of(&servers.iter().map(Address::to_string).collect::<Vec<_>>(), NAMED),
                    if servers.len() == 1 { "s" } else { "" },
                    list_of(&callers.iter().map(Address::to_string).collect::<Vec<_>>(), NAMED),
                ),
                flows: sorted(&flows),
                ..Finding::of(
                    FindingKind::NameServerSilent,
                    if is_served || outside { Severity::Info } else { Severity::Warning },
                )
            };
            findings.push((FindingKind::NameServerSilent, finding, callers));
        }
        findings
    }

    fn unknown_names(
        &self,
        evidence: &Evidence<'a>,
        words: &Words<'_, 'a>,
    ) -> Vec<(FindingKind, Finding, BTreeSet<Address>)> {
        type Names<'m> = (&'m BTreeSet<String>, &'m BTreeSet<String>);
        let mut groups: BTreeMap<Names<'_>, Vec<(Address, &Missing<'a>)>> = BTreeMap::new();
        for (from, missing) in &self.missing {
            groups.entry((&missing.domains, &missing.hosts)).or_default().push((*from, missing));
        }
        let mut findings = Vec::new();
        for ((domains, hosts), askers) in groups {
            let flows: Vec<&JudgedFlow> =
                askers.iter().flat_map(|(_, missing)| &missing.flows).copied().collect();
            let Some(first) = flows.iter().min_by_key(|flow| flow.id) else { continue };
            let callers: BTreeSet<Address> = askers.iter().map(|(from, _)| *from).collect();
            let from = words.titled_all(&callers);
            let domains: Vec<String> = domains.iter().map(|name| shown(name)).collect();
            let hosts: Vec<String> = hosts.iter().map(|name| shown(name)).collect();
            let what = if domains.is_empty() {
                list_of(&hosts, NAMED)
            } else {
                format!("a domain controller of {}", list_of(&domains, NAMED))
            };
            let frame = first.service.frame.unwrap_or(first.first_frame);
            let place =
                if evidence.several { format!(" of flow {}", first.id) } else { String::new() };
            let (kind, name) = question(first).unwrap_or_default();
            let server = words.host(first.responder.address);
            let finding = Finding {
                title: format!("{from} asks DNS for {what}, and the name is not known"),
                explanation: then(
                    &format!(
                        "{}, the first: {server} says in frame {frame}{place} that {kind} {} does \
                         not exist",
                        count_of(flows.len(), "lookup"),
                        shown(&name)
                    ),
                    "The name server works and does not know the name: a record that is missing, a \
                     conditional forwarder or a delegation to the other domain that is missing, or \
                     the wrong name server. Who does not find the name does not call",
                ),
                next_step: format!(
                    "on {server} check the zone, and the conditional forwarder or delegation for the \
                     other domain; on the asking host check which name servers it uses"
                ),
                flows: sorted(&flows),
                ..Finding::of(FindingKind::NameNotFound, Severity::Warning)
            };
            findings.push((FindingKind::NameNotFound, finding, callers));
        }
        findings
    }
}

/// A name out of a capture, for a sentence.
fn shown(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if name.len() <= 120 && !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        "a name that is none".to_owned()
    }
}

fn sorted(flows: &[&JudgedFlow]) -> Vec<u64> {
    let mut ids: Vec<u64> = flows.iter().map(|flow| flow.id).collect();
    ids.sort_unstable();
    ids
}

/// Names of the directory that were asked for and that nobody knew.
fn missing<'a>(
    evidence: &Evidence<'_>,
    lookups: &[&'a JudgedFlow],
) -> BTreeMap<Address, Missing<'a>> {
    let mut known: BTreeMap<Address, BTreeSet<String>> = BTreeMap::new();
    let mut unknown: BTreeMap<Address, Vec<(String, &JudgedFlow)>> = BTreeMap::new();
    // Where the directory lives, by the names of hosts that play a role and by what was found.
    let mut domains: BTreeSet<String> = BTreeSet::new();
    for host in evidence.hosts.iter().filter(|host| !host.roles.is_empty()) {
        let names = host.names.iter().filter_map(|name| name.split_once('.'));
        domains.extend(names.map(|(_, domain)| domain.to_ascii_lowercase()));
    }
    for flow in lookups.iter().filter(|flow| flow.class == Class::Success) {
        let Some((kind, name)) = question(flow) else { continue };
        if !matches!(kind, "A" | "AAAA" | "SRV") || is_outside(&name) {
            continue;
        }
        let from = flow.initiator.address;
        match flow.service.code.as_deref() {
            Some("NXDOMAIN") => unknown.entry(from).or_default().push((name, flow)),
            Some("NOERROR") => {
                if let Some(domain) = directory_domain(&name) {
                    domains.insert(domain.to_owned());
                    known.entry(from).or_default().insert(format!("_.{domain}"));
                } else {
                    known.entry(from).or_default().insert(first_label(&name).to_owned());
                }
            }
            Some(_) | None => {}
        }
    }
    let hosts = host_names(evidence, lookups);
    let mut all: BTreeMap<Address, Missing<'_>> = BTreeMap::new();
    for (from, names) in unknown {
        let is_found = |name: &str| known.get(&from).is_some_and(|known| known.contains(name));
        for (name, flow) in names {
            if let Some(domain) = directory_domain(&name) {
                // Windows asks for the domain of a controller's own name too, in vain.
                if !is_found(&format!("_.{domain}")) && !hosts.contains(domain) {
                    let missing = all.entry(from).or_default();
                    missing.domains.insert(domain.to_owned());
                    missing.flows.push(flow);
                }
            } else if let Some((host, domain)) = name.split_once('.')
                && domains.contains(domain)
                && !host.starts_with('_')
                && !TRIED_ANYWHERE.contains(&host)
                && !is_found(host)
            {
                let missing = all.entry(from).or_default();
                missing.hosts.insert(name.clone());
                missing.flows.push(flow);
            }
        }
    }
    all
}

/// Names of hosts, as far as anybody told, in lower case.
fn host_names(evidence: &Evidence<'_>, lookups: &[&JudgedFlow]) -> BTreeSet<String> {
    let known = evidence.hosts.iter().flat_map(|host| &host.names);
    let mut names: BTreeSet<String> = known.map(|name| name.to_ascii_lowercase()).collect();
    for flow in lookups.iter().filter(|flow| flow.service.code.as_deref() == Some("NOERROR")) {
        if let Some(("A" | "AAAA", name)) = question(flow) {
            names.insert(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_of_a_directory_is_what_follows_the_last_service_label() {
        for (name, domain) in [
            ("_ldap._tcp.dc._msdcs.child.corp.example", Some("child.corp.example")),
            ("_kerberos._udp.corp.example", Some("corp.example")),
            ("_ldap._tcp.site-1._sites.dc._msdcs.corp.example", Some("corp.example")),
            ("_gc._tcp.default-first-site-name._sites.corp.example", Some("corp.example")),
            ("_ldap._tcp.dc._msdcs.workgroup", None),
            ("_sip._tls.corp.example", None),
            ("dc1.corp.example", None),
        ] {
            assert_eq!(directory_domain(name), domain, "{name}");
        }
    }

    #[test]
    fn hostile_names_stay_out_of_sentences() {
        assert_eq!(shown("dc1.corp.example"), "dc1.corp.example");
        for name in ["", "<script>", "a b", "$(reboot).example", &"x".repeat(10_000)] {
            assert_eq!(shown(name), "a name that is none");
        }
    }
}
