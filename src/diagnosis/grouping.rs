//! Shares in, groups out: what has one cause is told once.
//!
//! From the widest cause to the narrowest: a caller that nobody answers, a host that answers
//! nobody, ports that fail towards every host, pairs of hosts that fail alike, and single pairs.
//! Hundreds of failing pairs make a handful of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::diagnosis::shares::{Facet, Share};
use crate::diagnosis::{Evidence, FindingKind, Known, Table};
use crate::matrix::Outcome;
use crate::net::{Address, Transport};
use crate::verdict::record::{Class, JudgedFlow, Sender};

/// Pairs of hosts that differ in what fails are told one by one up to this many.
const MOST_ALIKE: usize = 4;
/// Where nobody tried, there is little to tell of each.
const MOST_UNTRIED: usize = 1;

/// Shares of one cause.
pub(super) struct Group<'a> {
    /// What the finding is.
    pub(super) kind: FindingKind,
    /// What went wrong with each share.
    pub(super) cause: FindingKind,
    /// In the order of the sheet.
    pub(super) shares: Vec<Share<'a>>,
    /// Index of the finding that explains all of them.
    pub(super) explained_by: Option<usize>,
}

impl<'a> Group<'a> {
    fn of(kind: FindingKind, mut shares: Vec<Share<'a>>) -> Option<Group<'a>> {
        shares.sort_by_key(|share| share.index);
        let cause = shares.first()?.cause;
        Some(Group { kind, cause, shares, explained_by: None })
    }

    /// Who calls whom, in order.
    pub(super) fn pairs(&self) -> BTreeSet<(Address, Address)> {
        self.shares.iter().map(Share::pair).collect()
    }

    /// What keeps it apart from others of its cause.
    pub(super) fn facet(&self) -> Facet {
        self.shares.first().map_or(Facet::Plain, |share| share.facet)
    }
}

/// Groups what was exercised. Name servers are those that answered a question of a caller.
pub(super) fn group<'a>(
    evidence: &Evidence<'a>,
    shares: Vec<Share<'a>>,
    answered: &Known<(Address, Address)>,
) -> Vec<Group<'a>> {
    let mut rest = shares;
    let mut groups = Vec::new();
    let signs = SignsOfLife::of(evidence);
    groups.extend(cut_off(&signs, &mut rest));
    groups.extend(unreachable(evidence, &signs, &mut rest));
    groups.extend(blocked_ports(evidence, &mut rest));
    groups.extend(alike(rest, |_| None));
    for group in &mut groups {
        if is_silent_name_server(group, answered) {
            group.kind = FindingKind::NameServerSilent;
        }
    }
    groups
}

/// Groups what nobody exercised, by what explains it.
pub(super) fn group_untried<'a>(
    shares: Vec<Share<'a>>,
    explained_by: impl Fn(&Share<'a>) -> Option<usize>,
) -> Vec<Group<'a>> {
    alike(shares, explained_by)
}

/// What moved between hosts at all.
#[derive(Default)]
struct SignsOfLife {
    /// Hosts of which a packet was seen.
    heard: Known<Address>,
    /// Callers that somebody answered.
    answered: Known<Address>,
}

impl SignsOfLife {
    fn of(evidence: &Evidence<'_>) -> SignsOfLife {
        let left_out = evidence.left_out.par_iter();
        let flows = evidence.flows.par_iter().copied().chain(left_out);
        flows.fold(SignsOfLife::default, SignsOfLife::and).reduce(
            SignsOfLife::default,
            |one, other| {
                let (mut more, less) =
                    if one.heard.len() < other.heard.len() { (other, one) } else { (one, other) };
                more.heard.extend(less.heard);
                more.answered.extend(less.answered);
                more
            },
        )
    }

    fn and(mut self, flow: &JudgedFlow) -> SignsOfLife {
        self.heard.insert(flow.initiator.address);
        if has_answer(flow) {
            self.heard.insert(flow.responder.address);
            self.answered.insert(flow.initiator.address);
        }
        self
    }
}

