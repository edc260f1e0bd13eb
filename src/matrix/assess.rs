//! Flows against requirements: what the captures prove of each.
//!
//! One pass over the flows: those between two hosts that play the roles of a row, to its ports,
//! exercise it. Each requirement and pair of hosts is a cell; each cell gets one outcome and says
//! from which frames. Rows that say the same of two hosts, which play several roles, are one cell. The
//! result does not depend on the order of the flows, only on their ids.

use std::collections::BTreeSet;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::matrix::Matrix;
use crate::matrix::exercised::{Call, Exercised, OfCell, in_cell};
use crate::matrix::explain::{also, explain, is_weak, service_failed, several_captures};
use crate::matrix::roles::{Cast, GivenRole, HostRecord, Part, Told, UnmatchedHost};
use crate::matrix::rows::Rows;
use crate::matrix::sheet::{Cell, CellCounts, CellEnd, Outcome, Sheet};
use crate::matrix::untried::{Untried, untried};
use crate::net::Address;
use crate::verdict::flows::{Flows, Lane, Seen};
use crate::verdict::record::{Class, JudgedFlow};

/// What the flows prove of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Hosts with a role or a name, by address.
    pub hosts: Vec<HostRecord>,
    /// The requirement sheet.
    pub sheet: Sheet,
    /// For each flow, in the order they were handed in, the place of the row it exercises in
    /// [`Matrix::requirements`]; the first such row where there are several.
    pub requirement_of: Vec<Option<usize>>,
    /// Host names and blocks that were given a role and that no capture shows.
    pub unmatched: Vec<UnmatchedHost>,
}

/// Lays flows over a matrix.
///
/// `told` is what the captures tell of hosts. Fields that are filled from the
/// result (`requirement` and the service's name) are not read, so that it can be found again
/// from the flows of a report.
pub fn assess(
    matrix: &Matrix,
    given: &[GivenRole],
    told: Told<'_>,
    flows: &[JudgedFlow],
) -> Assessment {
    let cast = Cast::new(matrix, given, told, flows.into());
    lay(matrix, cast, flows, &[], None).0
}

/// As [`assess()`], of telling flows and of plain ones, which learn the row that they exercise. Calls
/// that nobody answered between hosts that have roles become telling ones.
pub(crate) fn assess_all(
    matrix: &Matrix,
    given: &[GivenRole],
    told: Told<'_>,
    flows: &mut Flows,
) -> Assessment {
    let cast = Cast::new(matrix, given, told, Seen::from(&*flows));
    let has_part = |host| cast.parts_of(host).is_some();
    flows.promote(|_, lane| lane.is_unanswered() && has_part(lane.from()) && has_part(lane.to()));
    let lanes: Vec<&Lane> = flows.lanes().map(|(_, lane)| lane).collect();
    let (mut assessment, of_lanes) = lay(matrix, cast, flows.telling(), &lanes, None);
    let mut ids: Vec<Vec<u64>> = vec![Vec::new(); assessment.sheet.cells.len()];
    flows.ids_of_lanes(&of_lanes.cells, &mut ids);
    for (cell, mut ids) in assessment.sheet.cells.iter_mut().zip(ids) {
        if !ids.is_empty() {
            cell.flows.append(&mut ids);
            cell.flows.sort_unstable();
        }
    }
    let row = |row: usize| matrix.requirements.get(row);
    flows.exercise(of_lanes.rows, |place| {
        row(place).map(|row| (row.id.clone(), row.service.clone()))
    });
    assessment
}

/// As [`assess()`], and only the flows of these ids count; all tell who is who. What they do not
/// exercise is not listed, as others may.
pub(crate) fn assess_some(
    matrix: &Matrix,
    given: &[GivenRole],
    told: Told<'_>,
    flows: &[JudgedFlow],
    wanted: &BTreeSet<u64>,
) -> Assessment {
    let cast = Cast::new(matrix, given, told, flows.into());
    lay(matrix, cast, flows, &[], Some(wanted)).0
}

/// What the flows of lanes exercise, by place of the lane.
struct OfLanes {
    /// The first of the rows.
    rows: Vec<Option<usize>>,
    /// Indexes of the cells.
    cells: Vec<Vec<usize>>,
}

