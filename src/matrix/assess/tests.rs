//! What flows prove of a requirement, from made-up flows.

use super::*;
use crate::matrix::DEFAULT_PROFILE;
use crate::matrix::sample::{address, announced, failing, flow, weak};
use crate::verdict::record::{ServiceOutcome, Verdict};

const CAS: &str = "10.0.0.5";
const DC: &str = "10.1.0.10";

fn matrix() -> Matrix {
    Matrix::built_in(DEFAULT_PROFILE).unwrap()
}

fn role(role: &str, host: &str) -> GivenRole {
    GivenRole { role: role.to_owned(), hosts: vec![host.to_owned()] }
}

fn both() -> [GivenRole; 2] {
    [role("cas", CAS), role("child-dc", DC)]
}

fn judged(flows: &[JudgedFlow]) -> Assessment {
    assess(&matrix(), &both(), Told::default(), flows)
}

/// The cell of a row from the site server to the domain controller.
fn cell_of<'a>(assessment: &'a Assessment, row: &str) -> &'a Cell {
    let mut cells = assessment.sheet.cells.iter();
    cells.find(|cell| cell.requirement == row && cell.from.address == address(CAS)).unwrap()
}

fn ldap(id: u64, verdict: Verdict) -> JudgedFlow {
    flow(id, CAS, DC, "tcp", 389, verdict)
}

#[test]
fn each_outcome_follows_from_its_flows() {
    use Verdict::{Established, HalfOpen, NoReply, Prohibited, Refused, Unconfirmed};
    let failed = |id| failing(ldap(id, Established), ServiceOutcome::Failed);
    let reset = |id| failing(ldap(id, Established), ServiceOutcome::ResetBeforeAnswer);
    let silent = |id| failing(ldap(id, Established), ServiceOutcome::Silent);
    let lone = |id| weak(ldap(id, NoReply));
    for (what, flows, outcome) in [
        ("nothing", vec![], Outcome::NotExercised),
        ("a success", vec![ldap(1, Established)], Outcome::Open),
        ("a success of a silent service", vec![silent(1)], Outcome::Open),
        ("a success and a lone SYN", vec![ldap(1, Established), lone(2)], Outcome::Open),
        (
            "a success and one that does not tell",
            vec![ldap(1, Established), ldap(2, HalfOpen)],
            Outcome::Open,
        ),
        ("a timeout", vec![ldap(1, NoReply)], Outcome::Dropped),
        ("an unconfirmed handshake", vec![ldap(1, Unconfirmed)], Outcome::Dropped),
        ("two lone SYNs", vec![lone(1), lone(2)], Outcome::Dropped),
        ("a refusal", vec![ldap(1, Refused)], Outcome::Refused),
        ("an ICMP prohibition", vec![ldap(1, Prohibited)], Outcome::Refused),
        ("a refusal and a lone SYN", vec![ldap(1, Refused), lone(2)], Outcome::Refused),
        ("a refusal and a timeout", vec![ldap(1, NoReply), ldap(2, Refused)], Outcome::Refused),
        (
            "a refusal and two timeouts",
            vec![ldap(1, NoReply), ldap(2, Refused), ldap(3, NoReply)],
            Outcome::Dropped,
        ),
        ("a failing service", vec![failed(1)], Outcome::ServiceFailed),
        ("a service that resets", vec![reset(1), failed(2)], Outcome::ServiceFailed),
        ("a service that fails once", vec![ldap(1, Established), failed(2)], Outcome::Mixed),
        ("a success and a timeout", vec![ldap(1, Established), ldap(2, NoReply)], Outcome::Mixed),
        ("a failing service and a timeout", vec![failed(1), ldap(2, NoReply)], Outcome::Mixed),
        ("one that does not tell", vec![ldap(1, HalfOpen)], Outcome::CannotTell),
        ("one lone SYN", vec![lone(1)], Outcome::CannotTell),
        (
            "a lone SYN and one that does not tell",
            vec![lone(1), ldap(2, HalfOpen)],
            Outcome::CannotTell,
        ),
    ] {
        let assessment = judged(&flows);
        let cell = cell_of(&assessment, "ldap-tcp");
        assert_eq!(cell.outcome, outcome, "{what}");
        assert_eq!(cell.flows, flows.iter().map(|flow| flow.id).collect::<Vec<_>>());
        let ldap = assessment.requirement_of.iter();
        let ldap = ldap.filter(|row| **row == Some(5)).count();
        assert_eq!(ldap, flows.len(), "every flow exercises the sixth row, LDAP over TCP");
    }
}