/// Whether the responder sent anything, be it a refusal.
pub(super) fn has_answer(flow: &JudgedFlow) -> bool {
    flow.class == Class::Success
        || flow.packets.responder > 0
        || flow.evidence.iter().any(|packet| packet.from == Sender::Responder)
}

/// Whether nothing came back, or the word of a router that nothing can.
fn is_lost(share: &Share<'_>) -> bool {
    matches!(share.cause, FindingKind::Dropped | FindingKind::Unreachable)
}

/// Takes the shares that belong to one of so many groups, and leaves the others.
fn take<'a>(
    shares: &mut Vec<Share<'a>>,
    groups: usize,
    group_of: impl Fn(&Share<'a>) -> Option<usize>,
) -> Vec<Vec<Share<'a>>> {
    let mut taken: Vec<Vec<Share<'_>>> = Vec::new();
    taken.resize_with(groups, Vec::new);
    if groups > 0 {
        for share in std::mem::take(shares) {
            let group = group_of(&share);
            group.and_then(|group| taken.get_mut(group)).unwrap_or(shares).push(share);
        }
    }
    taken
}

/// Callers that called several hosts and that nobody ever answered.
fn cut_off<'a>(signs: &SignsOfLife, shares: &mut Vec<Share<'a>>) -> Vec<Group<'a>> {
    let mut called: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
    for share in shares.iter().filter(|share| is_lost(share)) {
        let (from, to) = share.pair();
        called.entry(from).or_default().insert(to);
    }
    called.retain(|from, hosts| hosts.len() > 1 && !signs.answered.contains(from));
    let place_of: Table<Address, usize> = called.into_keys().zip(0..).collect();
    let taken = take(shares, place_of.len(), |share| {
        place_of.get(&share.pair().0).copied().filter(|_| is_lost(share))
    });
    taken.into_iter().filter_map(|own| Group::of(FindingKind::CallerCutOff, own)).collect()
}

/// Hosts of which nothing was ever seen, though they were called for several services, or looked for
/// by their neighbours; those with the same callers together.
fn unreachable<'a>(
    evidence: &Evidence<'a>,
    signs: &SignsOfLife,
    shares: &mut Vec<Share<'a>>,
) -> Vec<Group<'a>> {
    let mut called: BTreeMap<Address, (BTreeSet<&str>, BTreeSet<Address>)> = BTreeMap::new();
    for share in shares.iter().filter(|share| is_lost(share)) {
        let (from, to) = share.pair();
        let (rows, callers) = called.entry(to).or_default();
        callers.insert(from);
        if share.facet != Facet::NoListener {
            rows.insert(&share.requirement.id);
        }
    }
    called.retain(|to, (rows, _)| {
        let looked_for = !rows.is_empty() && evidence.is_missed(*to);
        (rows.len() > 1 || looked_for) && !signs.heard.contains(to)
    });
    let mut by_callers: BTreeMap<BTreeSet<Address>, BTreeSet<Address>> = BTreeMap::new();
    for (to, (_, callers)) in called {
        by_callers.entry(callers).or_default().insert(to);
    }
    let groups = by_callers.len();
    let hosts = by_callers.into_values().zip(0..);
    let place_of: Table<Address, usize> =
        hosts.flat_map(|(hosts, place)| hosts.into_iter().map(move |host| (host, place))).collect();
    let taken = take(shares, groups, |share| {
        place_of.get(&share.pair().1).copied().filter(|_| is_lost(share))
    });
    taken.into_iter().filter_map(|own| Group::of(FindingKind::HostUnreachable, own)).collect()
}

