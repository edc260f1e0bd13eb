//! Remote procedure calls: the endpoint mapper announces a port, and what becomes of the call.

use crate::support::rpc::{self, Interface, Place};
use crate::support::scene::{Host, Scene, Side, Tcp};

fn site_server() -> Host {
    Host::new("10.0.0.5")
}

fn controller() -> Host {
    Host::new("10.1.0.10").hops(2)
}

/// Binds to the endpoint mapper.
fn bind_mapper(scene: &mut Scene, mapper: &mut Tcp) {
    scene.handshake(mapper);
    scene.exchange(mapper, &rpc::bind(1, rpc::MAPPER), &rpc::accepted(1, "135"));
}

/// Asks where an interface listens over TCP.
fn ask(scene: &mut Scene, mapper: &mut Tcp, call: u32, interface: Interface, result: &[u8]) {
    let question = rpc::request(call, 3, &rpc::map(interface, Place::Tcp(135)));
    scene.exchange(mapper, &question, &rpc::response(call, result));
}

/// The endpoint mapper answers, and the port that it announces does not: the firewall lets 135
/// through, and not the dynamic range.
pub fn dynamic_dropped(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    let mut mapper = Tcp::new(site, 50_101, dc, 135);
    bind_mapper(scene, &mut mapper);
    let place = (Place::Tcp(49_158), [10, 1, 0, 10]);
    ask(scene, &mut mapper, 2, rpc::DRSUAPI, &rpc::mapped(rpc::DRSUAPI, &[place]));
    scene.close(&mut mapper);
    let mut replication = Tcp::new(site, 50_102, dc, 49_158);
    for silence in [0, 3_000, 6_000] {
        scene.wait(silence);
        scene.syn(&mut replication);
    }
}

/// All kinds of answers: a bind whose segments come apart, an interface that is not registered,
/// one that has left its port, a refusal, a fault, an object of DCOM, and calls over UDP.
pub fn answers(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    let mut mapper = Tcp::new(site, 50_111, dc, 135);
    scene.handshake(&mut mapper);
    let bind = rpc::bind(1, rpc::MAPPER);
    let (first, second) = bind.split_at(41);
    scene.data(&mut mapper, Side::Initiator, first);
    scene.exchange(&mut mapper, second, &rpc::accepted(1, "135"));
    ask(scene, &mut mapper, 2, rpc::FRS, &rpc::not_registered());
    let place = (Place::Tcp(49_160), [192, 168, 7, 10]);
    ask(scene, &mut mapper, 3, rpc::NETLOGON, &rpc::mapped(rpc::NETLOGON, &[place]));

    let mut logon = Tcp::new(site, 50_112, dc, 49_160);
    scene.handshake(&mut logon);
    scene.exchange(&mut logon, &rpc::bind(1, rpc::NETLOGON), &rpc::accepted(1, "49160"));
    let challenge = rpc::request(2, 4, &rpc::challenge("CAS01"));
    scene.exchange(&mut logon, &challenge, &rpc::response(2, &[0; 12]));
    let proof = rpc::request(3, 26, &rpc::authenticate("CAS01"));
    scene.exchange(&mut logon, &proof, &rpc::fault(3, 5));

    let mut moved = Tcp::new(site, 50_113, dc, 49_158);
    scene.handshake(&mut moved);
    let gone = rpc::bind_ack(1, "49158", [(2, 1), (2, 1)]);
    scene.exchange(&mut moved, &rpc::bind(1, rpc::DRSUAPI), &gone);

    let mut refused = Tcp::new(site, 50_114, dc, 49_158);
    scene.handshake(&mut refused);
    scene.exchange(&mut refused, &rpc::bind(1, rpc::DRSUAPI), &rpc::bind_nak(1, 8));

    let mut resolver = Tcp::new(site, 50_115, dc, 135);
    scene.handshake(&mut resolver);
    scene.exchange(&mut resolver, &rpc::bind(1, rpc::RESOLVER), &rpc::accepted(1, "135"));
    let places = rpc::resolved(&["DC10[49170]", "10.1.0.10[49170]"]);
    scene.exchange(&mut resolver, &rpc::request(2, 4, &[0; 16]), &rpc::response(2, &places));

    let question = rpc::map(rpc::DRSUAPI, Place::Udp(135));
    scene.udp((site, 53_411), (dc, 135), &rpc::datagram(0, rpc::MAPPER, 3, &question));
    let place = (Place::Udp(49_171), [10, 1, 0, 10]);
    let answer = rpc::mapped(rpc::DRSUAPI, &[place]);
    scene.udp((dc, 135), (site, 53_411), &rpc::datagram(2, rpc::MAPPER, 3, &answer));
}
