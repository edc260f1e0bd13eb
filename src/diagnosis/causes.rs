//! Which finding explains which: what broke first, and what could not work after it.
//!
//! A host that finds no name calls nobody; a host that is down is not asked for the rest; nobody
//! calls a dynamic port that the endpoint mapper was to announce; a caller without a ticket is not
//! accepted. Explained is what could not have worked, and not what merely failed as well.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnosis::grouping::Group;
use crate::diagnosis::names::Lookups;
use crate::diagnosis::shares::{Facet, Share};
use crate::diagnosis::{Evidence, Finding, FindingKind, Known};
use crate::matrix::Outcome;
use crate::net::{Address, Transport};

/// A pair of hosts: who calls whom.
type Pair = (Address, Address);

/// Places of findings that explain others: groups first, then those about names.
pub(super) struct Causes<'l, 'a> {
    lookups: &'l Lookups<'a>,
    /// Callers that nobody answers.
    cut_off: BTreeMap<Address, usize>,
    /// Hosts that answer nobody.
    down: BTreeMap<Address, usize>,
    /// Callers that find no names.
    nameless: BTreeMap<Address, usize>,
    /// Callers that asked for names which nobody knows.
    unknown: BTreeMap<Address, usize>,
    /// Endpoint mappers that were not reached, or failed.
    mappers: BTreeMap<Pair, usize>,
    /// Controllers that did not answer the question whether they are there.
    locators: BTreeMap<Pair, usize>,
    /// Callers that got no ticket.
    ticketless: BTreeMap<Address, usize>,
    /// Pairs of which something was tried.
    talked: Known<Pair>,
    /// Pairs of which something worked over TCP.
    reached: Known<Pair>,
}

impl<'l, 'a> Causes<'l, 'a> {
    pub(super) fn of(
        evidence: &Evidence<'a>,
        groups: &[Group<'a>],
        names: &[(FindingKind, Finding, BTreeSet<Address>)],
        lookups: &'l Lookups<'a>,
    ) -> Causes<'l, 'a> {
        let mut causes = Causes {
            lookups,
            cut_off: BTreeMap::new(),
            down: BTreeMap::new(),
            nameless: BTreeMap::new(),
            unknown: BTreeMap::new(),
            mappers: BTreeMap::new(),
            locators: BTreeMap::new(),
            ticketless: BTreeMap::new(),
            talked: Known::default(),
            reached: Known::default(),
        };
        for cell in &evidence.sheet.cells {
            let pair = (cell.from.address, cell.to.address);
            if cell.outcome != Outcome::NotExercised {
                causes.talked.insert(pair);
            }
            if cell.counts.success > 0 && cell.transport == Transport::Tcp {
                causes.reached.insert(pair);
            }
        }
        let tickets = tickets(evidence);
        for (place, group) in groups.iter().enumerate() {
            for share in &group.shares {
                causes.learn(place, group, share, &tickets);
            }
        }
        for (place, (kind, _, callers)) in (groups.len()..).zip(names) {
            let places = if *kind == FindingKind::NameNotFound {
                &mut causes.unknown
            } else {
                &mut causes.nameless
            };
            for caller in callers {
                if *kind == FindingKind::NameNotFound || lookups.in_the_dark.contains(caller) {
                    places.entry(*caller).or_insert(place);
                }
            }
        }
        causes
    }

    fn learn(
        &mut self,
        place: usize,
        group: &Group<'_>,
        share: &Share<'_>,
        tickets: &Known<Address>,
    ) {
        let (from, to) = share.pair();
        if group.kind == FindingKind::CallerCutOff {
            self.cut_off.insert(from, place);
        }
        if group.kind == FindingKind::HostUnreachable {
            self.down.insert(to, place);
        }
        if !is_failure(group.cause) || share.facet == Facet::NoListener {
            return;
        }
        if share.is_on(53) && self.lookups.in_the_dark.contains(&from) {
            self.nameless.entry(from).or_insert(place);
        }
        let is_tcp = share.cell.transport == Transport::Tcp;
        if share.is_on(135) && is_tcp {
            self.mappers.entry((from, to)).or_insert(place);
        }
        if share.is_on(389) && !is_tcp && share.facet == Facet::Plain {
            self.locators.entry((from, to)).or_insert(place);
        }
        if share.is_on(88) && is_tcp && !tickets.contains(&from) {
            self.ticketless.entry(from).or_insert(place);
        }
    }

    /// Links groups with what explains them.
    pub(super) fn link(&self, groups: &mut [Group<'_>]) {
        for (place, group) in groups.iter_mut().enumerate() {
            let mut each = group.shares.iter().map(|share| self.of_share(group, share));
            let first = each.next().flatten();
            // What explains some of it only explains nothing.
            if first != Some(place) && each.all(|other| other == first) {
                group.explained_by = first;
            }
        }
    }

    fn of_share(&self, group: &Group<'_>, share: &Share<'_>) -> Option<usize> {
        let (from, to) = share.pair();
        if group.kind == FindingKind::CannotTell {
            self.cut_off.get(&from).or_else(|| self.down.get(&to)).copied()
        } else if group.kind == FindingKind::ServiceFailed && share.facet == Facet::Rights {
            self.ticketless.get(&from).copied()
        } else {
            None
        }
    }

    /// What explains that nobody tried.
    pub(super) fn of_untried(&self, share: &Share<'_>) -> Option<usize> {
        let (from, to) = share.pair();
        let pair = (from, to);
        let down = || self.down.get(&to).or_else(|| self.down.get(&from));
        let wide = self.cut_off.get(&from).or_else(down);
        let names = || self.nameless.get(&from).filter(|_| !share.is_on(53));
        let unknown = || {
            let missing = self.lookups.missing(from)?;
            let place = self.unknown.get(&from)?;
            (!missing.domains.is_empty() && !self.talked.contains(&pair)).then_some(place)
        };
        let mapper = || self.mappers.get(&pair).filter(|_| share.requirement.rpc_dynamic);
        let locator = || {
            let place = self.locators.get(&pair)?;
            (!self.reached.contains(&pair) && !share.is_on(53)).then_some(place)
        };
        wide.or_else(names).or_else(unknown).or_else(mapper).or_else(locator).copied()
    }

    /// What explains a finding about names of these callers.
    pub(super) fn of_callers(&self, callers: &BTreeSet<Address>) -> Option<usize> {
        let mut each = callers.iter().map(|caller| self.cut_off.get(caller).copied());
        let first = each.next().flatten();
        each.all(|other| other == first).then_some(first).flatten()
    }
}

/// Whether it failed on the way or at the service, and was not merely tried in vain now and then.
fn is_failure(cause: FindingKind) -> bool {
    matches!(
        cause,
        FindingKind::DroppedHere
            | FindingKind::Dropped
            | FindingKind::Prohibited
            | FindingKind::Refused
            | FindingKind::Unconfirmed
            | FindingKind::Unreachable
            | FindingKind::RefusedByHost
            | FindingKind::ServiceFailed
    )
}

/// Callers that were served by Kerberos.
fn tickets(evidence: &Evidence<'_>) -> Known<Address> {
    let served = evidence.all_flows().filter(|flow| {
        // A first step, as the demand for a proof, is no ticket yet.
        flow.responder.port == 88
            && flow.service.outcome == crate::verdict::record::ServiceOutcome::Served
            && !flow.service.code.as_deref().is_some_and(|code| code.starts_with('K'))
    });
    served.map(|flow| flow.initiator.address).collect()
}
