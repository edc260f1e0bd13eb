//! Heads of requests and responses: the few lines of them that tell something.

use crate::probe::http::Expected;
use crate::probe::ntlm::Ntlm;
use crate::probe::read::{find, latin};
use crate::probe::{Recognition, text};

/// Header lines that are looked at.
const MOST_LINES: usize = 128;

/// Characters of a method. ConfigMgr's own are the longest in use (`BITS_POST`, `CCM_POST`).
const MOST_METHOD: usize = 24;

/// Letters of a token in which an NTLM message begins, if there is one.
const MOST_WRAPPING: usize = 256;

/// A head.
#[derive(Debug)]
pub(super) enum Head {
    Request(Request),
    Response(Response),
}

/// What is kept of a request until its answer comes.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub method: String,
    /// Path and, where it names a thing, query.
    pub path: String,
    pub subject: String,
    /// Its target is a whole address, so that it goes to a proxy (RFC 9112 3.2.2).
    pub to_proxy: bool,
    /// What it calls the responder; empty where it names another host, or none.
    pub called: String,
    pub body: Expected,
    /// It carries credentials, and not only an offer to sign in.
    pub signed_in: bool,
    pub ntlm: Option<Ntlm>,
}

impl Request {
    /// Stands for a request that was not captured.
    pub(super) fn unknown() -> Request {
        Request {
            method: String::new(),
            path: String::new(),
            called: String::new(),
            subject: "a request that was not captured".to_owned(),
            to_proxy: false,
            body: Expected::Head,
            signed_in: false,
            ntlm: None,
        }
    }
}

/// What matters of a response's head.
#[derive(Debug)]
pub(super) struct Response {
    pub status: u16,
    pub body: Expected,
    /// It brings a token of a sign-in that goes on.
    pub challenges_on: bool,
    pub ntlm: Option<Ntlm>,
    /// Its body is XML, as those of web services are, or an encrypted one ([MS-WSMV] 2.2.9.1).
    pub xml: bool,
    /// What the responder calls its software.
    pub software: String,
    /// The proxy that it came through.
    pub via: Option<String>,
}

/// Header fields that matter (RFC 9110).
#[derive(Default)]
struct Fields {
    host: Option<String>,
    length: Option<u64>,
    chunked: bool,
    content_type: Vec<u8>,
    software: String,
    via: Option<String>,
    /// A proof or a challenge came: the NTLM message in it, and whether there was any token.
    token: bool,
    ntlm: Option<Ntlm>,
    /// Credentials of the caller came.
    credentials: bool,
}

impl Head {
    /// Reads a head, or the beginning of one.
    pub(super) fn read(bytes: &[u8]) -> Option<Head> {
        let (first, rest) = line(bytes)?;
        let fields = Fields::read(rest);
        if let Some(status) = status(first) {
            return Some(Head::Response(Response {
                status,
                body: fields.body(Expected::Everything),
                challenges_on: fields.token,
                ntlm: fields.ntlm,
                xml: find(&fields.content_type, b"xml").is_some()
                    || find(&fields.content_type, b"session-encrypted").is_some(),
                software: fields.software,
                via: fields.via,
            }));
        }
        let (method, target) = request_line(first)?;
        let (host, path) = address(method, target, fields.host.as_deref());
        let body = fields.body(Expected::Head);
        // Who asks a proxy names another host than the one that is called (RFC 9112 3.2.2).
        let called = fields.host.filter(|_| target.starts_with('/')).unwrap_or_default();
        let called = called.split(':').next().unwrap_or_default().to_owned();
        Some(Head::Request(Request {
            method: method.to_owned(),
            subject: text(format!("{method} {host}{path}")),
            to_proxy: target.contains("://"),
            path,
            called,
            body,
            // A negotiate message offers only.
            signed_in: fields.credentials && fields.ntlm != Some(Ntlm::Negotiate),
            ntlm: fields.ntlm,
        }))
    }
}

impl Fields {
    fn read(mut rest: &[u8]) -> Fields {
        let mut fields = Fields::default();
        for _ in 0..MOST_LINES {
            let Some((line, after)) = line(rest) else { break };
            rest = after;
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            fields.take(name, value);
        }
        fields
    }

    fn take(&mut self, name: &[u8], value: &[u8]) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("host") {
            self.host = Some(latin(value));
        } else if is("content-length") {
            self.length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        } else if is("transfer-encoding") {
            self.chunked |= value.to_ascii_lowercase().ends_with(b"chunked");
        } else if is("content-type") {
            self.content_type = value.to_ascii_lowercase();
        } else if is("server") {
            self.software = latin(value);
        } else if is("via") {
            self.via = Some(latin(value));
        } else if is("authorization") || is("proxy-authorization") {
            self.credentials = true;
            self.take_token(value);
        } else if is("www-authenticate") || is("proxy-authenticate") {
            self.take_token(value);
        }
    }

    /// A scheme and, where a sign-in is under way, a token (RFC 4559 4).
    fn take_token(&mut self, value: &[u8]) {
        let mut words = value.splitn(2, |byte| *byte == b' ');
        let scheme = words.next().unwrap_or_default();
        let rounds = [&b"negotiate"[..], b"ntlm", b"kerberos"];
        if let Some(token) = words.next()
            && rounds.iter().any(|round| scheme.eq_ignore_ascii_case(round))
        {
            self.token = true;
            // What wraps NTLM is short. Tickets of Kerberos are long, and hold none.
            let begins = unbase64(token.get(..MOST_WRAPPING).unwrap_or(token));
            if find(&begins, b"NTLMSSP").is_some() {
                self.ntlm = Ntlm::find(&unbase64(token));
            }
        }
    }

    /// How the body is framed (RFC 9112 6.3), and what it is without any word on that.
    fn body(&self, otherwise: Expected) -> Expected {
        match (self.chunked, self.length) {
            (true, _) => Expected::ChunkLine,
            (false, Some(0)) => Expected::Head,
            (false, Some(length)) => Expected::Body(length),
            (false, None) => otherwise,
        }
    }
}

