//! Signs in the text of a log that a host was not reached: codes of Windows, of its sockets, of
//! `WinHTTP` and of SQL Server, and the words that stand for them.
//!
//! Codes are those of `[MS-ERREF]` 2.2 and 2.3, of `winhttp.h`, and of the states of ODBC; which
//! ports each may be about is from Microsoft's articles on troubleshooting RPC, SMB, WSUS and
//! setup.

/// What a sign says of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// Nothing came back in time.
    Silence,
    /// Something said no.
    Refusal,
    /// It was not reached, for whatever reason.
    Unreached,
    /// A connection was open, and was cut.
    Cut,
    /// RPC: the endpoint mapper does not know the service.
    NotRegistered,
    /// No address was found for the name.
    NoName,
}

/// A sign that a host was not reached.
#[derive(Debug, PartialEq, Eq)]
pub struct Sign {
    /// As people look it up: "1722", "08001", "0x8024401C".
    pub code: &'static str,
    /// What it means, in a few words.
    pub meaning: &'static str,
    /// What it says of the attempt.
    pub tells: Tells,
    /// Ports that it may be about; empty for any.
    pub ports: &'static [u16],
    /// Whether it may be about a dynamic port of RPC too.
    pub dynamic: bool,
    /// Its number as an error of Windows, where it has one.
    windows: Option<u32>,
    /// Words that stand for it, in lower case.
    words: &'static [&'static str],
}

const HTTP: &[u16] = &[80, 443, 8530, 8531, 10_123];
const SMB: &[u16] = &[445, 139];
const SQL: &[u16] = &[1433, 1434];

const fn sign(
    code: &'static str,
    windows: Option<u32>,
    tells: Tells,
    ports: &'static [u16],
    meaning: &'static str,
    words: &'static [&'static str],
) -> Sign {
    Sign { code, meaning, tells, ports, dynamic: false, windows, words }
}

const fn of_rpc(mut sign: Sign) -> Sign {
    sign.dynamic = true;
    sign
}

