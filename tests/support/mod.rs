//! What the tests stand on: scenes of traffic, files to hold them, and the cases in `testdata`.
//!
//! A [`scene`] plays traffic frame by frame, [`payload`] has what the hosts say to each other,
//! [`files`] stores a scene as a capture, [`recipes`] are the scenes of `testdata`, and [`case`]
//! reads what is expected of them.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "shared by several tests, each of which uses a part and may stop at a surprise"
)]

pub mod calls;
pub mod case;
pub mod files;
pub mod payload;
pub mod program;
pub mod recipes;
pub mod rpc;
pub mod scene;
pub mod validity;
