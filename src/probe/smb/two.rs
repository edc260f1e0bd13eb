//! SMB 2 and 3 ([MS-SMB2]): the statuses of their answers, and what was asked for.
//!
//! Places in a message are counted from the beginning of its header, as the protocol counts them.

use std::collections::{BTreeMap, VecDeque};

use crate::probe::ntlm::Ntlm;
use crate::probe::read::{find, part, u8_at, u16_le, u32_le, u64_le, utf16_le};
use crate::probe::smb::pipes::Pipes;
use crate::probe::smb::{Work, called_in, is_pipe, shares, standing};
use crate::probe::{Code, CodeSet, Meaning, Speaker, Standing, kerberos, text};

/// Bytes of a header ([MS-SMB2] 2.2.1).
const HEADER: usize = 64;

/// Requests that wait for their answers.
const MOST_WAITING: usize = 256;

/// Shares that are open at one time.
const MOST_SHARES: usize = 64;

/// Messages in one compound ([MS-SMB2] 2.2.1, `NextCommand`).
const MOST_COMPOUND: usize = 64;

const RESPONSE: u32 = 1;
const RELATED: u32 = 4;

/// A request on a named pipe that waits for its reply (`FSCTL_PIPE_TRANSCEIVE`).
const PIPE_TRANSCEIVE: u32 = 0x0011_c017;

/// The question for the servers that hold a path (`FSCTL_DFS_GET_REFERRALS`).
const DFS_REFERRALS: u32 = 0x0006_0194;

/// Kerberos in a security token: its object identifier (RFC 4121 4.1), and the one that Windows
/// writes by mistake.
const KERBEROS: [&[u8]; 2] =
    [b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02", b"\x2a\x86\x48\x82\xf7\x12\x01\x02\x02"];

/// A command ([MS-SMB2] 2.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Negotiate,
    SignOn,
    OpenShare,
    Open,
    Close,
    Read,
    Write,
    Control,
    Other(&'static str),
}

impl Command {
    fn from_number(number: u16) -> Option<Command> {
        Some(match number {
            0 => Command::Negotiate,
            1 => Command::SignOn,
            2 => Command::Other("sign off"),
            3 => Command::OpenShare,
            4 => Command::Other("tree disconnect"),
            5 => Command::Open,
            6 => Command::Close,
            7 => Command::Other("flush"),
            8 => Command::Read,
            9 => Command::Write,
            10 => Command::Other("lock"),
            11 => Command::Control,
            12 => Command::Other("cancel"),
            13 => Command::Other("echo"),
            14 => Command::Other("query directory"),
            15 => Command::Other("change notify"),
            16 => Command::Other("query information"),
            17 => Command::Other("set information"),
            18 => Command::Other("oplock break"),
            _ => return None,
        })
    }

    /// What it is called where nothing more is known of it.
    fn name(self) -> &'static str {
        match self {
            Command::Negotiate => "negotiate",
            Command::SignOn => "session setup",
            Command::OpenShare => "tree connect",
            Command::Open => "open",
            Command::Close => "close",
            Command::Read => "read",
            Command::Write => "write",
            Command::Control => "control",
            Command::Other(name) => name,
        }
    }

    fn work(self) -> Work {
        match self {
            Command::Negotiate | Command::SignOn | Command::OpenShare => Work::Entry,
            Command::Open => Work::File,
            Command::Close
            | Command::Read
            | Command::Write
            | Command::Control
            | Command::Other(_) => Work::Rest,
        }
    }
}

/// What a request asked for, until its answer comes.
#[derive(Debug)]
struct Waiting {
    id: u64,
    subject: String,
    work: Work,
    /// The handle it works on, or 0.
    handle: u128,
    /// Path of the share, name of the pipe, or how it signs on.
    name: String,
}

/// One message of a compound.
struct Part<'a> {
    bytes: &'a [u8],
    command: Command,
    status: u32,
    flags: u32,
    id: u64,
    tree: u32,
}

impl<'a> Part<'a> {
    fn new(bytes: &'a [u8]) -> Option<Part<'a>> {
        if bytes.get(..4)? != b"\xfeSMB" || u16_le(bytes, 4)? != 64 {
            return None;
        }
        Some(Part {
            bytes,
            command: Command::from_number(u16_le(bytes, 12)?)?,
            status: u32_le(bytes, 8)?,
            flags: u32_le(bytes, 16)?,
            id: u64_le(bytes, 24)?,
            tree: u32_le(bytes, 36)?,
        })
    }

    /// What two fields, its offset and its length, point at.
    fn buffer(&self, offset_at: usize, length_at: usize) -> Option<&'a [u8]> {
        let offset = usize::from(u16_le(self.bytes, offset_at)?);
        let length = usize::from(u16_le(self.bytes, length_at)?);
        part(self.bytes, offset, length)
    }

