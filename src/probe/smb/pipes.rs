//! Named pipes of an SMB dialogue: they carry remote procedure calls.

use std::collections::BTreeMap;

use crate::probe::msrpc::{Calls, Over};
use crate::probe::{Meaning, Speaker};

/// Pipes held open at one time.
const MOST_PIPES: usize = 64;

/// Open pipes by the handle that the responder gave them.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    open: BTreeMap<u128, Pipe>,
}

#[derive(Debug)]
struct Pipe {
    name: String,
    calls: Calls,
}

impl Pipes {
    /// A pipe was opened under this handle.
    pub(super) fn open(&mut self, handle: u128, name: &str) {
        if self.open.len() < MOST_PIPES {
            let name = name.trim_start_matches('\\');
            let name = name.strip_prefix("PIPE\\").unwrap_or(name).to_owned();
            self.open.insert(handle, Pipe { name, calls: Calls::default() });
        }
    }

    /// The handle was closed.
    pub(super) fn close(&mut self, handle: u128) {
        self.open.remove(&handle);
    }

    /// The name of an open pipe.
    pub(super) fn name(&self, handle: u128) -> Option<&str> {
        self.open.get(&handle).map(|pipe| pipe.name.as_str())
    }

    /// Bytes were written to a pipe by the initiator, or read from it.
    pub(super) fn pass(
        &mut self,
        handle: u128,
        from: Speaker,
        bytes: &[u8],
        signals: &mut Vec<Meaning>,
    ) {
        // A file may be opened on one connection and used on another (SMB 3 multichannel).
        if !self.open.contains_key(&handle) && begins_calls(bytes) {
            self.open(handle, "of another connection");
        }
        if let Some(Pipe { name, calls }) = self.open.get_mut(&handle)
            && !bytes.is_empty()
        {
            calls.pdu(from, bytes, Over::Pipe(name), signals);
        }
    }
}

/// Whether bytes begin as a bind, alter context or their answers do, of version 5.0 (C706 12.6.4).
fn begins_calls(bytes: &[u8]) -> bool {
    matches!(bytes, [5, 0, 11 | 12 | 14 | 15, 0..=3, 0x10 | 0, 0, 0, 0, ..])
}
