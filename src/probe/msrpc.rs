//! Microsoft's remote procedure calls: who asked for which interface, where the endpoint mapper
//! said that it listens, and whether the calls were served.

mod calls;

pub(super) use calls::{Calls, Over};
