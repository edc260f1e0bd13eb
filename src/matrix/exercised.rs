//! Which cells of the sheet calls exercise, found once for all calls of one way and port.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::matrix::assess::CellKey;
use crate::matrix::roles::Cast;
use crate::matrix::rows::{Rows, is_rpc};
use crate::net::{Address, Endpoint, Transport};
use crate::verdict::flows::Lane;
use crate::verdict::record::JudgedFlow;

/// All that decides which rows a flow exercises.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Call {
    from: Address,
    to: Address,
    transport: Transport,
    port: u16,
    is_rpc: bool,
    can_be_rpc: bool,
}

impl Call {
    pub(super) fn of_flow(rows: &Rows<'_>, flow: &JudgedFlow) -> Call {
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

    pub(super) fn of_lane(rows: &Rows<'_>, lane: &Lane) -> Call {
        let (transport, port) = (lane.transport(), lane.port());
        let can_be_rpc = rows.can_be_rpc(transport, port, Lane::CALLING_PORT);
        Call { from: lane.from(), to: lane.to(), transport, port, is_rpc: false, can_be_rpc }
    }
}

/// The cells that were exercised, by what exercises them.
#[derive(Default)]
pub(super) struct Exercised {
    /// Rows, and the places of their cells.
    known: HashMap<Call, Vec<(usize, usize)>, FixedState>,
    places: HashMap<CellKey, usize, FixedState>,
    /// The cells, in the order in which they were first exercised.
    pub(super) keys: Vec<CellKey>,
}

impl Exercised {
    /// The rows that a call exercises, each with the place of its cell among [`Exercised::keys`].
    pub(super) fn cells_of(
        &mut self,
        rows: &Rows<'_>,
        cast: &Cast<'_>,
        call: Call,
    ) -> &[(usize, usize)] {
        let Exercised { known, places, keys } = self;
        known.entry(call).or_insert_with(|| {
            let cells = rows_of(rows, cast, call).into_iter().map(|row| {
                let key = (call.from, call.to, row);
                let place = *places.entry(key).or_insert(keys.len());
                if place == keys.len() {
                    keys.push(key);
                }
                (row, place)
            });
            cells.collect()
        })
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

/// Adds to the cell at this place, which may be a new one.
pub(super) fn in_cell<'f>(
    cells: &mut Vec<OfCell<'f>>,
    place: usize,
    add: impl FnOnce(&mut OfCell<'f>),
) {
    if cells.len() <= place {
        cells.resize_with(place + 1, OfCell::default);
    }
    if let Some(cell) = cells.get_mut(place) {
        add(cell);
    }
}
