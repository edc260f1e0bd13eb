//! Findings about remote procedure calls: ports that the endpoint mapper announced and that cannot
//! be reached, services that it does not know, ports outside the configured range, and addresses
//! that were not the ones called.

use crate::net::Address;
use std::collections::{BTreeMap, BTreeSet};

use crate::capture::Severity;
use crate::diagnosis::cause::{Weight, cause_of, is_mendable};
use crate::diagnosis::wording::Words;
use crate::diagnosis::{Evidence, Finding, FindingKind, Ids, Table};
use crate::matrix::{count_of, is_weak, list_of, seen, then};
use crate::net::{FrameNumber, Transport};
use crate::probe::Interface;
use crate::verdict::FIXED_RPC_PORTS;
use crate::verdict::record::{AnnouncementRecord, Class, JudgedFlow};

/// Ports, interfaces and addresses that a sentence names.
const NAMED: usize = 4;

/// Flows that a finding lists.
const MOST_FLOWS: usize = 50;

/// Frames that say the same, with their flows.
type Frames<'a> = Vec<(&'a JudgedFlow, FrameNumber)>;

/// Name of the interface, where it was seen first (announced, else called), and in which flow.
type Ports = BTreeMap<(Transport, u16), (String, String, u64)>;

/// Flows to announced ports that something on the way kept from arriving. One finding tells them,
/// and no other need to.
pub(super) fn unreached(evidence: &Evidence<'_>) -> Vec<u64> {
    let flows = evidence.flows.iter().copied();
    let failed = flows.filter(|flow| {
        flow.rpc.as_ref().is_some_and(|rpc| rpc.announced_frame.is_some())
            && !FIXED_RPC_PORTS.contains(&flow.responder.port)
            && cause_of(flow).is_some_and(is_mendable)
            && !is_weak(flow)
    });
    let failed: Vec<&JudgedFlow> = failed.collect();
    let mut called: Table<_, bool> = failed.iter().map(|flow| (key(flow), false)).collect();
    if called.is_empty() {
        return Vec::new();
    }
    for flow in evidence.flows.iter().filter(|flow| flow.class == Class::Success) {
        if let Some(is_reached) = called.get_mut(&key(flow)) {
            *is_reached = true;
        }
    }
    let unreached = failed.iter().filter(|flow| called.get(&key(flow)) == Some(&false));
    unreached.map(|flow| flow.id).collect()
}

/// Who calls whom, and where.
fn key(flow: &JudgedFlow) -> (Address, Address, Transport, u16) {
    (flow.initiator.address, flow.responder.address, flow.transport, flow.responder.port)
}

pub(super) fn findings(
    evidence: &Evidence<'_>,
    words: &Words<'_, '_>,
    unreached: &[u64],
    asked: &Ids,
) -> Vec<(FindingKind, Finding)> {
    let mut findings = Vec::new();
    findings.extend(ports_not_reached(evidence, words, unreached, asked));
    findings.extend(not_registered(evidence, words));
    findings.extend(outside_range(evidence, words));
    findings.extend(other_addresses(evidence, words));
    findings
}

/// A finding without cells.
fn finding(
    kind: FindingKind,
    title: String,
    explanation: String,
    mut flows: Vec<u64>,
    next_step: String,
) -> (FindingKind, Finding) {
    flows.sort_unstable();
    flows.dedup();
    flows.truncate(MOST_FLOWS);
    let plain = Finding::of(kind, Severity::Warning);
    (kind, Finding { title, explanation, flows, next_step, ..plain })
}

/// The cells that some flows are in, by their places in the sheet.
struct Cells(Table<u64, Vec<usize>>);

impl Cells {
    fn of(evidence: &Evidence<'_>, flows: &[u64]) -> Cells {
        let mut cells: Table<u64, Vec<usize>> =
            flows.iter().map(|flow| (*flow, Vec::new())).collect();
        if !cells.is_empty() {
            for (index, cell) in evidence.sheet.cells.iter().enumerate() {
                for flow in &cell.flows {
                    if let Some(places) = cells.get_mut(flow) {
                        places.push(index);
                    }
                }
            }
        }
        Cells(cells)
    }

