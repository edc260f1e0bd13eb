use super::*;
use crate::net::{End, FrameNumber, SeqNumber};
use crate::probe::{Dialogue, Duty, Signal};
use proptest::prelude::*;

const ASKS: End = End::High;
const ANSWERS: End = End::Low;

/// What segments say that come in order. A segment of which bytes were cut off has its length
/// beside it.
fn told(segments: &[(End, &str, usize)]) -> Vec<Signal> {
    let mut dialogue = Dialogue::new(Transport::Tcp, [80, 50_000]);
    let mut next = [1_u32, 1];
    let mut signals = Vec::new();
    for (index, (end, payload, cut)) in segments.iter().enumerate() {
        let place = &mut next[usize::from(*end == ASKS)];
        let length = u32::try_from(payload.len() + cut).unwrap();
        let from = if *end == ASKS { Speaker::Initiator } else { Speaker::Responder };
        let (seq, frame) = (SeqNumber(*place), FrameNumber(index as u64 + 1));
        *place += length;
        let bytes = payload.as_bytes();
        dialogue.segment(*end, from, seq, bytes, length, frame, None, &mut |signal| {
            signals.push(signal);
        });
    }
    signals
}

/// Frame, subject, standing and status of the answers.
fn answers(signals: &[Signal]) -> Vec<(u64, String, Standing, u32)> {
    let mut answers = Vec::new();
    for signal in signals {
        if let Meaning::Answered { subject, standing, code: Some(code), .. } = &signal.meaning {
            answers.push((signal.frame.0, subject.clone(), *standing, code.number));
        }
    }
    answers
}

fn detail(signals: &[Signal]) -> Option<&str> {
    let Meaning::Answered { detail, .. } = &signals.last()?.meaning else { return None };
    detail.as_deref()
}

