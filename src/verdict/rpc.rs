//! Remote procedure calls across flows: which port the endpoint mapper announced, and which later
//! flow called it.
//!
//! Everything here is found from the records of the flows, so that it can be found again when
//! reports are put together.

use std::collections::BTreeMap;

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use thin_vec::ThinVec;

use crate::flow::Flow;
use crate::net::{Address, FrameNumber, Time, Transport};
use crate::probe::{Answer, CodeSet, Interface, Uuid, asked_interface};
use crate::verdict::record::{AnnouncementRecord, JudgedFlow, NotRegisteredRecord, RpcRecord};

/// Interfaces that are called beside the one that matters: those that every object of DCOM has, and
/// the one that every service has.
const PLUMBING: [&str; 4] = ["IUnknown", "IRemUnknown", "IRemUnknown2", "MGMT"];

/// Ports where remote procedure calls are at home and that are no dynamic ones: the endpoint mapper,
/// pipes over NetBIOS and SMB, and RPC over HTTP. What is called there says nothing of the port.
pub const FIXED_RPC_PORTS: [u16; 4] = [135, 139, 445, 593];

/// What a flow's own payload tells of its calls: the first interface that says what for.
pub(super) fn own(flow: &Flow) -> Option<RpcRecord> {
    let heard = flow.heard.as_ref()?;
    let is_telling = |&&(uuid, _): &&(Uuid, FrameNumber)| {
        !Interface::of(uuid).is_some_and(|interface| PLUMBING.contains(&interface.name))
    };
    let &(uuid, _) = heard.calls.iter().find(is_telling).or(heard.calls.first())?;
    Some(RpcRecord {
        interface: Interface::of(uuid).map(|interface| interface.name.to_owned()),
        uuid: Some(uuid.to_string()),
        bound: true,
        announced_frame: None,
        endpoint_mapper_flow: None,
    })
}

/// Where it says that services listen.
pub(super) fn announced(flow: &Flow) -> ThinVec<AnnouncementRecord> {
    let Some(heard) = &flow.heard else { return ThinVec::new() };
    heard
        .announced
        .iter()
        .filter(|(place, _)| place.port != 0)
        .filter_map(|(place, frame)| {
            Some(AnnouncementRecord {
                frame: *frame,
                interface: match place.uuid {
                    Some(uuid) => Interface::of(uuid).map(|interface| interface.name.to_owned()),
                    None => Some(OBJECTS.to_owned()),
                },
                uuid: place.uuid.map(|uuid| uuid.to_string()),
                transport: place.transport?,
                address: place.address.map(Address::from),
                port: place.port,
            })
        })
        .collect()
}

/// The process that holds an object of DCOM: its interfaces are many, and found out later.
const OBJECTS: &str = "DCOM objects";

/// Interfaces that the endpoint mapper does not know.
pub(super) fn not_registered(flow: &Flow) -> ThinVec<NotRegisteredRecord> {
    let Some(heard) = &flow.heard else { return ThinVec::new() };
    heard
        .failures
        .iter()
        .filter_map(|failure| {
            let interface = asked_interface(&failure.subject).filter(|_| is_elsewhere(failure))?;
            Some(NotRegisteredRecord { frame: failure.frame, interface: interface.to_owned() })
        })
        .collect()
}

/// Whether the failure is another service's: the endpoint mapper that does not know it serves.
pub(super) fn is_elsewhere(failure: &Answer) -> bool {
    failure.code.is_some_and(|code| {
        code.set == CodeSet::EndpointMapper && code.name() == "endpoint not registered"
    })
}

/// An announcement, by where it was heard.
#[derive(Clone, Copy)]
struct Told<'a> {
    capture: usize,
    frame: FrameNumber,
    /// When the flow began that it was heard in.
    begun: Option<Time>,
    flow: u64,
    record: &'a AnnouncementRecord,
}

/// What is called, and what was announced to listen there: newest last, by interface.
type Places<'a> = BTreeMap<(Address, Transport, u16), BTreeMap<Option<&'a str>, Vec<Told<'a>>>>;

/// Tells every flow which announcement named its port, if one did before it began. Flows have
/// their ids, and stand by capture and first frame.
///
/// An announcement names an address. Where that is not the one that the endpoint mapper was
/// called at, a device translates addresses, or the host has several: it counts for both.
pub fn link(flows: &mut [JudgedFlow]) {
    // Of most flows nothing is known, before and after.
    let linked: Vec<(usize, Option<RpcRecord>)> = {
        let places = places(flows);
        let linked = flows.par_iter().map(|flow| (flow.rpc.is_some(), linked(flow, &places)));
        let known = linked.enumerate().filter(|(_, (was_known, rpc))| *was_known || rpc.is_some());
        known.map(|(index, (_, rpc))| (index, rpc)).collect()
    };
    for (index, rpc) in linked {
        if let Some(flow) = flows.get_mut(index) {
            flow.rpc = rpc.map(Box::new);
        }
    }
}