#[test]
fn given_roles_show_every_requirement_both_ways_where_it_is_so() {
    let assessment = judged(&[]);
    // Twelve rows, and two of them the other way too.
    assert_eq!(assessment.sheet.cells.len(), 14);
    assert_eq!(assessment.sheet.not_exercised_unlisted, 0);
    assert_eq!(assessment.sheet.never_exercised.len(), 12);
    let back: Vec<&str> = assessment
        .sheet
        .cells
        .iter()
        .filter(|cell| cell.from.address == address(DC))
        .map(|cell| cell.requirement.as_str())
        .collect();
    assert_eq!(back, ["rpc-dynamic-tcp", "rpc-dynamic-udp"]);
    let first = &assessment.sheet.cells[0];
    assert_eq!((first.from.role.as_str(), first.to.role.as_str()), ("cas", "child-dc"));
    assert!(assessment.sheet.cells.is_sorted_by_key(|cell| (cell.from.address, cell.to.address)));
}

#[test]
fn a_row_with_a_condition_is_there_once_somebody_tried() {
    let matrix = Matrix::built_in("configmgr").unwrap();
    let given = [role("cas", CAS), role("sql-server", DC)];
    let rows = |flows: &[JudgedFlow]| -> Vec<(String, Option<String>)> {
        let assessment = assess(&matrix, &given, Told::default(), flows);
        assert_eq!(assessment.sheet.not_exercised_unlisted, 0);
        let never = assessment.sheet.never_exercised;
        assert_eq!(never, ["site-sql"], "no row with a condition, none of other roles");
        let cells = assessment.sheet.cells.into_iter();
        cells
            .map(|cell| (cell.requirement.to_string(), cell.condition.map(|it| it.to_string())))
            .collect()
    };
    assert_eq!(rows(&[]), [("site-sql".to_owned(), None)]);
    let tried = rows(&[flow(1, CAS, DC, "tcp", 445, Verdict::NoReply)]);
    let setup = "while a site with a remote database is set up, or for an availability group";
    let expected =
        [("site-sql".to_owned(), None), ("site-sql-smb".to_owned(), Some(setup.to_owned()))];
    assert_eq!(tried, expected);
}

#[test]
fn rows_that_say_the_same_of_two_hosts_are_one_cell() {
    let matrix = Matrix::built_in("configmgr").unwrap();
    let given = [
        role("primary", CAS),
        role("sms-provider", CAS),
        role("software-update-point", CAS),
        role("sql-server", DC),
    ];
    let sql = |id| flow(id, CAS, DC, "tcp", 1433, Verdict::NoReply);
    for flows in [vec![], vec![sql(1), sql(2)]] {
        let assessment = assess(&matrix, &given, Told::default(), &flows);
        let mut cells = assessment.sheet.cells.iter();
        let cell = cells.find(|cell| cell.to.address == address(DC)).unwrap();
        // The site server's, the provider's and, optional, the update point's.
        assert_eq!((cell.requirement.as_str(), cell.need.as_str()), ("site-sql", "required"));
        assert_eq!(cell.flows.len(), flows.len());
        assert!(cells.all(|cell| cell.service != "SQL Server"));
        assert_eq!(assessment.sheet.not_exercised_unlisted, 0);
        let never = &assessment.sheet.never_exercised;
        assert_eq!(never.iter().any(|row| row.ends_with("-sql")), flows.is_empty());
    }
}

