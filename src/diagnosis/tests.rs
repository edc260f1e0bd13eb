use super::*;
use crate::capture::FrameNote;
use crate::matrix::sample::{address, failing, flow, refused_by, weak};
use crate::matrix::{Assessment, DEFAULT_PROFILE, GivenRole, Told, assess};
use crate::verdict::record::{
    EvidenceKind, EvidenceRecord, Origin, Sender, ServiceOutcome, Verdict,
};

const CAS: &str = "10.0.0.5";
const DC: &str = "10.1.0.10";

fn given() -> Vec<GivenRole> {
    let role =
        |role: &str, host: &str| GivenRole { role: role.to_owned(), hosts: vec![host.to_owned()] };
    vec![role("cas", CAS), role("child-dc", DC)]
}

fn diagnosed_by(
    matrix: &Matrix,
    given: &[GivenRole],
    names: &[(Address, String)],
    flows: &[JudgedFlow],
) -> (Vec<Finding>, Vec<FirewallRequest>) {
    let Assessment { hosts, sheet, unmatched, .. } =
        assess(matrix, given, Told { names, ..Told::default() }, flows);
    let diagnosis = diagnose(matrix, &sheet, &hosts, flows, &unmatched, Beside::default());
    (diagnosis.findings, diagnosis.requests)
}

fn diagnosed(flows: &[JudgedFlow]) -> (Vec<Finding>, Vec<FirewallRequest>) {
    diagnosed_by(&Matrix::built_in(DEFAULT_PROFILE).unwrap(), &given(), &[], flows)
}

fn call(id: u64, port: u16, verdict: Verdict) -> JudgedFlow {
    flow(id, CAS, DC, "tcp", port, verdict)
}

/// Findings as "severity kind", those about what nobody tried left out.
fn kinds(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .filter(|finding| finding.kind != "not_exercised")
        .map(|finding| format!("{} {}", finding.severity, finding.kind))
        .collect()
}

fn unreachable_by(sender: Sender, note: &str) -> JudgedFlow {
    let mut flow = call(1, 389, Verdict::Unreachable);
    flow.evidence.change(|packets| {
        for packet in packets.iter_mut().filter(|packet| packet.kind == EvidenceKind::Icmp) {
            packet.from = sender;
            packet.note = Some(note.to_owned());
        }
    });
    flow
}

/// A flow whose packets from this side the capturing machine dropped, all or the first.
fn dropped_here(mut flow: JudgedFlow, from: Sender, all: bool) -> JudgedFlow {
    let sent = flow.evidence.iter().filter(|packet| packet.from == from);
    let note = format!("{}: WHY, at WHERE", FrameNote::ON_ARRIVAL);
    let drops: Vec<EvidenceRecord> = sent
        .take(if all { usize::MAX } else { 1 })
        .map(|packet| EvidenceRecord {
            kind: EvidenceKind::Drop,
            note: Some(note.clone()),
            ..packet
        })
        .collect();
    flow.evidence.change(|packets| packets.extend(drops));
    flow
}

