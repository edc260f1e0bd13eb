//! Codes of answers: their names, what they mean to an administrator, and what they are worth.
//!
//! One table a set, in `src/probe/codes/`: number, name, standing, meaning, separated by tabs,
//! sorted by number. A code that is not in its table counts by the set's own rule.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use crate::words::words;

words! {
    /// What an answer is worth.
    Standing {
        /// The service served.
        Served = "served",
        /// A normal part of the dialogue: neither served nor failed yet.
        Step = "step",
        /// The service said no.
        Failed = "failed",
    }
}

words! {
    /// Where a code is from.
    CodeSet {
        /// DNS response code (RFC 1035 4.1.1, RFC 6895).
        DnsRcode = "dns",
        /// Kerberos error (RFC 4120 7.5.9).
        Kerberos = "kerberos",
        /// LDAP result (RFC 4511 appendix A).
        Ldap = "ldap",
        /// Why Active Directory refuses a bind: a Win32 error in the remark of the LDAP result.
        LdapData = "ldap-data",
        /// Result of the NetBIOS name service (RFC 1002 4.2).
        Netbios = "netbios",
        /// Kiss code of NTP: its four letters as a number (RFC 5905 7.4).
        NtpKiss = "ntp",
        /// Type of a DHCP answer (RFC 2132 9.6).
        Dhcp = "dhcp",
        /// TFTP error (RFC 1350).
        Tftp = "tftp",
        /// Answer to an interface that a bind asks for: result and reason (C706 12.6.3.1).
        RpcContext = "rpc-context",
        /// Reason for which a bind is refused (C706 12.6.3.1).
        RpcBindNak = "rpc-bind-nak",
        /// Status of a fault (C706 appendix E, [MS-ERREF]).
        RpcStatus = "rpc-status",
        /// Status of the endpoint mapper (C706 appendix O).
        EndpointMapper = "endpoint-mapper",
        /// Result of DCOM's object resolver or activation ([MS-DCOM]).
        DcomStatus = "dcom",
        /// NT status ([MS-ERREF] 2.3).
        NtStatus = "ntstatus",
        /// Class and code of an SMB 1 error ([MS-CIFS] 2.2.2.4).
        SmbDos = "smb",
        /// Error of a NetBIOS session request (RFC 1002 4.3.4).
        NetbiosSession = "netbios-session",
        /// HTTP status (RFC 9110 15).
        HttpStatus = "http",
        /// TLS alert (RFC 8446 6).
        TlsAlert = "tls",
        /// Error number of SQL Server ([MS-TDS] 2.2.7.10).
        SqlError = "sql",
    }
}

/// The code of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    /// Where it is from.
    pub set: CodeSet,
    /// Its number.
    pub number: u32,
}

struct Row {
    number: u32,
    name: &'static str,
    standing: Standing,
    meaning: &'static str,
}

