//! Ports that open, and services that do not work.
//!
//! Nothing here is a matter of firewalls: each connection comes about, and what is said on it tells
//! the cause.

use crate::support::payload;
use crate::support::scene::{Host, Scene, Tcp};

fn site_server() -> Host {
    Host::new("10.0.0.5")
}

fn controller() -> Host {
    Host::new("10.1.0.10").hops(2)
}

fn web() -> Host {
    Host::new("10.0.0.20")
}

/// A connection on which one thing is asked and answered.
fn ask(scene: &mut Scene, to: Host, ports: (u16, u16), request: &[u8], answer: &[u8]) {
    let mut tcp = Tcp::new(site_server(), ports.0, to, ports.1);
    scene.handshake(&mut tcp);
    scene.exchange(&mut tcp, request, answer);
    scene.close(&mut tcp);
    scene.wait(500);
}

/// One failure a service, two that work, and one that says nothing.
pub fn services_fail(scene: &mut Scene) {
    let dns = ((site_server(), 53_211), (controller(), 53));
    scene.udp(dns.0, dns.1, &payload::dns_query(7, "dc10.child.corp.example"));
    scene.udp(dns.1, dns.0, &payload::dns_failure(7, "dc10.child.corp.example", 5));

    let kerberos = ((site_server(), 53_212), (controller(), 88));
    scene.udp(kerberos.0, kerberos.1, &payload::kerberos_request());
    scene.udp(kerberos.1, kerberos.0, &payload::kerberos_preauth_required());

    let framed = |message: &[u8]| payload::with_length::<4>(message);
    // The controller's clock is ten minutes ahead.
    let skew = framed(&payload::kerberos_error(37, b"20121113094000Z"));
    ask(scene, controller(), (52_001, 88), &framed(&payload::kerberos_request()), &skew);

    let wrong = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e";
    let bind = payload::ldap_bind(1, "CN=CAS01,DC=corp,DC=example");
    ask(scene, controller(), (52_002, 389), &bind, &payload::ldap_bound(1, 49, wrong));

    let mut smb = Tcp::new(site_server(), 52_003, controller(), 445);
    scene.handshake(&mut smb);
    scene.exchange(&mut smb, &payload::smb_negotiate(), &payload::smb_negotiated());
    let refused = payload::smb_session_refused(1, 0xc000_006d);
    scene.exchange(&mut smb, &payload::smb_session_setup(1), &refused);
    scene.close(&mut smb);

    ask(scene, controller(), (52_004, 135), &payload::rpc_bind(), &payload::rpc_bind_ack());

    let path = "/SMS_MP/.sms_aut?mplist";
    let unavailable = payload::http_status(503, "Service Unavailable");
    let get = payload::http_get(path, "mp.corp.example");
    ask(scene, web(), (52_005, 80), &get, &unavailable);
    ask(scene, web(), (52_006, 443), &payload::tls_hello(), &payload::tls_alert(70));

    let mut silent = Tcp::new(site_server(), 52_007, controller(), 3268);
    scene.handshake(&mut silent);
    scene.data(&mut silent, crate::support::scene::Side::Initiator, &payload::ldap_search(1));
    scene.wait(1);
    scene.ack(&silent, crate::support::scene::Side::Responder);
    scene.wait(12_000);
    scene.arp(site_server(), web());
}

/// A host that boots from the network. Its address is given, one file is given, one is not there,
/// the answer about a third never reaches it, and about a fourth nothing is answered.
pub fn network_boot(scene: &mut Scene) {
    let (nobody, everybody) = (Host::new("0.0.0.0"), Host::new("255.255.255.255"));
    let (asker, server) = (Host::new("10.0.0.50"), web());
    let discover = payload::dhcp(1, [0; 4], 1);
    let request = payload::dhcp(1, [0; 4], 3);
    scene.udp((nobody, 68), (everybody, 67), &discover);
    scene.udp((server, 67), (everybody, 68), &payload::dhcp(2, [10, 0, 0, 50], 2));
    scene.udp((nobody, 68), (everybody, 67), &request);
    scene.udp((server, 67), (everybody, 68), &payload::dhcp(2, [10, 0, 0, 50], 5));

    let read = |file: &str| [b"\0\x01", file.as_bytes(), b"\0octet\0tsize\x000\0"].concat();
    scene.udp((asker, 2070), (server, 69), &read("wdsnbp.com"));
    scene.udp((server, 50_047), (asker, 2070), b"\0\x06tsize\x002\0");
    scene.udp((asker, 2070), (server, 50_047), b"\0\x04\0\0");
    scene.udp((server, 50_047), (asker, 2070), b"\0\x03\0\x01MZ");
    scene.udp((asker, 2070), (server, 50_047), b"\0\x04\0\x01");

    scene.udp((asker, 2071), (server, 69), &read("boot.bcd"));
    scene.udp((server, 50_048), (asker, 2071), b"\0\x05\0\x01File not found\0");

    scene.udp((asker, 2072), (server, 69), &read("boot.sdi"));
    for _ in 0..3 {
        scene.udp((server, 50_049), (asker, 2072), b"\0\x06tsize\x002\0");
        scene.wait(1_000);
    }

    scene.udp((asker, 2073), (server, 69), &read("boot.wim"));
    scene.wait(1_000);
    scene.udp((asker, 2073), (server, 69), &read("boot.wim"));
    scene.wait(3_000);
    scene.arp(asker, server);
}