#[test]
fn what_the_capturing_machine_dropped_is_asked_of_nobody() {
    use Verdict::{NoReply, Refused, Unconfirmed};
    for (what, flows, expected, asked) in [
        (
            "dropped by the called host",
            vec![dropped_here(call(1, 389, NoReply), Sender::Initiator, true)],
            vec!["error dropped_here"],
            false,
        ),
        (
            "answers dropped by the caller",
            vec![dropped_here(call(1, 389, Unconfirmed), Sender::Responder, true)],
            vec!["error dropped_here"],
            false,
        ),
        (
            "one of three dropped by the called host",
            vec![dropped_here(call(1, 389, NoReply), Sender::Initiator, false)],
            vec!["error dropped"],
            true,
        ),
        (
            "one attempt dropped by the called host, one by nobody knows whom",
            vec![
                dropped_here(call(1, 389, NoReply), Sender::Initiator, true),
                call(2, 389, NoReply),
            ],
            vec!["error dropped_here", "error dropped"],
            true,
        ),
        (
            "dropped and refused by the called host",
            vec![dropped_here(
                refused_by(call(1, 389, Refused), Origin::Unknown),
                Sender::Initiator,
                true,
            )],
            vec!["error refused_by_host"],
            false,
        ),
    ] {
        let (findings, requests) = diagnosed(&flows);
        assert_eq!(kinds(&findings), expected, "{what}");
        assert_eq!(!requests.is_empty(), asked, "{what}");
        let blames = |finding: &Finding| finding.explanation.contains("the firewall blocks");
        assert!(!findings.iter().any(blames), "{what}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_failure_has_its_finding_and_only_a_rule_that_mends_is_asked_for() {
    use Verdict::{Established, HalfOpen, NoReply, Prohibited, Refused, Unconfirmed};
    let failed = |id| failing(call(id, 389, Established), ServiceOutcome::Failed);
    let silent = |id| failing(call(id, 389, Established), ServiceOutcome::Silent);
    let served = |id| failing(call(id, 389, Established), ServiceOutcome::Served);
    let refused = |id, origin| refused_by(call(id, 389, Refused), origin);
    for (what, flows, expected, asked) in [
        ("open", vec![call(1, 389, Established)], vec![], false),
        ("silence", vec![call(1, 389, NoReply)], vec!["error dropped"], true),
        ("silence, optional", vec![call(1, 53, NoReply)], vec!["warning dropped"], true),
        ("prohibited", vec![call(1, 389, Prohibited)], vec!["error prohibited"], true),
        ("refused by a device", vec![refused(1, Origin::Middlebox)], vec!["error refused"], true),
        ("refused by somebody", vec![refused(1, Origin::Unknown)], vec!["error refused"], true),
        (
            "refused by the host",
            vec![refused(1, Origin::Host)],
            vec!["error refused_by_host"],
            false,
        ),
        (
            "refused by the host and somebody",
            vec![refused(1, Origin::Host), refused(2, Origin::Unknown)],
            vec!["error refused_by_host"],
            false,
        ),
        (
            "port unreachable",
            vec![unreachable_by(Sender::Responder, "port unreachable")],
            vec!["error refused_by_host"],
            false,
        ),
        (
            "a router's port unreachable",
            vec![unreachable_by(Sender::Network, "port unreachable")],
            vec!["error refused"],
            true,
        ),
        (
            "host unreachable",
            vec![unreachable_by(Sender::Network, "host unreachable")],
            vec!["error unreachable"],
            false,
        ),
        ("unconfirmed", vec![call(1, 389, Unconfirmed)], vec!["error unconfirmed"], false),
        ("a failing service", vec![failed(1)], vec!["error service_failed"], false),
        ("a silent service", vec![silent(1)], vec!["warning service_silent"], false),
        ("a service that speaks once", vec![served(1), silent(2)], vec![], false),
        (
            "a service that failed once and works",
            vec![failed(1), served(2)],
            vec!["warning mixed"],
            false,
        ),
        (
            "a service that worked once and fails",
            vec![served(1), failed(2)],
            vec!["warning mixed"],
            false,
        ),
        ("a lone SYN", vec![weak(call(1, 389, NoReply))], vec!["info cannot_tell"], false),
        ("half open", vec![call(1, 389, HalfOpen)], vec!["info cannot_tell"], false),
        (
            "works again",
            vec![call(1, 389, NoReply), call(2, 389, Established)],
            vec!["warning mixed"],
            false,
        ),
        (
            "works no more",
            vec![call(1, 389, Established), call(2, 389, NoReply)],
            vec!["error mixed"],
            false,
        ),
        (
            "a part of a range",
            vec![call(1, 49_700, Established), call(2, 49_701, NoReply)],
            vec!["error mixed"],
            true,
        ),
        (
            "no listener is known",
            vec![flow(1, CAS, DC, "udp", 135, NoReply)],
            vec!["info dropped"],
            false,
        ),
        (
            "a failing service that is nobody's matter",
            vec![failing(flow(1, CAS, "10.9.9.9", "tcp", 80, Established), ServiceOutcome::Failed)],
            vec!["info other_failures"],
            false,
        ),
        (
            "nobody's matter",
            vec![flow(1, CAS, "10.9.9.9", "tcp", 80, NoReply)],
            vec!["info other_failures"],
            false,
        ),
    ] {
        let (findings, requests) = diagnosed(&flows);
        assert_eq!(kinds(&findings), expected, "{what}");
        assert_eq!(!requests.is_empty(), asked, "{what}");
        for finding in &findings {
            assert!(FindingKind::ALL.iter().any(|kind| kind.as_str() == finding.kind));
            assert!(!finding.title.is_empty() && !finding.next_step.is_empty());
            assert!(!finding.title.ends_with('.') && !finding.title.contains('\n'));
            let blames = finding.explanation.contains("the firewall blocks");
            assert!(!blames && !finding.explanation.is_empty());
            let asks = finding.next_step.contains("firewall requests of this report");
            assert!(!asks || asked, "{what}: {}", finding.next_step);
        }
    }
}

#[test]
fn a_service_that_wavers_is_no_matter_of_the_path() {
    let mut failed = call(2, 389, Verdict::Established);
    failed.service.outcome = ServiceOutcome::Failed;
    failed.service.code = Some("strongerAuthRequired".into());
    let (findings, _) = diagnosed(&[call(1, 389, Verdict::Established), failed]);
    assert_eq!(
        findings[0].title,
        "10.0.0.5 (cas) reaches 10.1.0.10 (child-dc), and the service fails in some attempts, on \
         LDAP (tcp/389)"
    );
    let explanation = &findings[0].explanation;
    assert!(!explanation.contains("rule that was changed"), "{explanation}");
    assert!(explanation.contains("the service answered strongerAuthRequired"), "{explanation}");
}

/// The reset of the article: sequence number 251831252, and the window of the SYN.
#[test]
fn a_refusal_that_a_device_may_have_made_up_says_by_what_signs() {
    let mut refused = refused_by(call(1, 389, Verdict::Refused), Origin::Middlebox);
    refused.origin_reasons = thin_vec::thin_vec![
        "the reset in frame 11 has sequence number 251831252".into(),
        "its window 8192 is that of the SYN in frame 10".into(),
    ];
    let (findings, requests) = diagnosed(&[refused]);
    let told = &findings[0].explanation;
    let signs = "The reset in frame 11 has sequence number 251831252; its window 8192 is that of \
                 the SYN in frame 10. So a device on the way may have made it up";
    assert!(told.contains(signs), "{told}");
    assert!(!told.contains("on which nothing listens"), "{told}");
    assert_eq!(requests.len(), 1);
    // Without signs both readings stay open.
    let plain = refused_by(call(1, 389, Verdict::Refused), Origin::Unknown);
    assert!(diagnosed(&[plain]).0[0].explanation.contains("on which nothing listens"));
}

#[test]
fn failures_of_one_pair_are_one_finding() {
    let mut flows: Vec<JudgedFlow> = [135, 3268, 53, 88, 389]
        .into_iter()
        .zip(1..)
        .map(|(port, id)| call(id, port, Verdict::NoReply))
        .collect();
    flows.push(call(6, 445, Verdict::Established));
    let (findings, requests) = diagnosed(&flows);
    assert_eq!(kinds(&findings), ["error dropped"]);
    let finding = &findings[0];
    assert_eq!(finding.flows, [1, 2, 3, 4, 5]);
    assert_eq!(finding.cells.len(), 5);
    assert_eq!(
        finding.title,
        "10.0.0.5 (cas) gets no answer from 10.1.0.10 (child-dc) on Kerberos (tcp/88), RPC \
         endpoint mapper (tcp/135), LDAP (tcp/389), Global Catalog LDAP (tcp/3268) and DNS \
         (tcp/53, optional)"
    );
    let up = "10.1.0.10 did answer 10.0.0.5 on tcp/445 (SYN in frame 60, SYN-ACK in frame 61), \
              so it is up and there is a way to it";
    assert!(finding.explanation.contains(up), "{}", finding.explanation);
    let ports: Vec<&str> = requests.iter().map(|request| request.ports.as_str()).collect();
    assert_eq!(ports, ["53", "88", "135", "389", "3268"]);
    assert_eq!(
        requests[2].reason,
        "1 attempt without an answer: SYN in frame 10, sent again in 11 and 12, no answer; RPC \
         endpoint mapper is required"
    );
}

#[test]
fn only_dynamic_rpc_is_asked_for_in_both_directions_and_once() {
    let flows = [
        call(1, 49_155, Verdict::NoReply),
        flow(2, DC, CAS, "tcp", 50_001, Verdict::NoReply),
        call(3, 389, Verdict::NoReply),
    ];
    let (_, requests) = diagnosed(&flows);
    let asked: Vec<(&str, &str, &[u64])> = requests
        .iter()
        .map(|request| (&*request.ports, &*request.direction, &*request.flows))
        .collect();
    let dynamic: (&str, &str, &[u64]) = ("49152-65535", "both", &[1, 2]);
    assert_eq!(asked, [("389", "one-way", &[3][..]), dynamic]);
    assert_eq!(requests[1].source, address(CAS));
}

#[test]
fn a_request_for_both_directions_is_told_in_the_way_of_its_row() {
    // The domain controller called, and nobody the other way.
    let flows = [flow(1, DC, CAS, "tcp", 50_001, Verdict::NoReply)];
    let (_, requests) = diagnosed(&flows);
    assert_eq!((requests[0].source, requests[0].destination), (address(CAS), address(DC)));
    assert_eq!((&*requests[0].direction, &*requests[0].flows), ("both", &[1][..]));
}

fn rule_set(flows: &[JudgedFlow], rpc_range: &[PortRange]) -> RuleSet {
    let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
    let roles = [
        GivenRole { role: "cas".to_owned(), hosts: vec![CAS.to_owned()] },
        GivenRole {
            role: "child-dc".to_owned(),
            hosts: vec![DC.to_owned(), "10.1.0.11".to_owned()],
        },
    ];
    let Assessment { hosts, sheet, .. } = assess(&matrix, &roles, Told::default(), flows);
    let beside = Beside { rpc_range, ..Beside::default() };
    diagnose(&matrix, &sheet, &hosts, flows, &[], beside).rule_set
}

#[test]
fn rules_are_checked_against_every_attempt() {
    let other = |id, port, verdict| flow(id, CAS, "10.1.0.11", "tcp", port, verdict);
    let flows = [
        call(1, 389, Verdict::NoReply),
        call(2, 389, Verdict::NoReply),
        other(3, 389, Verdict::NoReply),
        call(4, 53, Verdict::NoReply),
        other(5, 53, Verdict::NoReply),
        // No rule mends what the host itself refuses, and nothing opens what works.
        refused_by(call(6, 445, Verdict::Refused), Origin::Host),
        other(7, 445, Verdict::Established),
    ];
    let RuleSet { rules, check } = rule_set(&flows, &[]);
    assert_eq!(check, RuleCheck { mendable: 5, mended: 5, opened_unasked: 0 });
    let [rule] = rules.as_slice() else { panic!("{rules:?}") };
    assert_eq!((rule.sources.len(), rule.destinations.len()), (1, 2));
    let ports: Vec<(&str, &str)> =
        rule.ports.iter().map(|ports| (&*ports.ports, &*ports.service)).collect();
    assert_eq!(ports, [("53", "DNS (optional)"), ("389", "LDAP")]);
    assert_eq!(
        rule.reason,
        "5 attempts without an answer; the first: SYN in frame 10, sent again in 11 and 12, \
         no answer"
    );
    assert_eq!(rule.requests, [0, 1, 2, 3]);
}

#[test]
fn what_the_range_of_rpc_mends_is_no_attempt_that_a_rule_can_mend() {
    let range: PortRange = "50000-50100".parse().unwrap();
    let flows = [call(1, 50_001, Verdict::NoReply), call(2, 49_155, Verdict::NoReply)];
    let RuleSet { rules, check } = rule_set(&flows, &[range]);
    assert_eq!(rules[0].ports[0].ports, "50000-50100");
    assert_eq!(check, RuleCheck { mendable: 1, mended: 1, opened_unasked: 0 });
}

#[test]
fn a_failure_is_cleared_by_an_open_alternative() {
    let row = |id: &str, port: u16| {
        format!(
            "[[requirement]]\nid = \"{id}\"\nservice = \"SMB\"\nfrom = \"site-server\"\n\
             to = \"domain-controller\"\ntransport = \"tcp\"\nports = [{port}]\n\
             one_of = \"smb\"\n"
        )
    };
    let text = format!("{}{}", row("smb", 445), row("netbios", 139));
    let matrix = Matrix::parse(&text, "site.toml").unwrap();
    let flows = [call(1, 445, Verdict::Established), call(2, 139, Verdict::NoReply)];
    let (findings, requests) = diagnosed_by(&matrix, &given(), &[], &flows);
    assert_eq!(kinds(&findings), ["info alternative_open"]);
    assert_eq!(requests, []);
    let flows = [
        call(1, 445, Verdict::NoReply),
        call(2, 139, Verdict::NoReply),
        call(3, 80, Verdict::Established),
    ];
    let (findings, requests) = diagnosed_by(&matrix, &given(), &[], &flows);
    assert_eq!(kinds(&findings), ["error dropped"]);
    assert_eq!(requests.len(), 2);
}

#[test]
fn frames_are_told_with_their_capture_where_there_are_several() {
    let mut flows = [call(1, 389, Verdict::NoReply), call(2, 445, Verdict::Established)];
    flows[1].capture = 1;
    let (_, requests) = diagnosed(&flows);
    let frames = "SYN in frame 10, sent again in 11 and 12 of the 1st capture, no answer";
    assert!(requests[0].reason.contains(frames), "{}", requests[0].reason);
}

#[test]
fn nothing_tried_comes_with_the_command_that_tries_it() {
    let (findings, requests) = diagnosed(&[]);
    assert_eq!(requests, []);
    let finding = findings.iter().find(|finding| finding.kind == "not_exercised").unwrap();
    let command = "53,88,135,389,445,3268 | ForEach-Object { Test-NetConnection \
                   -ComputerName 10.1.0.10 -Port $_ }";
    assert!(finding.next_step.contains(command), "{}", finding.next_step);
    // Twelve rows one way, and dynamic RPC over TCP and UDP the other.
    assert_eq!(finding.cells.len(), 14);
}

#[test]
fn roles_that_are_missing_inferred_or_unknown_are_told() {
    let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
    let web = [flow(1, CAS, DC, "tcp", 80, Verdict::Established)];
    let (findings, _) = diagnosed_by(&matrix, &[], &[], &web);
    assert_eq!(kinds(&findings), ["info no_roles"], "nothing failed");
    let options = "--role site-server=ADDRESS --role domain-controller=ADDRESS";
    assert!(findings[0].next_step.contains(options));

    let (findings, _) = diagnosed_by(&matrix, &[], &[], &[]);
    assert_eq!(findings[0].title, "the captures hold no flow to judge");

    let members = [call(1, 389, Verdict::Established), call(2, 88, Verdict::Established)];
    let (findings, _) = diagnosed_by(&matrix, &[], &[], &members);
    assert_eq!(kinds(&findings), ["info roles_inferred"]);
    assert!(findings[0].explanation.starts_with(
        "10.1.0.10 as domain-controller (addressed on 88 and 389 by 10.0.0.5; answered on 88 \
         and 389) and 10.0.0.5 as domain-member"
    ));
    assert!(findings[0].next_step.contains(options));

    let unknown = [GivenRole { role: "cas".to_owned(), hosts: vec!["cas01".to_owned()] }];
    let (findings, _) = diagnosed_by(&matrix, &unknown, &[], &web);
    assert_eq!(kinds(&findings), ["warning role_name_unknown", "info no_roles"]);
    assert_eq!(findings[0].title, "no capture shows \"cas01\" (cas)");
}

#[test]
fn hostile_names_stay_out_of_sentences_and_commands() {
    let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
    let flows = [call(1, 389, Verdict::NoReply)];
    for name in [
        "x; Remove-Item C:\\",
        "\u{1b}[2J",
        "<script>",
        "=cmd|' /C calc'!A0",
        "10.9.9.9",
        "$(reboot)",
        "",
        "a\nb",
        &"x".repeat(100_000),
    ] {
        let names = [(address(DC), name.to_owned())];
        let (findings, requests) = diagnosed_by(&matrix, &given(), &names, &flows);
        let all = format!("{findings:?}{requests:?}");
        assert!(name.is_empty() || !all.contains(&format!("{name:?}")[1..name.len().min(9)]));
        assert!(all.contains("(cas) gets no answer from 10.1.0.10 (child-dc) on LDAP"));
        assert!(all.len() < 20_000);
    }
    let names = [(address(DC), "ROOTDC1.corp.example".to_owned())];
    let (findings, _) = diagnosed_by(&matrix, &given(), &names, &flows);
    assert!(findings[0].title.contains("from ROOTDC1.corp.example (10.1.0.10, child-dc) on"));
    let untried = findings.iter().find(|finding| finding.kind == "not_exercised").unwrap();
    assert!(untried.next_step.contains("-ComputerName 10.1.0.10 "), "{}", untried.next_step);
}

#[test]
fn many_flows_make_short_sentences() {
    let flows: Vec<JudgedFlow> =
        (1..=5000_u16).map(|id| call(id.into(), 49_152 + id, Verdict::NoReply)).collect();
    let (findings, requests) = diagnosed(&flows);
    assert_eq!(findings[0].flows.len(), 5000);
    assert!(findings[0].explanation.len() < 2000 && findings[0].title.len() < 500);
    assert_eq!(requests.len(), 1);
    assert!(requests[0].reason.starts_with("5000 attempts without an answer; the first: SYN"));
}
