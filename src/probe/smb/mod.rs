//! SMB: what file sharing answers to negotiating, signing on, opening shares and pipes.
//!
//! Each message is framed by the NetBIOS session service's header (RFC 1002 4.3.1), also where
//! SMB runs over TCP directly ([MS-SMB2] 2.1). Bulk data is skipped. Encrypted and compressed
//! messages are framed and not examined.

use crate::net::{NameSource, Transport};
use crate::probe::read::u16_le;
use crate::probe::{
    Code, CodeSet, Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing,
    Talk, called,
};

mod nbss;
mod one;
mod pipes;
mod shares;
mod two;

use nbss::Envelope;

pub(super) const PROBE: Probe = Probe {
    name: "SMB",
    ports: &[(Transport::Tcp, 445), (Transport::Tcp, 139)],
    recognise,
    begin: |_| Box::<Smb>::default(),
};

/// Messages up to this length are held whole: paths, tokens and remote procedure calls.
const WHOLE: usize = 16 << 10;

/// Bytes held of longer messages, which carry files.
const BEGINNING: usize = 4 << 10;

/// What of a request is to be known when its answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Negotiating, signing on, opening a share.
    Entry,
    /// Opening a named pipe.
    Pipe,
    /// Opening a file or folder.
    File,
    /// Everything else: reading, writing, asking, closing.
    Rest,
}

#[derive(Debug, Default)]
struct Smb {
    one: one::Smb1,
    two: two::Smb2,
    /// Who is called in a NetBIOS session request.
    called: String,
}

impl Talk for Smb {
    fn framing(&self, _: Speaker, bytes: &[u8]) -> Framing {
        let Some((envelope, length)) = nbss::envelope(bytes) else {
            return if bytes.len() < nbss::HEADER {
                Framing::Needs(nbss::HEADER)
            } else {
                Framing::Lost
            };
        };
        if envelope == Envelope::Message {
            match bytes.get(nbss::HEADER..nbss::HEADER + 4) {
                Some(magic) if is_magic(magic) => {}
                Some(_) => return Framing::Lost,
                None if length > 4 => return Framing::Needs(nbss::HEADER + 4),
                None => {}
            }
        }
        let whole = nbss::HEADER + length;
        let keep = if whole <= WHOLE { whole } else { BEGINNING };
        Framing::Message { length: whole as u64, keep }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let Some((envelope, _)) = nbss::envelope(message.bytes) else { return Next::Stay };
        let body = message.bytes.get(nbss::HEADER..).unwrap_or_default();
        match envelope {
            Envelope::Message => match body.first_chunk() {
                Some(b"\xfeSMB") => self.two.hear(message.from, body, signals),
                Some(b"\xffSMB") => self.one.hear(message.from, body, signals),
                // Encrypted (0xfd) or compressed (0xfc), or too little of it.
                _ => {}
            },
            Envelope::Request => nbss::ask(body, &mut self.called, signals),
            Envelope::Granted | Envelope::Denied | Envelope::Elsewhere => {
                nbss::answer(envelope, body, &self.called, signals);
            }
            Envelope::KeepAlive => {}
        }
        Next::Stay
    }
}

/// SMB 1, SMB 2 and later, encrypted, compressed ([MS-CIFS] 2.2.3.1, [MS-SMB2] 2.2.1, 2.2.41,
/// 2.2.42).
fn is_magic(bytes: &[u8]) -> bool {
    matches!(bytes, [0xfc..=0xff, b'S', b'M', b'B'])
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    if opening.transport == Transport::Udp {
        return Recognition::No;
    }
    let mut bytes = opening.bytes;
    while let Some(rest) = bytes.strip_prefix(&nbss::KEEP_ALIVE) {
        bytes = rest;
    }
    let Some((envelope, length)) = nbss::envelope(bytes) else {
        let may_grow = bytes.len() < nbss::HEADER && opening.port_fits;
        return if may_grow { Recognition::Perhaps } else { Recognition::No };
    };
    let body = bytes.get(nbss::HEADER..).unwrap_or_default();
    let fits = match envelope {
        Envelope::Message if body.len() < 10 => {
            let begins = body.is_empty() || body.get(..4).is_some_and(is_magic);
            return if begins && opening.port_fits {
                Recognition::Perhaps
            } else {
                Recognition::No
            };
        }
        Envelope::Message => {
            body.get(..4).is_some_and(is_magic)
                && (opening.port_fits || body.first() != Some(&0xfe) || u16_le(body, 4) == Some(64))
        }
        // Two names of 34 bytes each.
        Envelope::Request => length == 68 && body.first().is_none_or(|first| *first == 32),
        Envelope::Granted => opening.port_fits && length == 0,
        Envelope::Denied => opening.port_fits && length == 1,
        Envelope::Elsewhere => opening.port_fits && length == 6,
        Envelope::KeepAlive => false,
    };
    if fits { Recognition::Yes } else { Recognition::No }
}

/// What an answer with an NT status or DOS error is worth, for this kind of work.
fn standing(work: Work, code: Code) -> Standing {
    let own = code.standing();
    if own == Standing::Served {
        return own;
    }
    match work {
        // No pipe of that name: the service behind it does not run.
        Work::Pipe if is_missing(code) => Standing::Failed,
        Work::Entry | Work::Pipe | Work::File => own,
        // Programs try what may fail all the time: only what no program expects counts.
        Work::Rest if is_trouble(code) => Standing::Failed,
        Work::Rest => Standing::Step,
    }
}

fn is_missing(code: Code) -> bool {
    let missing: &[u32] = if code.set == CodeSet::SmbDos {
        &[0x0001_0002]
    } else {
        &[0xc000_000f, 0xc000_0034, 0xc000_003a]
    };
    missing.contains(&code.number)
}

/// Out of resources, out of disk, the disk broken, the share gone.
fn is_trouble(code: Code) -> bool {
    let trouble: &[u32] = if code.set == CodeSet::SmbDos {
        &[0x0003_0027]
    } else {
        &[0xc000_007f, 0xc000_009a, 0xc000_00b5, 0xc000_00c4, 0xc000_00c9, 0xc000_0185, 0xc000_0205]
    };
    trouble.contains(&code.number)
}

/// Pipes that Windows services are called through. They tell a pipe where the capture does not
/// hold how the share was opened.
const PIPES: [&str; 16] = [
    "atsvc",
    "browser",
    "efsrpc",
    "epmapper",
    "eventlog",
    "initshutdown",
    "lsarpc",
    "lsass",
    "netdfs",
    "netlogon",
    "ntsvcs",
    "samr",
    "spoolss",
    "srvsvc",
    "svcctl",
    "winreg",
];

/// Tells the host in the path of a share, as the caller wrote it: `\\HOST\SHARE`.
fn called_in(path: &str) -> Option<Meaning> {
    called(path.strip_prefix(r"\\")?.split('\\').next()?, NameSource::Smb)
}

/// Whether a name, opened on this share or an unknown one, is that of a pipe.
fn is_pipe(share: &str, name: &str) -> bool {
    let name = name.trim_start_matches('\\');
    is_pipe_share(share)
        || share.is_empty() && PIPES.iter().any(|pipe| name.eq_ignore_ascii_case(pipe))
}

/// Whether a share holds named pipes and not files.
fn is_pipe_share(path: &str) -> bool {
    path.rsplit('\\').next().is_some_and(|share| share.eq_ignore_ascii_case("IPC$"))
}

#[cfg(test)]
mod tests;
