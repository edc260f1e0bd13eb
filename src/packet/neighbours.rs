//! Neighbours that were asked for and never answered: address resolution (RFC 826) and neighbour
//! discovery (RFC 4861).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::net::FrameNumber;

/// A neighbour that never answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighbourRecord {
    /// The address that was asked for.
    pub address: IpAddr,
    /// Who asked first.
    pub asked_by: IpAddr,
    /// How often it was asked for.
    pub asked: u64,
    /// The first question.
    pub first_frame: FrameNumber,
    /// The last question.
    pub last_frame: FrameNumber,
}