    /// Each once, in the order of the sheet.
    fn of_flows(&self, flows: impl Iterator<Item = u64>) -> Vec<usize> {
        let places = flows.filter_map(|flow| self.0.get(&flow)).flatten().copied();
        places.collect::<BTreeSet<usize>>().into_iter().collect()
    }
}

fn ports_not_reached(
    evidence: &Evidence<'_>,
    words: &Words<'_, '_>,
    unreached: &[u64],
    asked: &Ids,
) -> Vec<(FindingKind, Finding)> {
    let mut pairs: BTreeMap<(Address, Address), Vec<&JudgedFlow>> = BTreeMap::new();
    for flow in unreached.iter().filter_map(|id| evidence.flow(*id)) {
        pairs.entry((flow.initiator.address, flow.responder.address)).or_default().push(flow);
    }
    let weights = &evidence.weights;
    let cells = Cells::of(evidence, unreached);
    let mut findings = Vec::new();
    for ((from, to), flows) in pairs {
        let mut ports: BTreeMap<(Transport, u16), Vec<&JudgedFlow>> = BTreeMap::new();
        for flow in &flows {
            ports.entry((flow.transport, flow.responder.port)).or_default().push(flow);
        }
        let named: Vec<String> = ports
            .iter()
            .filter_map(|((transport, port), flows)| {
                let flow = flows.first()?;
                Some(format!("{transport}/{port} ({})", interface_of(flow)))
            })
            .collect();
        let told: Vec<String> = ports
            .values()
            .take(NAMED)
            .filter_map(|flows| {
                let flow = flows.first()?;
                let announced = announced_in(evidence, flow);
                let again = match flows.len() {
                    1 => String::new(),
                    count => format!(", and {} more", count_of(count - 1, "attempt")),
                };
                let (interface, seen) = (interface_of(flow), seen(flow, evidence.several));
                Some(format!("{interface}: {announced}, then {seen}{again}"))
            })
            .collect();
        let silent = flows.iter().all(|flow| cause_of(flow) == Some(FindingKind::Dropped));
        let verb = if silent { "gets no answer from" } else { "is refused by" };
        let (caller, host) = (words.titled(from), words.titled(to));
        let ids: Vec<u64> = flows.iter().map(|flow| flow.id).collect();
        let is_asked = ids.iter().any(|id| asked.contains(id));
        let ask = if is_asked {
            "ask for the firewall requests of this report: the whole range, because the port \
             changes when the host restarts; or "
        } else {
            "permit the dynamic range on the way; or "
        };
        let meaning = "The endpoint mapper answered, so the host is up and was reached on port 135. \
                       A firewall that lets 135 through and not the dynamic ports looks like this";
        let (kind, mut found) = finding(
            FindingKind::RpcPortDropped,
            format!(
                "{caller} {verb} {host} on {}, which the endpoint mapper announced",
                list_of(&named, NAMED)
            ),
            then(&told.join("; "), meaning),
            ids,
            format!("{ask}give the service a fixed port on {to}, and permit that"),
        );
        found.cells = cells.of_flows(flows.iter().map(|flow| flow.id));
        for cell in found.cells.iter().filter_map(|index| evidence.sheet.cells.get(*index)) {
            if weights.weight(cell) == Weight::Required {
                found.severity = Severity::Error;
            }
            let symptom = weights.requirement(cell).and_then(|row| row.symptom.as_ref());
            if let Some(symptom) = symptom.filter(|_| found.symptom.is_none()) {
                found.symptom = Some(format!("without {}: {symptom}", cell.service));
            }
        }
        findings.push((kind, found));
    }
    findings
}

