//! SQL Server Browser: which instances there are and on which ports they listen ([MC-SQLR]).

use crate::net::{NameSource, Transport};
use crate::probe::read::{latin, u16_le};
use crate::probe::{
    Announcement, Duty, Framing, Holder, Meaning, Message, Next, Opening, Probe, Recognition,
    Speaker, Standing, Talk, text,
};

pub(super) const PROBE: Probe = Probe {
    name: "SQL Browser",
    ports: &[(Transport::Udp, 1434)],
    recognise,
    begin: |_| Box::<Browser>::default(),
};

/// Instances told by one answer.
const MOST_INSTANCES: usize = 64;

/// Longest name of an instance (2.2.3).
const MOST_NAME: usize = 32;

const BROADCAST: u8 = 2;
const ALL: u8 = 3;
const INSTANCE: u8 = 4;
const ANSWER: u8 = 5;
const ADMINISTRATOR: u8 = 15;

#[derive(Debug, Default)]
struct Browser {
    /// What was asked for last.
    subject: Option<String>,
    /// The instance of which the administrator's port was asked for.
    administrator: Option<String>,
}

impl Talk for Browser {
    fn framing(&self, _: Speaker, _: &[u8]) -> Framing {
        Framing::Lost
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let Some((&kind, rest)) = message.bytes.split_first() else { return Next::Stay };
        if kind == ANSWER {
            self.answer(rest, signals);
            return Next::Stay;
        }
        self.administrator = None;
        let subject = match kind {
            BROADCAST | ALL => "instances of SQL Server".to_owned(),
            INSTANCE => text(format!("instance {}", latin(rest))),
            ADMINISTRATOR => {
                let name = latin(rest.get(1..).unwrap_or_default());
                let subject = text(format!("administrator connection to {name}"));
                self.administrator = Some(name);
                subject
            }
            _ => return Next::Stay,
        };
        self.subject = Some(subject.clone());
        signals.push(Meaning::Asked { subject });
        Next::Stay
    }
}

impl Browser {
    fn answer(&mut self, rest: &[u8], signals: &mut Vec<Meaning>) {
        let subject = self.subject.clone();
        let subject = subject.unwrap_or_else(|| "instances of SQL Server".to_owned());
        let mut answered = |detail: Option<String>| {
            let (subject, standing) = (subject.clone(), Standing::Served);
            signals.push(Meaning::Answered { subject, standing, code: None, detail });
        };
        if let Some(name) = self.administrator.clone() {
            // Length 6, a version, the port (2.2.6).
            if let Some(port) = u16_le(rest, 3) {
                answered(Some(format!("port {port}")));
                signals.push(announced(name, port));
            }
            return;
        }
        let list = rest.get(2..).unwrap_or_default();
        let list = String::from_utf8_lossy(list);
        let found: Vec<Instance> =
            list.split(";;").take(MOST_INSTANCES).filter_map(Instance::read).collect();
        let told: Vec<String> = found.iter().map(Instance::told).collect();
        answered((!told.is_empty()).then(|| text(told.join(", "))));
        if !found.is_empty() {
            signals.push(Meaning::Does {
                holder: Holder::Speaker,
                duty: Duty::SqlServer,
                how: "answered as SQL Server Browser".to_owned(),
            });
        }
        for instance in found {
            let Instance { host, name, port } = instance;
            signals.push(Meaning::Introduced { name: host, by: NameSource::Tds });
            signals.extend(port.map(|port| announced(name, port)));
        }
    }
}

/// One instance of a list.
struct Instance {
    host: String,
    name: String,
    port: Option<u16>,
}

impl Instance {
    /// Names and values in turn, separated by semicolons (2.2.5).
    fn read(list: &str) -> Option<Instance> {
        let mut words = list.split(';');
        let (mut host, mut name, mut port) = (None, None, None);
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            match key {
                "ServerName" => host = Some(text(value.to_owned())),
                "InstanceName" => name = Some(text(value.to_owned())),
                "tcp" => port = value.parse().ok(),
                _ => {}
            }
        }
        Some(Instance { host: host?, name: name?, port })
    }

    fn told(&self) -> String {
        match self.port {
            Some(port) => format!("{} on port {port}", self.name),
            None => format!("{} without TCP", self.name),
        }
    }
}

/// An instance on the host that says so.
fn announced(name: String, port: u16) -> Meaning {
    let transport = Some(Transport::Tcp);
    Meaning::Announced(Announcement {
        uuid: None,
        transport,
        address: None,
        port,
        name: Some(name),
    })
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    // No other port speaks it: the service has no other.
    if opening.transport == Transport::Tcp || !opening.port_fits {
        return Recognition::No;
    }
    let fits = match *opening.bytes {
        [BROADCAST | ALL] => true,
        [INSTANCE, ref name @ ..] => !name.is_empty() && name.len() <= MOST_NAME + 1,
        [ADMINISTRATOR, 1, ref name @ ..] => name.len() <= MOST_NAME + 1,
        [ANSWER, low, high, ref rest @ ..] => {
            usize::from(u16::from_le_bytes([low, high])) >= rest.len()
        }
        _ => false,
    };
    if fits { Recognition::Yes } else { Recognition::No }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(browser: &mut Browser, bytes: &[u8]) -> Vec<Meaning> {
        let mut signals = Vec::new();
        let length = bytes.len() as u64;
        let from = Speaker::Initiator;
        let message = Message { from, bytes, length, time: None };
        browser.hear(&message, &mut signals);
        signals
    }

    #[test]
    fn an_answer_announces_the_ports_of_instances() {
        let mut browser = Browser::default();
        let asked = told(&mut browser, b"\x04CM\0");
        assert_eq!(asked, [Meaning::Asked { subject: "instance CM".to_owned() }]);
        // In the manner of the example of [MC-SQLR] 4.1.
        let list = "ServerName;SQL1;InstanceName;CM;IsClustered;No;Version;15.0.2000.5;tcp;49720;\
                    np;\\\\SQL1\\pipe\\MSSQL$CM\\sql\\query;;";
        let length = u16::try_from(list.len()).unwrap().to_le_bytes();
        let answer = told(&mut browser, &[&[5][..], &length, list.as_bytes()].concat());
        assert_eq!(
            answer,
            [
                Meaning::Answered {
                    subject: "instance CM".to_owned(),
                    standing: Standing::Served,
                    code: None,
                    detail: Some("CM on port 49720".to_owned()),
                },
                Meaning::Does {
                    holder: Holder::Speaker,
                    duty: Duty::SqlServer,
                    how: "answered as SQL Server Browser".to_owned(),
                },
                Meaning::Introduced { name: "SQL1".to_owned(), by: NameSource::Tds },
                announced("CM".to_owned(), 49720),
            ]
        );
    }

    #[test]
    fn the_administrators_port_is_announced() {
        let mut browser = Browser::default();
        told(&mut browser, b"\x0f\x01CM\0");
        let answer = told(&mut browser, &[5, 6, 0, 1, 0x9a, 0x05]);
        assert_eq!(answer[1], announced("CM".to_owned(), 1434));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            kind in 0..17_u8,
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            list in "[A-Za-z;0-9]{0,60}",
        ) {
            let mut browser = Browser::default();
            told(&mut browser, &[&[kind][..], &bytes].concat());
            told(&mut browser, &[&[5, 0, 0][..], list.as_bytes()].concat());
            let (transport, from) = (Transport::Udp, Speaker::Initiator);
            recognise(&Opening { transport, from, port_fits: true, bytes: &bytes });
        }
    }
}
