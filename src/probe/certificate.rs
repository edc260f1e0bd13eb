//! The name of a host in its certificate (RFC 5280).
//!
//! Nothing is checked: whoever shows a certificate may have made it himself.

use crate::net::looks_like_a_name;
use crate::probe::asn1::{Element, OCTET_STRING, SEQUENCE, context, element, elements};
use crate::probe::read::find;

/// Object identifiers, with their tag and length: RFC 5280 4.2.1.6 and appendix A.1.
const ALTERNATIVE_NAMES: &[u8] = b"\x06\x03\x55\x1d\x11";
const COMMON_NAME: &[u8] = b"\x06\x03\x55\x04\x03";
/// A name of DNS among the alternative names.
const DNS_NAME: u8 = 0x82;

/// Alternative names of a certificate that is about one host. One of many hosts names none.
const MOST_NAMES: usize = 4;

/// The name of the host that a certificate is for; `None` where it is for several, or for
/// something else.
pub(super) fn host(certificate: &[u8]) -> Option<String> {
    let whole = element(certificate, SEQUENCE)?;
    let signed = element(whole.content, SEQUENCE)?;
    let names = alternative_names(signed.content);
    if names.is_empty() {
        return common_name(&signed);
    }
    let plain = |name: &&String| !name.starts_with('*') && looks_like_a_name(name);
    names.iter().find(plain).filter(|_| names.len() <= MOST_NAMES).cloned()
}

/// The names of DNS that it is valid for.
fn alternative_names(signed: &[u8]) -> Vec<String> {
    let Some(at) = find(signed, ALTERNATIVE_NAMES) else { return Vec::new() };
    let behind = signed.get(at + ALTERNATIVE_NAMES.len()..).unwrap_or_default();
    // It may stand between whether the extension is critical.
    let value = elements(behind).take(2).find(|part| part.tag == OCTET_STRING);
    let list = value.and_then(|value| element(value.content, SEQUENCE));
    let names = list.into_iter().flat_map(|list| elements(list.content).collect::<Vec<_>>());
    names
        .filter(|name| name.tag == DNS_NAME && !name.cut)
        .take(MOST_NAMES + 1)
        .map(|name| name.text())
        .collect()
}

/// The name in the subject, as old certificates have it, and those that Windows makes for Remote
/// Desktop.
fn common_name(signed: &Element<'_>) -> Option<String> {
    // Version, number, algorithm, issuer, validity, subject (4.1).
    let mut fields = elements(signed.content).filter(|field| field.tag != context(0));
    let subject = fields.nth(4)?;
    let at = find(subject.content, COMMON_NAME)?;
    let name = elements(subject.content.get(at + COMMON_NAME.len()..)?).next()?;
    let name = Some(name.text()).filter(|name| looks_like_a_name(name))?;
    // What SQL Server makes for itself is called SSL_Self_Signed_Fallback everywhere.
    (name.contains('.') || !name.contains('_')).then_some(name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::probe::asn1::tests::write;
    use proptest::prelude::*;

    /// A certificate of this subject, for these names.
    pub(in crate::probe) fn certificate(subject: &str, names: &[&str]) -> Vec<u8> {
        let entity = |name: &str| {
            let pair = [COMMON_NAME.to_vec(), write(0x0c, name.as_bytes())].concat();
            write(SEQUENCE, &write(0x31, &write(SEQUENCE, &pair)))
        };
        let mut signed = [
            write(context(0), &write(2, &[2])),
            write(2, &[7]),
            write(SEQUENCE, b""),
            entity("Issuing CA"),
            write(SEQUENCE, b""),
            entity(subject),
        ]
        .concat();
        if !names.is_empty() {
            let names: Vec<u8> =
                names.iter().flat_map(|name| write(DNS_NAME, name.as_bytes())).collect();
            let value = write(OCTET_STRING, &write(SEQUENCE, &names));
            let extension = write(SEQUENCE, &[ALTERNATIVE_NAMES.to_vec(), value].concat());
            signed.extend(write(context(3), &write(SEQUENCE, &extension)));
        }
        write(SEQUENCE, &write(SEQUENCE, &signed))
    }

    #[test]
    fn a_certificate_names_its_host() {
        for (subject, names, expected) in [
            ("ignored", &["dc1.example.com"][..], Some("dc1.example.com")),
            ("ignored", &["*.example.com", "mp.example.com"], Some("mp.example.com")),
            ("RDP01", &[], Some("RDP01")),
            ("sql1.example.com", &[], Some("sql1.example.com")),
            ("SSL_Self_Signed_Fallback", &[], None),
            ("Example Ltd", &[], None),
            ("ignored", &["*.example.com"], None),
            ("ignored", &["a.example", "b.example", "c.example", "d.example", "e.example"], None),
        ] {
            assert_eq!(
                host(&certificate(subject, names)).as_deref(),
                expected,
                "{subject} {names:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_change_is_survived(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = certificate("x", &["dc1.example.com"]);
            let place = at.index(bytes.len());
            bytes[place] = to;
            host(&bytes);
            host(&bytes[..place]);
        }
    }
}
