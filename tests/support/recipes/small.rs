//! Small scenes, each of one thing.

use crate::support::payload;
use crate::support::scene::{Host, Refusal, Scene, Side, Tcp};

fn site_server() -> Host {
    Host::new("10.0.0.5")
}

pub fn controller() -> Host {
    Host::new("10.1.0.10").hops(2)
}

fn router() -> Host {
    Host::new("10.0.0.1")
}

/// Everything that the port matrix requires works.
pub fn all_open(scene: &mut Scene) {
    use payload::with_length;
    let (site, dc) = (site_server(), controller());
    let name = "dc10.child.corp.example";
    let query = payload::dns_query(0x2b01, name);
    let answer = payload::dns_answer(0x2b01, name, [10, 1, 0, 10]);
    let (search, entry) = (payload::ldap_search(1), payload::ldap_answer(1));
    let (ticket, proof) = (payload::kerberos_request(), payload::kerberos_preauth_required());
    let (bind, bound) = (payload::rpc_bind(), payload::rpc_bind_ack());

    for (port, service, request, answer) in [
        (53_301, 53, &query, &answer),
        (53_302, 389, &search, &entry),
        (53_303, 88, &ticket, &proof),
    ] {
        scene.udp((site, port), (dc, service), request);
        scene.udp((dc, service), (site, port), answer);
    }
    for (port, service, request, answer) in [
        (50_001, 53, &with_length::<2>(&query), &with_length::<2>(&answer)),
        (50_002, 88, &with_length::<4>(&ticket), &with_length::<4>(&proof)),
        (50_003, 135, &bind, &bound),
        (50_004, 389, &search, &entry),
        (50_005, 445, &payload::smb_negotiate(), &payload::smb_negotiated()),
        (50_006, 3268, &search, &entry),
        (50_007, 49_158, &bind, &bound),
    ] {
        served(scene, &mut Tcp::new(site, port, dc, service), request, answer);
    }
    // The one requirement that is needed in both directions.
    served(scene, &mut Tcp::new(dc, 50_008, site, 49_160), &bind, &bound);
}

/// A story for an article: one controller answers; the other drops, refuses and drops again.
pub fn article(scene: &mut Scene) {
    let (site, works) = (site_server(), Host::new("10.1.0.20").hops(2));
    let fails = Host::new("10.1.0.21").hops(2);
    let mut mapper = Tcp::new(site, 51_001, works, 135);
    scene.handshake(&mut mapper);
    scene.exchange(&mut mapper, &payload::rpc_bind(), &payload::rpc_bind_ack());
    scene.arp(site, router());
    // The same source port as towards the other controller.
    let mut dropped = Tcp::new(site, 51_001, fails, 135);
    for wait in [3_000, 6_000, 12_000] {
        scene.syn(&mut dropped);
        scene.wait(wait);
    }
    scene.arp(site, router());
    let mut ldap = Tcp::new(site, 51_002, fails, 389);
    scene.syn(&mut ldap);
    scene.refuse(&ldap, Refusal::CLOSED_PORT);
    let mut catalog = Tcp::new(site, 51_003, fails, 3268);
    scene.syn(&mut catalog);
    scene.wait(3_000);
    scene.syn(&mut catalog);
    let mut smb = Tcp::new(site, 51_004, fails, 445);
    scene.handshake(&mut smb);
    scene.arp(site, router());
}

/// A closed port says so, three times, because Windows asks three times. The host has answered
/// DNS before, so that its other packets can be compared.
pub fn refused_by_host(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    let name = "dc10.child.corp.example";
    scene.udp((site, 53_311), (dc, 53), &payload::dns_query(0x2b11, name));
    let answer = payload::dns_answer(0x2b11, name, [10, 1, 0, 10]);
    scene.udp((dc, 53), (site, 53_311), &answer);
    let mut smb = Tcp::new(site, 50_011, dc, 445);
    for _ in 0..3 {
        scene.wait(500);
        scene.syn(&mut smb);
        scene.refuse(&smb, Refusal::CLOSED_PORT);
    }
}

/// A router says that it may not forward, and that it cannot; a host says that nobody listens.
pub fn icmp_prohibited(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    let mut smb = Tcp::new(site, 50_021, dc, 445);
    for silence in [0, 3_000, 6_000] {
        scene.wait(silence);
        let syn = scene.syn(&mut smb);
        scene.icmp_unreachable(router(), 13, syn);
    }
    let mut kerberos = Tcp::new(site, 50_022, dc, 88);
    let syn = scene.syn(&mut kerberos);
    scene.icmp_unreachable(router(), 1, syn);
    let ping = scene.udp((site, 53_321), (dc, 389), &payload::ldap_search(1));
    scene.icmp_unreachable(dc, 3, ping);
}

