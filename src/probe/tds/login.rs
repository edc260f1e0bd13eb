//! The pre-login and the login ([MS-TDS] 2.2.6.5, 2.2.6.4).

use crate::net::NameSource;
use crate::probe::ntlm::Ntlm;
use crate::probe::read::{latin, part, u8_at, u16_be, u16_le, utf16_le};
use crate::probe::{Meaning, called, text};

const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;

/// Options that are looked at.
const MOST_OPTIONS: usize = 16;

/// The value of an option.
fn option(body: &[u8], wanted: u8) -> Option<&[u8]> {
    for index in 0..MOST_OPTIONS {
        let at = index * 5;
        let kind = u8_at(body, at)?;
        if kind == 0xff {
            return None;
        }
        if kind == wanted {
            let (offset, length) = (u16_be(body, at + 1)?, u16_be(body, at + 3)?);
            return part(body, offset.into(), length.into());
        }
    }
    None
}

/// What a pre-login asks for: an instance, if it names one.
pub(super) fn pre_login_subject(body: &[u8]) -> String {
    let instance = option(body, INSTANCE).map(latin).filter(|name| !name.is_empty());
    match instance {
        // What drivers write that know no instance.
        Some(name) if name != "MSSQLServer" => text(format!("pre-login to instance {name}")),
        _ => "pre-login".to_owned(),
    }
}

/// The answer to a pre-login.
#[derive(Debug)]
pub(super) struct PreLogin {
    version: Option<String>,
    encryption: Option<u8>,
    pub wrong_instance: bool,
}

impl PreLogin {
    pub(super) fn read(body: &[u8]) -> PreLogin {
        let version = option(body, VERSION).and_then(|version| match *version {
            [major, minor, high, low, ..] => {
                Some(format!("SQL Server {major}.{minor}.{}", u16::from_be_bytes([high, low])))
            }
            _ => None,
        });
        PreLogin {
            version,
            encryption: option(body, ENCRYPTION).and_then(|value| value.first().copied()),
            // 1: the name of the instance did not fit.
            wrong_instance: option(body, INSTANCE).is_some_and(|value| value.first() == Some(&1)),
        }
    }

    pub(super) fn detail(self) -> Option<String> {
        let encryption = match self.encryption {
            Some(0) => Some("only the login is encrypted"),
            Some(1) => Some("encrypted, the login's result is not readable"),
            Some(2) => Some("nothing is encrypted"),
            Some(3) => Some("encryption is demanded, the login's result is not readable"),
            _ => None,
        };
        let instance = "another instance listens on this port than the one that was asked for";
        let parts = [
            self.version,
            encryption.map(str::to_owned),
            self.wrong_instance.then(|| instance.to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// What a login asks for: who, and which database. Tells the name of the caller's host.
pub(super) fn read(body: &[u8], signals: &mut Vec<Meaning>) -> Option<String> {
    // Each is an offset and a count of letters; the place of the password, 44, is left out.
    let word = |at| {
        let (offset, letters) = (u16_le(body, at)?, u16_le(body, at + 2)?);
        part(body, offset.into(), usize::from(letters) * 2).map(utf16_le)
    };
    let (host, user, database) = (word(36)?, word(40).unwrap_or_default(), word(68));
    if !host.is_empty() {
        signals.push(Meaning::Introduced { name: host, by: NameSource::Tds });
    }
    // As the caller wrote it: "tcp:HOST\INSTANCE,PORT".
    let name = word(52).unwrap_or_default();
    let name = name.split(['\\', ',']).next().unwrap_or_default();
    let name = name.rsplit(':').next().unwrap_or_default();
    signals.extend(called(name, NameSource::Tds));
    if let Some(ntlm) = Ntlm::find(body) {
        ntlm.introduce(signals);
    }
    let who = if user.is_empty() { "Windows login".to_owned() } else { format!("login {user}") };
    let database = database.filter(|name| !name.is_empty());
    Some(text(match database {
        Some(database) => format!("{who}, database {database}"),
        None => who,
    }))
}
