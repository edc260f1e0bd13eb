//! The NetBIOS session service: frames SMB, and on port 139 asks for a session first (RFC 1002
//! 4.3).

use crate::net::NameSource;
use crate::probe::read::latin;
use crate::probe::{Code, CodeSet, Meaning, Standing};

/// Bytes of a header: kind, flags, length.
pub(super) const HEADER: usize = 4;

/// A keep-alive is a header only (RFC 1002 4.3.7).
pub(super) const KEEP_ALIVE: [u8; HEADER] = [0x85, 0, 0, 0];

/// Length of a name as it is sent (RFC 1001 14.1): a length, 32 letters, a zero.
const NAME: usize = 34;

/// The kind of a packet (RFC 1002 4.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Envelope {
    Message,
    Request,
    Granted,
    Denied,
    Elsewhere,
    KeepAlive,
}

/// Kind and length of what follows the header.
///
/// Over TCP directly the length has 24 bits ([MS-SMB2] 2.1). Over NetBIOS it has 17, and the
/// others are zero.
pub(super) fn envelope(bytes: &[u8]) -> Option<(Envelope, usize)> {
    let [kind, high, middle, low] = *bytes.first_chunk()?;
    let kind = match kind {
        0x00 => Envelope::Message,
        0x81 => Envelope::Request,
        0x82 => Envelope::Granted,
        0x83 => Envelope::Denied,
        0x84 => Envelope::Elsewhere,
        0x85 => Envelope::KeepAlive,
        _ => return None,
    };
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    (kind == Envelope::Message || length <= 2 * NAME).then_some((kind, length))
}

/// A session request: the name that is called, and the caller's.
pub(super) fn ask(body: &[u8], called: &mut String, signals: &mut Vec<Meaning>) {
    *called = name(body).unwrap_or_default();
    signals.push(Meaning::Asked { subject: subject(called) });
    if let Some(name) = body.get(NAME..).and_then(name).filter(|name| !name.is_empty()) {
        signals.push(Meaning::Introduced { name, by: NameSource::Nbns });
    }
}

/// The answer to a session request.
pub(super) fn answer(kind: Envelope, body: &[u8], called: &str, signals: &mut Vec<Meaning>) {
    let (standing, code, detail) = match kind {
        Envelope::Denied => {
            let code = body
                .first()
                .map(|&number| Code { set: CodeSet::NetbiosSession, number: u32::from(number) });
            (code.map_or(Standing::Failed, Code::standing), code, None)
        }
        Envelope::Elsewhere => {
            (Standing::Step, None, Some("the session is to be asked for at another address"))
        }
        Envelope::Message | Envelope::Request | Envelope::Granted | Envelope::KeepAlive => {
            (Standing::Served, None, None)
        }
    };
    let detail = detail.map(str::to_owned);
    signals.push(Meaning::Answered { subject: subject(called), standing, code, detail });
}

fn subject(called: &str) -> String {
    format!("NetBIOS session {called}").trim_end().to_owned()
}

/// A name in its first-level encoding: two letters a byte, each half counted from `A`.
fn name(bytes: &[u8]) -> Option<String> {
    let [32, letters @ .., 0] = bytes.first_chunk::<NAME>()? else { return None };
    let (pairs, _) = letters.as_chunks();
    let mut decoded = Vec::with_capacity(16);
    for &[high, low] in pairs {
        let high = high.checked_sub(b'A').filter(|half| *half < 16)?;
        let low = low.checked_sub(b'A').filter(|half| *half < 16)?;
        decoded.push(high << 4 | low);
    }
    // The last byte tells the kind of name.
    decoded.pop();
    Some(latin(&decoded).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name that Windows calls where it knows only an address: ten letters, five spaces, and
    /// a space for its kind, spelled by hand after RFC 1001 14.1.
    const ENCODED: &[u8; NAME] = b"\x20CKFDENECFDEFFCFGEFFCCACACACACACA\0";

    #[test]
    fn a_session_request_names_both_ends() {
        assert_eq!(name(ENCODED).as_deref(), Some("*SMBSERVER"));
        let (mut called, mut told) = (String::new(), Vec::new());
        ask(&[&ENCODED[..], &ENCODED[..]].concat(), &mut called, &mut told);
        let name = "*SMBSERVER".to_owned();
        assert_eq!(
            told,
            [
                Meaning::Asked { subject: "NetBIOS session *SMBSERVER".to_owned() },
                Meaning::Introduced { name, by: NameSource::Nbns },
            ]
        );
    }

    #[test]
    fn a_refused_session_is_a_failure_with_its_code() {
        let mut told = Vec::new();
        answer(Envelope::Denied, &[0x82], "DC1", &mut told);
        let code = Code { set: CodeSet::NetbiosSession, number: 0x82 };
        let subject = "NetBIOS session DC1".to_owned();
        let standing = Standing::Failed;
        assert_eq!(told, [Meaning::Answered { subject, standing, code: Some(code), detail: None }]);
        assert_eq!(code.name(), "called name not present");
    }
}
