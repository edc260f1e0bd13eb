//! Captures made to do harm, and large ones.

use super::*;

/// The seed's report with names and texts that somebody chose with care.
pub(in crate::render) fn hostile() -> Report {
    let mut report = seed();
    let clear_screen = "\x1b[2J\x1b[31mall is well\u{9b}0m\r\nnothing failed";
    report.captures[0].path = "=cmd|' /C calc'!A0`|<b>\u{202e}pac.etis".to_owned();
    report.captures[0].comments = vec![
        CommentRecord { frame: None, text: clear_screen.to_owned() },
        CommentRecord {
            frame: Some(FrameNumber(3)),
            text: "@everyone see #12\n# heading".to_owned(),
        },
    ];
    report.captures[0].problems = vec![ProblemRecord {
        severity: Severity::Error,
        message: "| x | <script>alert(1)</script> ![a](https://example.com/b)".to_owned(),
        offset: Some(1),
        frame: None,
    }];
    report.captures[0].skipped[0].what = "=1+1\t\x07".to_owned();
    report.hosts[0].names = vec![clear_screen.to_owned()];
    report.hosts[1].names = vec!["=HYPERLINK(\"https://example.com\")`|".repeat(20)];
    report.hosts[1].roles[0].evidence = Some("-1\u{2066}\u{feff}".to_owned());
    report.matrix.title = "<h1>\u{1b}]0;title\x07".to_owned();
    for cell in &mut report.matrix.cells {
        cell.service = format!("+{}\x08", cell.service).into();
        cell.explanation = format!("@{clear_screen}").into();
    }
    for flow in report.flows.telling_mut() {
        flow.explanation = format!("-{clear_screen}").into();
        flow.service.name = Some("=S\u{202e}MB\n|x|".into());
        flow.service.detail = Some("\tdetail".into());
        flow.encapsulation = thin_vec::thin_vec!["\rvlan 1".to_owned()];
        let netmon = flow.display_filter.netmon();
        flow.display_filter = DisplayFilter::of_texts("=\x1b[1m", &netmon);
        flow.evidence.change(|packets| {
            for packet in packets {
                packet.note = Some(clear_screen.to_owned());
            }
        });
    }
    for finding in &mut report.findings {
        finding.title = format!("# {clear_screen}");
        finding.next_step = "=1\n- [click](javascript:1)".to_owned();
    }
    for request in &mut report.firewall_requests {
        request.service = "@SUM(1)|\x1b".to_owned();
        request.reason = clear_screen.to_owned();
    }
    report.rule_set = rule_set_of(&report.firewall_requests);
    report
}

/// As many cells and flows as asked for, half of them dropped.
pub(in crate::render) fn large(cells: u32, flows: u32) -> Report {
    let mut report = empty();
    report.captures.push(capture("large.pcapng", 40_000_000));
    let address = |number: u32| {
        crate::net::Address::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number))
    };
    for number in 0..flows {
        let verdict = if number % 2 == 0 { Verdict::NoReply } else { Verdict::Established };
        let frame = u64::from(number) * 3 + 1;
        let evidence = if verdict == Verdict::NoReply {
            syns(&[frame, frame + 1, frame + 2])
        } else {
            handshake(frame)
        };
        let (from, to) = (("10.0.0.0", 50_000), ("10.200.0.1", 389));
        add_flow(&mut report, from, to, "LDAP", verdict, evidence);
        if let Some(flow) = report.flows.telling_mut().last_mut() {
            flow.initiator.address = address(number % 1000);
        }
    }
    for number in 0..cells {
        let flow = u64::from(number) % u64::from(flows.max(1)) + 1;
        let outcome = if number % 2 == 0 { Outcome::Dropped } else { Outcome::Open };
        let from = address(number % 1000);
        report.matrix.cells.push(Cell {
            requirement: format!("ldap-{number}").into(),
            service: "LDAP".into(),
            transport: Transport::Tcp,
            ports: "389".into(),
            from: CellEnd { address: from, role: "site-server".into() },
            to: CellEnd { address: ip("10.200.0.1"), role: "domain-controller".into() },
            need: "required".into(),
            condition: None,
            listener_known: true,
            outcome,
            flows: vec![flow],
            counts: CellCounts::default(),
            explanation: format!("SYN sent three times, no answer. {NO_REPLY}").into(),
        });
        if outcome == Outcome::Dropped {
            let source = from.to_string();
            let ports = (1000 + number).to_string();
            report.firewall_requests.push(request(&source, "10.200.0.1", &ports, "LDAP", flow));
        }
    }
    report.rule_set = rule_set_of(&report.firewall_requests);
    report
}
