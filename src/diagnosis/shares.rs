//! Cells in, shares out: what went wrong with each cell, a share for each cause.

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use crate::diagnosis::cause::{Weight, failures};
use crate::diagnosis::{Evidence, FindingKind, Ids, facts};
use crate::matrix::{Cell, Outcome, Requirement};
use crate::net::{Address, Transport};
use crate::verdict::record::{JudgedFlow, ServiceOutcome};

/// One cell's part of a finding.
#[derive(Clone)]
pub(super) struct Share<'a> {
    /// Index of the cell.
    pub(super) index: usize,
    pub(super) cell: &'a Cell,
    pub(super) requirement: &'a Requirement,
    pub(super) weight: Weight,
    /// What went wrong with it.
    pub(super) cause: FindingKind,
    pub(super) facet: Facet,
    /// The flows that show it, in order of time.
    pub(super) flows: Vec<&'a JudgedFlow>,
}

impl Share<'_> {
    /// Who calls whom.
    pub(super) fn pair(&self) -> (Address, Address) {
        (self.cell.from.address, self.cell.to.address)
    }

    /// Whether the requirement is about this port.
    pub(super) fn is_on(&self, port: u16) -> bool {
        !self.requirement.rpc_dynamic && self.requirement.ports.iter().any(|it| it.contains(port))
    }
}

/// What keeps failures of one cause apart: no finding tells of two facets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Facet {
    /// Nothing in particular.
    Plain,
    /// A service that failed and that finds names: what needs them fails after it.
    Names,
    /// A service that failed and that gives tickets: what needs them fails after it.
    Tickets,
    /// A service that knows the caller not, or not as one who may.
    Rights,
    /// UDP of a service whose TCP works.
    UdpOnly,
    /// Nothing is known to listen there, so nothing is wrong.
    NoListener,
}

/// Ports of Kerberos: tickets, and changes of passwords.
const TICKETS: [u16; 2] = [88, 464];

/// The shares of all cells that were exercised, in the order of the sheet. `told` are flows that
/// other findings tell.
pub(super) fn exercised<'a>(evidence: &Evidence<'a>, told: &Ids) -> Vec<Share<'a>> {
    let weights = &evidence.weights;
    let works = works_over_tcp(evidence);
    let of_cell = |(index, cell): (usize, &'a Cell)| {
        let requirement = weights.requirement(cell)?;
        let weight = weights.weight(cell);
        let shares = causes(evidence, cell, weight, told).into_iter().map(|(cause, flows)| {
            let share =
                Share { index, cell, requirement, weight, cause, facet: Facet::Plain, flows };
            let (cause, facet) = told_apart(share.cause, &share, &works);
            Share { cause, facet, ..share }
        });
        Some(shares.collect::<Vec<_>>())
    };
    let cells = evidence.sheet.cells.par_iter().enumerate();
    cells.filter_map(of_cell).flatten_iter().collect()
}

/// The shares of cells that nobody exercised.
pub(super) fn not_exercised<'a>(evidence: &Evidence<'a>) -> Vec<Share<'a>> {
    let weights = &evidence.weights;
    let cells = evidence.sheet.cells.iter().enumerate();
    cells
        .filter(|(_, cell)| cell.outcome == Outcome::NotExercised)
        .filter_map(|(index, cell)| {
            Some(Share {
                index,
                cell,
                requirement: weights.requirement(cell)?,
                weight: weights.weight(cell),
                cause: FindingKind::NotExercised,
                facet: Facet::Plain,
                flows: Vec::new(),
            })
        })
        .collect()
}

/// What went wrong with a cell, and the flows that show it.
fn causes<'a>(
    evidence: &Evidence<'a>,
    cell: &Cell,
    weight: Weight,
    told: &Ids,
) -> Vec<(FindingKind, Vec<&'a JudgedFlow>)> {
    let all = || failures(evidence, cell).into_values().flatten().collect();
    match cell.outcome {
        Outcome::Open => {
            let mut silent = Vec::new();
            for flow in cell.flows.iter().filter_map(|id| evidence.flow(*id)) {
                match flow.service.outcome {
                    ServiceOutcome::Served => return Vec::new(),
                    ServiceOutcome::Silent => silent.push(flow),
                    ServiceOutcome::Failed
                    | ServiceOutcome::ResetBeforeAnswer
                    | ServiceOutcome::NotExamined => {}
                }
            }
            let is_told = silent.is_empty();
            (!is_told).then_some((FindingKind::ServiceSilent, silent)).into_iter().collect()
        }
        Outcome::CannotTell => vec![(FindingKind::CannotTell, evidence.flows_of(&cell.flows))],
        Outcome::NotExercised => Vec::new(),
        Outcome::Mixed => vec![(FindingKind::Mixed, all())],
        Outcome::Dropped | Outcome::Refused | Outcome::ServiceFailed
            if weight == Weight::Cleared =>
        {
            vec![(FindingKind::AlternativeOpen, all())]
        }
        Outcome::Dropped | Outcome::Refused | Outcome::ServiceFailed => {
            let mut causes: Vec<_> = failures(evidence, cell).into_iter().collect();
            for (_, flows) in &mut causes {
                flows.retain(|flow| !told.contains(&flow.id));
            }
            causes.retain(|(_, flows)| !flows.is_empty());
            causes
        }
    }
}

fn told_apart(
    cause: FindingKind,
    share: &Share<'_>,
    works: &[Working<'_>],
) -> (FindingKind, Facet) {
    if share.weight == Weight::NoListener {
        return (cause, Facet::NoListener);
    }
    let is_path = matches!(
        cause,
        FindingKind::Dropped
            | FindingKind::Prohibited
            | FindingKind::Refused
            | FindingKind::Unreachable
    );
    let service = share.cell.service.as_str();
    if is_path
        && share.cell.transport == Transport::Udp
        && works.binary_search(&(share.pair(), service)).is_ok()
    {
        let silent = cause == FindingKind::Dropped;
        return (if silent { FindingKind::UdpUnanswered } else { cause }, Facet::UdpOnly);
    }
    if cause != FindingKind::ServiceFailed {
        return (cause, Facet::Plain);
    }
    let facet = if share.is_on(53) {
        Facet::Names
    } else if TICKETS.iter().any(|port| share.is_on(*port)) {
        Facet::Tickets
    } else if share.flows.iter().all(|flow| facts::is_about_rights(flow)) {
        Facet::Rights
    } else {
        Facet::Plain
    };
    (cause, facet)
}

/// A pair of hosts, and a service between them.
type Working<'a> = ((Address, Address), &'a str);

/// Services that work over TCP, sorted.
fn works_over_tcp<'a>(evidence: &Evidence<'a>) -> Vec<Working<'a>> {
    let open = evidence
        .sheet
        .cells
        .iter()
        .filter(|cell| cell.transport == Transport::Tcp && cell.outcome == Outcome::Open);
    let mut works: Vec<Working<'_>> =
        open.map(|cell| ((cell.from.address, cell.to.address), cell.service.as_str())).collect();
    works.sort_unstable();
    works
}
