//! NTLM messages inside other protocols ([MS-NLMP] 2.2.1): who signs in, and what the responder
//! calls itself.
//!
//! Nothing of the proofs of a password is read.

use crate::net::NameSource;
use crate::probe::Meaning;
use crate::probe::read::{find, latin, part, u16_le, u32_le, utf16_le};

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// Flag `NTLMSSP_NEGOTIATE_UNICODE`.
const UNICODE: u32 = 1;

/// Attributes of a challenge's target information that are looked at.
const MOST_ATTRIBUTES: usize = 32;

/// An NTLM message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ntlm {
    /// The initiator offers to sign in.
    Negotiate,
    /// The responder's challenge.
    Challenge {
        /// Its DNS name, else its NetBIOS name.
        computer: Option<String>,
    },
    /// The initiator's proof.
    Authenticate {
        /// `DOMAIN\user`, or `anonymous`.
        account: String,
        /// The initiator's NetBIOS name.
        workstation: String,
    },
}

impl Ntlm {
    /// The first NTLM message in a security token, whatever wraps it.
    pub(crate) fn find(token: &[u8]) -> Option<Ntlm> {
        read(token.get(find(token, SIGNATURE)?..)?)
    }

    /// Tells the name of the end that says this.
    pub(crate) fn introduce(&self, signals: &mut Vec<Meaning>) {
        let name = match self {
            Ntlm::Negotiate => return,
            Ntlm::Challenge { computer } => computer.clone().unwrap_or_default(),
            Ntlm::Authenticate { workstation, .. } => workstation.clone(),
        };
        if !name.is_empty() {
            signals.push(Meaning::Introduced { name, by: NameSource::Ntlm });
        }
    }
}

fn read(message: &[u8]) -> Option<Ntlm> {
    match u32_le(message, 8)? {
        1 => Some(Ntlm::Negotiate),
        2 => Some(Ntlm::Challenge { computer: computer(message) }),
        3 => {
            let unicode = u32_le(message, 60).is_none_or(|flags| flags & UNICODE != 0);
            let word = |at| {
                let bytes = field(message, at).unwrap_or_default();
                if unicode { utf16_le(bytes) } else { latin(bytes) }
            };
            let (domain, user) = (word(28), word(36));
            let account = match (domain.is_empty(), user.is_empty()) {
                (_, true) => "anonymous".to_owned(),
                (true, false) => user,
                (false, false) => format!("{domain}\\{user}"),
            };
            Some(Ntlm::Authenticate { account, workstation: word(44) })
        }
        _ => None,
    }
}

/// What a field's length and offset point at.
fn field(message: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16_le(message, at)?);
    part(message, usize::try_from(u32_le(message, at + 4)?).ok()?, length)
}

/// The name in a challenge's target information ([MS-NLMP] 2.2.2.1).
fn computer(message: &[u8]) -> Option<String> {
    const NETBIOS_COMPUTER: u16 = 1;
    const DNS_COMPUTER: u16 = 3;
    let mut attributes = field(message, 40)?;
    let mut netbios = None;
    for _ in 0..MOST_ATTRIBUTES {
        let Some((kind, length)) = u16_le(attributes, 0).zip(u16_le(attributes, 2)) else { break };
        let Some(value) = part(attributes, 4, usize::from(length)) else { break };
        match kind {
            0 => break,
            DNS_COMPUTER if !value.is_empty() => return Some(utf16_le(value)),
            NETBIOS_COMPUTER => netbios = Some(utf16_le(value)),
            _ => {}
        }
        attributes = attributes.get(4 + value.len()..).unwrap_or_default();
    }
    netbios
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// A field, and its contents put behind the message.
    fn put(message: &mut Vec<u8>, at: usize, contents: &[u8]) {
        let length = u16::try_from(contents.len()).unwrap().to_le_bytes();
        let offset = u32::try_from(message.len()).unwrap().to_le_bytes();
        message[at..at + 8].copy_from_slice(&[&length[..], &length, &offset].concat());
        message.extend(contents);
    }

    fn message(kind: u8, length: usize) -> Vec<u8> {
        let mut message = vec![0; length];
        message[..8].copy_from_slice(SIGNATURE);
        message[8] = kind;
        message
    }

    /// An `AUTHENTICATE_MESSAGE` of a user.
    pub(crate) fn authenticate(domain: &str, user: &str, workstation: &str) -> Vec<u8> {
        let mut message = message(3, 64);
        message[60] = 1;
        for (at, word) in [(28, domain), (36, user), (44, workstation)] {
            put(&mut message, at, &wide(word));
        }
        message
    }

    /// A `CHALLENGE_MESSAGE` of a computer with these names.
    pub(crate) fn challenge(netbios: &str, dns: &str) -> Vec<u8> {
        let mut attributes = Vec::new();
        for (kind, name) in [(2_u16, "EXAMPLE"), (1, netbios), (3, dns), (0, "")] {
            attributes.extend(kind.to_le_bytes());
            attributes.extend(u16::try_from(wide(name).len()).unwrap().to_le_bytes());
            attributes.extend(wide(name));
        }
        let mut message = message(2, 48);
        put(&mut message, 40, &attributes);
        message
    }

    #[test]
    fn a_challenge_names_the_responder_by_its_dns_name() {
        let token = [&b"\x60\x10"[..], &challenge("DC1", "dc1.example.com")].concat();
        let computer = Some("dc1.example.com".to_owned());
        assert_eq!(Ntlm::find(&token), Some(Ntlm::Challenge { computer }));
        let mut told = Vec::new();
        Ntlm::find(&challenge("DC1", "")).unwrap().introduce(&mut told);
        let name = "DC1".to_owned();
        assert_eq!(told, [Meaning::Introduced { name, by: NameSource::Ntlm }]);
    }

    #[test]
    fn an_authentication_names_the_account() {
        for (domain, user, expected) in [
            ("EXAMPLE", "admin", "EXAMPLE\\admin"),
            ("", "admin@example.com", "admin@example.com"),
            ("", "", "anonymous"),
        ] {
            let Some(Ntlm::Authenticate { account, workstation }) =
                Ntlm::find(&authenticate(domain, user, "CM01"))
            else {
                panic!()
            };
            assert_eq!((account.as_str(), workstation.as_str()), (expected, "CM01"));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            at in 0..200_usize,
            value in any::<u8>(),
        ) {
            Ntlm::find(&[SIGNATURE, &bytes].concat());
            let mut valid = challenge("DC1", "dc1.example.com");
            valid.extend(authenticate("EXAMPLE", "admin", "CM01"));
            if let Some(byte) = valid.get_mut(at) {
                *byte = value;
            }
            Ntlm::find(&valid);
        }
    }
}
