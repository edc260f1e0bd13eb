//! Which rows of a matrix a flow exercises.

use std::collections::BTreeMap;

use crate::flow::service_name;
use crate::matrix::roles::{DOMAIN_CONTROLLER, Part, is_kind_of};
use crate::matrix::{Direction, Matrix, Need, PortRange, Requirement};
use crate::net::{Label, Transport};
use crate::verdict::FIXED_RPC_PORTS;
use crate::verdict::record::JudgedFlow;

/// What a host plays, by place of the row's role in the matrix.
pub(super) type Parts<'m> = BTreeMap<usize, Part<'m>>;

/// A row, with its roles looked up.
pub(super) struct Row<'m> {
    pub(super) requirement: &'m Requirement,
    pub(super) from: usize,
    pub(super) to: usize,
    /// One of its roles is a domain controller's.
    of_controllers: bool,
    /// What each of its cells repeats.
    pub(super) texts: RowTexts,
}

/// A row as its cells tell of it.
pub(super) struct RowTexts {
    pub(super) id: Label,
    pub(super) service: Label,
    pub(super) ports: Label,
    pub(super) need: Label,
    pub(super) condition: Option<Label>,
}

impl RowTexts {
    fn of(requirement: &Requirement) -> RowTexts {
        RowTexts {
            id: requirement.id.as_str().into(),
            service: requirement.service.as_str().into(),
            ports: requirement.ports_text().into(),
            need: requirement.need.to_string().into(),
            condition: requirement.condition.as_deref().map(Label::from),
        }
    }
}

impl Row<'_> {
    /// The roles of the side that opens and the side that is called, in each direction.
    pub(super) fn directions(&self) -> impl Iterator<Item = (usize, usize)> {
        let back = self.requirement.direction == Direction::Both && self.from != self.to;
        [Some((self.from, self.to)), back.then_some((self.to, self.from))].into_iter().flatten()
    }

    /// Whether it judges a host: one that stands in for a site server, only by what goes on with
    /// domain controllers.
    pub(super) fn judges(&self, is_candidate: bool) -> bool {
        !is_candidate || self.of_controllers
    }

    /// Whether it applies wherever its roles are played.
    pub(super) fn is_unconditional(&self) -> bool {
        self.requirement.condition.is_none()
    }
}

/// The rows of a matrix, ready to be matched.
pub(super) struct Rows<'m> {
    pub(super) matrix: &'m Matrix,
    pub(super) all: Vec<Row<'m>>,
    /// Rows by the single ports that they name.
    by_port: BTreeMap<(Transport, u16), Vec<usize>>,
    /// Rows that name ranges, sorted.
    of_ranges: Vec<usize>,
    /// For each row the first that has the same service, transport and ports.
    twins: Vec<usize>,
}

impl<'m> Rows<'m> {
    pub(super) fn new(matrix: &'m Matrix) -> Rows<'m> {
        // A row of a role that nobody declared has no hosts. `Matrix::parse` lets none through,
        // and its place is kept, because rows are known by their place.
        let role = |name: &str| matrix.role_index(name).unwrap_or(usize::MAX);
        let is_controller = |name: &str| {
            let role = matrix.role_index(name);
            role.is_some_and(|role| is_kind_of(matrix, role, DOMAIN_CONTROLLER))
        };
        let row = |requirement: &'m Requirement| Row {
            requirement,
            from: role(&requirement.from),
            to: role(&requirement.to),
            of_controllers: is_controller(&requirement.from) || is_controller(&requirement.to),
            texts: RowTexts::of(requirement),
        };
        let mut by_port: BTreeMap<(Transport, u16), Vec<usize>> = BTreeMap::new();
        let mut of_ranges = Vec::new();
        for (index, row) in matrix.requirements.iter().enumerate() {
            let (single, ranges): (Vec<PortRange>, Vec<PortRange>) =
                row.ports.iter().partition(|range| range.first == range.last);
            for port in single {
                by_port.entry((row.transport, port.first)).or_default().push(index);
            }
            if row.rpc_dynamic || !ranges.is_empty() {
                of_ranges.push(index);
            }
        }
        Rows {
            matrix,
            all: matrix.requirements.iter().map(row).collect(),
            by_port,
            of_ranges,
            twins: twins(&matrix.requirements),
        }
    }

    /// Whether two rows say the same where two hosts play the roles of both: a reader could not tell
    /// them apart.
    pub(super) fn are_twins(&self, row: usize, other: usize) -> bool {
        let twins = &self.twins;
        twins.get(row).zip(twins.get(other)).is_some_and(|(row, other)| row == other)
    }

