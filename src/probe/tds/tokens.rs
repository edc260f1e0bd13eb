//! Tokens of a response ([MS-TDS] 2.2.7), as far as they can be passed over without reading
//! rows.

use crate::probe::ntlm::Ntlm;
use crate::probe::read::{latin, part, u8_at, u16_le, u32_le, utf16_le};
use crate::probe::{Code, CodeSet, Meaning, Standing, text};

/// Tokens looked at in one packet.
const MOST_TOKENS: usize = 64;

const RETURN_STATUS: u8 = 0x79;
const ORDER: u8 = 0xa9;
const ERROR: u8 = 0xaa;
const INFO: u8 = 0xab;
const LOGIN_ACK: u8 = 0xad;
const ENVIRONMENT: u8 = 0xe3;
const SSPI: u8 = 0xed;
const DONE: u8 = 0xfd;
const DONE_IN_PROC: u8 = 0xff;

/// Reads the tokens of a response about this subject.
pub(super) fn read(
    body: &[u8],
    subject: &str,
    is_query: bool,
    narrow: bool,
    signals: &mut Vec<Meaning>,
) {
    let mut rest = body;
    let mut failed = false;
    for _ in 0..MOST_TOKENS {
        let Some(kind) = u8_at(rest, 0) else { return };
        if kind == RETURN_STATUS {
            rest = rest.get(5..).unwrap_or_default();
            continue;
        }
        if (DONE..=DONE_IN_PROC).contains(&kind) {
            // A query is over and nothing was wrong with it.
            if is_query && !failed {
                let (subject, standing) = (subject.to_owned(), Standing::Served);
                signals.push(Meaning::Answered { subject, standing, code: None, detail: None });
            }
            return;
        }
        if !matches!(kind, ORDER | ERROR | INFO | LOGIN_ACK | ENVIRONMENT | SSPI) {
            return;
        }
        let Some(length) = u16_le(rest, 1) else { return };
        let end = 3 + usize::from(length);
        let token = rest.get(3..end).or_else(|| rest.get(3..)).unwrap_or_default();
        match kind {
            ERROR => {
                failed = true;
                signals.extend(error(token, subject, is_query, narrow));
            }
            LOGIN_ACK => {
                let (subject, standing) = (subject.to_owned(), Standing::Served);
                let detail = program(token, narrow);
                signals.push(Meaning::Answered { subject, standing, code: None, detail });
            }
            SSPI => {
                if let Some(ntlm) = Ntlm::find(token) {
                    ntlm.introduce(signals);
                }
            }
            _ => {}
        }
        rest = rest.get(end..).unwrap_or_default();
    }
}

/// An error (2.2.7.10): number, state, class, and the text that the caller is shown.
fn error(token: &[u8], subject: &str, is_query: bool, narrow: bool) -> Option<Meaning> {
    let number = u32_le(token, 0)?;
    let (state, class) = (u8_at(token, 4)?, u8_at(token, 5)?);
    let letters = usize::from(u16_le(token, 6)?);
    let rest = token.get(8..)?;
    let shown =
        if narrow { rest.get(..letters).map(latin) } else { rest.get(..letters * 2).map(utf16_le) };
    let code = Code { set: CodeSet::SqlError, number };
    // A query that is wrong in itself says nothing of the service: below 17 the caller can mend
    // it (Microsoft Learn, "Database Engine error severities").
    let harmless = is_query && class < 17 && code.meaning().is_none();
    let standing = if harmless { Standing::Step } else { code.standing() };
    let detail = Some(text(format!("state {state}: {}", shown.unwrap_or_default())));
    Some(Meaning::Answered { subject: subject.to_owned(), standing, code: Some(code), detail })
}

/// Name and version of the responder's program (2.2.7.14).
fn program(token: &[u8], narrow: bool) -> Option<String> {
    let letters = usize::from(u8_at(token, 5)?);
    let bytes = if narrow { letters } else { letters * 2 };
    let name = part(token, 6, bytes)?;
    let name = if narrow { latin(name) } else { utf16_le(name) };
    let [major, minor, high, low] = *token.get(6 + bytes..)?.first_chunk()?;
    Some(text(format!("{name} {major}.{minor}.{}", u16::from_be_bytes([high, low]))))
}
