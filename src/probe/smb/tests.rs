use super::*;
use crate::net::NameSource;
use crate::probe::ntlm::Ntlm;
use crate::probe::ntlm::tests::{authenticate, challenge};
use proptest::prelude::*;

const MORE: u32 = 0xc000_0016;
const DENIED: u32 = 0xc000_0022;
const NO_SHARE: u32 = 0xc000_00cc;
const NOT_FOUND: u32 = 0xc000_0034;

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn enveloped(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

/// An SMB 2 message: a header of [MS-SMB2] 2.2.1, then this body.
fn two(command: u16, response: bool, status: u32, id: u64, tree: u32, body: &[u8]) -> Vec<u8> {
    let mut message = b"\xfeSMB\x40\0\0\0".to_vec();
    message.extend(status.to_le_bytes());
    message.extend(command.to_le_bytes());
    message.extend([0, 0]);
    message.extend(u32::from(response).to_le_bytes());
    message.extend([0; 4]);
    message.extend(id.to_le_bytes());
    message.extend([0; 4]);
    message.extend(tree.to_le_bytes());
    message.extend([0; 24]);
    message.extend(body);
    message
}

/// A body with a buffer at its end, whose offset and length are at these places.
fn with_buffer(size: usize, offset_at: usize, buffer: &[u8]) -> Vec<u8> {
    let mut body = vec![0; size];
    let offset = u16::try_from(64 + size).unwrap().to_le_bytes();
    let length = u16::try_from(buffer.len()).unwrap().to_le_bytes();
    body[offset_at..offset_at + 4].copy_from_slice(&[offset, length].concat());
    [body, buffer.to_vec()].concat()
}

fn tree_request(id: u64, path: &str) -> Vec<u8> {
    two(3, false, 0, id, 0, &with_buffer(8, 4, &wide(path)))
}

fn open_request(id: u64, tree: u32, name: &str) -> Vec<u8> {
    two(5, false, 0, id, tree, &with_buffer(56, 44, &wide(name)))
}

/// What messages of both sides say, one after the other.
fn told(smb: &mut Smb, from: Speaker, body: &[u8]) -> Vec<Meaning> {
    let mut signals = Vec::new();
    let bytes = &enveloped(body)[..];
    let length = bytes.len() as u64;
    smb.hear(&Message { from, bytes, length, time: None }, &mut signals);
    signals
}

/// Subject, standing and code of the answers.
fn answers(told: &[Meaning]) -> Vec<(&str, Standing, Option<u32>)> {
    let mut answers = Vec::new();
    for meaning in told {
        if let Meaning::Answered { subject, standing, code, .. } = meaning {
            answers.push((subject.as_str(), *standing, code.map(|code| code.number)));
        }
    }
    answers
}

#[test]
fn a_share_that_does_not_exist_fails_until_it_does() {
    let mut smb = Smb::default();
    told(&mut smb, Speaker::Initiator, &tree_request(7, "\\\\cm01\\SMS_P01"));
    let answer = told(&mut smb, Speaker::Responder, &two(3, true, NO_SHARE, 7, 0, &[]));
    let subject = "tree connect \\\\cm01\\SMS_P01";
    assert_eq!(answers(&answer), [(subject, Standing::Failed, Some(NO_SHARE))]);
    told(&mut smb, Speaker::Initiator, &tree_request(8, "\\\\cm01\\SMS_P01"));
    let answer = told(&mut smb, Speaker::Responder, &two(3, true, 0, 8, 5, &[16, 0]));
    assert_eq!(answers(&answer), [(subject, Standing::Served, Some(0))]);
}

#[test]
fn signing_on_is_a_step_until_the_account_is_known() {
    let mut smb = Smb::default();
    let setup = |id, token: &[u8]| two(1, false, 0, id, 0, &with_buffer(24, 12, token));
    told(&mut smb, Speaker::Initiator, &setup(1, b"NTLMSSP\0\x01\0\0\0"));
    let body = with_buffer(8, 4, &challenge("DC1", "dc1.example.com"));
    let answer = told(&mut smb, Speaker::Responder, &two(1, true, MORE, 1, 0, &body));
    assert_eq!(answers(&answer), [("session setup", Standing::Step, Some(MORE))]);
    let name = "dc1.example.com".to_owned();
    assert_eq!(answer[0], Meaning::Introduced { name, by: NameSource::Ntlm });
    let token = authenticate("EXAMPLE", "cm01$", "CM01");
    assert!(Ntlm::find(&token).is_some());
    told(&mut smb, Speaker::Initiator, &setup(2, &token));
    let answer = told(&mut smb, Speaker::Responder, &two(1, true, DENIED, 2, 0, &[9, 0]));
    let subject = "session setup EXAMPLE\\cm01$";
    assert_eq!(answers(&answer), [(subject, Standing::Failed, Some(DENIED))]);
}

#[test]
fn a_missing_pipe_fails_and_a_missing_file_does_not() {
    let mut smb = Smb::default();
    told(&mut smb, Speaker::Initiator, &tree_request(1, "\\\\dc1\\IPC$"));
    told(&mut smb, Speaker::Responder, &two(3, true, 0, 1, 1, &[16, 0]));
    told(&mut smb, Speaker::Initiator, &tree_request(2, "\\\\dc1\\SYSVOL"));
    told(&mut smb, Speaker::Responder, &two(3, true, 0, 2, 2, &[16, 0]));
    told(&mut smb, Speaker::Initiator, &open_request(3, 1, "netlogon"));
    told(&mut smb, Speaker::Initiator, &open_request(4, 2, "desktop.ini"));
    let pipe = told(&mut smb, Speaker::Responder, &two(5, true, NOT_FOUND, 3, 1, &[9, 0]));
    let file = told(&mut smb, Speaker::Responder, &two(5, true, NOT_FOUND, 4, 2, &[9, 0]));
    let expected = ("open \\\\dc1\\IPC$\\netlogon", Standing::Failed, Some(NOT_FOUND));
    assert_eq!(answers(&pipe), [expected]);
    let expected = ("open \\\\dc1\\SYSVOL\\desktop.ini", Standing::Step, Some(NOT_FOUND));
    assert_eq!(answers(&file), [expected]);
}

#[test]
fn every_message_of_a_compound_is_heard() {
    let mut first = two(5, true, 0, 1, 1, &[0; 24]);
    let next = u32::try_from(first.len()).unwrap();
    first[20..24].copy_from_slice(&next.to_le_bytes());
    first.extend(two(6, true, 0x8000_0006, 2, 1, &[]));
    let told = told(&mut Smb::default(), Speaker::Responder, &first);
    let expected =
        [("open", Standing::Served, Some(0)), ("close", Standing::Step, Some(0x8000_0006))];
    assert_eq!(answers(&told), expected);
}

#[test]
fn a_pending_answer_keeps_the_request_for_the_real_one() {
    let mut smb = Smb::default();
    told(&mut smb, Speaker::Initiator, &tree_request(7, "\\\\cm01\\C$"));
    let interim = told(&mut smb, Speaker::Responder, &two(3, true, 0x103, 7, 0, &[]));
    let answer = told(&mut smb, Speaker::Responder, &two(3, true, 0, 7, 5, &[16, 0]));
    let subject = "tree connect \\\\cm01\\C$";
    assert_eq!(answers(&interim), [(subject, Standing::Step, Some(0x103))]);
    assert_eq!(answers(&answer), [(subject, Standing::Served, Some(0))]);
}

#[test]
fn dialects_that_smb_1_does_not_accept_are_a_failure() {
    let mut request = b"\xffSMB\x72".to_vec();
    request.extend([0; 27]);
    request.extend(b"\0\x0c\0\x02NT LM 0.12\0");
    let mut smb = Smb::default();
    let asked = told(&mut smb, Speaker::Initiator, &request);
    assert_eq!(asked, [Meaning::Asked { subject: "negotiate SMB 1 only".to_owned() }]);
    let mut answer = b"\xffSMB\x72\0\0\0\0\x80".to_vec();
    answer.extend([0; 22]);
    answer.extend([1, 0xff, 0xff, 0, 0]);
    let answer = told(&mut smb, Speaker::Responder, &answer);
    assert_eq!(answers(&answer), [("negotiate SMB 1 only", Standing::Failed, Some(0))]);
}

#[test]
fn only_smb_is_recognised_off_its_ports() {
    let seen = |bytes: &[u8], port_fits| {
        let (transport, from) = (Transport::Tcp, Speaker::Responder);
        recognise(&Opening { transport, from, port_fits, bytes })
    };
    let message = enveloped(&two(0, false, 0, 0, 0, &[36, 0]));
    assert_eq!(seen(&message, false), Recognition::Yes);
    assert_eq!(seen(&[&nbss::KEEP_ALIVE[..], &message].concat(), true), Recognition::Yes);
    assert_eq!(seen(&message[..7], true), Recognition::No, "three of four letters");
    assert_eq!(seen(&message[..8], true), Recognition::Perhaps);
    assert_eq!(seen(b"\0\0\0\x20GET / HTTP", true), Recognition::No);
    assert_eq!(seen(&[0x82, 0, 0, 0], false), Recognition::No);
}

proptest! {
    #[test]
    fn any_bytes_are_read(
        command in 0..20_u16,
        response in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..160),
        at in 0..240_usize,
        value in any::<u8>(),
    ) {
        let mut smb = Smb::default();
        let mut messages = vec![two(command, response, 0, 1, 1, &bytes)];
        let old = [b"\xffSMB", &bytes[..]].concat();
        messages.extend([old, tree_request(1, "\\\\a\\IPC$"), open_request(2, 0, "samr")]);
        messages.push(two(5, true, 0, 2, 0, &[0; 88]));
        messages.push(two(11, false, 0, 3, 0, &bytes));
        for mut message in messages {
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
            smb.framing(Speaker::Initiator, &message);
            for from in [Speaker::Initiator, Speaker::Responder] {
                told(&mut smb, from, &message);
                for port_fits in [true, false] {
                    let bytes = &message;
                    let transport = Transport::Tcp;
                    recognise(&Opening { transport, from, port_fits, bytes });
                }
            }
        }
    }
}