/// The capture begins when the connection is open already, and ends before it closes.
pub fn midstream(scene: &mut Scene) {
    let mut smb = Tcp::new(site_server(), 50_031, controller(), 445);
    for message in 7..9 {
        scene.exchange(&mut smb, &payload::smb_echo(message), &payload::smb_echoed(message));
    }
    scene.ack(&smb, Side::Initiator);
}

/// The same over IPv6: one service works, one is prohibited, one is dropped.
pub fn ipv6(scene: &mut Scene) {
    let site = Host::new("2001:db8:0:1::5");
    let dc = Host::new("2001:db8:0:2::a").hops(2);
    let router = Host::new("2001:db8:0:1::1");
    let name = "dc10.child.corp.example";
    scene.udp((site, 53_341), (dc, 53), &payload::dns_query(0x2b41, name));
    let answer = payload::dns_answer(0x2b41, name, [10, 1, 0, 10]);
    scene.udp((dc, 53), (site, 53_341), &answer);
    let mut smb = Tcp::new(site, 50_041, dc, 445);
    served(scene, &mut smb, &payload::smb_negotiate(), &payload::smb_negotiated());
    let mut ldap = Tcp::new(site, 50_042, dc, 389);
    let syn = scene.syn(&mut ldap);
    scene.icmp_unreachable(router, 1, syn);
    let mut kerberos = Tcp::new(site, 50_043, dc, 88);
    scene.syn(&mut kerberos);
    scene.wait(3_000);
    scene.syn(&mut kerberos);
}

/// A tag within a tag, then a single one.
pub fn vlan_qinq(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    scene.vlans(&[100, 42]);
    let mut mapper = Tcp::new(site, 50_051, dc, 135);
    for silence in [0, 3_000, 6_000] {
        scene.wait(silence);
        scene.syn(&mut mapper);
    }
    scene.vlans(&[42]);
    let mut ldap = Tcp::new(site, 50_052, dc, 389);
    served(scene, &mut ldap, &payload::ldap_search(1), &payload::ldap_answer(1));
}

/// One connection, nine frames: a file of it can be hurt without losing the verdict.
pub fn one_rpc_flow(scene: &mut Scene) {
    let mut mapper = Tcp::new(site_server(), 50_061, controller(), 135);
    scene.handshake(&mut mapper);
    scene.exchange(&mut mapper, &payload::rpc_bind(), &payload::rpc_bind_ack());
    scene.ack(&mapper, Side::Initiator);
    scene.close(&mut mapper);
}

/// What is too long for a link comes in pieces: the request to Kerberos in two, its answer in three
/// that overtake each other. And a SYN is cut up as only a scanner does, its flags in the second
/// piece; it is answered all the same.
pub fn fragments(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    scene.udp((site, 53_381), (dc, 88), &long(payload::kerberos_request(), 2_000));
    scene.cut_up(&[1_480], &[0, 1]);
    scene.udp((dc, 88), (site, 53_381), &long(payload::kerberos_preauth_required(), 4_000));
    scene.cut_up(&[1_480, 2_960], &[2, 0, 1]);
    let mut ldap = Tcp::new(site, 50_081, dc, 389);
    scene.syn(&mut ldap);
    scene.cut_up(&[8, 16], &[0, 1, 2]);
    scene.syn_ack(&ldap);
    scene.ack(&ldap, Side::Initiator);
    // Of this answer the beginning was not captured.
    scene.udp((dc, 53), (site, 53_382), &[0; 2_000]);
    scene.cut_up(&[1_480], &[1]);
}

fn long(mut payload: Vec<u8>, length: usize) -> Vec<u8> {
    payload.resize(length, 0);
    payload
}

/// A host of the overlay network was captured on both of its interfaces: SYNs that nobody answers
/// stand there twice each, bare and in VXLAN, and are no more than three.
pub fn both_sides_of_a_tunnel(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    let ends = (Host::new("192.0.2.1"), Host::new("192.0.2.2"));
    let mut catalog = Tcp::new(site, 50_091, dc, 3268);
    for silence in [0, 3_000, 6_000] {
        scene.wait(silence);
        let syn = scene.syn(&mut catalog);
        scene.inside_vxlan(syn, 9, ends, 120);
    }
    let mut ldap = Tcp::new(site, 50_092, dc, 389);
    let syn = scene.syn(&mut ldap);
    scene.inside_vxlan(syn, 9, ends, 120);
    // The answer comes out of the tunnel, so it is seen there first.
    let answer = scene.syn_ack(&ldap);
    let bare = scene.frames[answer - 1].clone();
    scene.inside_vxlan(answer, 9, (ends.1, ends.0), 0);
    scene.frames.remove(answer - 1);
    scene.raw(bare.bytes);
    let ack = scene.ack(&ldap, Side::Initiator);
    scene.inside_vxlan(ack, 9, ends, 120);
}