/// Ports that fail alike for every pair that used them, towards several hosts; those of the same
/// pairs together.
fn blocked_ports<'a>(evidence: &Evidence<'a>, shares: &mut Vec<Share<'a>>) -> Vec<Group<'a>> {
    type Label<'a> = (Transport, &'a str);
    type Pairs = Vec<(Address, Address)>;
    let on_the_way = |share: &Share<'_>| {
        share.facet == Facet::Plain
            && matches!(
                share.cause,
                FindingKind::Dropped
                    | FindingKind::Prohibited
                    | FindingKind::Refused
                    | FindingKind::Unconfirmed
            )
    };
    let label = |share: &Share<'a>| (share.cell.transport, share.cell.ports.as_str());
    let mut failed: BTreeMap<(FindingKind, Label<'_>), Pairs> = BTreeMap::new();
    for share in shares.iter().filter(|share| on_the_way(share)) {
        failed.entry((share.cause, label(share))).or_default().push(share.pair());
    }
    let mut tried: BTreeMap<Label<'_>, Pairs> =
        failed.keys().map(|(_, label)| (*label, Vec::new())).collect();
    for cell in &evidence.sheet.cells {
        if !matches!(cell.outcome, Outcome::CannotTell | Outcome::NotExercised)
            && let Some(pairs) = tried.get_mut(&(cell.transport, cell.ports.as_str()))
        {
            pairs.push((cell.from.address, cell.to.address));
        }
    }
    // In the order of the sheet they are sorted already.
    for pairs in failed.values_mut().chain(tried.values_mut()) {
        pairs.sort();
        pairs.dedup();
    }
    failed.retain(|(_, label), pairs| {
        let mut hosts = pairs.iter().map(|(_, to)| *to);
        let first = hosts.next();
        hosts.any(|host| Some(host) != first) && tried.get(label) == Some(pairs)
    });
    let mut by_pairs: BTreeMap<(FindingKind, Pairs), BTreeSet<Label<'_>>> = BTreeMap::new();
    for ((cause, label), pairs) in failed {
        by_pairs.entry((cause, pairs)).or_default().insert(label);
    }
    let groups = by_pairs.len();
    let everywhere = by_pairs.into_iter().zip(0..);
    let place_of: BTreeMap<(FindingKind, Label<'_>), usize> = everywhere
        .flat_map(|(((cause, _), labels), place)| {
            labels.into_iter().map(move |label| ((cause, label), place))
        })
        .collect();
    let taken = take(shares, groups, |share| {
        place_of.get(&(share.cause, label(share))).copied().filter(|_| on_the_way(share))
    });
    taken.into_iter().filter_map(|own| Group::of(FindingKind::PortBlocked, own)).collect()
}

/// What a finding has in common, whomever it is about.
type Sort = (FindingKind, Facet, Option<usize>);

/// Groups by pair of hosts; pairs of one caller, or towards one host, that fail alike are one
/// group. What remains beyond a few is one group for each caller, or one for all.
fn alike<'a>(
    shares: Vec<Share<'a>>,
    explained_by: impl Fn(&Share<'a>) -> Option<usize>,
) -> Vec<Group<'a>> {
    let keyed = shares.into_iter().map(|share| {
        let sort = (share.cause, share.facet, explained_by(&share));
        let (from, to) = share.pair();
        ((sort, from, to), share)
    });
    let pairs = gathered(keyed);
    // What fails of each, and what the service said to it.
    let signature = |shares: &[Share<'a>]| -> Vec<(&'a str, &'a str)> {
        let failing = |share: &Share<'a>| {
            let code = share.flows.first().and_then(|flow| flow.service.code.as_deref());
            let code = code.filter(|_| share.cause == FindingKind::ServiceFailed);
            (share.requirement.id.as_str(), code.unwrap_or_default())
        };
        let mut signature: Vec<_> = shares.iter().map(failing).collect();
        signature.sort_unstable();
        signature.dedup();
        signature
    };
    // By caller first: it is the side at which most captures are taken.
    let of_caller = gathered(pairs.into_iter().map(|((sort, from, _), shares)| {
        let key = (sort, signature(&shares), from);
        (key, shares)
    }));
    let by_signature = gathered(of_caller.into_iter().map(|((sort, signature, _), pairs)| {
        // The shares of a pair have one host that is called.
        let first = pairs.iter().filter_map(|shares| shares.first());
        let mut called: Vec<Address> = first.map(|share| share.pair().1).collect();
        called.sort_unstable();
        called.dedup();
        ((sort, signature, called), pairs)
    }));
    let mut by_sort: BTreeMap<Sort, Vec<Vec<Share<'a>>>> = BTreeMap::new();
    for ((sort, ..), callers) in by_signature {
        let shares = callers.into_iter().flatten().flatten();
        by_sort.entry(sort).or_default().push(shares.collect());
    }
    let mut groups = Vec::new();
    for ((cause, _, explained_by), mut drafts) in by_sort {
        let most = if cause == FindingKind::NotExercised { MOST_UNTRIED } else { MOST_ALIKE };
        if drafts.len() > most {
            let mut callers: BTreeMap<Address, Vec<Share<'a>>> = BTreeMap::new();
            for share in drafts.into_iter().flatten() {
                callers.entry(share.pair().0).or_default().push(share);
            }
            drafts = callers.into_values().collect();
            if drafts.len() > most {
                drafts = vec![drafts.into_iter().flatten().collect()];
            }
        }
        groups.extend(
            drafts
                .into_iter()
                .filter_map(|shares| Some(Group { explained_by, ..Group::of(cause, shares)? })),
        );
    }
    // In the order of the sheet, whatever fails.
    groups.sort_by_key(|group| group.shares.first().map(|share| share.index));
    groups
}