/// Whether a head may begin with these bytes: in letters, or with an empty line.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let first = bytes.get(..MOST_METHOD).unwrap_or(bytes);
    let letters = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-');
    match first.iter().position(|byte| !letters(byte)) {
        None => first.len() < MOST_METHOD,
        Some(0) => matches!(first, [b'\r' | b'\n', ..]),
        Some(length) => match first.get(length) {
            Some(b' ') => length >= 3,
            Some(b'/') => first.starts_with(b"HTTP/") || b"HTTP/".starts_with(first),
            _ => false,
        },
    }
}

/// Whether bytes begin an HTTP/1 message: its first line is asked for.
pub(super) fn recognise(bytes: &[u8]) -> Recognition {
    if !may_begin(bytes) || bytes.is_empty() || matches!(bytes, [b'\r' | b'\n', ..]) {
        return Recognition::No;
    }
    match line(bytes) {
        Some((first, _)) if status(first).is_some() || request_line(first).is_some() => {
            Recognition::Yes
        }
        Some(_) => Recognition::No,
        None => Recognition::Perhaps,
    }
}

/// The first line, without its end, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = find(bytes, b"\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 2..)?))
}

/// The status of a status line (RFC 9112 4).
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
    digits.parse().ok().filter(|status| (100..1000).contains(status))
}

/// Method and target of a request line (RFC 9112 3).
fn request_line(line: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(line).ok()?;
    let (method, rest) = line.split_once(' ')?;
    let (target, version) = rest.rsplit_once(' ')?;
    let spelled = |letter: char| letter.is_ascii_uppercase() || matches!(letter, '_' | '-');
    let is_request = !method.is_empty()
        && method.len() <= MOST_METHOD
        && method.chars().all(spelled)
        && matches!(version, "HTTP/1.0" | "HTTP/1.1")
        && !target.is_empty();
    is_request.then_some((method, target))
}

/// The host that is asked, as a URL begins, and the path. Of a query only the first word stays,
/// where it names a thing (`?mplist`): the rest may hold secrets and is never the same twice.
fn address(method: &str, target: &str, host: Option<&str>) -> (String, String) {
    if method == "CONNECT" {
        return (String::new(), text(target.to_owned()));
    }
    let (host, path) = match target.split_once("://") {
        Some((_, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(host), path)
        }
        None => (host, target),
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let word = query.split('&').next().unwrap_or_default();
    let keeps = !word.is_empty() && !word.contains('=') && word.len() <= 64;
    let path = if keeps { format!("{path}?{word}") } else { path.to_owned() };
    (host.map(|host| format!("http://{host}")).unwrap_or_default(), text(path))
}

/// The length that begins a line before a chunk.
pub(super) fn chunk(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = std::str::from_utf8(line.get(..digits.min(16))?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// Bytes that base64 stands for (RFC 4648 4), up to the first that does not belong.
fn unbase64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        // RFC 4648 10.
        for (text, bytes) in [("Zm9vYmFy", "foobar"), ("Zm9vYg==", "foob"), ("", "")] {
            assert_eq!(unbase64(text.as_bytes()), bytes.as_bytes());
        }
    }

    #[test]
    fn subjects_are_addresses_without_secrets() {
        let subject = |head: &str| match Head::read(head.as_bytes()) {
            Some(Head::Request(request)) => request.subject,
            _ => panic!("{head}"),
        };
        let asked = "GET /SMS_MP/.sms_aut?mplist&x=1 HTTP/1.1\r\nHost: mp01\r\n\r\n";
        assert_eq!(subject(asked), "GET http://mp01/SMS_MP/.sms_aut?mplist");
        let asked = "GET http://a.example/b?password=c HTTP/1.0\r\n\r\n";
        assert_eq!(subject(asked), "GET http://a.example/b");
        assert_eq!(subject("CONNECT a.example:443 HTTP/1.1\r\n\r\n"), "CONNECT a.example:443");
    }

    #[test]
    fn only_a_first_line_of_http_is_recognised() {
        for (bytes, expected) in [
            (&b"CCM_POST /ccm_system/request HTTP/1.1\r\n"[..], Recognition::Yes),
            (b"HTTP/1.1 200 OK\r\n", Recognition::Yes),
            (b"GET /a", Recognition::Perhaps),
            (b"HTT", Recognition::Perhaps),
            (b"GET /a\r\n", Recognition::No),
            (b"USER admin\r\n", Recognition::No),
            (b"HTTP is a protocol\r\n", Recognition::No),
            (b"\x16\x03\x01\x00\x05", Recognition::No),
        ] {
            assert_eq!(recognise(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_chunk_tells_its_length_in_hexadecimal() {
        assert_eq!(chunk(b"1aF;name=value\r\n"), Some(0x1af));
        assert_eq!((chunk(b"\r\n"), chunk(b"0\r\n")), (None, Some(0)));
    }
}