/// The interface that a port was announced for.
fn interface_of(flow: &JudgedFlow) -> &str {
    let rpc = flow.rpc.as_ref();
    rpc.and_then(|rpc| rpc.interface.as_deref().or(rpc.uuid.as_deref())).unwrap_or("RPC")
}

fn announced_in(evidence: &Evidence<'_>, flow: &JudgedFlow) -> String {
    let Some(rpc) = &flow.rpc else { return String::new() };
    let frame = rpc.announced_frame.unwrap_or(FrameNumber(0));
    match rpc.endpoint_mapper_flow.filter(|_| evidence.several) {
        Some(mapper) => format!("announced in frame {frame} of flow {mapper}"),
        None => format!("announced in frame {frame}"),
    }
}

fn not_registered(evidence: &Evidence<'_>, words: &Words<'_, '_>) -> Vec<(FindingKind, Finding)> {
    // What was announced later was only starting.
    let mut announced: BTreeMap<(Address, &str), (usize, FrameNumber)> = BTreeMap::new();
    for flow in &evidence.flows {
        for record in &flow.announced {
            let name = record.interface.as_deref().or(record.uuid.as_deref()).unwrap_or_default();
            let newest = announced.entry((flow.responder.address, name)).or_default();
            *newest = (*newest).max((flow.capture, record.frame));
        }
    }
    let mut hosts: BTreeMap<Address, BTreeMap<&str, Frames<'_>>> = BTreeMap::new();
    for flow in &evidence.flows {
        for record in &flow.not_registered {
            let key = (flow.responder.address, record.interface.as_str());
            let later = announced.get(&key);
            if later.is_none_or(|&newest| newest < (flow.capture, record.frame)) {
                let interfaces = hosts.entry(flow.responder.address).or_default();
                interfaces.entry(&record.interface).or_default().push((flow, record.frame));
            }
        }
    }
    let mut findings = Vec::new();
    for (to, interfaces) in hosts {
        let named: Vec<String> = interfaces.keys().map(|name| (*name).to_owned()).collect();
        let told: Vec<String> = interfaces
            .iter()
            .take(NAMED)
            .filter_map(|(name, asked)| {
                let (flow, frame) = asked.first()?;
                let purpose = Interface::named(name)
                    .map(|interface| format!(" ({})", interface.purpose))
                    .unwrap_or_default();
                let from = words.host(flow.initiator.address);
                let times = match asked.len() {
                    1 => String::new(),
                    count => format!(", the first of {count} times"),
                };
                let place =
                    if evidence.several { format!(" of flow {}", flow.id) } else { String::new() };
                Some(format!("{name}{purpose}: said to {from} in frame {frame}{place}{times}"))
            })
            .collect();
        let flows = interfaces.values().flatten().map(|(flow, _)| flow.id).collect();
        let found = finding(
            FindingKind::EndpointNotRegistered,
            format!(
                "the endpoint mapper of {} knows no endpoint of {}",
                words.titled(to),
                list_of(&named, NAMED)
            ),
            then(
                &told.join("; "),
                "Port 135 works and the endpoint mapper answers, so this is no matter of ports: \
                 the service behind the interface is stopped, still starting, or none of this host",
            ),
            flows,
            format!(
                "check on {to} that the service runs; and that the name which was called leads to \
                 the right host"
            ),
        );
        findings.push(found);
    }
    let all: Vec<u64> = findings.iter().flat_map(|(_, found)| &found.flows).copied().collect();
    let cells = Cells::of(evidence, &all);
    for (_, found) in &mut findings {
        found.cells = cells.of_flows(found.flows.iter().copied());
    }
    findings
}