/// Puts together what has the same key, in the order in which the keys come.
fn gathered<K: Clone + Eq + Hash, V>(items: impl Iterator<Item = (K, V)>) -> Vec<(K, Vec<V>)> {
    let mut places: Table<K, usize> = Table::default();
    let mut all: Vec<(K, Vec<V>)> = Vec::new();
    for (key, item) in items {
        let next = all.len();
        let place = *places.entry(key.clone()).or_insert(next);
        match all.get_mut(place) {
            Some((_, items)) => items.push(item),
            None => all.push((key, vec![item])),
        }
    }
    all
}

/// Whether all that fails is that a name server answers none of its callers.
fn is_silent_name_server(group: &Group<'_>, answered: &Known<(Address, Address)>) -> bool {
    let on_the_way = matches!(
        group.cause,
        FindingKind::Dropped
            | FindingKind::Prohibited
            | FindingKind::Refused
            | FindingKind::RefusedByHost
            | FindingKind::Unreachable
    );
    on_the_way
        && group.facet() == Facet::Plain
        && group.shares.iter().all(|share| share.is_on(53) && !answered.contains(&share.pair()))
        // TCP is for long answers: without a question over UDP, nobody knows.
        && group.shares.iter().any(|share| share.cell.transport == Transport::Udp)
}

#[cfg(test)]
mod tests {
    use crate::diagnosis::{Beside, Finding, diagnose};
    use crate::matrix::sample::{failing, flow};
    use crate::matrix::{Assessment, DEFAULT_PROFILE, GivenRole, Matrix, Told, assess};
    use crate::verdict::record::{JudgedFlow, ServiceOutcome, Verdict};

    const SITES: [&str; 3] = ["10.0.0.5", "10.0.0.6", "10.0.0.7"];
    const DCS: [&str; 3] = ["10.1.0.10", "10.1.0.11", "10.1.0.12"];

    fn silent(id: u64, from: &str, to: &str, port: u16) -> JudgedFlow {
        flow(id, from, to, "tcp", port, Verdict::NoReply)
    }

    fn open(id: u64, from: &str, to: &str, port: u16) -> JudgedFlow {
        flow(id, from, to, "tcp", port, Verdict::Established)
    }