    /// Of rows that say the same, the one that asks for most: without condition, then required,
    /// then the first.
    pub(super) fn without_twins(&self, rows: Vec<usize>) -> Vec<usize> {
        let mut best: BTreeMap<usize, (bool, bool, usize)> = BTreeMap::new();
        for index in rows {
            let (Some(row), Some(twin)) = (self.all.get(index), self.twins.get(index)) else {
                continue;
            };
            let optional = row.requirement.need == Need::Optional;
            let rank = (!row.is_unconditional(), optional, index);
            best.entry(*twin).and_modify(|best| *best = rank.min(*best)).or_insert(rank);
        }
        let mut rows: Vec<usize> = best.into_values().map(|(_, _, index)| index).collect();
        rows.sort_unstable();
        rows
    }

    /// Whether two hosts have the roles of a row, one way or the other.
    pub(super) fn fits(&self, row: usize, from: &Parts<'_>, to: &Parts<'_>) -> bool {
        let Some(row) = self.all.get(row) else { return false };
        row.directions().any(|(opens, called)| {
            let both = from.get(&opens).zip(to.get(&called));
            both.is_some_and(|(from, to)| row.judges(from.candidate) && row.judges(to.candidate))
        })
    }

    /// Rows that may have a port, in the matrix's order.
    fn candidates(
        &self,
        transport: Transport,
        port: u16,
    ) -> impl Iterator<Item = (usize, &Row<'m>)> {
        let single = self.by_port.get(&(transport, port)).into_iter().flatten();
        let mut indexes: Vec<usize> = single.chain(&self.of_ranges).copied().collect();
        indexes.sort_unstable();
        indexes.dedup();
        indexes.into_iter().filter_map(|index| Some((index, self.all.get(index)?)))
    }

    /// The rows that calls to a port exercise, in the matrix's order, one of those that say the same.
    ///
    /// A port that was announced for remote procedure calls, or over which they went (`is_rpc`), is a
    /// dynamic one wherever it lies. Else one of the dynamic ranges may be (`can_be_rpc`).
    pub(super) fn matching(
        &self,
        (transport, port): (Transport, u16),
        is_rpc: bool,
        can_be_rpc: bool,
        from: &Parts<'_>,
        to: &Parts<'_>,
    ) -> Vec<usize> {
        let fits = |index: usize, row: &Row<'_>| {
            row.requirement.transport == transport && self.fits(index, from, to)
        };
        let mut fixed = Vec::new();
        let mut dynamic = Vec::new();
        for (index, row) in self.candidates(transport, port) {
            let of_rpc = is_rpc && row.requirement.rpc_dynamic;
            let in_range = row.requirement.ports.iter().any(|range| range.contains(port));
            if (of_rpc || in_range) && fits(index, row) {
                if self.is_fixed(row.requirement, port) {
                    fixed.push(index);
                } else {
                    dynamic.push(index);
                }
            }
        }
        let is_dynamic = fixed.is_empty() && (is_rpc || can_be_rpc);
        self.without_twins(if is_dynamic { dynamic } else { fixed })
    }

    /// Whether a row has this port otherwise than by "rpc-dynamic".
    pub(super) fn is_fixed(&self, row: &Requirement, port: u16) -> bool {
        !row.rpc_dynamic
            || row
                .ports
                .iter()
                .any(|range| range.contains(port) && !self.matrix.rpc_dynamic.contains(range))
    }

    /// Whether a call to a port of the dynamic ranges can be RPC.
    ///
    /// Not if the port is another service's. Nor if it comes from a service's port: then it is
    /// an answer, whose question the capture missed.
    pub(super) fn can_be_rpc(&self, transport: Transport, port: u16, from: u16) -> bool {
        !self.belongs_elsewhere(transport, port)
            && from >= 1024
            && !self.belongs_elsewhere(transport, from)
    }

    fn belongs_elsewhere(&self, transport: Transport, port: u16) -> bool {
        self.matrix.not_rpc.binary_search(&port).is_ok()
            || service_name(port).is_some()
            || self.by_port.contains_key(&(transport, port))
    }
}

/// For each row the first that says the same. Alternatives never do: each belongs to its group.
fn twins<'r>(requirements: &'r [Requirement]) -> Vec<usize> {
    let mut first: BTreeMap<(&str, Transport, &[PortRange]), usize> = BTreeMap::new();
    let twin = |(index, row): (usize, &'r Requirement)| {
        let key = (row.service.as_str(), row.transport, row.ports.as_slice());
        let is_alternative = matches!(row.need, Need::OneOf(_));
        if is_alternative { index } else { *first.entry(key).or_insert(index) }
    };
    requirements.iter().enumerate().map(twin).collect()
}

/// Whether a flow is one of remote procedure calls for certain, to a dynamic port.
pub(super) fn is_rpc(flow: &JudgedFlow) -> bool {
    let known = flow.rpc.as_ref().is_some_and(|rpc| rpc.bound || rpc.announced_frame.is_some());
    known && !FIXED_RPC_PORTS.contains(&flow.responder.port)
}