fn outside_range(evidence: &Evidence<'_>, words: &Words<'_, '_>) -> Vec<(FindingKind, Finding)> {
    if evidence.rpc_range.is_empty() {
        return Vec::new();
    }
    let is_outside = |port: u16| {
        !FIXED_RPC_PORTS.contains(&port)
            && !evidence.rpc_range.iter().any(|range| range.contains(port))
    };
    let mut hosts: BTreeMap<Address, Ports> = BTreeMap::new();
    for flow in &evidence.flows {
        for record in flow.announced.iter().filter(|record| is_outside(record.port)) {
            let ports = hosts.entry(flow.responder.address).or_default();
            let name = name_of(record);
            let place = format!("announced in frame {}", record.frame);
            ports.entry((record.transport, record.port)).or_insert((name, place, flow.id));
        }
    }
    for flow in evidence.flows.iter().filter(|flow| is_outside(flow.responder.port)) {
        if flow.rpc.as_ref().is_some_and(|rpc| rpc.bound) {
            let ports = hosts.entry(flow.responder.address).or_default();
            let name = interface_of(flow).to_owned();
            let place = format!("called from frame {} on", flow.first_frame);
            let at = (flow.transport, flow.responder.port);
            ports.entry(at).or_insert((name, place, flow.id));
        }
    }
    let range: Vec<String> = evidence.rpc_range.iter().map(ToString::to_string).collect();
    let range = list_of(&range, NAMED);
    let mut findings = Vec::new();
    for (host, ports) in hosts {
        let named: Vec<String> = ports
            .iter()
            .map(|((transport, port), (name, ..))| format!("{transport}/{port} ({name})"))
            .collect();
        let told: Vec<String> = ports
            .iter()
            .take(NAMED)
            .map(|((transport, port), (name, place, flow))| {
                let of = if evidence.several { format!(" (flow {flow})") } else { String::new() };
                format!("{transport}/{port} for {name}: {place}{of}")
            })
            .collect();
        findings.push(finding(
            FindingKind::RpcOutsideRange,
            format!(
                "{} uses {} outside of {range} for RPC: {}",
                words.titled(host),
                if ports.len() == 1 { "a port".to_owned() } else { format!("{} ports", ports.len()) },
                list_of(&named, NAMED)
            ),
            then(
                &told.join("; "),
                "Where the firewalls on the way permit the given range only, these ports cannot be \
                 reached. The host was not told of the range, was not restarted since, or the \
                 service has a setting of its own",
            ),
            ports.values().map(|(_, _, flow)| *flow).collect(),
            format!(
                "set the range on {host} (netsh interface ipv4 set dynamicport, or the Internet key \
                 of RPC) or the fixed port of the service (of NTDS and Netlogon: values below their \
                 Parameters keys), and restart it"
            ),
        ));
    }
    findings
}

fn name_of(record: &AnnouncementRecord) -> String {
    record.interface.clone().or(record.uuid.clone()).unwrap_or_default()
}

