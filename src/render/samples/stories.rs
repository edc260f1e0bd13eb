//! Captures as administrators bring them.

use super::*;
use crate::capture::Severity;
use crate::diagnosis::{Finding, FindingKind};

/// The story this program comes from: a site server and a root domain controller, one open port,
/// four silent ones and one that refuses in a way that is not the host's own.
pub(in crate::render) fn seed() -> Report {
    let mut report = empty();
    let (cas, dc) = ("10.0.0.5", "10.1.0.10");
    let mut cap = capture("site.cap", 3104);
    cap.skipped = vec![
        SkippedRecord { what: "ARP".to_owned(), count: 212, first_frame: FrameNumber(1) },
        SkippedRecord { what: "spanning tree".to_owned(), count: 225, first_frame: FrameNumber(3) },
    ];
    report.captures.push(cap);
    report.hosts =
        vec![host(cas, "CAS01", "site-server", None), host(dc, "ROOTDC1", "root-dc", None)];
    let (from, to) = ((cas, "site-server"), (dc, "root-dc"));
    let mut flow = |port: u16, to_port: u16, service: &str, verdict, evidence| {
        add_flow(&mut report, (cas, port), (dc, to_port), service, verdict, evidence)
    };
    let smb = flow(52701, 445, "SMB", Verdict::Established, handshake(12));
    let epm = flow(52702, 135, "RPC endpoint mapper", Verdict::NoReply, syns(&[101, 108, 131]));
    let ldap = flow(52705, 389, "LDAP", Verdict::Refused, refusal(210, 211));
    let gc = flow(52707, 3268, "Global Catalog LDAP", Verdict::NoReply, syns(&[1238, 1244, 1260]));
    let dns = flow(52714, 53, "DNS", Verdict::NoReply, syns(&[2312, 2320, 2341]));
    let kerberos = flow(52716, 88, "Kerberos", Verdict::NoReply, syns(&[2874, 2880, 2902]));
    report.flows.telling_mut()[2].origin = Some(Origin::Middlebox);
    report.flows.telling_mut()[2].origin_reasons = thin_vec::thin_vec![
        "its sequence number is 251831252, where a closed port sends 0".into(),
        "its window is that of the SYN, 8192".into(),
    ];
    let mut cell = |row: RowOf<'_>, outcome, flows: &[u64]| {
        add_cell(&mut report, from, to, &row, outcome, flows);
    };
    cell(tcp("smb", "SMB", "445"), Outcome::Open, &[smb]);
    cell(tcp("kerberos-tcp", "Kerberos", "88"), Outcome::Dropped, &[kerberos]);
    cell(udp("kerberos-udp", "Kerberos", "88", "optional"), Outcome::NotExercised, &[]);
    cell(tcp("rpc-epm-tcp", "RPC endpoint mapper", "135"), Outcome::Dropped, &[epm]);
    cell(udp("rpc-epm-udp", "RPC endpoint mapper", "135", "optional"), Outcome::NotExercised, &[]);
    cell(tcp("ldap-tcp", "LDAP", "389"), Outcome::Refused, &[ldap]);
    cell(udp("ldap-udp", "LDAP", "389", "required"), Outcome::NotExercised, &[]);
    cell(tcp("gc-ldap", "Global Catalog LDAP", "3268"), Outcome::Dropped, &[gc]);
    cell(RowOf { need: "optional", ..tcp("dns-tcp", "DNS", "53") }, Outcome::Dropped, &[dns]);
    cell(udp("dns-udp", "DNS", "53", "required"), Outcome::NotExercised, &[]);
    for (from, to) in [(from, to), (to, from)] {
        let row = tcp("rpc-dynamic-tcp", "RPC dynamic", "49152-65535");
        add_cell(&mut report, from, to, &row, Outcome::NotExercised, &[]);
        let row = udp("rpc-dynamic-udp", "RPC dynamic", "49152-65535", "optional");
        add_cell(&mut report, from, to, &row, Outcome::NotExercised, &[]);
    }
    report.firewall_requests = vec![
        request(cas, dc, "53", "DNS", dns),
        request(cas, dc, "88", "Kerberos", kerberos),
        request(cas, dc, "135", "RPC endpoint mapper", epm),
        request(cas, dc, "389", "LDAP", ldap),
        request(cas, dc, "3268", "Global Catalog LDAP", gc),
    ];
    report.rule_set = rule_set_of(&report.firewall_requests);
    report.findings = vec![
        Finding {
            title: "4 ports from 10.0.0.5 to 10.1.0.10 got no answer".to_owned(),
            explanation: format!(
                "SYNs to tcp/53, 88, 135 and 3268 were sent three times each and never answered. \
                 {NO_REPLY} SMB on tcp/445 answered, so the host is up."
            ),
            cells: vec![1, 3, 7, 8],
            flows: vec![epm, gc, dns, kerberos],
            next_step: "ask for the firewall requests, then repeat the capture".to_owned(),
            ..Finding::of(FindingKind::Dropped, Severity::Error)
        },
        Finding {
            title: "LDAP from 10.0.0.5 to 10.1.0.10 was refused, perhaps by a device between"
                .to_owned(),
            explanation: "RST in frame 211 answers the SYN of frame 210 with sequence 251831252 \
                          and the SYN's own window. A closed port sends sequence 0; a device in \
                          between may have made it up."
                .to_owned(),
            cells: vec![5],
            flows: vec![ldap],
            next_step: "ask for the firewall request; if there is none in the way, check that \
                        10.1.0.10 listens on tcp/389"
                .to_owned(),
            ..Finding::of(FindingKind::Refused, Severity::Error)
        },
        Finding {
            title: "8 requirements between 10.0.0.5 and 10.1.0.10 were not exercised".to_owned(),
            explanation: "No attempt is in the captures, so they neither failed nor passed."
                .to_owned(),
            cells: vec![2, 4, 6, 9, 10, 11, 12, 13],
            flows: Vec::new(),
            next_step: "during the next capture run: nltest /dsgetdc:DOMAIN".to_owned(),
            ..Finding::of(FindingKind::NotExercised, Severity::Info)
        },
    ];
    report
}