fn places(flows: &[JudgedFlow]) -> Places<'_> {
    let mut places = Places::new();
    for flow in flows {
        for record in &flow.announced {
            let told = Told {
                capture: flow.capture,
                frame: record.frame,
                begun: flow.first_seen,
                flow: flow.id,
                record,
            };
            let called = flow.responder.address;
            let mut add = |address| {
                let at = places.entry((address, record.transport, record.port)).or_default();
                at.entry(record.uuid.as_deref()).or_default().push(told);
            };
            add(called);
            if let Some(address) = record.address.filter(|address| *address != called) {
                add(address);
            }
        }
    }
    for told in places.values_mut().flat_map(BTreeMap::values_mut) {
        told.sort_by_key(|told| (told.capture, told.frame));
    }
    places
}

fn linked(flow: &JudgedFlow, places: &Places<'_>) -> Option<RpcRecord> {
    // What an earlier report found is found anew.
    let own = flow.rpc.as_deref().filter(|rpc| rpc.bound).map(|rpc| RpcRecord {
        announced_frame: None,
        endpoint_mapper_flow: None,
        ..rpc.clone()
    });
    let at = places.get(&(flow.responder.address, flow.transport, flow.responder.port));
    let Some(by_interface) = at else { return own };
    let of_own = own.as_ref().and_then(|own| by_interface.get(&own.uuid.as_deref()));
    let told = match of_own.and_then(|told| before(flow, told)) {
        Some(told) => Some(told),
        None => by_interface
            .values()
            .filter_map(|told| before(flow, told))
            .max_by_key(|told| (told.capture == flow.capture, told.capture, told.frame)),
    };
    let Some(told) = told else { return own };
    let announced = RpcRecord {
        interface: told.record.interface.clone(),
        uuid: told.record.uuid.clone(),
        bound: false,
        announced_frame: Some(told.frame),
        endpoint_mapper_flow: Some(told.flow),
    };
    Some(match own {
        Some(own) => RpcRecord {
            announced_frame: announced.announced_frame,
            endpoint_mapper_flow: announced.endpoint_mapper_flow,
            ..own
        },
        None => announced,
    })
}