/// Hosts that announce addresses none of which was called.
fn other_addresses(evidence: &Evidence<'_>, words: &Words<'_, '_>) -> Vec<(FindingKind, Finding)> {
    let mut hosts: BTreeMap<Address, (BTreeSet<Address>, Frames<'_>)> = BTreeMap::new();
    for flow in &evidence.flows {
        let called = flow.responder.address;
        let mut answers: BTreeMap<FrameNumber, BTreeSet<Address>> = BTreeMap::new();
        for record in &flow.announced {
            // A tower has no room for IPv6.
            let address = record.address.filter(|it| it.is_ipv6() == called.is_ipv6());
            if let Some(address) =
                address.filter(|address| !address.ip().is_some_and(|ip| ip.is_loopback()))
            {
                answers.entry(record.frame).or_default().insert(address);
            }
        }
        for (frame, addresses) in answers {
            if !addresses.contains(&called) {
                let (all, frames) = hosts.entry(called).or_default();
                all.extend(addresses);
                frames.push((flow, frame));
            }
        }
    }
    let mut findings = Vec::new();
    for (called, (addresses, frames)) in hosts {
        let Some((first, frame)) = frames.first() else { continue };
        let named: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let named = list_of(&named, NAMED);
        let place = if evidence.several { format!(" of flow {}", first.id) } else { String::new() };
        findings.push(finding(
            FindingKind::RpcAddressDiffers,
            format!(
                "{} announces its services at {named}, and was called at {called}",
                words.titled(called)
            ),
            then(
                &format!("told in frame {frame}{place}"),
                "A device that translates addresses between the two looks like this; so does a host \
                 with several addresses. Plain calls go to the address that was called, and are \
                 linked with the announcement here; calls of DCOM objects (WMI among them) go to \
                 the announced one",
            ),
            frames.iter().map(|(flow, _)| flow.id).collect(),
            format!(
                "check that {named} can be reached from {}, or that no address is translated on \
                 the way",
                words.host(first.initiator.address)
            ),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::{Beside, Diagnosis, diagnose};
    use crate::matrix::sample::{announced, flow};
    use crate::matrix::{DEFAULT_PROFILE, GivenRole, Matrix, PortRange, Told, assess};
    use crate::verdict::record::{NotRegisteredRecord, RpcRecord, Verdict};

    const CAS: &str = "10.0.0.5";
    const DC: &str = "10.1.0.10";

    /// Findings as "severity kind title", those about what nobody tried left out, and the ports
    /// asked for. Without roles where there are none.
    fn diagnosed(
        has_roles: bool,
        flows: &[JudgedFlow],
        range: &[PortRange],
    ) -> (Vec<String>, Vec<String>) {
        let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
        let role = |role: &str, host: &str| GivenRole {
            role: role.to_owned(),
            hosts: vec![host.to_owned()],
        };
        let given = if has_roles { vec![role("cas", CAS), role("child-dc", DC)] } else { vec![] };
        let found = assess(&matrix, &given, Told::default(), flows);
        let beside = Beside { rpc_range: range, ..Beside::default() };
        let Diagnosis { findings, requests, .. } =
            diagnose(&matrix, &found.sheet, &found.hosts, flows, &found.unmatched, beside);
        let told = findings
            .iter()
            .filter(|it| !["not_exercised", "no_roles"].contains(&it.kind.as_str()))
            .map(|it| format!("{} {}: {}", it.severity, it.kind, it.title));
        (told.collect(), requests.into_iter().map(|request| request.ports).collect())
    }

    fn mapper(id: u64) -> JudgedFlow {
        flow(id, CAS, DC, "tcp", 135, Verdict::Established)
    }

    fn announcing(id: u64, frame: u64, port: u16, address: &str) -> JudgedFlow {
        let mut flow = mapper(id);
        flow.announced.push(AnnouncementRecord {
            frame: FrameNumber(frame),
            interface: Some("DRSUAPI".to_owned()),
            uuid: Some("e3514235-4b06-11d1-ab04-00c04fc2dcd2".to_owned()),
            transport: Transport::Tcp,
            address: address.parse().ok(),
            port,
        });
        flow
    }

    fn call(id: u64, port: u16, verdict: Verdict) -> JudgedFlow {
        announced(flow(id, CAS, DC, "tcp", port, verdict), 12)
    }

    fn silent(from: &str, to: &str) -> String {
        format!(
            "{from} gets no answer from {to} on tcp/49155 (DRSUAPI), which the endpoint mapper \
             announced"
        )
    }

    #[test]
    fn an_announced_port_without_an_answer_is_told_once() {
        let flows = [mapper(1), call(2, 49_155, Verdict::NoReply)];
        let silent_of_roles = silent("10.0.0.5 (cas)", "10.1.0.10 (child-dc)");
        let told = format!("error rpc_port_dropped: {silent_of_roles}");
        assert_eq!(diagnosed(true, &flows, &[]), (vec![told], vec!["49152-65535".to_owned()]));
        let told = format!("warning rpc_port_dropped: {}", silent(CAS, DC));
        assert_eq!(diagnosed(false, &flows, &[]), (vec![told], vec![]), "also without roles");
    }

    #[test]
    fn an_announced_port_that_was_reached_is_no_such_finding() {
        for flows in [
            vec![call(1, 49_155, Verdict::Established)],
            vec![call(1, 49_155, Verdict::NoReply), call(2, 49_155, Verdict::Established)],
        ] {
            let (findings, _) = diagnosed(true, &flows, &[]);
            assert!(!findings.iter().any(|it| it.contains("rpc_port_dropped")), "{findings:?}");
        }
    }

    #[test]
    fn a_port_outside_of_every_range_is_asked_for_alone() {
        let (_, asked) = diagnosed(true, &[call(1, 5722, Verdict::NoReply)], &[]);
        assert_eq!(asked, ["5722"]);
    }

    #[test]
    fn what_the_endpoint_mapper_does_not_know_is_a_matter_of_the_service() {
        let unknown = |id, frame| {
            let mut flow = mapper(id);
            let interface = "DRSUAPI".to_owned();
            flow.not_registered.push(NotRegisteredRecord { frame: FrameNumber(frame), interface });
            flow
        };
        let told = "warning endpoint_not_registered: the endpoint mapper of 10.1.0.10 (child-dc) \
                    knows no endpoint of DRSUAPI";
        assert_eq!(diagnosed(true, &[unknown(1, 12)], &[]), (vec![told.to_owned()], vec![]));
        let started = [unknown(1, 12), announcing(2, 24, 49_155, DC)];
        assert_eq!(diagnosed(true, &started, &[]).0, [""; 0], "it was only starting");
        let stopped = [announcing(1, 12, 49_155, DC), unknown(2, 24)];
        assert_eq!(diagnosed(true, &stopped, &[]).0, [told]);
    }

    #[test]
    fn ports_outside_of_the_given_range_are_told() {
        let range = |text: &str| vec![text.parse::<PortRange>().unwrap()];
        let flows = [announcing(1, 12, 49_155, DC)];
        assert_eq!(diagnosed(true, &flows, &range("49152-49200")).0, [""; 0]);
        let told = |range: &str, port: u16| {
            format!(
                "warning rpc_outside_range: 10.1.0.10 (child-dc) uses a port outside of {range} for \
                 RPC: tcp/{port} (DRSUAPI)"
            )
        };
        for text in ["50000-50100", "50000"] {
            assert_eq!(diagnosed(true, &flows, &range(text)).0, [told(text, 49_155)]);
        }
        let mut used = call(1, 49_160, Verdict::Established);
        used.rpc =
            used.rpc.map(|rpc| Box::new(RpcRecord { bound: true, announced_frame: None, ..*rpc }));
        assert_eq!(diagnosed(true, &[used], &range("50000")).0, [told("50000", 49_160)]);
    }

    #[test]
    fn a_rule_is_asked_for_the_given_range_only() {
        let range = ["50000-50100".parse::<PortRange>().unwrap()];
        let (_, asked) = diagnosed(true, &[call(1, 50_007, Verdict::NoReply)], &range);
        assert_eq!(asked, ["50000-50100"]);
    }

    #[test]
    fn an_announced_address_that_was_not_called_is_told() {
        let told = "warning rpc_address_differs: 10.1.0.10 (child-dc) announces its services at \
                    192.168.7.10, and was called at 10.1.0.10";
        let translated = announcing(1, 12, 49_155, "192.168.7.10");
        assert_eq!(diagnosed(true, std::slice::from_ref(&translated), &[]).0, [told]);
        for plain in [DC, "-", "fd00::10"] {
            let flows = [announcing(1, 12, 49_155, plain)];
            assert_eq!(diagnosed(true, &flows, &[]).0, [""; 0], "{plain}");
        }
        let mut several = translated;
        several.announced.extend(announcing(1, 12, 49_155, DC).announced);
        assert_eq!(diagnosed(true, &[several], &[]).0, [""; 0], "a host with two addresses");
    }
}