/// Everything that was tried worked.
pub(in crate::render) fn good() -> Report {
    let mut report = empty();
    report.captures.push(capture("good.pcapng", 1284));
    report.hosts = vec![
        host("10.0.0.5", "CAS01", "site-server", None),
        host("10.1.0.10", "ROOTDC1", "domain-controller", Some("answered on 88, 389 and 445")),
    ];
    let (from, to) = (("10.0.0.5", "site-server"), ("10.1.0.10", "domain-controller"));
    for (place, (id, service, port)) in (0..).zip([
        ("smb", "SMB", 445),
        ("kerberos-tcp", "Kerberos", 88),
        ("ldap-tcp", "LDAP", 389),
    ]) {
        let packets = handshake(10 + 20 * u64::from(place));
        let (from_end, to_end) = ((from.0, 50_000 + place), (to.0, port));
        let flow = add_flow(&mut report, from_end, to_end, service, Verdict::Established, packets);
        let ports = port.to_string();
        let row = tcp(id, service, &ports);
        add_cell(&mut report, from, to, &row, Outcome::Open, &[flow]);
    }
    report.matrix.not_exercised_unlisted = 11;
    report.matrix.never_exercised = vec!["gc-ldap".to_owned(), "dns-tcp".to_owned()];
    report
}