#[test]
fn a_head_may_go_over_segments_and_its_body_is_skipped() {
    let signals = told(&[
        (ASKS, "GET /SMS_MP/.sms_aut?mplist HTTP/1.1\r\nHost: mp", 0),
        (ASKS, "01\r\n\r", 0),
        (ASKS, "\nGET /b HTTP/1.1\r\n\r\n", 0),
        (ANSWERS, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHTTP/", 0),
        (ANSWERS, "1.1 500HTTP/1.1 404 Not Found\r\n", 0),
        (ANSWERS, "\r\n", 0),
    ]);
    let first = "GET http://mp01/SMS_MP/.sms_aut?mplist".to_owned();
    assert_eq!(
        answers(&signals),
        [(4, first, Standing::Served, 200), (6, "GET /b".to_owned(), Standing::Served, 404)]
    );
}

#[test]
fn chunks_are_skipped_also_where_they_were_cut_off() {
    let body = "Transfer-Encoding: chunked\r\n\r\n";
    let signals = told(&[
        (ASKS, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n", 0),
        (ANSWERS, &format!("HTTP/1.1 200 OK\r\n{body}5\r\nHTTP/\r\n14\r\nHTT"), 17),
        (ANSWERS, "\r\n0\r\nTrailer: x\r\n\r\nHTTP/1.1 503 Service Unavailable\r\n\r\n", 0),
    ]);
    assert_eq!(
        answers(&signals),
        [
            (2, "GET /a".to_owned(), Standing::Served, 200),
            (3, "GET /b".to_owned(), Standing::Failed, 503),
        ]
    );
}

#[test]
fn a_body_that_was_never_captured_is_counted() {
    let signals = told(&[
        (ASKS, "HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n", 0),
        (ANSWERS, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 0),
        (ANSWERS, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 1000),
        (ASKS, "GET /c HTTP/1.1\r\n\r\n", 0),
        (ANSWERS, "HTTP/1.1 500 No\r\n\r\n", 0),
    ]);
    let frames: Vec<_> = answers(&signals).into_iter().map(|(frame, ..)| frame).collect();
    assert_eq!(frames, [2, 3, 5]);
    assert_eq!(answers(&signals)[2].1, "GET /c");
}

#[test]
fn signing_in_is_a_step_until_the_proof_is_refused() {
    let challenge = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: ";
    let ask = "GET /AdminService/wmi HTTP/1.1\r\n";
    let signals = told(&[
        (ASKS, &format!("{ask}\r\n"), 0),
        (ANSWERS, &format!("{challenge}Negotiate\r\nWWW-Authenticate: NTLM\r\n\r\n"), 0),
        // "NTLMSSP\0", then 1.
        (ASKS, &format!("{ask}Authorization: NTLM TlRMTVNTUAABAAAA\r\n\r\n"), 0),
        (ANSWERS, &format!("{challenge}NTLM TlRMTVNTUAACAAAA\r\n\r\n"), 0),
        (ASKS, &format!("{ask}Authorization: NTLM TlRMTVNTUAADAAAA\r\n\r\n"), 0),
        (ANSWERS, &format!("{challenge}NTLM\r\n\r\n"), 0),
    ]);
    let standings: Vec<_> = answers(&signals).into_iter().map(|answer| answer.2).collect();
    assert_eq!(standings, [Standing::Step, Standing::Step, Standing::Failed]);
}

#[test]
fn a_missing_page_fails_where_a_product_asks_for_it() {
    let answer = "HTTP/1.1 404 Not Found\r\nServer: Microsoft-HTTPAPI/2.0\r\n\r\n";
    let signals = told(&[
        (ASKS, "POST /ClientWebService/client.asmx HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 0),
        (ANSWERS, answer, 0),
    ]);
    assert_eq!(answers(&signals)[0].2, Standing::Failed);
    let expected = "WSUS scan, answered by Windows itself, before any web site";
    assert_eq!(detail(&signals), Some(expected));
}

#[test]
fn a_fault_of_a_web_service_is_no_failure_of_the_web_server() {
    let fault = "Content-Type: text/xml; charset=utf-8\r\nContent-Length: 0\r\n\r\n";
    let page = "Content-Type: text/html\r\nContent-Length: 0\r\n\r\n";
    for (head, expected) in [(fault, Standing::Step), (page, Standing::Failed)] {
        let signals = told(&[
            (ASKS, "POST /ClientWebService/client.asmx HTTP/1.1\r\n\r\n", 0),
            (ANSWERS, &format!("HTTP/1.1 500 Internal Server Error\r\n{head}"), 0),
        ]);
        assert_eq!(answers(&signals)[0].2, expected, "{head}");
    }
}

/// Duties that a request and its answer prove: whose, and which.
fn duties(request: &str, answer: &str) -> Vec<(Holder, Duty)> {
    let signals = told(&[(ASKS, request, 0), (ANSWERS, answer, 0)]);
    let duty = |signal: &Signal| {
        if let Meaning::Does { holder, duty, .. } = signal.meaning {
            return Some((holder, duty));
        }
        None
    };
    signals.iter().filter_map(duty).collect()
}

#[test]
fn who_serves_a_path_of_a_product_plays_its_part() {
    let served = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let asked = "CCM_POST /ccm_system/request HTTP/1.1\r\nHost: mp01\r\n\r\n";
    let (point, client) = ((Holder::Speaker, Duty::ManagementPoint), (Holder::Peer, Duty::Client));
    assert_eq!(duties(asked, served), [point, client]);
    assert_eq!(duties("GET /a HTTP/1.1\r\n\r\n", served), []);

    let refused = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(duties(asked, refused), [client], "anybody may refuse");
}

#[test]
fn a_proxy_plays_the_part_of_nobody() {
    let served = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let asked = "GET http://mp01/SMS_MP/.sms_aut?mplist HTTP/1.1\r\nHost: mp01\r\n\r\n";
    assert_eq!(duties(asked, served), [(Holder::Peer, Duty::Client)]);
    let passed_on = "HTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\nContent-Length: 0\r\n\r\n";
    let asked = "GET /SMS_MP/.sms_aut?mplist HTTP/1.1\r\nHost: mp01\r\n\r\n";
    assert_eq!(duties(asked, passed_on), [(Holder::Peer, Duty::Client)]);
}

#[test]
fn a_tunnel_through_a_proxy_is_listened_to() {
    let hello = crate::probe::tls::tests::client_hello("cloud.example");
    let mut http = Http::default();
    let mut signals = Vec::new();
    let mut next = None;
    for (from, bytes) in [
        (Speaker::Initiator, &b"CONNECT cloud.example:443 HTTP/1.1\r\n\r\n"[..]),
        (Speaker::Responder, b"HTTP/1.1 200 Connection established\r\n\r\n"),
    ] {
        let length = bytes.len() as u64;
        let message = Message { from, bytes, length, time: None };
        next = Some(http.hear(&message, &mut signals));
    }
    let Some(Next::Become(probe)) = next else { panic!("{next:?}") };
    let (transport, from, port_fits) = (Transport::Tcp, Speaker::Initiator, false);
    let opening = Opening { transport, from, port_fits, bytes: &hello };
    assert_eq!((probe.recognise)(&opening), Recognition::Yes);
}

proptest! {
    #[test]
    fn any_cuts_of_a_dialogue_say_the_same(cuts in prop::collection::vec(1..40_usize, 1..20)) {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
                    HTTP/1.1 204 No\r\n\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nab";
        let mut rest = text;
        let mut segments = Vec::new();
        for cut in cuts.into_iter().chain([text.len()]) {
            let (now, after) = rest.split_at(cut.min(rest.len()));
            segments.push((ANSWERS, now, 0));
            rest = after;
        }
        segments.retain(|(_, payload, _)| !payload.is_empty());
        let statuses: Vec<_> =
            answers(&told(&segments)).into_iter().map(|answer| answer.3).collect();
        prop_assert_eq!(statuses, [200, 204, 500]);
    }

    #[test]
    fn any_bytes_are_read(
        head in "[A-Z]{1,4} ?/?[ -~]{0,30}\r?\n?([A-Za-z-]{1,20}: [ -~]{0,20}\r\n){0,3}\r?\n?",
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut signals = Vec::new();
        for from in [Speaker::Initiator, Speaker::Responder] {
            for bytes in [head.as_bytes(), &bytes, &[b"HTTP/1.1 ", &bytes[..]].concat()] {
                let mut http = Http::default();
                let (length, port_fits) = (bytes.len() as u64, true);
                let message = Message { from, bytes, length, time: None };
                http.framing(from, bytes);
                http.hear(&message, &mut signals);
                http.framing(from, bytes);
                recognise(&Opening { transport: Transport::Tcp, from, port_fits, bytes });
            }
        }
    }
}
