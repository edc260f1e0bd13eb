//! One cause each, and what fails or is missing because of it.

use crate::support::payload;
use crate::support::scene::{Host, Scene, Tcp};

fn site_server() -> Host {
    Host::new("10.0.0.5")
}

fn controller(last: u8) -> Host {
    Host::new(&format!("10.1.0.{last}")).hops(2)
}

fn router() -> Host {
    Host::new("10.0.0.1")
}

/// A connection on which LDAP works: eight frames.
fn ldap_works(scene: &mut Scene, from: Host, port: u16, to: Host) {
    let mut ldap = Tcp::new(from, port, to, 389);
    scene.handshake(&mut ldap);
    scene.exchange(&mut ldap, &payload::ldap_search(1), &payload::ldap_answer(1));
    scene.close(&mut ldap);
}

/// Three SYNs at 0, 3 and 9 s, as Windows sends them, and no answer.
fn unanswered(scene: &mut Scene, from: Host, port: u16, to: Host, service: u16) {
    let mut tcp = Tcp::new(from, port, to, service);
    for silence in [500, 3_000, 6_000] {
        scene.wait(silence);
        scene.syn(&mut tcp);
    }
}

/// One controller is down: two hosts call it for three services, and nobody hears of it. The other
/// controller works.
pub fn host_down(scene: &mut Scene) {
    let (site, other, dead) = (site_server(), Host::new("10.0.0.6"), controller(10));
    ldap_works(scene, site, 50_201, controller(11));
    unanswered(scene, site, 50_202, dead, 445);
    unanswered(scene, site, 50_203, dead, 88);
    unanswered(scene, other, 50_204, dead, 445);
    unanswered(scene, other, 50_205, dead, 389);
}

/// Three controllers answer LDAP, and none of them answers on port 135: one rule on the way.
pub fn port_blocked(scene: &mut Scene) {
    for (place, last) in (0..).zip([10, 11, 12]) {
        ldap_works(scene, site_server(), 50_211 + 2 * place, controller(last));
        unanswered(scene, site_server(), 50_212 + 2 * place, controller(last), 135);
    }
}

/// The only name server does not answer, so nothing else was tried.
pub fn name_server_down(scene: &mut Scene) {
    let (site, dns) = (site_server(), controller(10));
    for silence in [0, 1_000, 2_000] {
        scene.wait(silence);
        let query = payload::dns_query(0x2c01, "dc10.child.corp.example");
        scene.udp((site, 53_221), (dns, 53), &query);
    }
    scene.wait(10_000);
    scene.arp(site, router());
}

/// The name server works, and knows no controller of the other domain: there is no conditional
/// forwarder. So nobody calls that controller.
pub fn domain_unknown(scene: &mut Scene) {
    let (site, dns) = ((site_server(), 53_222), (controller(10), 53));
    let name = "_ldap._tcp.dc._msdcs.child.corp.example";
    let query = payload::dns_about_services(payload::dns_query(0x2c02, name));
    let answer = payload::dns_about_services(payload::dns_failure(0x2c02, name, 3));
    scene.udp(site, dns, &query);
    scene.udp(dns, site, &answer);
}

/// The ping that looks for a controller is not answered, and LDAP over TCP works.
pub fn udp_silent(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller(10));
    for silence in [0, 2_500] {
        scene.wait(silence);
        scene.udp((site, 53_223), (dc, 389), &payload::ldap_search(1));
    }
    ldap_works(scene, site, 50_221, dc);
}