#[test]
fn inferred_roles_are_the_wider_ones_too() {
    let matrix = Matrix::built_in("active-directory").unwrap();
    let flows = [
        ldap(1, Verdict::Established),
        flow(2, CAS, DC, "tcp", 88, Verdict::Established),
        flow(3, CAS, DC, "udp", 53, Verdict::Answered),
    ];
    let assessment = assess(&matrix, &[], Told::default(), &flows);
    let rows: Vec<&str> =
        assessment.sheet.cells.iter().map(|cell| cell.requirement.as_str()).collect();
    // A controller is a DNS server.
    assert_eq!(rows, ["kerberos-tcp", "ldap-tcp", "dns-udp"]);
    let evidence = assessment.hosts[0].roles[0].evidence.as_deref().unwrap();
    assert!(!evidence.contains("site server"), "the matrix knows none: {evidence}");
}

#[test]
fn inferred_pairs_list_what_was_exercised_and_count_the_rest() {
    let flows = [ldap(1, Verdict::Established), flow(2, CAS, DC, "tcp", 88, Verdict::NoReply)];
    let assessment = assess(&matrix(), &[], Told::default(), &flows);
    let rows: Vec<&str> =
        assessment.sheet.cells.iter().map(|cell| cell.requirement.as_str()).collect();
    assert_eq!(rows, ["kerberos-tcp", "ldap-tcp"]);
    assert_eq!(assessment.sheet.cells[0].from.role, "domain-member");
    assert_eq!(assessment.sheet.not_exercised_unlisted, 12);
    let member = &assessment.hosts[0];
    assert_eq!(member.address, address(CAS));
    let evidence = member.roles[0].evidence.as_deref().unwrap();
    assert!(evidence.ends_with("judged as a candidate site server, as none was given"));
}

#[test]
fn a_member_is_no_candidate_once_a_site_server_is_given() {
    let flows = [
        ldap(1, Verdict::Established),
        flow(2, CAS, DC, "tcp", 88, Verdict::NoReply),
        flow(3, "10.0.0.77", DC, "tcp", 88, Verdict::NoReply),
    ];
    let assessment = assess(&matrix(), &[role("primary", CAS)], Told::default(), &flows);
    assert_eq!(assessment.requirement_of, [Some(5), Some(1), None]);
    let roles: Vec<&str> =
        assessment.hosts.iter().map(|host| host.roles[0].role.as_str()).collect();
    assert_eq!(roles, ["primary", "domain-member", "domain-controller"]);
    assert!(assessment.hosts[1].roles[0].evidence.as_deref().unwrap().ends_with("on 88"));
}

#[test]
fn two_controllers_have_no_cells_between_them() {
    let other = "10.1.0.11";
    let flows: Vec<JudgedFlow> = [(DC, other, 389), (other, DC, 389), (DC, other, 49155)]
        .into_iter()
        .zip(1..)
        .map(|((from, to, port), id)| flow(id, from, to, "tcp", port, Verdict::NoReply))
        .collect();
    let given = [role("root-dc", DC), role("child-dc", other)];
    let assessment = assess(&matrix(), &given, Told::default(), &flows);
    assert_eq!(assessment.sheet.cells, []);
    assert_eq!(assessment.requirement_of, [None; 3]);
}

#[test]
fn a_host_is_never_judged_against_itself() {
    let given = [role("cas", CAS), role("root-dc", CAS)];
    let flows = [flow(1, CAS, CAS, "tcp", 389, Verdict::Established)];
    let assessment = assess(&matrix(), &given, Told::default(), &flows);
    assert_eq!(assessment.sheet.cells, []);
    assert_eq!(assessment.sheet.not_exercised_unlisted, 0);
}

