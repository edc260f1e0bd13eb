//! A post-mortem for ports: reads packet captures offline and says which required connections
//! worked, which were silently dropped and which were refused.
//!
//! The program is the product; this crate is its inside, and its documentation the map.
//!
//! ```text
//! file ──► capture ──► packet ──► flow ──► verdict ──► matrix ──► diagnosis ──► report ──► render
//!          frames      layers     facts    what was    required?  why, and      one sorted  terminal
//!          (batches)                       seen        proven?    what to do    value       json csv …
//!
//!          └──────────── analyze: drives this with rayon ────────────┘            cli: arguments, exit
//! ```
//!
//! A module imports only from modules to its left (`tests/layering.rs` proves it). Packets borrow
//! the bytes of their batch; after [`flow`] no byte of the capture is alive; after [`report`]
//! nothing is computed.
//!
//! | type | holds |
//! |---|---|
//! | [`capture::FrameBatch`] | frames of a capture in one buffer, numbered as Wireshark numbers them |
//! | [`packet::Packet`] | what a frame says about a flow |
//! | [`flow::Flow`] | one attempt to talk: facts, and the frames that show them |
//! | [`verdict::record::JudgedFlow`] | what the flow did, with a reason: the record in reports |
//! | [`verdict::flows::Flows`] | all of them; those that are alike as facts, judged when they are wanted |
//! | [`matrix::Matrix`], [`matrix::Cell`] | what should work between which roles, and what is proven |
//! | [`diagnosis::Finding`], [`diagnosis::FirewallRequest`] | what to know, what to ask for |
//! | [`report::Report`] | all of it, sorted: the JSON contract |
//!
//! # Why
//!
//! *Why is a reset not "closed" and silence not "blocked"?* A verdict says what the capture
//! shows. What it may mean is another sentence, because a firewall that drops, a host that is
//! down and a capture that missed the way back look the same.
//!
//! *Why is a retransmission decided by the sequence number and not by time?* Windows repeats a SYN
//! after 3 and 9 seconds, or 1, 3, 7 and 15; a timer that splits attempts counts one blocked
//! connection two or three times.
//!
//! *Why shards and not partial tables?* A flow that lives in one shard sees its packets in the order
//! of the capture, so its state machine needs no law of merging, and the number of threads cannot
//! change a result.
//!
//! *Why no memory map?* Reading is not the cost, and a file that is cut under a map stops the
//! program; without one the crate forbids `unsafe`.

pub mod analyze;
pub mod anonymize;
pub mod capture;
pub mod cli;
pub mod diagnosis;
pub mod filter;
pub mod flow;
pub mod log;
pub mod matrix;
pub mod merge;
pub mod net;
pub mod packet;
pub mod probe;
pub mod render;
pub mod report;
pub mod verdict;
mod words;
