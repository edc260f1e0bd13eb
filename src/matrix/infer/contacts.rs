//! Who called whom on ports that tell something, and who only scanned.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::FixedState;

use crate::matrix::explain::list_of;
use crate::matrix::roles::is_host;
use crate::net::{Address, Transport};
use crate::verdict::flows::Seen;
use crate::verdict::record::Class;

/// Other ports that one host may try on another. Time, names, remote management, the web and
/// remote desktop make about ten.
const SCANNED_PORTS: usize = 12;
/// Hosts that may be silent to one caller.
const SWEPT_HOSTS: usize = 32;
/// Dynamic ports of current Windows begin here; calling many of them is no scan.
const FIRST_DYNAMIC: u16 = 49152;

/// A port that tells something. At most 32 stand in a list.
pub(super) struct Port {
    /// `None` where both transports count.
    pub(super) transport: Option<Transport>,
    pub(super) number: u16,
    /// A bit for each service that it is a port of.
    pub(super) services: u8,
}

impl Port {
    fn is(&self, transport: Transport, number: u16) -> bool {
        self.number == number && self.transport.is_none_or(|own| own == transport)
    }
}

/// A set of ports of a list, by their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ListedPorts(u32);

impl ListedPorts {
    fn add(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    pub(super) fn union(self, other: ListedPorts) -> ListedPorts {
        ListedPorts(self.0 | other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn of(self, ports: &[Port]) -> impl Iterator<Item = &Port> {
        let ports = ports.iter().enumerate();
        ports.filter(move |(index, _)| self.0 & (1 << index) != 0).map(|(_, port)| port)
    }

    /// The services of these ports, one bit each.
    pub(super) fn services(self, ports: &[Port]) -> u8 {
        self.of(ports).fold(0, |services, port| services | port.services)
    }

    /// "88, 389 and 445".
    pub(super) fn text(self, ports: &[Port]) -> String {
        let text: Vec<String> = self.of(ports).map(|port| port.number.to_string()).collect();
        list_of(&text, ports.len())
    }
}

/// What one caller did to one host.
#[derive(Clone, Copy, Default)]
pub(super) struct Calls {
    pub(super) addressed: ListedPorts,
    pub(super) answered: ListedPorts,
}

/// Calls by pairs of hosts, as they come.
#[derive(Default)]
struct Pairs {
    places: HashMap<(Address, Address), usize, FixedState>,
    /// Host, caller, and what it did.
    calls: Vec<(Address, Address, Calls)>,
}

impl Pairs {
    fn note(&mut self, host: Address, caller: Address, note: impl FnOnce(&mut Calls)) {
        let next = self.calls.len();
        let place = *self.places.entry((host, caller)).or_insert(next);
        if place == next {
            self.calls.push((host, caller, Calls::default()));
        }
        if let Some((_, _, calls)) = self.calls.get_mut(place) {
            note(calls);
        }
    }
}

/// Calls to the ports of a list: by host, then by caller.
pub(super) struct Contacts {
    ports: &'static [Port],
    pub(super) of: BTreeMap<Address, BTreeMap<Address, Calls>>,
}

impl Contacts {
    /// Gathers the calls to these ports.
    pub(super) fn new(flows: Seen<'_>, ports: &'static [Port]) -> Contacts {
        let mut pairs = Pairs::default();
        for lane in flows.unanswered() {
            let (caller, host) = (lane.from(), lane.to());
            let is_tried =
                |port: &Port| lane.has_port(port.number) && port.is(Transport::Tcp, port.number);
            for (index, _) in ports.iter().enumerate().filter(|(_, port)| is_tried(port)) {
                if is_host(caller) && is_host(host) {
                    pairs.note(host, caller, |calls| calls.addressed.add(index));
                }
            }
        }
        for flow in flows.telling {
            let (caller, host) = (flow.initiator.address, flow.responder.address);
            let number = flow.responder.port;
            let port = ports.iter().position(|port| port.is(flow.transport, number));
            if let Some(index) = port
                && caller != host
                && is_host(caller)
                && is_host(host)
            {
                pairs.note(host, caller, |calls| {
                    calls.addressed.add(index);
                    if flow.class == Class::Success {
                        calls.answered.add(index);
                    }
                });
            }
        }
        let mut of: BTreeMap<Address, BTreeMap<Address, Calls>> = BTreeMap::new();
        for (host, caller, calls) in pairs.calls {
            of.entry(host).or_default().insert(caller, calls);
        }
        Contacts { ports, of }
    }

    /// Ports on which a host answered anybody.
    pub(super) fn answered_by(&self, host: Address) -> ListedPorts {
        let calls = self.of.get(&host).into_iter().flatten();
        calls.fold(ListedPorts::default(), |all, (_, calls)| all.union(calls.answered))
    }

    /// Which of these attempts, hosts by caller, are none of a scan or sweep: callers by host.
    pub(super) fn without_scans(
        &self,
        flows: Seen<'_>,
        mut attempts: BTreeMap<Address, BTreeSet<Address>>,
    ) -> BTreeMap<Address, Vec<Address>> {
        attempts.retain(|_, hosts| hosts.len() <= SWEPT_HOSTS);
        let scans = self.scans(flows, &attempts);
        let mut callers: BTreeMap<Address, Vec<Address>> = BTreeMap::new();
        for (caller, hosts) in attempts {
            for host in hosts.into_iter().filter(|host| !scans.contains(&(caller, *host))) {
                callers.entry(host).or_default().push(caller);
            }
        }
        callers
    }

    /// Which of these attempts belong to a port scan: caller and host.
    fn scans(
        &self,
        flows: Seen<'_>,
        attempts: &BTreeMap<Address, BTreeSet<Address>>,
    ) -> BTreeSet<(Address, Address)> {
        let mut others: BTreeMap<(Address, Address), BTreeSet<(Transport, u16)>> = BTreeMap::new();
        if attempts.is_empty() {
            return BTreeSet::new();
        }
        let telling = flows.telling.iter().map(|flow| {
            let (caller, host) = (flow.initiator.address, flow.responder.address);
            (caller, host, flow.transport, flow.responder.port)
        });
        let unanswered = flows.unanswered().flat_map(|lane| {
            let ports = lane.ports.iter().copied();
            ports.map(|port| (lane.from(), lane.to(), Transport::Tcp, port))
        });
        for (caller, host, transport, number) in telling.chain(unanswered) {
            let other =
                number < FIRST_DYNAMIC && !self.ports.iter().any(|port| port.is(transport, number));
            if other && attempts.get(&caller).is_some_and(|hosts| hosts.contains(&host)) {
                others.entry((caller, host)).or_default().insert((transport, number));
            }
        }
        others.retain(|_, ports| ports.len() > SCANNED_PORTS);
        others.into_keys().collect()
    }
}