impl CodeSet {
    fn text(self) -> &'static str {
        match self {
            CodeSet::DnsRcode => include_str!("codes/dns.tsv"),
            CodeSet::Kerberos => include_str!("codes/kerberos.tsv"),
            CodeSet::Ldap => include_str!("codes/ldap.tsv"),
            CodeSet::LdapData => include_str!("codes/ldap-data.tsv"),
            CodeSet::Netbios => include_str!("codes/netbios.tsv"),
            CodeSet::NtpKiss => include_str!("codes/ntp.tsv"),
            CodeSet::Dhcp => include_str!("codes/dhcp.tsv"),
            CodeSet::Tftp => include_str!("codes/tftp.tsv"),
            CodeSet::RpcContext => include_str!("codes/rpc-context.tsv"),
            CodeSet::RpcBindNak => include_str!("codes/rpc-bind-nak.tsv"),
            CodeSet::RpcStatus => include_str!("codes/rpc-status.tsv"),
            CodeSet::EndpointMapper => include_str!("codes/endpoint-mapper.tsv"),
            CodeSet::DcomStatus => include_str!("codes/dcom.tsv"),
            CodeSet::NtStatus => include_str!("codes/ntstatus.tsv"),
            CodeSet::SmbDos => include_str!("codes/smb_dos.tsv"),
            CodeSet::NetbiosSession => include_str!("codes/nbss.tsv"),
            CodeSet::HttpStatus => include_str!("codes/http.tsv"),
            CodeSet::TlsAlert => include_str!("codes/tls.tsv"),
            CodeSet::SqlError => include_str!("codes/sql.tsv"),
        }
    }

    /// What a code outside the table is worth, and how it is written.
    fn of_unknown(self, number: u32) -> (Standing, String) {
        match self {
            CodeSet::DnsRcode => (Standing::Failed, format!("RCODE {number}")),
            CodeSet::Kerberos => (Standing::Failed, format!("Kerberos error {number}")),
            CodeSet::Ldap => (Standing::Failed, format!("LDAP result {number}")),
            CodeSet::LdapData => (Standing::Failed, format!("data {number:x}")),
            CodeSet::Netbios => (Standing::Failed, format!("NetBIOS result {number}")),
            CodeSet::NtpKiss => (Standing::Failed, letters(number)),
            CodeSet::Dhcp => (Standing::Step, format!("DHCP message type {number}")),
            CodeSet::Tftp => (Standing::Failed, format!("TFTP error {number}")),
            CodeSet::RpcContext => {
                let (result, reason) = (number >> 16, number & 0xffff);
                (Standing::Failed, format!("result {result}, reason {reason}"))
            }
            CodeSet::RpcBindNak => (Standing::Failed, format!("reason {number}")),
            CodeSet::RpcStatus | CodeSet::EndpointMapper | CodeSet::DcomStatus => {
                (Standing::Failed, format!("status {number:#010x}"))
            }
            CodeSet::NtStatus => {
                // The two highest bits are the severity: 3 is an error.
                let standing = if number >> 30 == 3 { Standing::Failed } else { Standing::Step };
                (standing, format!("NT status {number:#010x}"))
            }
            CodeSet::SmbDos => {
                let (class, code) = (number >> 16, number & 0xffff);
                (Standing::Failed, format!("error class {class}, code {code}"))
            }
            CodeSet::NetbiosSession => (Standing::Failed, format!("NetBIOS error {number:#04x}")),
            CodeSet::HttpStatus => {
                let standing = match number {
                    100..200 => Standing::Step,
                    200..400 => Standing::Served,
                    _ => Standing::Failed,
                };
                (standing, format!("HTTP status {number}"))
            }
            CodeSet::TlsAlert => (Standing::Failed, format!("TLS alert {number}")),
            CodeSet::SqlError => (Standing::Failed, format!("SQL error {number}")),
        }
    }

    fn rows(self) -> &'static [Row] {
        static TABLES: OnceLock<Vec<Vec<Row>>> = OnceLock::new();
        let tables = TABLES.get_or_init(|| {
            CodeSet::ALL.iter().map(|set| set.text().lines().filter_map(row).collect()).collect()
        });
        tables.get(self as usize).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The letters that a number spells, or the number.
fn letters(number: u32) -> String {
    let spelled = number.to_be_bytes();
    match std::str::from_utf8(&spelled) {
        Ok(text) if spelled.iter().all(u8::is_ascii_alphanumeric) => text.to_owned(),
        _ => format!("kiss code 0x{number:08x}"),
    }
}

/// A line of a table; `None` for a remark.
fn row(line: &'static str) -> Option<Row> {
    let mut cells = line.split('\t');
    let number = cells.next()?;
    let number = match number.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    let name = cells.next()?;
    let standing = cells.next()?;
    let standing = *Standing::ALL.iter().find(|known| known.as_str() == standing)?;
    Some(Row { number, name, standing, meaning: cells.next()? })
}

impl Code {
    fn row(self) -> Option<&'static Row> {
        let rows = self.set.rows();
        let index = rows.binary_search_by_key(&self.number, |row| row.number).ok()?;
        rows.get(index)
    }

    /// Its name, as documents and tools write it.
    pub fn name(self) -> Cow<'static, str> {
        match self.row() {
            Some(row) => row.name.into(),
            None => self.set.of_unknown(self.number).1.into(),
        }
    }

    /// What it means for an administrator: lower case, no full stop; `None` where we do not know.
    pub fn meaning(self) -> Option<&'static str> {
        self.row().map(|row| row.meaning).filter(|meaning| !meaning.is_empty())
    }

    /// What an answer with this code is worth.
    pub fn standing(self) -> Standing {
        self.row().map_or_else(|| self.set.of_unknown(self.number).0, |row| row.standing)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_every_table_is_a_code_and_they_are_sorted() {
        for &set in CodeSet::ALL {
            let lines = set.text().lines().filter(|line| !line.starts_with('#')).count();
            assert_eq!(set.rows().len(), lines, "{set}");
            assert!(set.rows().is_sorted_by(|a, b| a.number < b.number), "{set}");
            for row in set.rows() {
                assert!(!row.name.is_empty() && !row.meaning.ends_with('.'), "{set} {}", row.name);
            }
        }
    }

    #[test]
    fn a_code_has_a_name_a_meaning_and_a_standing() {
        let refused = Code { set: CodeSet::DnsRcode, number: 5 };
        assert_eq!(refused.name(), "REFUSED");
        assert_eq!(refused.standing(), Standing::Failed);
        assert!(refused.meaning().is_some());
        let unknown = Code { set: CodeSet::DnsRcode, number: 4000 };
        assert_eq!((unknown.name().as_ref(), unknown.meaning()), ("RCODE 4000", None));
    }
}