#[test]
fn dynamic_ports_count_where_no_other_service_has_them() {
    let call = |id, from, to, port| flow(id, from, to, "tcp", port, Verdict::Established);
    let mut answer = call(7, DC, CAS, 50_000);
    answer.initiator.port = 389;
    let flows = [
        call(1, CAS, DC, 49_155),
        call(2, CAS, DC, 1026),
        call(3, DC, CAS, 52_000),
        call(4, CAS, DC, 3268),
        call(5, CAS, DC, 3389),
        call(6, CAS, DC, 8080),
        answer,
    ];
    let assessment = judged(&flows);
    let rows: Vec<Option<&str>> = assessment
        .requirement_of
        .iter()
        .map(|row| row.map(|row| matrix().requirements[row].id.clone().leak() as &str))
        .collect();
    let dynamic = Some("rpc-dynamic-tcp");
    assert_eq!(rows, [dynamic, dynamic, dynamic, Some("gc-ldap"), None, None, None]);
    let dynamic_cell = cell_of(&assessment, "rpc-dynamic-tcp");
    assert_eq!(dynamic_cell.flows, [1, 2]);
    assert_eq!(dynamic_cell.ports, "1025-5000,49152-65535");
    assert!(
        dynamic_cell.explanation.text().ends_with(
            "; the port lies in the dynamic range, and the captures do not show whether it \
             was announced for RPC"
        ),
        "{}",
        dynamic_cell.explanation
    );
}

#[test]
fn an_announced_port_is_dynamic_wherever_it_lies() {
    let call = |id, port, verdict| flow(id, CAS, DC, "tcp", port, verdict);
    let flows = [
        call(1, 49_155, Verdict::Established),
        announced(call(2, 5722, Verdict::NoReply), 12),
        announced(call(3, 8080, Verdict::Established), 14),
    ];
    let assessment = judged(&flows);
    let dynamic_cell = cell_of(&assessment, "rpc-dynamic-tcp");
    // 8080 is known for another service; the host's own word outweighs that.
    assert_eq!(dynamic_cell.flows, [1, 2, 3]);
    let explanation = dynamic_cell.explanation.text();
    let told = "; port 5722 was announced for DRSUAPI in frame 12";
    assert!(explanation.ends_with(told), "{explanation}");
}

#[test]
fn hosts_are_given_by_block_and_by_name() {
    let names = [
        (address(CAS), "CAS01.corp.example".to_owned()),
        (address(DC), "rootdc1".to_owned()),
        (address("10.2.0.1"), "cas011".to_owned()),
        (address("10.2.0.2"), "www.example".to_owned()),
    ];
    let flows = [
        flow(4, CAS, "10.2.0.1", "tcp", 80, Verdict::Established),
        ldap(1, Verdict::Established),
        flow(2, "10.3.0.7", DC, "tcp", 389, Verdict::Established),
        flow(3, "10.3.0.255", DC, "tcp", 389, Verdict::Established),
    ];
    let given = [
        role("cas", "cas01"),
        role("root-dc", "ROOTDC1.corp.example"),
        role("primary", "10.3.0.0/24"),
        role("secondary", "10.4.0.0/24"),
        role("secondary", "cas02"),
    ];
    let assessment = assess(&matrix(), &given, Told { names: &names, ..Told::default() }, &flows);
    assert_eq!(assessment.requirement_of, [None, Some(5), Some(5), None]);
    let lost: Vec<&str> = assessment.unmatched.iter().map(|lost| lost.host.as_str()).collect();
    assert_eq!(lost, ["10.4.0.0/24", "cas02"]);
    let found = |at| assessment.hosts.iter().find(|host| host.address == address(at));
    let host = found("10.2.0.1").unwrap();
    assert_eq!((host.names.len(), host.roles.len()), (1, 0), "a host with a name only");
    assert_eq!(found("10.2.0.2"), None, "a name that nobody talks to");
}

