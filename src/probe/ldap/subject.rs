//! What requests are about, and what the remarks of results say, in few words.

use crate::probe::asn1::{Element, elements};
use crate::probe::ldap::{
    ADD_RESULT, BIND_RESULT, COMPARE_RESULT, DELETE_RESULT, INVALID_CREDENTIALS, Kind,
    MODIFY_RESULT, RENAME_RESULT, SEARCH_RESULT,
};
use crate::probe::{Code, CodeSet, Duty, Holder, Meaning, text};

/// An extended result that nobody asked for: the server ends the connection (RFC 4511 4.4.1).
const DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";

/// "bind GSS-SPNEGO", "bind as cn=admin", "bind anonymously".
pub(super) fn bind_subject(operation: &Element<'_>) -> String {
    let mut parts = elements(operation.content).skip(1);
    let name = parts.next().map(|name| name.text()).unwrap_or_default();
    match parts.next() {
        Some(password) if password.tag == 0x80 => match name.as_str() {
            "" => "bind anonymously".to_owned(),
            name => format!("bind as {name}"),
        },
        Some(sasl) if sasl.tag == 0xa3 => {
            let mechanism = elements(sasl.content).next().map(|mechanism| mechanism.text());
            format!("bind {}", mechanism.unwrap_or_default())
        }
        // [MS-ADTS] 5.1.1.1.3: Sicily, NTLM before there was SASL.
        Some(sicily) if matches!(sicily.tag, 0x89..=0x8b) => "bind NTLM".to_owned(),
        _ => "bind".to_owned(),
    }
}

/// "search rootDSE", "netlogon ping example.com", "search DC=example,DC=com".
pub(super) fn search_subject(operation: &Element<'_>) -> (String, Kind) {
    let mut parts = elements(operation.content);
    let base = parts.next().map(|base| base.text()).unwrap_or_default();
    let scope = parts.next().and_then(|scope| scope.number());
    let filter = parts.nth(4);
    let attributes = parts.next();
    let asks_for = |wanted: &str| {
        attributes.as_ref().is_some_and(|attributes| {
            let mut names = elements(attributes.content);
            names.any(|name| name.text().eq_ignore_ascii_case(wanted))
        })
    };
    match (base.as_str(), scope) {
        ("", Some(0)) if asks_for("netlogon") => {
            let domain = filter.and_then(|filter| equals(&filter, "DnsDomain", 4));
            let domain = domain.map(|domain| format!(" {}", domain.trim_end_matches('.')));
            (format!("netlogon ping{}", domain.unwrap_or_default()), Kind::Ping(None))
        }
        ("", Some(0)) => ("search rootDSE".to_owned(), Kind::RootDse),
        ("", _) => ("search everything".to_owned(), Kind::Plain),
        (base, _) => (format!("search {base}"), Kind::Plain),
    }
}

/// The value that a filter wants an attribute to equal (RFC 4511 4.5.1.7).
fn equals(filter: &Element<'_>, attribute: &str, depth: u8) -> Option<String> {
    const AND: u8 = 0xa0;
    const EQUALS: u8 = 0xa3;
    match filter.tag {
        AND if depth > 0 => {
            elements(filter.content).take(16).find_map(|inner| equals(&inner, attribute, depth - 1))
        }
        EQUALS => {
            let mut parts = elements(filter.content);
            let name = parts.next()?.text();
            let value = parts.next()?.text();
            name.eq_ignore_ascii_case(attribute).then_some(value)
        }
        _ => None,
    }
}

pub(super) fn extended_subject(name: &str) -> String {
    let known = match name {
        "1.3.6.1.4.1.4203.1.11.1" => "change a password",
        "1.3.6.1.4.1.4203.1.11.3" => "who am I",
        "1.2.840.113556.1.4.1781" => "fast bind",
        "1.3.6.1.4.1.1466.101.119.1" => "refresh",
        _ => return format!("extended request {name}"),
    };
    known.to_owned()
}

/// Capabilities of a directory of Active Directory, with and without a domain ([MS-ADTS]
/// 3.1.1.3.4.3).
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";
const LIGHTWEIGHT: &str = "1.2.840.113556.1.4.1851";

/// What an attribute of the root entry proves its host to be: every directory has such an entry,
/// and says in it which one it is.
pub(super) fn duty_of(
    attribute: &str,
    mut values: impl Iterator<Item = String>,
) -> Option<Meaning> {
    let (duty, how) = match attribute {
        "supportedcapabilities" => {
            let values: Vec<String> = values.collect();
            let has = |wanted: &str| values.iter().any(|value| value == wanted);
            match (has(ACTIVE_DIRECTORY), has(LIGHTWEIGHT)) {
                (_, true) => (Duty::OtherDirectory, "tells that it is AD LDS".to_owned()),
                (true, false) => {
                    (Duty::DomainController, "tells that it is Active Directory".to_owned())
                }
                (false, false) => return None,
            }
        }
        // Active Directory names no vendor (RFC 3045); Samba's, which is one, does.
        "vendorname" => {
            let vendor = values.next().filter(|vendor| !vendor.contains("Samba"))?;
            (Duty::OtherDirectory, format!("tells that its vendor is {vendor}"))
        }
        "objectclass" => {
            values.find(|value| value.eq_ignore_ascii_case("OpenLDAProotDSE"))?;
            (Duty::OtherDirectory, "tells that it is OpenLDAP".to_owned())
        }
        _ => return None,
    };
    Some(Meaning::Does { holder: Holder::Speaker, duty, how: text(how) })
}

/// The subject of a result whose request was not seen.
pub(super) fn subject_of_result(operation: &Element<'_>) -> String {
    let subject = match operation.tag {
        BIND_RESULT => "bind",
        SEARCH_RESULT => "search",
        MODIFY_RESULT => "modify",
        ADD_RESULT => "add",
        DELETE_RESULT => "delete",
        RENAME_RESULT => "rename",
        COMPARE_RESULT => "compare",
        _ => {
            let name = elements(operation.content).find(|part| part.tag == 0x8a);
            match name.map(|name| name.text()) {
                Some(name) if name == DISCONNECTION => "connection",
                _ => "extended request",
            }
        }
    };
    subject.to_owned()
}

/// What the remark of a result says. Active Directory tells in it why a bind failed: "data 52e".
pub(super) fn detail_of(number: u32, remark: &str) -> Option<String> {
    let remark = remark.trim_matches(|letter: char| letter == '\0' || letter.is_whitespace());
    let reason = remark
        .split_once(", data ")
        .filter(|_| number == INVALID_CREDENTIALS)
        .and_then(|(_, rest)| rest.split(|letter: char| !letter.is_ascii_hexdigit()).next())
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .map(|number| Code { set: CodeSet::LdapData, number })
        .and_then(|code| Some(format!("{}: {}", code.name(), code.meaning()?)));
    // It may go over several lines.
    let remark = remark.split_whitespace().collect::<Vec<_>>().join(" ");
    let remark = (!remark.is_empty()).then_some(remark);
    let told: Vec<String> = [reason, remark].into_iter().flatten().collect();
    (!told.is_empty()).then(|| text(told.join("; ")))
}
