//! Flows that are there whole and flows that are made: the same to whoever asks.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::flow::script::{flows, packets};
use crate::flow::{FlowTable, KnownPorts, Look};
use crate::net::{Clock, Endpoint, FlowKey, Transport};
use crate::packet::Packet;
use crate::verdict::record::Verdict;
use crate::verdict::{Glances, Glancing, Sorted, Sorting};

/// Attempts that follow each other, from other ports each.
fn attempts(scripts: &[&str]) -> Vec<Packet<'static>> {
    let mut all: Vec<Packet<'static>> = Vec::new();
    for (number, script) in (0_u16..).zip(scripts) {
        let before = all.len();
        for mut packet in packets(script) {
            let [from, to] = [packet.sender, packet.sender.opposite()];
            let ends = [from, to].map(|end| {
                let mut end = packet.key.endpoint(end);
                end.port += if end.port > 50_000 { number } else { 0 };
                end
            });
            (packet.key, packet.sender) = FlowKey::of(packet.key.transport(), ends[0], ends[1]);
            packet.frame.0 += before as u64;
            let second = usize::try_from(packet.frame.0).unwrap() - 1;
            packet.time = Some(crate::flow::script::second(second));
            all.push(packet);
        }
    }
    all
}

fn circumstances() -> Circumstances {
    Circumstances {
        capture_end: Some(crate::flow::script::second(1_000)),
        clock: Clock::MICROSECONDS,
        syn_wait: 3_000_000_000,
        udp_reply_wait: 2_000_000_000,
        known_ports: KnownPorts::default(),
        notes: Vec::new(),
    }
}

/// Flows told apart, so many of which are glanced at together.
fn sorted(finished: &Finished, circumstances: &Circumstances, together: usize) -> Sorted {
    let glancing = Glancing::new(circumstances, &[]);
    let mut sorting = Sorting::default();
    for place in (0..finished.len()).step_by(together) {
        let mut glances = Glances::default();
        let part = place..finished.len().min(place + together);
        finished.each(part, |_, look| glancing.see(look, &mut glances));
        sorting.see(&glances);
    }
    sorting.finish()
}