#[test]
fn a_host_that_dns_names_for_finding_controllers_is_one() {
    let names = [(address(DC), "DC1.corp.example".to_owned())];
    let serves = |purpose: &str| [(purpose.to_owned(), "dc1.corp.example".to_owned())];
    let flows = [flow(1, CAS, DC, "tcp", 135, Verdict::NoReply)];
    for (purpose, expected) in [
        ("_ldap._tcp.dc._msdcs.corp.example", "kind of controller"),
        ("_ldap._tcp.Site._sites.dc._msdcs.corp.example", "kind of controller"),
        ("_sip._tls.corp.example", "nobody"),
    ] {
        let told = Told { names: &names, serves: &serves(purpose), ..Told::default() };
        let assessment = assess(&matrix(), &[], told, &flows);
        let roles = assessment.hosts.iter().find(|host| host.address == address(DC));
        let evidence = roles.and_then(|host| host.roles.first()?.evidence.clone());
        let sentence = format!("DNS names DC1.corp.example for {purpose}; ");
        let told = evidence.is_some_and(|evidence| evidence.starts_with(&sentence));
        assert_eq!(told, expected != "nobody", "{purpose}");
        assert_eq!(assessment.sheet.cells.len(), usize::from(told), "the dropped tcp/135");
    }
}

#[test]
fn the_order_of_flows_changes_nothing() {
    let flows: Vec<JudgedFlow> = (1..40_usize)
        .map(|id| {
            let verdict = Verdict::ALL[(id * 7) % Verdict::ALL.len()];
            let port = [88, 389, 445, 49_160][id % 4];
            flow(id as u64, &format!("10.0.0.{}", id % 5 + 1), DC, "tcp", port, verdict)
        })
        .collect();
    let mut backwards = flows.clone();
    backwards.reverse();
    let (there, back) = (
        assess(&matrix(), &[], Told::default(), &flows),
        assess(&matrix(), &[], Told::default(), &backwards),
    );
    assert_eq!(there.sheet, back.sheet);
    assert_eq!(there.hosts, back.hosts);
    assert!(!there.sheet.cells.is_empty());
}

#[test]
fn a_mixed_cell_says_which_and_when() {
    let flows =
        [ldap(1, Verdict::Established), ldap(2, Verdict::Established), ldap(3, Verdict::NoReply)];
    let assessment = judged(&flows);
    assert_eq!(
        cell_of(&assessment, "ldap-tcp").explanation,
        "3 attempts: 2 worked, 1 without an answer or confirmation; worked first: SYN in frame \
         10, SYN-ACK in frame 11 at 2014-05-27T10:15:10Z; failed from then on: SYN in frame \
         30, sent again in 31 and 32, no answer at 2014-05-27T10:15:30Z"
    );
}

#[test]
fn whole_networks_of_roles_do_not_fill_the_sheet() {
    let flows: Vec<JudgedFlow> = (0..2000)
        .map(|id| {
            let from = format!("10.0.{}.{}", id / 200, id % 200 + 1);
            flow(id + 1, &from, DC, "tcp", 389, Verdict::Established)
        })
        .collect();
    let given = [role("site-server", "10.0.0.0/16"), role("domain-controller", DC)];
    let assessment = assess(&matrix(), &given, Told::default(), &flows);
    // All pairs talked, so all are listed: 2000 pairs of 14 cells.
    assert_eq!(assessment.sheet.cells.len(), 28_000);
    let given = [role("site-server", "10.0.0.0/16"), role("domain-controller", "10.0.0.0/16")];
    let assessment = assess(&matrix(), &given, Told::default(), &flows);
    assert_eq!(assessment.sheet.cells.len(), 0);
    // 2000 hosts with both roles: every row, for every ordered pair of two.
    assert_eq!(assessment.sheet.not_exercised_unlisted, 12 * 2000 * 1999);
}