/// Names for both hosts, a remark that helps, and one that would like to do harm.
pub fn comments_and_names(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    scene.name(site, "CAS01.corp.example");
    scene.name(dc, "dc10.child.corp.example");
    let mut ldap = Tcp::new(site, 50_071, dc, 389);
    scene.syn(&mut ldap);
    scene.comment("setup hangs here");
    scene.wait(3_000);
    scene.syn(&mut ldap);
    scene.comment("=cmd|'/C calc'!A0 <script>alert(1)</script> \u{1b}[2J\u{202e}");
}

/// Frames of [`dropped_by_the_host`] that the controller drops: by inspection, and because nothing
/// listens.
pub const DROPPED: [(usize, u32); 5] = [(3, 909), (4, 909), (5, 909), (6, 1204), (15, 909)];

/// As the controller sees it: DNS and Kerberos work, LDAP is dropped by its own firewall, and nobody
/// listens for SMB.
pub fn dropped_by_the_host(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    let name = "dc10.child.corp.example";
    scene.udp((site, 53_351), (dc, 53), &payload::dns_query(0x2b51, name));
    let answer = payload::dns_answer(0x2b51, name, [10, 1, 0, 10]);
    scene.udp((dc, 53), (site, 53_351), &answer);
    let mut ldap = Tcp::new(site, 50_081, dc, 389);
    for silence in [1, 3_000, 6_000] {
        scene.wait(silence);
        scene.syn(&mut ldap);
    }
    scene.syn(&mut Tcp::new(site, 50_082, dc, 445));
    let mut kerberos = Tcp::new(site, 50_083, dc, 88);
    let (ticket, proof) = (payload::kerberos_request(), payload::kerberos_preauth_required());
    served(
        scene,
        &mut kerberos,
        &payload::with_length::<4>(&ticket),
        &payload::with_length::<4>(&proof),
    );
    scene.udp((site, 53_352), (dc, 389), &payload::ldap_search(1));
}

/// The caller's side: LDAP and the endpoint mapper do not answer. The log of the called host's
/// firewall tells that it drops the one; of the other it knows nothing.
pub fn told_by_logs(scene: &mut Scene) {
    let (site, dc) = (site_server(), controller());
    let mut smb = Tcp::new(site, 50_101, dc, 445);
    served(scene, &mut smb, &payload::smb_negotiate(), &payload::smb_negotiated());
    for (port, service) in [(50_102, 389), (50_103, 135)] {
        scene.wait(1_000);
        let mut dropped = Tcp::new(site, port, dc, service);
        scene.syn(&mut dropped);
        for wait in [3_000, 6_000] {
            scene.wait(wait);
            scene.syn(&mut dropped);
        }
        scene.wait(12_000);
    }
    scene.arp(site, router());
}

/// Beside [`told_by_logs`], in the words of Windows. Lines 7 to 9 are its three calls to LDAP.
pub const FIREWALL_LOG: &str = "\
#Version: 1.5
#Software: Microsoft Windows Firewall
#Time Format: Local
#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype icmpcode info path

2012-11-13 10:30:02 DROP UDP 10.1.0.77 10.1.0.255 137 137 78 - - - - - - - RECEIVE
2012-11-13 10:30:05 DROP TCP 10.0.0.5 10.1.0.10 50102 389 52 S 1 0 8192 - - - RECEIVE
2012-11-13 10:30:08 DROP TCP 10.0.0.5 10.1.0.10 50102 389 52 S 1 0 8192 - - - RECEIVE
2012-11-13 10:30:14 DROP TCP 10.0.0.5 10.1.0.10 50102 389 48 S 1 0 8192 - - - RECEIVE
2012-11-13 10:30:40 ALLOW TCP 10.1.0.10 10.1.0.20 50900 445 0 - 0 0 0 - - - SEND
";

/// Beside [`told_by_logs`], as setup on the caller writes it, in Berlin's winter. Line 4 is about the
/// endpoint mapper, and line 5 about another host.
pub const SETUP_LOG: &str = "\
INFO: Setup has started.  $$<Configuration Manager Setup><11-13-2012 10:29:58.120-60><thread=1234 (0x4D2)>
INFO: Connecting to 10.1.0.10  $$<Configuration Manager Setup><11-13-2012 10:30:00.010-60><thread=1234 (0x4D2)>
WARNING: Schema is not extended.  $$<Configuration Manager Setup><11-13-2012 10:30:01.000-60><thread=1234 (0x4D2)>
ERROR: Failed to connect to WMI on 10.1.0.10, error = 0x800706BA  $$<Configuration Manager Setup><11-13-2012 10:30:44.310-60><thread=1234 (0x4D2)>
ERROR: Failed to connect to SQL01.corp.example (10.9.9.9), error = 0x800706BA  $$<Configuration Manager Setup><11-13-2012 10:30:45.310-60><thread=1234 (0x4D2)>
";

fn served(scene: &mut Scene, tcp: &mut Tcp, request: &[u8], answer: &[u8]) {
    scene.handshake(tcp);
    scene.exchange(tcp, request, answer);
    scene.close(tcp);
}
