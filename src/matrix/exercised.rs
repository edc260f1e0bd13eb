//! Which cells of the sheet calls exercise, found once for all calls of one way and port.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::hint::black_box;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::matrix::assess::CellKey;
use crate::matrix::roles::Cast;
use crate::matrix::rows::{Rows, is_rpc};
use crate::net::{Address, Endpoint, Transport};
use crate::verdict::flows::Lane;
use crate::verdict::record::JudgedFlow;

/// All that decides which rows a flow exercises.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Call {
    from: Address,
    to: Address,
    transport: Transport,
    port: u16,
    is_rpc: bool,
    can_be_rpc: bool,
}

impl Call {
    fn of_flow(rows: &Rows<'_>, flow: &JudgedFlow) -> Call {
        let Endpoint { address: to, port } = flow.responder;
        let is_rpc = is_rpc(flow);
        Call {
            from: flow.initiator.address,
            to,
            transport: flow.transport,
            port,
            is_rpc,
            can_be_rpc: is_rpc || rows.can_be_rpc(flow.transport, port, flow.initiator.port),
        }
    }

    fn of_lane(rows: &Rows<'_>, lane: &Lane) -> Call {
        let (transport, port) = (lane.transport(), lane.port());
        let can_be_rpc = rows.can_be_rpc(transport, port, Lane::CALLING_PORT);
        Call { from: lane.from(), to: lane.to(), transport, port, is_rpc: false, can_be_rpc }
    }

    fn hash(&self) -> u64 {
        FixedState::default().hash_one(self)
    }
}

/// Calls that are looked up together.
const TOGETHER: usize = 32;

/// The cells that were exercised, by what exercises them.
#[derive(Default)]
struct Exercised {
    /// Rows, and the places of their cells.
    known: HashTable<(Call, Vec<(usize, usize)>)>,
    places: HashMap<CellKey, usize, FixedState>,
    /// The cells, in the order in which they were first exercised.
    keys: Vec<CellKey>,
}

impl Exercised {
    /// The rows that a call with this hash exercises, each with the place of its cell among
    /// [`Exercised::keys`].
    fn cells_of(
        &mut self,
        rows: &Rows<'_>,
        cast: &Cast<'_>,
        (call, hash): (Call, u64),
    ) -> &[(usize, usize)] {
        let Exercised { known, places, keys } = self;
        let entry = known.entry(hash, |(known, _)| *known == call, |(known, _)| known.hash());
        let known = entry.or_insert_with(|| {
            let cells = rows_of(rows, cast, call).into_iter().map(|row| {
                let key = (call.from, call.to, row);
                let place = *places.entry(key).or_insert(keys.len());
                if place == keys.len() {
                    keys.push(key);
                }
                (row, place)
            });
            (call, cells.collect())
        });
        &known.into_mut().1
    }
}

fn rows_of(rows: &Rows<'_>, cast: &Cast<'_>, call: Call) -> Vec<usize> {
    let Call { from, to, transport, port, is_rpc, can_be_rpc } = call;
    match (cast.parts_of(from), cast.parts_of(to)) {
        (Some(from_parts), Some(to_parts)) if from != to => {
            rows.matching((transport, port), is_rpc, can_be_rpc, from_parts, to_parts)
        }
        _ => Vec::new(),
    }
}

/// What exercises a cell: telling flows, and numbers of lanes.
#[derive(Default)]
pub(super) struct OfCell<'f> {
    pub(super) flows: Vec<&'f JudgedFlow>,
    pub(super) lanes: Vec<usize>,
}

/// The cells of some pairs of hosts, and the first row that each flow and lane exercises, by place.
#[derive(Default)]
struct Part<'f> {
    exercised: Exercised,
    /// By place of the key.
    of_cells: Vec<OfCell<'f>>,
    rows_of_flows: Vec<(usize, usize)>,
    rows_of_lanes: Vec<(usize, usize)>,
}