/// The newest that was told before the flow began: in its own capture by frame, else in an
/// earlier one whose clock does not gainsay it.
fn before<'a>(flow: &JudgedFlow, told: &[Told<'a>]) -> Option<Told<'a>> {
    let earlier =
        told.partition_point(|it| (it.capture, it.frame) < (flow.capture, flow.first_frame));
    let newest = *told.get(earlier.checked_sub(1)?)?;
    let gainsaid = match (newest.begun, flow.first_seen) {
        (Some(told), Some(begun)) if told.clock.zone_known == begun.clock.zone_known => {
            told.at > begun.at
        }
        _ => false,
    };
    (newest.capture == flow.capture || !gainsaid).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::script::play;
    use crate::net::Clock;
    use crate::verdict::{Circumstances, judge};

    const DRSUAPI: &str = "e3514235-4b06-11d1-ab04-00c04fc2dcd2";
    const NETLOGON: &str = "12345678-1234-abcd-ef00-01234567cffb";

    /// A flow to this place, whose first frame has this number.
    fn flow(id: u64, capture: usize, first_frame: u64, to: &str, port: u16) -> JudgedFlow {
        let circumstances = Circumstances {
            capture_end: None,
            clock: Clock::MICROSECONDS,
            syn_wait: 0,
            udp_reply_wait: 0,
            known_ports: crate::flow::KnownPorts::default(),
            notes: Vec::new(),
        };
        let mut flow = judge(&play("SSS"), capture, &circumstances);
        flow.id = id;
        flow.first_frame = FrameNumber(first_frame);
        flow.responder.address = to.parse().unwrap();
        flow.responder.port = port;
        flow
    }

    /// The endpoint mapper at 10.1.0.13 says where DRSUAPI listens.
    fn mapper(id: u64, capture: usize, frame: u64, address: &str, port: u16) -> JudgedFlow {
        let mut flow = flow(id, capture, frame - 1, "10.1.0.13", 135);
        flow.announced.push(AnnouncementRecord {
            frame: FrameNumber(frame),
            interface: Some("DRSUAPI".to_owned()),
            uuid: Some(DRSUAPI.to_owned()),
            transport: Transport::Tcp,
            address: address.parse().ok(),
            port,
        });
        flow
    }

    /// Frame and flow of the announcement, and the interface, of the last of these flows.
    fn link_of_last(mut flows: Vec<JudgedFlow>) -> Option<(u64, u64, String)> {
        link(&mut flows);
        let rpc = flows.pop()?.rpc?;
        Some((rpc.announced_frame?.0, rpc.endpoint_mapper_flow?, rpc.interface?))
    }

    #[test]
    fn a_port_belongs_to_what_was_announced_there_before() {
        let drsuapi = || "DRSUAPI".to_owned();
        let told = || mapper(1, 0, 12, "10.1.0.13", 49_155);
        for (what, to, port, first_frame, expected) in [
            ("later", "10.1.0.13", 49_155, 20, Some((12, 1, drsuapi()))),
            ("earlier", "10.1.0.13", 49_155, 5, None),
            ("another port", "10.1.0.13", 49_156, 20, None),
            ("another host", "10.1.0.14", 49_155, 20, None),
        ] {
            let flows = vec![told(), flow(2, 0, first_frame, to, port)];
            assert_eq!(link_of_last(flows), expected, "{what}");
        }
    }

    #[test]
    fn the_newest_announcement_counts() {
        let flows = vec![
            mapper(1, 0, 12, "10.1.0.13", 49_155),
            mapper(2, 0, 30, "10.1.0.13", 49_155),
            mapper(3, 0, 50, "10.1.0.13", 49_155),
            flow(4, 0, 40, "10.1.0.13", 49_155),
        ];
        assert_eq!(link_of_last(flows).map(|(frame, ..)| frame), Some(30));
    }

    #[test]
    fn an_earlier_capture_counts_where_the_own_one_tells_nothing() {
        let earlier = || mapper(1, 0, 900, "10.1.0.13", 49_155);
        let last = || flow(3, 1, 7, "10.1.0.13", 49_155);
        assert_eq!(link_of_last(vec![earlier(), last()]).map(|(frame, ..)| frame), Some(900));
        let own = mapper(2, 1, 4, "10.1.0.13", 49_155);
        assert_eq!(link_of_last(vec![earlier(), own, last()]).map(|(frame, ..)| frame), Some(4));
        let later = mapper(3, 1, 2, "10.1.0.13", 49_155);
        let first = flow(1, 0, 7, "10.1.0.13", 49_155);
        assert_eq!(link_of_last(vec![later, first]), None);
    }

    #[test]
    fn an_address_that_was_not_called_counts_for_both() {
        for called in ["10.1.0.13", "192.168.7.13"] {
            let flows =
                vec![mapper(1, 0, 12, "192.168.7.13", 49_155), flow(2, 0, 20, called, 49_155)];
            assert_eq!(link_of_last(flows).map(|(frame, ..)| frame), Some(12), "{called}");
        }
        let unknown = vec![mapper(1, 0, 12, "-", 49_155), flow(2, 0, 20, "10.1.0.13", 49_155)];
        assert_eq!(link_of_last(unknown).map(|(frame, ..)| frame), Some(12));
    }

    #[test]
    fn what_a_flow_binds_itself_is_its_interface() {
        let mut second = mapper(2, 0, 14, "10.1.0.13", 49_155);
        second.announced[0].uuid = Some(NETLOGON.to_owned());
        second.announced[0].interface = Some("NETLOGON".to_owned());
        let mut last = flow(3, 0, 20, "10.1.0.13", 49_155);
        let told = || mapper(1, 0, 12, "10.1.0.13", 49_155);
        assert_eq!(
            link_of_last(vec![told(), second.clone(), last.clone()]),
            Some((14, 2, "NETLOGON".to_owned()))
        );
        last.rpc = Some(Box::new(RpcRecord {
            interface: Some("DRSUAPI".to_owned()),
            uuid: Some(DRSUAPI.to_owned()),
            bound: true,
            announced_frame: None,
            endpoint_mapper_flow: None,
        }));
        assert_eq!(link_of_last(vec![told(), second, last]), Some((12, 1, "DRSUAPI".to_owned())));
    }

    #[test]
    fn links_are_found_anew_when_reports_are_put_together() {
        let mut flows =
            vec![mapper(1, 0, 12, "10.1.0.13", 49_155), flow(2, 0, 20, "10.1.0.13", 49_155)];
        link(&mut flows);
        // Other flows came before them.
        flows[0].id = 8;
        flows[1].id = 9;
        let once = flows.clone();
        link(&mut flows);
        assert_eq!(flows[1].rpc.as_ref().unwrap().endpoint_mapper_flow, Some(8));
        assert_eq!(
            flows[1].rpc.as_ref().unwrap().interface,
            once[1].rpc.as_ref().unwrap().interface
        );
        flows.remove(0);
        link(&mut flows);
        assert_eq!(flows[0].rpc, None, "an announcement that is gone links nothing");
    }
}
