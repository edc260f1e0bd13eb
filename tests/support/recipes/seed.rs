//! The story that the program comes from: a site server during setup, and two domain
//! controllers of the other domain. One answers; in front of the other a firewall drops.
//!
//! Ports, sequence numbers and windows are those of the published traces; addresses, times and
//! all traffic around them are made up. Windows of that time repeats an unanswered SYN after 3
//! and after 6 more seconds, and gives up 12 seconds later.

use crate::support::payload;
use crate::support::scene::{Host, Refusal, Scene, Side, Tcp};

/// The central administration site.
fn cas() -> Host {
    Host::new("10.0.0.5")
}

/// The domain controller that answers.
fn good() -> Host {
    Host::new("10.1.0.7").hops(2)
}

/// The domain controller behind the firewall.
fn broken() -> Host {
    Host::new("10.1.0.13").hops(2)
}

fn router() -> Host {
    Host::new("10.0.0.1")
}

/// Situation 1: the endpoint mapper answers.
pub fn handshake(scene: &mut Scene) {
    scene.handshake(&mut mapper());
}

/// Situation 2: and it accepts a bind.
pub fn rpc_bind(scene: &mut Scene) {
    bind(scene, &mut mapper());
}

fn mapper() -> Tcp {
    Tcp::new(cas(), 52702, good(), 135).isn(722_369_472, 1_169_857_372)
}

fn bind(scene: &mut Scene, mapper: &mut Tcp) {
    scene.handshake(mapper);
    scene.exchange(mapper, &payload::rpc_bind(), &payload::rpc_bind_ack());
    scene.wait(200);
    scene.ack(mapper, Side::Initiator);
}

/// Situation 3: no answer from the endpoint mapper.
pub fn mapper_dropped(scene: &mut Scene) {
    let mut tcp = Tcp::new(cas(), 52702, broken(), 135).isn(2_557_920_356, 0);
    three_syns(scene, &mut tcp);
    life_goes_on(scene);
}

/// Situation 4: LDAP is refused, with a sequence number and a window that a closed port does
/// not have.
pub fn ldap_refused(scene: &mut Scene) {
    let mut tcp = Tcp::new(cas(), 52705, broken(), 389).isn(914_145_090, 0);
    scene.syn(&mut tcp);
    scene.refuse(&tcp, Refusal { seq: 251_831_252, window: 8192 });
}

/// Situation 5: no answer from the global catalog.
pub fn catalog_dropped(scene: &mut Scene) {
    let mut tcp = Tcp::new(cas(), 52707, broken(), 3268).isn(54_051_677, 0);
    three_syns(scene, &mut tcp);
    life_goes_on(scene);
}

/// Situation 6: no answer from DNS over TCP.
pub fn dns_dropped(scene: &mut Scene) {
    let mut tcp = Tcp::new(cas(), 52714, broken(), 53).isn(2_780_093_052, 0);
    two_syns(scene, &mut tcp);
    life_goes_on(scene);
}

/// Situation 7: no answer from Kerberos over TCP, then a request over UDP.
pub fn kerberos_dropped(scene: &mut Scene) {
    let mut tcp = Tcp::new(cas(), 52716, broken(), 88).isn(1_708_886_965, 0);
    two_syns(scene, &mut tcp);
    scene.wait(6_000);
    scene.udp((cas(), 52717), (broken(), 88), &payload::kerberos_request());
    life_goes_on(scene);
}

fn two_syns(scene: &mut Scene, tcp: &mut Tcp) {
    scene.syn(tcp);
    scene.wait(3_000);
    scene.syn(tcp);
}

fn three_syns(scene: &mut Scene, tcp: &mut Tcp) {
    two_syns(scene, tcp);
    scene.wait(6_000);
    scene.syn(tcp);
}

/// The capture runs on for longer than anybody would wait.
fn life_goes_on(scene: &mut Scene) {
    scene.wait(12_000);
    scene.arp(cas(), router());
}

/// The whole story in one capture. The first SYN without an answer is frame 101, as in the
/// published trace.
pub fn everything(scene: &mut Scene) {
    use payload::with_length;
    let (cas, good) = (cas(), good());
    let name = "dc07.child.corp.example";

    scene.arp(cas, router());
    scene.udp((cas, 53211), (good, 53), &payload::dns_query(0x1f3a, name));
    scene.udp((good, 53), (cas, 53211), &payload::dns_answer(0x1f3a, name, [10, 1, 0, 7]));
    scene.udp((cas, 53212), (good, 389), &payload::ldap_search(1));
    scene.udp((good, 389), (cas, 53212), &payload::ldap_answer(1));
    let (search, entry) = (payload::ldap_search(2), payload::ldap_answer(2));
    served(scene, &mut Tcp::new(cas, 52690, good, 389), &search, &entry);
    let (request, answer) = (payload::kerberos_request(), payload::kerberos_preauth_required());
    scene.udp((cas, 53213), (good, 88), &request);
    scene.udp((good, 88), (cas, 53213), &answer);
    let (request, answer) = (with_length::<4>(&request), with_length::<4>(&answer));
    served(scene, &mut Tcp::new(cas, 52691, good, 88), &request, &answer);
    let mut smb = Tcp::new(cas, 52692, good, 445);
    scene.handshake(&mut smb);
    scene.exchange(&mut smb, &payload::smb_negotiate(), &payload::smb_negotiated());
    served(scene, &mut Tcp::new(cas, 52693, good, 3268), &search, &entry);
    let query = with_length::<2>(&payload::dns_query(0x1f3b, name));
    let answer = with_length::<2>(&payload::dns_answer(0x1f3b, name, [10, 1, 0, 7]));
    served(scene, &mut Tcp::new(cas, 52694, good, 53), &query, &answer);
    bind(scene, &mut mapper());
    for message in (1..).take_while(|message| 50 + 2 * message <= 100) {
        echo(scene, &mut smb, message);
    }

    scene.wait(1_500);
    let mut dropped = Tcp::new(cas, 52702, broken(), 135).isn(2_557_920_356, 0);
    two_syns(scene, &mut dropped);
    echo(scene, &mut smb, 26);
    scene.wait(4_000);
    scene.syn(&mut dropped);
    scene.wait(12_000);
    ldap_refused(scene);
    scene.wait(700);
    catalog_dropped(scene);
    dns_dropped(scene);
    kerberos_dropped(scene);
    echo(scene, &mut smb, 27);
}

/// A whole short connection: eight frames.
fn served(scene: &mut Scene, tcp: &mut Tcp, request: &[u8], answer: &[u8]) {
    scene.handshake(tcp);
    scene.exchange(tcp, request, answer);
    scene.close(tcp);
}

/// Two seconds of silence, then a file server is asked whether it is still there: two frames.
fn echo(scene: &mut Scene, smb: &mut Tcp, message: u8) {
    scene.wait(2_000);
    scene.exchange(smb, &payload::smb_echo(message), &payload::smb_echoed(message));
}