    /// As `buffer`, for fields of four bytes: what there is of it.
    fn data(&self, offset_at: usize, length_at: usize) -> &'a [u8] {
        let number = |at| u32_le(self.bytes, at).and_then(|value| usize::try_from(value).ok());
        let (Some(offset), Some(length)) = (number(offset_at), number(length_at)) else {
            return &[];
        };
        let rest = self.bytes.get(offset..).unwrap_or_default();
        rest.get(..length).unwrap_or(rest)
    }

    /// What a read brings or a write holds, from its offset on: what there is of it.
    fn file_data(&self, offset: usize) -> &'a [u8] {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let length = u32_le(self.bytes, HEADER + 4).and_then(|length| usize::try_from(length).ok());
        rest.get(..length.unwrap_or(0)).unwrap_or(rest)
    }

    fn is_transceive(&self) -> bool {
        self.command == Command::Control && u32_le(self.bytes, HEADER + 4) == Some(PIPE_TRANSCEIVE)
    }

    fn handle(&self, at: usize) -> u128 {
        let handle = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk());
        handle.map_or(0, |handle| u128::from_le_bytes(*handle))
    }
}

/// What later messages need of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Smb2 {
    waiting: VecDeque<Waiting>,
    /// Paths of open shares.
    shares: BTreeMap<u32, String>,
    pipes: Pipes,
    /// Something that tells more than a read or a close was served.
    served: bool,
    /// The share and handle of the message before, for related ones.
    related: (u32, u128),
}

impl Smb2 {
    /// Takes a message, and those that are compounded with it ([MS-SMB2] 3.2.4.1.4).
    pub(super) fn hear(&mut self, from: Speaker, bytes: &[u8], signals: &mut Vec<Meaning>) {
        let mut rest = bytes;
        for _ in 0..MOST_COMPOUND {
            let next = u32_le(rest, 20).and_then(|next| usize::try_from(next).ok()).unwrap_or(0);
            let end = if next == 0 { rest.len() } else { next.min(rest.len()) };
            let (now, after) = rest.split_at(end);
            let Some(part) = Part::new(now) else { return };
            if part.flags & RESPONSE == 0 {
                self.ask(&part, signals);
            } else {
                self.answer(from, &part, signals);
            }
            if next == 0 || after.is_empty() {
                return;
            }
            rest = after;
        }
    }