static SIGNS: [Sign; 29] = [
    sign(
        "53",
        Some(53),
        Tells::Unreached,
        SMB,
        "the network path was not found",
        &["network path was not found"],
    ),
    sign("64", Some(64), Tells::Cut, SMB, "the network name is no longer available", &[]),
    sign(
        "67",
        Some(67),
        Tells::Unreached,
        SMB,
        "the network name cannot be found",
        &["network name cannot be found"],
    ),
    sign(
        "121",
        Some(121),
        Tells::Silence,
        SMB,
        "the semaphore timeout period has expired",
        &["semaphore timeout period"],
    ),
    sign("1231", Some(1231), Tells::Unreached, &[], "the network location cannot be reached", &[]),
    sign(
        "1311",
        Some(1311),
        Tells::Unreached,
        &[88, 389, 445, 135],
        "no logon servers are available",
        &["no logon servers"],
    ),
    sign(
        "1355",
        Some(1355),
        Tells::Unreached,
        &[53, 88, 389],
        "the domain could not be contacted",
        &["domain either does not exist or could not be contacted"],
    ),
    of_rpc(sign(
        "1722",
        Some(1722),
        Tells::Unreached,
        &[135, 139, 445],
        "the RPC server is unavailable",
        &["rpc server is unavailable"],
    )),
    of_rpc(sign(
        "1726",
        Some(1726),
        Tells::Cut,
        &[135],
        "the remote procedure call failed",
        &["remote procedure call failed"],
    )),
    of_rpc(sign(
        "1753",
        Some(1753),
        Tells::NotRegistered,
        &[135],
        "there are no more endpoints at the endpoint mapper",
        &["no more endpoints available"],
    )),
    sign(
        "8250",
        Some(8250),
        Tells::Unreached,
        &[389, 636, 3268, 3269],
        "the directory is not operational",
        &["server is not operational"],
    ),
    sign("9002", Some(9002), Tells::NoName, &[53], "the name server failed", &[]),
    sign("9003", Some(9003), Tells::NoName, &[53], "the name does not exist", &[]),
    sign("10051", Some(10_051), Tells::Unreached, &[], "the network cannot be reached", &[]),
    sign("10053", Some(10_053), Tells::Cut, &[], "the connection was aborted", &[]),
    sign(
        "10054",
        Some(10_054),
        Tells::Cut,
        &[],
        "the connection was reset",
        &["forcibly closed by the remote host"],
    ),
    sign(
        "10060",
        Some(10_060),
        Tells::Silence,
        &[],
        "the connection attempt timed out",
        &["did not properly respond after a period of time"],
    ),
    sign(
        "10061",
        Some(10_061),
        Tells::Refusal,
        &[],
        "the target machine refused the connection",
        &["actively refused it"],
    ),
    sign("10065", Some(10_065), Tells::Unreached, &[], "there is no route to the host", &[]),
    sign(
        "11001",
        Some(11_001),
        Tells::NoName,
        &[53],
        "no such host is known",
        &["no such host is known"],
    ),
    sign("12002", Some(12_002), Tells::Silence, HTTP, "the HTTP request timed out", &[]),
    sign(
        "12007",
        Some(12_007),
        Tells::NoName,
        &[53],
        "the name of the HTTP server was not resolved",
        &[],
    ),
    sign("12029", Some(12_029), Tells::Unreached, HTTP, "no connection to the HTTP server", &[]),
    sign("12030", Some(12_030), Tells::Cut, HTTP, "the connection to the HTTP server was cut", &[]),
    // What Windows Update makes of the HTTP status 408 and 504.
    sign("0x8024401C", None, Tells::Silence, HTTP, "the HTTP request timed out", &[]),
    sign("0x80244023", None, Tells::Silence, HTTP, "a gateway timed out", &[]),
    sign("08001", None, Tells::Unreached, SQL, "SQL Server was not reached", &[]),
    sign(
        "HYT00",
        None,
        Tells::Silence,
        SQL,
        "the login to SQL Server timed out",
        &["login timeout expired"],
    ),
    // What setup of a primary site shows where domain controllers cannot be reached.
    sign(
        "unauthorized operation",
        None,
        Tells::Unreached,
        &[88, 135, 389, 445, 3268],
        "setup could not act on the directory",
        &["attempted to perform an unauthorized operation"],
    ),
];

/// The signs in a text, each once, in the order of the table.
pub fn signs(text: &str) -> Vec<&'static Sign> {
    let lower = text.to_ascii_lowercase();
    let codes = codes(&lower);
    let found = |sign: &&Sign| {
        let named = |code: &Code<'_>| match code {
            Code::Windows(number) => sign.windows == Some(*number),
            Code::Other(word) => sign.windows.is_none() && sign.code.eq_ignore_ascii_case(word),
        };
        codes.iter().any(named) || sign.words.iter().any(|words| lower.contains(words))
    };
    SIGNS.iter().filter(found).collect()
}

/// Something in a text that may be a code.
enum Code<'a> {
    /// The number of an error of Windows.
    Windows(u32),
    /// Another word.
    Other(&'a str),
}

/// Words before a number that make it a code.
const BEFORE: [&str; 14] = [
    "error",
    "errors",
    "errorcode",
    "code",
    "rc",
    "err",
    "status",
    "result",
    "win32",
    "hresult",
    "lasterror",
    "getlasterror",
    "return",
    "hr",
];