fn finished(packets: &[Packet<'_>]) -> Finished {
    let mut table = FlowTable::new(KnownPorts::default(), 60_000_000_000);
    for packet in packets {
        table.observe(packet);
    }
    table.finish().0
}

fn judged(scripts: &[&str]) -> Flows {
    let finished = finished(&attempts(scripts));
    let circumstances = circumstances();
    let sorted = sorted(&finished, &circumstances, 1);
    let places = sorted.telling(finished.len());
    let telling = places.iter().filter_map(|place| finished.get(*place));
    let telling = telling.map(|flow| judge(&flow, 0, &circumstances)).collect();
    Flows::of([(0, sorted.flows(finished, circumstances, &places, telling))])
}

fn verdicts(flows: &Flows) -> Vec<(u64, &'static str)> {
    flows.iter().map(|flow| (flow.id, flow.verdict.as_str())).collect()
}

const STORY: [&str; 7] = ["ShA", "ShA", "Sr", "ShA", "S", "S", "ShA"];

#[test]
fn of_flows_that_worked_alike_the_first_and_the_last_tell() {
    let all = judged(&STORY);
    let telling: Vec<u64> = all.telling().iter().map(|flow| flow.id).collect();
    assert_eq!(telling, [1, 3, 7]);
    let lanes: Vec<(bool, u64)> =
        all.lanes().map(|(_, lane)| (lane.is_unanswered(), lane.hidden)).collect();
    assert_eq!(lanes, [(false, 2), (true, 2)]);
    assert_eq!(all.len(), 7);
}

#[test]
fn every_flow_is_there_when_it_is_asked_for() {
    let mut all = judged(&STORY);
    let expected = [
        (1, "established"),
        (2, "established"),
        (3, "refused"),
        (4, "established"),
        (5, "no_reply"),
        (6, "no_reply"),
        (7, "established"),
    ];
    assert_eq!(verdicts(&all), expected);
    assert_eq!(all.get(4).unwrap().initiator.port, 52705);
    assert_eq!(all.get(8), None);
    let before: Vec<JudgedFlow> = all.iter().map(Cow::into_owned).collect();
    all.promote(|_, lane| lane.is_unanswered());
    let telling: Vec<u64> = all.telling().iter().map(|flow| flow.id).collect();
    assert_eq!(telling, [1, 3, 5, 6, 7]);
    all.promote_all();
    assert_eq!(all.telling(), before);
    assert!(!all.has_plain());
}

#[test]
fn what_is_alike_in_no_order_of_time_is_kept_whole() {
    let mut packets = attempts(&["S", "S", "S"]);
    packets[0].time = packets[2].time;
    assert_eq!(flows(&packets).len(), 3);
    let finished = finished(&packets);
    for together in [1, 2, 3] {
        assert_eq!(sorted(&finished, &circumstances(), together).telling(3), [0, 1, 2]);
    }
}

proptest! {
    // Rows of SYNs to ports of a few hosts, with what interrupts them.
    #[test]
    fn flows_are_told_apart_alike_however_many_are_glanced_at_together(
        calls in prop::collection::vec(
            (prop::sample::select(vec!["S", "S", "S", "S", "SS", "Sr", "ShA"]), 0_u8..2, 0_u16..4),
            1..60,
        ),
        together in 2_usize..70,
    ) {
        let scripts: Vec<&str> = calls.iter().map(|(script, ..)| *script).collect();
        let mut packets = attempts(&scripts);
        let first = packets[0].key.endpoint(packets[0].sender).port;
        for packet in &mut packets {
            let ends = [packet.sender, packet.sender.opposite()].map(|end| packet.key.endpoint(end));
            let caller = ends.iter().map(|end| end.port).max().unwrap();
            let (_, host, port) = calls[usize::from(caller - first)];
            let called = Endpoint { address: Ipv4Addr::new(10, 2, 0, host).into(), port: 80 + port };
            let ends = ends.map(|end| if end.port == caller { end } else { called });
            (packet.key, packet.sender) = FlowKey::of(Transport::Tcp, ends[0], ends[1]);
            (packet.link, packet.ip_id) = (Some(&[2; 12]), Some(1));
        }
        let finished = finished(&packets);
        prop_assert_eq!(finished.len(), calls.len());
        let mut lone = 0;
        finished.each(0..finished.len(), |_, look| {
            lone += usize::from(matches!(look, Look::LoneSyn(_)));
        });
        prop_assert_eq!(lone, scripts.iter().filter(|script| **script == "S").count());
        let sorted = |together| format!("{:?}", sorted(&finished, &circumstances(), together));
        prop_assert_eq!(sorted(together), sorted(1));
    }
}

#[test]
fn of_calls_that_one_host_repeats_in_vain_some_tell_and_the_others_are_counted() {
    let mut all = judged(&vec!["SS"; 1_030]);
    assert_eq!((all.telling().len(), all.len()), (1_024, 1_030));
    let host = all.telling()[0].responder;
    let seen = Seen::from(&all);
    assert_eq!(seen.repeated(|_, _| true), [(host.address, host.port); 6]);
    assert_eq!(seen.repeated(|_, port| port != host.port), []);
    let first = seen.first_repeated(host.address, host.port, |_, _| true).map(|flow| flow.id);
    assert_eq!(first.take(2).collect::<Vec<_>>(), [1_025, 1_026]);
    let folded: Vec<_> = all.clone().fold().into_values().collect();
    let folded: Vec<Vec<_>> = folded.iter().map(|ports| ports.iter().collect()).collect();
    assert_eq!(folded, [vec![(host.port, 6)]]);
    all.promote_all();
    assert!(all.telling().iter().all(|flow| flow.verdict == Verdict::NoReply));
    assert_eq!(all.telling().len(), 1_030);
}
