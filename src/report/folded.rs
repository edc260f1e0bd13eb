//! Plain flows that are counted instead of listed (`--fold`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::net::{Address, PortCounts, Transport};
use crate::verdict::flows::Way;
use crate::verdict::record::Verdict;

/// Plain flows that are alike: they worked, or are single calls that nobody answered, and others of
/// their kind are among the flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldedRecord {
    /// Who called.
    pub initiator: Address,
    /// Who was called.
    pub responder: Address,
    /// Transport.
    pub transport: Transport,
    /// The port that was called.
    pub port: u16,
    /// What they did.
    pub verdict: Verdict,
    /// How many there are.
    pub count: u64,
}

/// The counts of all plain flows, by way and port: in a report the list of [`FoldedRecord`]s.
// Of a scan that list is as long as the flows are many, and the ports alone a thirtieth of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldedFlows(BTreeMap<Way, PortCounts>);

impl FoldedFlows {
    /// Of counts that are settled.
    pub(super) fn of(counts: BTreeMap<Way, PortCounts>) -> FoldedFlows {
        FoldedFlows(counts)
    }

    /// The counts: by initiator, responder, transport, verdict and port.
    pub fn iter(&self) -> impl Iterator<Item = FoldedRecord> + '_ {
        self.0.iter().flat_map(|((initiator, responder, transport, verdict), ports)| {
            ports.iter().map(|(port, count)| FoldedRecord {
                initiator: *initiator,
                responder: *responder,
                transport: *transport,
                port,
                verdict: *verdict,
                count,
            })
        })
    }
}

impl Serialize for FoldedFlows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for FoldedFlows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FoldedFlows, D::Error> {
        let mut counts: BTreeMap<Way, PortCounts> = BTreeMap::new();
        for record in Vec::<FoldedRecord>::deserialize(deserializer)? {
            let FoldedRecord { initiator, responder, transport, port, verdict, count } = record;
            let way = (initiator, responder, transport, verdict);
            counts.entry(way).or_default().add(port, count);
        }
        counts.values_mut().for_each(PortCounts::settle);
        Ok(FoldedFlows(counts))
    }
}

impl JsonSchema for FoldedFlows {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FoldedFlows".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<FoldedRecord>::json_schema(generator)
    }
}