fn lay(
    matrix: &Matrix,
    cast: Cast<'_>,
    flows: &[JudgedFlow],
    lanes: &[&Lane],
    wanted: Option<&BTreeSet<u64>>,
) -> (Assessment, OfLanes) {
    let rows = Rows::new(matrix);
    let mut exercised = Exercised::default();
    let mut of_cells: Vec<OfCell<'_>> = Vec::new();
    let mut requirement_of = Vec::with_capacity(flows.len());
    for flow in flows {
        let wanted = wanted.is_none_or(|wanted| wanted.contains(&flow.id));
        let call = wanted.then(|| Call::of_flow(&rows, flow));
        let cells = call.map_or(&[][..], |call| exercised.cells_of(&rows, &cast, call));
        requirement_of.push(cells.first().map(|(row, _)| *row));
        for (_, place) in cells {
            in_cell(&mut of_cells, *place, |cell| cell.flows.push(flow));
        }
    }
    let mut of_lanes =
        OfLanes { rows: vec![None; lanes.len()], cells: vec![Vec::new(); lanes.len()] };
    for ((number, lane), first) in lanes.iter().enumerate().zip(&mut of_lanes.rows) {
        if lane.hidden == 0 || lane.is_unanswered() {
            continue;
        }
        let cells = exercised.cells_of(&rows, &cast, Call::of_lane(&rows, lane));
        *first = cells.first().map(|(row, _)| *row);
        for (_, place) in cells {
            in_cell(&mut of_cells, *place, |cell| cell.lanes.push(number));
        }
    }
    of_cells.resize_with(exercised.keys.len(), OfCell::default);
    let mut exercised: Vec<(CellKey, OfCell<'_>)> =
        exercised.keys.into_iter().zip(of_cells).collect();
    exercised.sort_unstable_by_key(|(key, _)| *key);
    let (keys, not_exercised_unlisted, never_exercised) = match wanted {
        None => {
            let Untried { keys, unlisted, never } =
                untried(&rows, &cast, &exercised.iter().map(|(key, _)| *key).collect());
            (keys, unlisted, never)
        }
        Some(_) => (exercised.iter().map(|(key, _)| *key).collect(), 0, Vec::new()),
    };
    let several = several_captures(flows);
    let of_cell = |key: &CellKey| {
        let place = exercised.binary_search_by_key(key, |(key, _)| *key).ok()?;
        exercised.get(place).map(|(_, of_cell)| of_cell)
    };
    let made = keys.par_iter().map(|key| {
        let none = OfCell::default();
        let OfCell { flows: of_cell, lanes: lanes_of } = of_cell(key).unwrap_or(&none);
        let beside = lanes_of.iter().filter_map(|lane| lanes.get(*lane)).map(|lane| lane.hidden);
        cell(&rows, &cast, *key, of_cell, beside.sum(), several)
    });
    let made: Vec<Option<Cell>> = made.collect();
    let mut cells = Vec::with_capacity(keys.len());
    for (key, cell) in keys.iter().zip(made) {
        let Some(cell) = cell else { continue };
        for lane in of_cell(key).into_iter().flat_map(|of_cell| &of_cell.lanes) {
            if let Some(of_lane) = of_lanes.cells.get_mut(*lane) {
                of_lane.push(cells.len());
            }
        }
        cells.push(cell);
    }
    let sheet = Sheet {
        profile: matrix.name.clone(),
        title: matrix.title.clone(),
        cells,
        not_exercised_unlisted,
        never_exercised,
    };
    let Cast { hosts, unmatched, .. } = cast;
    (Assessment { hosts, sheet, requirement_of, unmatched }, of_lanes)
}

/// From, to, and place of the row. Their order is that of the sheet.
pub(super) type CellKey = (Address, Address, usize);

/// A cell; `None` only for a key that belongs to no row. `hidden` is how many plain flows worked beside
/// these.
fn cell(
    rows: &Rows<'_>,
    cast: &Cast<'_>,
    (from, to, index): CellKey,
    flows: &[&JudgedFlow],
    hidden: u64,
    several: bool,
) -> Option<Cell> {
    let row = rows.all.get(index)?;
    let (from_parts, to_parts) = (cast.parts_of(from)?, cast.parts_of(to)?);
    let (from_part, to_part) = row
        .directions()
        .find_map(|(opens, called)| Some((from_parts.get(&opens)?, to_parts.get(&called)?)))?;
    let mut flows = flows.to_vec();
    in_order_of_time(&mut flows);
    let mut counts = CellCounts::default();
    for flow in &flows {
        let count = match flow.class {
            Class::Success => &mut counts.success,
            Class::Timeout => &mut counts.timeout,
            Class::Reject => &mut counts.reject,
            Class::Inconclusive => &mut counts.inconclusive,
        };
        *count += 1;
    }
    counts.success += hidden;
    let outcome = outcome_of(counts, &flows);
    let mut explanation = explain(outcome, counts, &flows, several);
    let requirement = row.requirement;
    let ports: Vec<u16> = flows.iter().map(|flow| flow.responder.port).collect();
    if let Some(port) = ports.first()
        && !rows.is_fixed(requirement, *port)
    {
        explanation = then_rpc(&explanation, &flows, several);
    }
    let mut ids: Vec<u64> = flows.iter().map(|flow| flow.id).collect();
    ids.sort_unstable();
    let end = |address, part: &Part<'_>| CellEnd { address, role: part.role.to_owned() };
    Some(Cell {
        requirement: requirement.id.clone(),
        service: requirement.service.clone(),
        transport: requirement.transport,
        ports: requirement.ports_text(),
        from: end(from, from_part),
        to: end(to, to_part),
        need: requirement.need.to_string(),
        condition: requirement.condition.clone(),
        listener_known: requirement.listener_known,
        outcome,
        flows: ids,
        counts,
        explanation,
    })
}

/// What is known of the remote procedure calls of a cell: the announcement of a flow that failed
/// first.
fn then_rpc(explanation: &str, flows: &[&JudgedFlow], several: bool) -> String {
    let failed = flows.iter().filter(|flow| flow.class != Class::Success);
    let mut ordered = failed.chain(flows.iter().filter(|flow| flow.class == Class::Success));
    let announced = ordered.find_map(|flow| {
        let rpc = flow.rpc.as_ref()?;
        Some((flow.responder.port, rpc, rpc.announced_frame?))
    });
    let note = match announced {
        Some((port, rpc, frame)) => {
            let what = rpc.interface.as_deref().or(rpc.uuid.as_deref());
            let what = what.map(|what| format!(" for {what}")).unwrap_or_default();
            let place = rpc.endpoint_mapper_flow.filter(|_| several);
            let place = place.map(|flow| format!(" of flow {flow}")).unwrap_or_default();
            format!("port {port} was announced{what} in frame {frame}{place}")
        }
        None => match flows.iter().find_map(|flow| Some((flow.responder.port, flow.rpc.as_ref()?)))
        {
            Some((port, rpc)) => match rpc.interface.as_deref().or(rpc.uuid.as_deref()) {
                Some(interface) => format!("port {port} was called for {interface}"),
                None => return explanation.to_owned(),
            },
            None => "the port lies in the dynamic range, and the captures do not show whether it \
                     was announced for RPC"
                .to_owned(),
        },
    };
    also(explanation, &note)
}

/// Orders flows by time where all have one and all tell it the same way, else by id, which is
/// the order of captures and frames.
pub(crate) fn in_order_of_time(flows: &mut [&JudgedFlow]) {
    flows.sort_by_key(|flow| flow.id);
    let zone = |flow: &&JudgedFlow| flow.first_seen.map(|time| time.clock.zone_known);
    let zones: Option<Vec<bool>> = flows.iter().map(zone).collect();
    if zones.is_some_and(|zones| zones.iter().min() == zones.iter().max()) {
        flows.sort_by_key(|flow| flow.first_seen.map(|time| time.at));
    }
}

/// What the flows of a cell prove.
///
/// One silent SYN that nobody repeated proves nothing, beside successes as little as alone.
/// Where attempts were dropped and refused and none worked, the more frequent of the two names
/// the outcome, a refusal where they are even: it is something that was seen.
fn outcome_of(counts: CellCounts, flows: &[&JudgedFlow]) -> Outcome {
    let failed_service = flows.iter().filter(|flow| service_failed(flow)).count() as u64;
    let works = counts.success.saturating_sub(failed_service);
    let lone_weak = counts.timeout == 1 && flows.iter().any(|flow| is_weak(flow));
    let timeouts = if lone_weak { 0 } else { counts.timeout };
    match (works, failed_service, timeouts, counts.reject) {
        _ if flows.is_empty() => Outcome::NotExercised,
        (0, 0, 0, 0) => Outcome::CannotTell,
        (1.., 0, 0, 0) => Outcome::Open,
        (0, 1.., 0, 0) => Outcome::ServiceFailed,
        (0, 0, timeouts, rejects) if timeouts > rejects => Outcome::Dropped,
        (0, 0, _, _) => Outcome::Refused,
        _ => Outcome::Mixed,
    }
}

#[cfg(test)]
mod tests {
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
            (
                "a success and a timeout",
                vec![ldap(1, Established), ldap(2, NoReply)],
                Outcome::Mixed,
            ),
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
        assert!(
            assessment.sheet.cells.is_sorted_by_key(|cell| (cell.from.address, cell.to.address))
        );
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
            cells.map(|cell| (cell.requirement, cell.condition)).collect()
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
            dynamic_cell.explanation.ends_with(
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
        let explanation = &dynamic_cell.explanation;
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
        let assessment =
            assess(&matrix(), &given, Told { names: &names, ..Told::default() }, &flows);
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
        let flows = [
            ldap(1, Verdict::Established),
            ldap(2, Verdict::Established),
            ldap(3, Verdict::NoReply),
        ];
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
}