impl<'f> Part<'f> {
    /// Adds each to the cells of its call, and gives their places with the first of the rows.
    fn add_all<T: Copy>(
        &mut self,
        rows: &Rows<'_>,
        cast: &Cast<'_>,
        mut called: impl Iterator<Item = (usize, T, Call)>,
        add: impl Fn(&mut OfCell<'f>, T),
    ) -> Vec<(usize, usize)> {
        let mut rows_of = Vec::new();
        let mut next: Vec<(usize, T, (Call, u64))> = Vec::with_capacity(TOGETHER);
        loop {
            let some = called.by_ref().take(TOGETHER);
            next.extend(some.map(|(place, it, call)| (place, it, (call, call.hash()))));
            if next.is_empty() {
                return rows_of;
            }
            // None of these waits for the one before it, so the processor has many under way.
            let hashes = next.iter().map(|(.., (_, hash))| *hash);
            black_box(hashes.fold(0, |sum, hash| sum ^ self.touch(hash)));
            for (place, it, call) in next.drain(..) {
                let row = self.add(rows, cast, call, |cell| add(cell, it));
                rows_of.extend(row.map(|row| (place, row)));
            }
        }
    }

    /// Reads something of the cells of a call with this hash, to have it in the processor's cache.
    #[inline]
    fn touch(&self, hash: u64) -> usize {
        let known = self.exercised.known.find(hash, |_| true);
        let place = known.and_then(|(_, cells)| cells.first()).map(|(_, place)| *place);
        let cell = place.and_then(|place| self.of_cells.get(place));
        cell.map_or(0, |cell| cell.flows.len() ^ cell.lanes.len())
    }

    /// Adds to the cells of a call, and gives the first of their rows.
    fn add(
        &mut self,
        rows: &Rows<'_>,
        cast: &Cast<'_>,
        call: (Call, u64),
        add: impl Fn(&mut OfCell<'f>),
    ) -> Option<usize> {
        let Part { exercised, of_cells, .. } = self;
        let cells = exercised.cells_of(rows, cast, call);
        for (_, place) in cells {
            if of_cells.len() <= *place {
                of_cells.resize_with(place + 1, OfCell::default);
            }
            if let Some(cell) = of_cells.get_mut(*place) {
                add(cell);
            }
        }
        cells.first().map(|(row, _)| *row)
    }
}

/// Flows and lanes, laid over the rows.
pub(super) struct Laid<'f> {
    /// The cells that they exercise, in order.
    pub(super) cells: Vec<(CellKey, OfCell<'f>)>,
    /// The first row that each flow exercises.
    pub(super) rows_of_flows: Vec<Option<usize>>,
    /// The first row that each lane of calls which worked exercises.
    pub(super) rows_of_lanes: Vec<Option<usize>>,
}

/// Lays flows and lanes over the rows: pairs of hosts apart, each on a thread of its own. Flows that
/// are not `wanted` exercise nothing.
pub(super) fn laid<'f>(
    rows: &Rows<'_>,
    cast: &Cast<'_>,
    flows: &'f [JudgedFlow],
    lanes: &[&Lane],
    wanted: impl Fn(&JudgedFlow) -> bool + Sync,
) -> Laid<'f> {
    let parts = rayon::current_num_threads();
    let is_of = |part: usize, from: Address, to: Address| {
        parts == 1 || FixedState::default().hash_one((from, to)) % parts as u64 == part as u64
    };
    let plays: HashSet<Address, FixedState> = cast.all_players().collect();
    let of_part = |number: usize| {
        let mut part = Part::default();
        // Most of a scan is between hosts of which one plays nothing.
        let counts = |from: Address, to: Address| {
            is_of(number, from, to) && plays.contains(&from) && plays.contains(&to)
        };
        let called = flows.iter().enumerate().filter_map(|(place, flow)| {
            let counts = counts(flow.initiator.address, flow.responder.address) && wanted(flow);
            counts.then(|| (place, flow, Call::of_flow(rows, flow)))
        });
        part.rows_of_flows = part.add_all(rows, cast, called, |cell, flow| cell.flows.push(flow));
        let called = lanes.iter().enumerate().filter_map(|(place, lane)| {
            let worked = lane.hidden > 0 && !lane.is_unanswered();
            let counts = worked && counts(lane.from(), lane.to());
            counts.then(|| (place, place, Call::of_lane(rows, lane)))
        });
        part.rows_of_lanes = part.add_all(rows, cast, called, |cell, lane| cell.lanes.push(lane));
        part
    };
    let made: Vec<Part<'_>> = (0..parts).into_par_iter().map(of_part).collect();
    let mut laid = Laid {
        cells: Vec::with_capacity(made.iter().map(|part| part.of_cells.len()).sum()),
        rows_of_flows: vec![None; flows.len()],
        rows_of_lanes: vec![None; lanes.len()],
    };
    for part in made {
        laid.cells.extend(part.exercised.keys.into_iter().zip(part.of_cells));
        place(&part.rows_of_flows, &mut laid.rows_of_flows);
        place(&part.rows_of_lanes, &mut laid.rows_of_lanes);
    }
    laid.cells.par_sort_unstable_by_key(|(key, _)| *key);
    laid
}

fn place(rows: &[(usize, usize)], into: &mut [Option<usize>]) {
    for (place, row) in rows {
        if let Some(into) = into.get_mut(*place) {
            *into = Some(*row);
        }
    }
}