    fn findings(flows: &[JudgedFlow]) -> Vec<Finding> {
        let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
        let role = |role: &str, hosts: &[&str]| GivenRole {
            role: role.to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let given = [role("site-server", &SITES), role("domain-controller", &DCS)];
        let Assessment { hosts, sheet, unmatched, .. } =
            assess(&matrix, &given, Told::default(), flows);
        let beside = Beside::default();
        diagnose(&matrix, &sheet, &hosts, flows, &unmatched, beside).findings
    }

    /// Findings that are worse than good to know: severity, kind, and the finding that explains
    /// them.
    fn bad(flows: &[JudgedFlow]) -> Vec<(String, Option<usize>)> {
        findings(flows)
            .into_iter()
            .filter(|it| it.severity != crate::capture::Severity::Info)
            .map(|it| (format!("{} {}", it.severity, it.kind), it.explained_by))
            .collect()
    }

    fn alone(kind: &str) -> Vec<(String, Option<usize>)> {
        vec![(format!("error {kind}"), None)]
    }

    #[test]
    fn a_host_of_which_nothing_is_heard_is_one_finding() {
        let flows = [
            silent(1, SITES[0], DCS[0], 445),
            silent(2, SITES[0], DCS[0], 389),
            silent(3, SITES[1], DCS[0], 88),
            open(4, SITES[0], DCS[1], 389),
            open(5, SITES[1], DCS[1], 389),
        ];
        assert_eq!(bad(&flows), alone("host_unreachable"));
        assert_eq!(findings(&flows)[0].attempts, 3);
    }

    #[test]
    fn a_host_that_says_anything_is_not_down() {
        for sign in [
            open(9, SITES[1], DCS[0], 80),
            flow(9, SITES[1], DCS[0], "tcp", 80, Verdict::Refused),
            open(9, DCS[0], SITES[1], 80),
        ] {
            let flows = [
                silent(1, SITES[0], DCS[0], 445),
                silent(2, SITES[0], DCS[0], 389),
                open(3, SITES[0], DCS[1], 389),
                sign,
            ];
            assert_eq!(bad(&flows), alone("dropped"));
        }
    }

    #[test]
    fn one_silent_service_is_no_host_that_is_down() {
        let flows = [silent(1, SITES[0], DCS[0], 445), open(2, SITES[0], DCS[1], 389)];
        assert_eq!(bad(&flows), alone("dropped"));
    }

    #[test]
    fn a_caller_that_nobody_answers_is_one_finding() {
        let flows = [
            silent(1, SITES[0], DCS[0], 445),
            silent(2, SITES[0], DCS[1], 389),
            silent(3, SITES[0], DCS[2], 88),
            open(4, SITES[1], DCS[0], 445),
        ];
        assert_eq!(bad(&flows), alone("caller_cut_off"));
    }

    #[test]
    fn ports_that_fail_towards_every_host_are_one_finding() {
        let mut flows = Vec::new();
        for (id, dc) in (1..).step_by(3).zip(DCS) {
            flows.push(silent(id, SITES[0], dc, 135));
            flows.push(silent(id + 1, SITES[0], dc, 445));
            flows.push(open(id + 2, SITES[0], dc, 389));
        }
        assert_eq!(bad(&flows), alone("port_blocked"));
        flows.push(open(20, SITES[1], DCS[2], 445));
        flows.push(open(21, SITES[1], DCS[2], 135));
        // Somebody gets through: they fail alike still, and not towards everybody.
        assert_eq!(bad(&flows), alone("dropped"));
    }

    #[test]
    fn hundreds_of_failing_pairs_are_a_handful_of_findings() {
        let mut flows = Vec::new();
        let ports = [88, 135, 389, 445, 3268];
        for caller in 0..20_u64 {
            for called in 0..20_u64 {
                let (from, to) =
                    (format!("10.0.0.{}", caller + 5), format!("10.1.0.{}", called + 10));
                let id = 1 + (caller * 20 + called) * 3;
                let port = |place: u64| ports[usize::try_from(place % 5).unwrap()];
                flows.push(silent(id, &from, &to, port(caller + called)));
                flows.push(silent(id + 1, &from, &to, port(caller * called)));
                flows.push(open(id + 2, &from, &to, 443));
            }
        }
        let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
        let role = |role: &str, block: &str| GivenRole {
            role: role.to_owned(),
            hosts: vec![block.to_owned()],
        };
        let given = [role("site-server", "10.0.0.0/16"), role("domain-controller", "10.1.0.0/16")];
        let Assessment { hosts, sheet, unmatched, .. } =
            assess(&matrix, &given, Told::default(), &flows);
        let found =
            diagnose(&matrix, &sheet, &hosts, &flows, &unmatched, Beside::default()).findings;
        assert!(found.len() < 10, "{}", found.len());
        assert!(found.iter().all(|it| it.title.len() < 600 && it.explanation.len() < 2000));
    }

    #[test]
    fn silent_udp_beside_tcp_that_works_is_no_error() {
        let udp = |id, port| flow(id, SITES[0], DCS[0], "udp", port, Verdict::NoReply);
        let ldap = [udp(1, 389), open(2, SITES[0], DCS[0], 389)];
        assert_eq!(bad(&ldap), [("warning udp_unanswered".to_owned(), None)]);
        let kerberos = [udp(1, 88), open(2, SITES[0], DCS[0], 88)];
        assert_eq!(bad(&kerberos), [], "Windows uses TCP");
        assert_eq!(bad(&[udp(1, 389), open(2, SITES[0], DCS[0], 445)]), alone("dropped"));
    }

    #[test]
    fn a_ticket_that_is_not_given_explains_who_is_not_accepted() {
        let answering = |id, port, code: &str| {
            let mut flow = failing(open(id, SITES[0], DCS[0], port), ServiceOutcome::Failed);
            flow.service.code = Some(code.into());
            flow
        };
        let flows = [
            answering(1, 445, "STATUS_LOGON_FAILURE"),
            answering(2, 389, "invalidCredentials"),
            answering(3, 88, "KRB_AP_ERR_SKEW"),
        ];
        let failed = "error service_failed".to_owned();
        assert_eq!(bad(&flows), [(failed.clone(), None), (failed.clone(), Some(0))]);
        let found = findings(&flows);
        assert!(found[0].title.ends_with("on Kerberos (tcp/88: KRB_AP_ERR_SKEW)"), "{found:?}");
        assert_eq!(found[0].rung, Some(crate::diagnosis::Rung::Authorisation));
        // A service that is merely busy has another cause.
        let busy = [answering(1, 389, "busy"), answering(2, 88, "KRB_AP_ERR_SKEW")];
        assert_eq!(bad(&busy), [(failed.clone(), None), (failed, None)]);
    }

    #[test]
    fn what_a_finding_says_of_its_attempts_stands_in_fields() {
        let flows = [silent(3, SITES[0], DCS[0], 135), open(1, SITES[0], DCS[0], 389)];
        let found = findings(&flows);
        let finding = &found[0];
        let hosts: Vec<String> = finding.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, [SITES[0], DCS[0]]);
        let frames: Vec<u64> = finding.frames.iter().map(|place| place.frame.0).collect();
        assert_eq!(frames, [30, 31, 32]);
        assert_eq!(finding.rung, Some(crate::diagnosis::Rung::Syn));
        let seen = [finding.first_seen, finding.last_seen].map(|time| time.unwrap().to_string());
        // 2014-05-27 10:15:00 UTC (1401185700) and ten seconds for each id.
        assert_eq!(seen, ["2014-05-27T10:15:30Z", "2014-05-27T10:15:30Z"]);
        let symptom = finding.symptom.as_deref().unwrap();
        assert!(symptom.starts_with("without RPC endpoint mapper: error 1722"), "{symptom}");
    }
}