/// Two captures, IPv6, every outcome, and a capture with problems.
pub(in crate::render) fn busy() -> Report {
    let mut report = empty();
    report.captures.push(capture("before/primary-server.cap", 48_112));
    let mut damaged = capture("before/dc side.etl", 1_284_001);
    damaged.format = Some("Event Trace Log".to_owned());
    damaged.compression = Some("zip".to_owned());
    damaged.zone = "unknown".to_owned();
    damaged.first_seen = Some("2014-05-27T12:15:00.1200000".parse().unwrap());
    damaged.last_seen = Some("2014-05-27T12:22:29.1200000".parse().unwrap());
    damaged.problems = vec![
        ProblemRecord {
            severity: Severity::Warning,
            message: "the last buffer is cut off: the trace was copied while it was written; stop \
                      it first, then copy"
                .to_owned(),
            offset: Some(0x004f_3a10),
            frame: Some(FrameNumber(1_284_001)),
        },
        ProblemRecord {
            severity: Severity::Info,
            message: "two adapters saw the same packets".to_owned(),
            offset: None,
            frame: None,
        },
    ];
    damaged.comments =
        vec![CommentRecord { frame: Some(FrameNumber(77)), text: "setup fails here".to_owned() }];
    damaged.comments_left_out = 3;
    report.captures.push(damaged);
    let (primary, dc6) =
        ("2001:db8:1234:5678:9abc:def0:1234:5678", "2001:db8:4321:8765:cba9:fed:4321:8765");
    let (sql, dc) = ("10.2.0.20", "10.1.0.10");
    report.hosts = vec![
        host(sql, "SQL01.child.contoso.example", "site-server", None),
        host(dc, "ROOTDC1.contoso.example", "root-dc", None),
        host(primary, "PRIMARY1.child.contoso.example", "primary", None),
        host(dc6, "", "domain-controller", Some("addressed on 88, 389 and 445 by 10.0.0.5")),
    ];
    let six = ((primary, "primary"), (dc6, "domain-controller"));
    let four = ((sql, "site-server"), (dc, "root-dc"));
    let mut flow =
        |pair: ((&str, &str), (&str, &str)), port: u16, service: &str, verdict, packets| {
            let (from, to) = ((pair.0.0, 50_001), (pair.1.0, port));
            add_flow(&mut report, from, to, service, verdict, packets)
        };
    let kerberos = flow(six, 88, "Kerberos", Verdict::NoReply, syns(&[31, 35, 44, 60, 71, 90]));
    let ldap = flow(six, 389, "LDAP", Verdict::NoReply, syns(&[40_001, 40_009]));
    let ldap_open = flow(six, 389, "LDAP", Verdict::Established, handshake(41_000));
    let smb = flow(four, 445, "SMB", Verdict::Refused, refusal(200, 201));
    let epm = flow(four, 135, "RPC endpoint mapper", Verdict::Established, handshake(300));
    let gc = flow(four, 3268, "Global Catalog LDAP", Verdict::CaptureEnded, syns(&[48_111]));
    let dns = flow(four, 53, "DNS", Verdict::Established, handshake(500));
    let mut icmp = syns(&[600, 602]);
    icmp.push(EvidenceRecord {
        note: Some("communication administratively prohibited, from 10.2.0.1".to_owned()),
        ..packet(601, Sender::Network, EvidenceKind::Icmp)
    });
    let http = flow(four, 8530, "WSUS", Verdict::Prohibited, icmp);
    report.flows.telling_mut()[3].origin = Some(Origin::Host);
    report.flows.telling_mut()[4].service = ServiceRecord {
        name: Some("RPC endpoint mapper".into()),
        outcome: ServiceOutcome::Failed,
        code: Some("0x16c9a0d6".into()),
        detail: Some("endpoint not registered".into()),
        frame: Some(FrameNumber(306)),
    };
    for flow in report.flows.telling_mut().iter_mut().skip(3) {
        flow.capture = 1;
    }
    let cells: [(_, RowOf<'_>, _, &[u64]); 9] = [
        (six, tcp("kerberos-tcp", "Kerberos", "88"), Outcome::Dropped, &[kerberos]),
        (six, tcp("ldap-tcp", "LDAP", "389"), Outcome::Mixed, &[ldap, ldap_open]),
        (four, tcp("smb", "SMB", "445"), Outcome::Refused, &[smb]),
        (four, tcp("rpc-epm-tcp", "RPC endpoint mapper", "135"), Outcome::ServiceFailed, &[epm]),
        (four, tcp("gc-ldap", "Global Catalog LDAP", "3268"), Outcome::CannotTell, &[gc]),
        (four, tcp("dns-tcp", "DNS", "53"), Outcome::Open, &[dns]),
        (four, tcp("wsus", "WSUS", "8530"), Outcome::Refused, &[http]),
        (four, udp("dns-udp", "DNS", "53", "required"), Outcome::NotExercised, &[]),
        (six, udp("dns-udp", "DNS", "53", "required"), Outcome::NotExercised, &[]),
    ];
    for ((from, to), row, outcome, flows) in cells {
        add_cell(&mut report, from, to, &row, outcome, flows);
    }
    report.firewall_requests = vec![
        request(primary, dc6, "88", "Kerberos", kerberos),
        request(sql, dc, "8530", "WSUS", http),
    ];
    report.rule_set = rule_set_of(&report.firewall_requests);
    report.findings = vec![Finding {
        title: "SMB on 10.1.0.10 is not listening".to_owned(),
        explanation: "RST in frame 201 answers the SYN of frame 200 as a closed port does."
            .to_owned(),
        cells: vec![2],
        flows: vec![smb],
        next_step: "check that the service \"Server\" runs on 10.1.0.10".to_owned(),
        ..Finding::of(FindingKind::RefusedByHost, Severity::Error)
    }];
    report
}

/// Flows between hosts of which nobody knows a role.
pub(in crate::render) fn strangers() -> Report {
    let mut report = empty();
    report.captures.push(capture("lab.pcap", 9_120));
    let from = ("192.168.1.20", 49_800);
    let refused = Verdict::Refused;
    add_flow(&mut report, from, ("192.168.1.1", 443), "HTTPS", Verdict::Established, handshake(1));
    for frame in [50, 60, 70] {
        let to = ("192.168.1.30", 1433);
        add_flow(&mut report, from, to, "SQL Server", refused, refusal(frame, frame + 1));
    }
    let packets = syns(&[81, 85, 99]);
    add_flow(&mut report, from, ("192.168.9.9", 8530), "WSUS", Verdict::NoReply, packets);
    report.findings = vec![Finding {
        title: "no host is known to play a role of the matrix".to_owned(),
        explanation: "No role was given, and no host was addressed as a domain controller is."
            .to_owned(),
        cells: Vec::new(),
        flows: Vec::new(),
        next_step: "give the roles: --role site-server=ADDRESS --role domain-controller=ADDRESS"
            .to_owned(),
        ..Finding::of(FindingKind::NoRoles, Severity::Warning)
    }];
    report
}