    fn ask(&mut self, part: &Part<'_>, signals: &mut Vec<Meaning>) {
        let related = part.flags & RELATED != 0;
        let tree = if related { self.related.0 } else { part.tree };
        let mut subject = part.command.name().to_owned();
        let mut work = part.command.work();
        let mut name = String::new();
        let mut handle = 0;
        match part.command {
            Command::Negotiate => signals.push(Meaning::Asked { subject: subject.clone() }),
            Command::SignOn => {
                let token = part.buffer(HEADER + 12, HEADER + 14).unwrap_or_default();
                let ntlm = Ntlm::find(token);
                if let Some(Ntlm::Authenticate { account, .. }) = &ntlm {
                    subject = text(format!("{subject} {account}"));
                    name.push_str("with NTLM");
                } else if ntlm.is_none() && is_kerberos(token) {
                    name.push_str("with Kerberos");
                    signals.extend(kerberos::called_within(token));
                }
                if let Some(ntlm) = ntlm {
                    ntlm.introduce(signals);
                }
                signals.push(Meaning::Asked { subject: subject.clone() });
            }
            Command::OpenShare => {
                name = part.buffer(HEADER + 4, HEADER + 6).map(utf16_le).unwrap_or_default();
                subject = text(format!("{subject} {name}").trim_end().to_owned());
                signals.push(Meaning::Asked { subject: subject.clone() });
                signals.extend(called_in(&name));
            }
            Command::Open => {
                name = part.buffer(HEADER + 44, HEADER + 46).map(utf16_le).unwrap_or_default();
                let share = self.shares.get(&tree).map_or("", String::as_str);
                if is_pipe(share, &name) {
                    work = Work::Pipe;
                }
                let separator = if share.is_empty() || name.is_empty() { "" } else { "\\" };
                subject = text(format!("{subject} {share}{separator}{name}"));
            }
            Command::Close => handle = part.handle(HEADER + 8),
            Command::Read | Command::Write => handle = part.handle(HEADER + 16),
            Command::Control => {
                handle = part.handle(HEADER + 8);
                if u32_le(part.bytes, HEADER + 4) == Some(DFS_REFERRALS) {
                    let path = part.data(HEADER + 24, HEADER + 28).get(2..);
                    let path = path.map(utf16_le).unwrap_or_default();
                    subject = text(format!("DFS referral {path}").trim_end().to_owned());
                }
            }
            Command::Other(_) => {}
        }
        if related && handle == u128::MAX {
            handle = self.related.1;
        }
        self.related = (tree, handle);
        self.write(part, handle, signals);
        if let Some(pipe) = self.pipes.name(handle) {
            subject = format!("{subject} pipe {pipe}");
        }
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting { id: part.id, subject, work, handle, name });
    }

    /// What a request puts into a pipe.
    fn write(&mut self, part: &Part<'_>, handle: u128, signals: &mut Vec<Meaning>) {
        let bytes = if part.command == Command::Write {
            let offset = usize::from(u16_le(part.bytes, HEADER + 2).unwrap_or(0));
            part.file_data(offset)
        } else if part.is_transceive() {
            part.data(HEADER + 24, HEADER + 28)
        } else {
            return;
        };
        self.pipes.pass(handle, Speaker::Initiator, bytes, signals);
    }

    fn answer(&mut self, from: Speaker, part: &Part<'_>, signals: &mut Vec<Meaning>) {
        const PENDING: u32 = 0x103;
        let place = self.waiting.iter().position(|waiting| waiting.id == part.id);
        // An interim answer: the other one will come.
        let waiting = match place {
            Some(place) if part.status == PENDING => {
                self.waiting.get(place).map(|waiting| Waiting {
                    id: waiting.id,
                    subject: waiting.subject.clone(),
                    work: waiting.work,
                    handle: waiting.handle,
                    name: String::new(),
                })
            }
            Some(place) => self.waiting.remove(place),
            None => None,
        };
        let Waiting { subject, work, handle, name, .. } = waiting.unwrap_or_else(|| Waiting {
            id: part.id,
            subject: part.command.name().to_owned(),
            work: part.command.work(),
            handle: 0,
            name: String::new(),
        });
        let code = Code { set: CodeSet::NtStatus, number: part.status };
        let mut standing = standing(work, code);
        let mut detail = None;
        if standing == Standing::Served && work == Work::Rest {
            // A read or a close that works must not hide what was opened.
            if self.served {
                standing = Standing::Step;
            }
        } else if standing == Standing::Served {
            self.served = true;
        }
        match part.command {
            Command::Negotiate if part.status == 0 => {
                let dialect = u16_le(part.bytes, HEADER + 4);
                if dialect == Some(0x02ff) {
                    standing = Standing::Step;
                }
                let signing = u16_le(part.bytes, HEADER + 2).unwrap_or(0) & 2 != 0;
                detail = dialect.map(|dialect| negotiated(dialect, signing));
            }
            Command::SignOn => {
                let token = part.buffer(HEADER + 4, HEADER + 6).unwrap_or_default();
                if let Some(ntlm) = Ntlm::find(token) {
                    ntlm.introduce(signals);
                }
                let flags = u16_le(part.bytes, HEADER + 2).unwrap_or(0);
                detail = (!name.is_empty()).then_some(name);
                if standing == Standing::Served && flags & 3 != 0 {
                    detail = Some("signed on as guest or anonymously".to_owned());
                }
            }
            Command::OpenShare if part.status == 0 && self.shares.len() < MOST_SHARES => {
                shares::tell(&name, signals);
                self.shares.insert(part.tree, name);
            }
            Command::Open if part.status == 0 => {
                let handle = part.handle(HEADER + 64);
                self.related.1 = handle;
                if work == Work::Pipe {
                    self.pipes.open(handle, &name);
                }
            }
            Command::Open if standing == Standing::Failed && work == Work::Pipe => {
                let gone = "the service behind this pipe may not be running";
                detail = (code.number == 0xc000_0034).then(|| gone.to_owned());
            }
            Command::Close => self.pipes.close(handle),
            Command::Negotiate
            | Command::OpenShare
            | Command::Open
            | Command::Read
            | Command::Write
            | Command::Control
            | Command::Other(_) => {}
        }
        signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
        let read = if part.command == Command::Read {
            part.file_data(usize::from(u8_at(part.bytes, HEADER + 2).unwrap_or(0)))
        } else if part.is_transceive() {
            part.data(HEADER + 32, HEADER + 36)
        } else {
            return;
        };
        if matches!(code.number, 0 | 0x8000_0005) {
            self.pipes.pass(handle, from, read, signals);
        }
    }
}

/// Whether a security token holds a Kerberos ticket for the responder (RFC 4121 4.1: AP-REQ).
fn is_kerberos(token: &[u8]) -> bool {
    KERBEROS.iter().any(|identifier| {
        let after = find(token, identifier).and_then(|at| token.get(at + identifier.len()..));
        after.is_some_and(|after| !after.is_empty())
    })
}

fn negotiated(dialect: u16, signing: bool) -> String {
    let version = match dialect {
        0x0202 => "SMB 2.0.2",
        0x0210 => "SMB 2.1",
        0x02ff => "SMB 2 or later, to be negotiated again",
        0x0300 => "SMB 3.0",
        0x0302 => "SMB 3.0.2",
        0x0311 => "SMB 3.1.1",
        other => return format!("SMB dialect {other:#06x}"),
    };
    format!("{version}{}", if signing { ", signing required" } else { "" })
}