/// What may be codes in a text in lower case.
///
/// A hexadecimal number is one. A decimal one only in brackets, or with a word before it that says
/// so: the number 53 stands in many a line.
fn codes(text: &str) -> Vec<Code<'_>> {
    let mut codes = Vec::new();
    let mut before: [&str; 2] = ["", ""];
    let mut at = 0;
    while let Some(start) =
        text.get(at..).and_then(|rest| rest.find(|letter: char| letter.is_ascii_alphanumeric()))
    {
        let start = at + start;
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        at = start + end;
        let ahead = text.get(..start).unwrap_or_default();
        // Part of a number with points, such as an address or a version.
        let pointed = text.get(at..).is_some_and(|behind| {
            behind
                .strip_prefix('.')
                .is_some_and(|behind| behind.starts_with(|letter: char| letter.is_ascii_digit()))
        }) || (ahead.ends_with('.')
            && ahead.len() > 1
            && ahead.trim_end_matches('.').ends_with(|letter: char| letter.is_ascii_digit()));
        let negative = ahead.ends_with('-');
        let bracketed = ahead.ends_with(['[', '(', '=']) || ahead.ends_with("= ");
        let announced = bracketed || before.iter().any(|word| BEFORE.contains(word));
        if !pointed {
            codes.extend(code_of(word, negative, announced));
            codes.push(Code::Other(word));
        }
        before = [before[1], word];
    }
    codes
}

fn code_of(word: &str, negative: bool, announced: bool) -> Option<Code<'_>> {
    if let Some(digits) = word.strip_prefix("0x") {
        return windows(u32::from_str_radix(digits, 16).ok()?).map(Code::Windows);
    }
    // Ports, sizes and counts have zeros in front as rarely as codes; states of ODBC do.
    if word.starts_with('0') {
        return None;
    }
    let number: i64 = word.parse().ok()?;
    let number = if negative { -number } else { number };
    if let Ok(number) = u32::try_from(number)
        && number < 1 << 31
    {
        return announced.then_some(Code::Windows(number));
    }
    let bits = u32::try_from(number)
        .ok()
        .or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned))?;
    windows(bits).map(Code::Windows)
}

/// The error of Windows in a number: itself, or what an HRESULT of the facility Win32 holds
/// (`[MS-ERREF]` 2.1.2).
fn windows(number: u32) -> Option<u32> {
    match number >> 16 {
        0 => Some(number),
        0x8007 => Some(number & 0xffff),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        signs(text).into_iter().map(|sign| sign.code).collect()
    }

    #[test]
    fn codes_are_found_in_every_way_that_people_write_them() {
        for (text, expected) in [
            ("Unable to connect to WMI on remote machine, error = 0x800706BA.", vec!["1722"]),
            ("connection error -2147023174 [0x800706ba]", vec!["1722"]),
            ("The RPC server is unavailable. (Exception from HRESULT: 0x800706BA)", vec!["1722"]),
            ("Failed, error code: 1722", vec!["1722"]),
            ("Win32 error 2147942453", vec!["53"]),
            ("Win32 error = 53", vec!["53"]),
            ("Failed to connect to \\\\DC1\\admin$ (53)", vec!["53"]),
            ("no more endpoints: 0x800706d9", vec!["1753"]),
            (
                "*** [08001][10060][Microsoft][SQL Server Native Client 11.0]TCP Provider: A connection attempt \
              failed",
                vec!["10060", "08001"],
            ),
            (
                "*** [HYT00][0][Microsoft][SQL Server Native Client 11.0]Login timeout expired",
                vec!["HYT00"],
            ),
            ("failed to send HTTP request, error 0x80072ee2", vec!["12002"]),
            ("scan failed with 0x8024401C", vec!["0x8024401C"]),
            (
                "No connection could be made because the target machine actively refused it 10.1.0.10:8530",
                vec!["10061"],
            ),
            ("Attempted to perform an unauthorized operation.", vec!["unauthorized operation"]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_that_are_no_codes_stay_out() {
        for text in [
            "copied 53 files in 1722 ms",
            "10.0.53.64 answered",
            "version 5.00.1722.1000",
            "error 0",
            "Access is denied (0x80070005)",
            "thread 10060",
            "error 0x00000000",
            "8001",
            "",
            "--------1722",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }

    #[test]
    fn every_sign_has_a_code_of_its_own() {
        let mut codes: Vec<&str> = SIGNS.iter().map(|sign| sign.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), SIGNS.len());
        for sign in &SIGNS {
            if let Some(number) = sign.windows {
                assert_eq!(sign.code, number.to_string());
            }
            assert!(sign.words.iter().all(|words| *words == words.to_ascii_lowercase()));
        }
    }
}
