//! The scenes of `testdata`, and how each is stored.
//!
//! To add a case: play it in [`seed`], [`services`], [`causes`] or [`small`], add a line to [`RECIPES`], run
//! `PORTMORTEM_WRITE_TESTDATA=1 cargo test --test fixtures`, look at the captures in Wireshark,
//! and write the folder's `case.toml` by hand.

pub mod causes;
pub mod rpc;
pub mod seed;
pub mod services;
pub mod small;

use crate::support::files::etl;
use crate::support::files::netmon;
use crate::support::files::netmon_text;
use crate::support::files::pcap;
use crate::support::files::pcapng;
use crate::support::scene::Scene;

/// Files of a case: name and contents.
pub type Files = Vec<(&'static str, Vec<u8>)>;

/// How the captures of a case are made.
pub struct Recipe {
    /// Folder in `testdata`.
    pub case: &'static str,
    pub play: fn(&mut Scene),
    pub store: fn(&Scene) -> Files,
}

impl Recipe {
    pub fn scene(&self) -> Scene {
        let mut scene = Scene::new();
        (self.play)(&mut scene);
        scene
    }

    pub fn files(&self) -> Files {
        (self.store)(&self.scene())
    }
}

/// Every case.
pub const RECIPES: [Recipe; 30] = [
    Recipe { case: "seed", play: seed::everything, store: in_three },
    Recipe { case: "seed-handshake", play: seed::handshake, store: in_three },
    Recipe { case: "seed-rpc-bind", play: seed::rpc_bind, store: in_three },
    Recipe { case: "seed-mapper-dropped", play: seed::mapper_dropped, store: in_three },
    Recipe { case: "seed-ldap-refused", play: seed::ldap_refused, store: in_three },
    Recipe { case: "seed-catalog-dropped", play: seed::catalog_dropped, store: in_three },
    Recipe { case: "seed-dns-dropped", play: seed::dns_dropped, store: in_three },
    Recipe { case: "seed-kerberos-dropped", play: seed::kerberos_dropped, store: in_three },
    Recipe { case: "all-open", play: small::all_open, store: in_three },
    Recipe { case: "refused-by-host", play: small::refused_by_host, store: in_three },
    Recipe { case: "icmp-prohibited", play: small::icmp_prohibited, store: in_three },
    Recipe { case: "midstream", play: small::midstream, store: in_three },
    Recipe { case: "ipv6", play: small::ipv6, store: in_three },
    Recipe { case: "vlan-qinq", play: small::vlan_qinq, store: in_three },
    Recipe { case: "services-fail", play: services::services_fail, store: in_three },
    Recipe { case: "fragments", play: small::fragments, store: in_three },
    Recipe { case: "both-sides-of-a-tunnel", play: small::both_sides_of_a_tunnel, store: in_three },
    Recipe { case: "network-boot", play: services::network_boot, store: in_three },
    Recipe { case: "rpc-dynamic-dropped", play: rpc::dynamic_dropped, store: in_three },
    Recipe { case: "rpc-answers", play: rpc::answers, store: in_three },
    Recipe { case: "host-down", play: causes::host_down, store: in_three },
    Recipe { case: "port-blocked", play: causes::port_blocked, store: in_three },
    Recipe { case: "name-server-down", play: causes::name_server_down, store: in_three },
    Recipe { case: "domain-unknown", play: causes::domain_unknown, store: in_three },
    Recipe { case: "udp-silent", play: causes::udp_silent, store: in_three },
    Recipe { case: "torn", play: small::one_rpc_flow, store: torn },
    Recipe { case: "damaged", play: small::one_rpc_flow, store: damaged },
    Recipe { case: "article", play: small::article, store: published },
    Recipe { case: "comments-and-names", play: small::comments_and_names, store: with_remarks },
    Recipe { case: "pktmon-drop", play: small::dropped_by_the_host, store: with_drops },
];

/// The same scene in the three formats.
pub fn in_three(scene: &Scene) -> Files {
    vec![
        ("capture.pcap", pcap::write(scene, pcap::Form::USUAL)),
        ("capture.pcapng", pcapng::write(scene, pcapng::Form::USUAL)),
        ("capture.cap", netmon::write(scene, netmon::Form::USUAL)),
    ]
}

/// Rows of the frame summary in an article: no addresses, no times, no numbers.
fn published(scene: &Scene) -> Files {
    let rows = netmon_text::write(scene, netmon_text::Form::Published);
    let prose = "Ports between a site server and a domain controller\n\nThe trace begins with \
                 what works.\n\n";
    let kerberos = "KerberosV5 KerberosV5: {UDP:90, IPv4:3}\n";
    let cut = "TCP:Flags=......S., SrcPort=51099, DstPort=DCE endpo\n";
    let end = "\nRead more: https://example.org/ports?page=2\n";
    let text = [prose.as_bytes(), &rows, kerberos.as_bytes(), cut.as_bytes(), end.as_bytes()];
    vec![("capture.txt", text.concat())]
}

/// Cut off 20 bytes before the end of the last frame. A Network Monitor capture that is cut off
/// has lost its frame table too.
fn torn(scene: &Scene) -> Files {
    let mut files = in_three(scene);
    let (index, last) = (scene.frames.len() - 1, scene.frames.last().unwrap());
    for (name, bytes) in &mut files {
        let (start, header) = record(name, bytes, scene, index);
        bytes.truncate(start + header + last.bytes.len() - 20);
    }
    files
}

/// The record header of frame 6 overwritten with rubbish.
fn damaged(scene: &Scene) -> Files {
    let mut files = in_three(scene);
    for (name, bytes) in &mut files {
        let (start, header) = record(name, bytes, scene, 5);
        for (byte, rubbish) in bytes[start..start + header].iter_mut().zip(1_u8..) {
            *byte = rubbish.wrapping_mul(73).wrapping_sub(32);
        }
    }
    files
}

/// Where the record of a frame begins in a file, and how long its header is.
fn record(name: &str, bytes: &[u8], scene: &Scene, index: usize) -> (usize, usize) {
    let (first, header, trailer) = match name {
        "capture.pcap" => (pcap::HEADER, pcap::RECORD, 0),
        "capture.cap" => (netmon::HEADER, netmon::RECORD, netmon::TRAILER),
        // The frame's own bytes tell the place: the header before them has 28.
        _ => {
            let frame = &scene.frames[index].bytes;
            let found = bytes.windows(frame.len()).position(|window| window == frame);
            return (found.unwrap() - pcapng::RECORD, pcapng::RECORD);
        }
    };
    let before: usize =
        scene.frames[..index].iter().map(|frame| header + frame.bytes.len() + trailer).sum();
    (first + before, header)
}

/// What only pcapng can hold.
fn with_remarks(scene: &Scene) -> Files {
    let form = pcapng::Form {
        comment: Some("taken on CAS01 during setup"),
        interfaces: &["Production", "Backup"],
        ..pcapng::Form::USUAL
    };
    vec![("capture.pcapng", pcapng::write(scene, form))]
}

/// What only `pktmon` can tell: taken on the controller, which drops some of what arrives.
fn with_drops(scene: &Scene) -> Files {
    let drops: Vec<etl::Drop> = small::DROPPED
        .iter()
        .map(|(frame, reason)| etl::Drop { frame: *frame, reason: *reason })
        .collect();
    let form = etl::Form {
        drops: &drops,
        ..etl::Form::new(etl::By::Pktmon, etl::Compression::Xpress, small::controller())
    };
    vec![("capture.etl", etl::write(scene, form))]
}
