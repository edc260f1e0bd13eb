//! SMB 1 ([MS-CIFS], [MS-SMB]): the statuses of its answers, and what was asked for.
//!
//! Places in a message are counted from the beginning of its header, as the protocol counts them.

use std::collections::{BTreeMap, VecDeque};

use crate::probe::ntlm::Ntlm;
use crate::probe::read::{find, latin, part, u8_at, u16_le, u32_le, utf16_le};
use crate::probe::smb::pipes::Pipes;
use crate::probe::smb::{Work, called_in, is_pipe, shares, standing};
use crate::probe::{Code, CodeSet, Meaning, Speaker, Standing, text};

/// Bytes of a header ([MS-CIFS] 2.2.3.1).
const HEADER: usize = 32;

/// Place of the parameter words, after their count.
const WORDS: usize = HEADER + 1;

/// Requests that wait for their answers.
const MOST_WAITING: usize = 64;

/// Shares that are open at one time.
const MOST_SHARES: usize = 64;

const RESPONSE: u8 = 0x80;
const NT_STATUS: u16 = 0x4000;
const UNICODE: u16 = 0x8000;

/// Function of a transaction on a named pipe (`TRANS_TRANSACT_NMPIPE`).
const TRANSACT_PIPE: u16 = 0x26;

const CLOSE: u8 = 0x04;
const TRANSACTION: u8 = 0x25;
const READ: u8 = 0x2e;
const WRITE: u8 = 0x2f;
const TREE_CONNECT_OLD: u8 = 0x70;
const NEGOTIATE: u8 = 0x72;
const SESSION_SETUP: u8 = 0x73;
const TREE_CONNECT: u8 = 0x75;
const CREATE: u8 = 0xa2;

/// What a request asked for, until its answer comes.
#[derive(Debug)]
struct Waiting {
    /// Process and multiplex identifiers.
    id: (u16, u16),
    subject: String,
    work: Work,
    handle: u16,
    /// Path of the share or name of the pipe.
    name: String,
    /// A tree connect that is chained to a session setup.
    chained: Option<String>,
}

/// What later messages need of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Smb1 {
    waiting: VecDeque<Waiting>,
    shares: BTreeMap<u16, String>,
    pipes: Pipes,
    /// Dialects that were offered.
    dialects: Vec<String>,
    /// Something that tells more than a read or a close was served.
    served: bool,
}

/// A message whose header was read.
struct Block<'a> {
    bytes: &'a [u8],
    command: u8,
    flags2: u16,
    tree: u16,
    id: (u16, u16),
}

impl<'a> Block<'a> {
    fn new(bytes: &'a [u8]) -> Option<Block<'a>> {
        Some(Block {
            bytes,
            command: u8_at(bytes, 4)?,
            flags2: u16_le(bytes, 10)?,
            tree: u16_le(bytes, 24)?,
            id: (u16_le(bytes, 26)?, u16_le(bytes, 30)?),
        })
    }

    fn is_response(&self) -> bool {
        u8_at(self.bytes, 9).is_some_and(|flags| flags & RESPONSE != 0)
    }

    fn code(&self) -> Option<Code> {
        if self.flags2 & NT_STATUS != 0 {
            return Some(Code { set: CodeSet::NtStatus, number: u32_le(self.bytes, 5)? });
        }
        let class = u32::from(u8_at(self.bytes, 5)?);
        let code = u32::from(u16_le(self.bytes, 7)?);
        Some(Code { set: CodeSet::SmbDos, number: class << 16 | code })
    }

    /// A parameter word, by the place of its first byte among them.
    fn word(&self, at: usize) -> Option<u16> {
        u16_le(self.bytes, WORDS + at)
    }

    /// The text at a place, aligned as Unicode is in SMB 1, and the place after it.
    fn text(&self, at: usize) -> Option<(String, usize)> {
        if self.flags2 & UNICODE == 0 {
            let bytes = self.bytes.get(at..)?;
            let length = bytes.iter().position(|byte| *byte == 0)?;
            return Some((latin(bytes), at + length + 1));
        }
        let at = at + at % 2;
        let (pairs, _) = self.bytes.get(at..)?.as_chunks::<2>();
        let length = pairs.iter().position(|pair| *pair == [0, 0])?;
        Some((utf16_le(self.bytes.get(at..)?), at + (length + 1) * 2))
    }

    /// What two words, its offset and its length, point at: what there is of it.
    fn data(&self, offset_at: usize, length_at: usize) -> &'a [u8] {
        let (Some(offset), Some(length)) = (self.word(offset_at), self.word(length_at)) else {
            return &[];
        };
        let rest = self.bytes.get(usize::from(offset)..).unwrap_or_default();
        rest.get(..usize::from(length)).unwrap_or(rest)
    }

    /// Place of the bytes after the parameter words that begin at a place.
    fn after_words(&self, words: usize) -> Option<usize> {
        Some(words + 1 + 2 * usize::from(u8_at(self.bytes, words)?) + 2)
    }

    /// The path of a tree connect whose parameter words begin at a place (2.2.4.55.1).
    fn share(&self, words: usize) -> Option<String> {
        let password = usize::from(u16_le(self.bytes, words + 1 + 6)?);
        Some(self.text(self.after_words(words)? + password)?.0)
    }
}

impl Smb1 {
    /// Takes a message.
    pub(super) fn hear(&mut self, from: Speaker, bytes: &[u8], signals: &mut Vec<Meaning>) {
        let Some(block) = Block::new(bytes) else { return };
        if block.is_response() {
            self.answer(from, &block, signals);
        } else {
            self.ask(&block, signals);
        }
    }

    fn ask(&mut self, block: &Block<'_>, signals: &mut Vec<Meaning>) {
        let mut waiting = Waiting {
            id: block.id,
            subject: name(block.command),
            work: work(block.command),
            handle: 0,
            name: String::new(),
            chained: None,
        };
        match block.command {
            NEGOTIATE => {
                self.dialects = dialects(block.bytes);
                self.negotiation().clone_into(&mut waiting.subject);
                signals.push(Meaning::Asked { subject: waiting.subject.clone() });
            }
            SESSION_SETUP => {
                if let Some(account) = account(block, signals) {
                    waiting.subject = text(format!("{} {account}", waiting.subject));
                }
                signals.push(Meaning::Asked { subject: waiting.subject.clone() });
                let next = block.word(2).map(usize::from).filter(|next| *next > HEADER);
                if block.word(0).is_some_and(|word| word & 0xff == u16::from(TREE_CONNECT))
                    && let Some(path) = next.and_then(|next| block.share(next))
                {
                    waiting.chained = Some(path);
                }
            }
            TREE_CONNECT => {
                waiting.name = block.share(HEADER).unwrap_or_default();
                waiting.subject = tree(&waiting.name);
                signals.push(Meaning::Asked { subject: waiting.subject.clone() });
                signals.extend(called_in(&waiting.name));
            }
            TREE_CONNECT_OLD => {
                // The path follows a byte that tells its kind (2.2.4.50.1).
                waiting.name = block.text(WORDS + 3).map(|(path, _)| path).unwrap_or_default();
                waiting.subject = tree(&waiting.name);
                signals.push(Meaning::Asked { subject: waiting.subject.clone() });
                signals.extend(called_in(&waiting.name));
            }
            CREATE => {
                let path = block.after_words(HEADER).and_then(|at| block.text(at));
                let (path, _) = path.unwrap_or_default();
                let share = self.shares.get(&block.tree).map_or("", String::as_str);
                if is_pipe(share, &path) {
                    waiting.work = Work::Pipe;
                }
                let separator = if share.is_empty() || path.starts_with('\\') { "" } else { "\\" };
                waiting.subject = text(format!("open {share}{separator}{path}"));
                waiting.name = path;
            }
            CLOSE => waiting.handle = block.word(0).unwrap_or(0),
            READ => waiting.handle = block.word(4).unwrap_or(0),
            WRITE => {
                waiting.handle = block.word(4).unwrap_or(0);
                let bytes = block.data(22, 20);
                self.pipes.pass(waiting.handle.into(), Speaker::Initiator, bytes, signals);
            }
            TRANSACTION if block.word(28) == Some(TRANSACT_PIPE) => {
                waiting.handle = block.word(30).unwrap_or(0);
                let bytes = block.data(24, 22);
                self.pipes.pass(waiting.handle.into(), Speaker::Initiator, bytes, signals);
            }
            _ => {}
        }
        if let Some(pipe) = self.pipes.name(waiting.handle.into()) {
            waiting.subject = format!("{} pipe {pipe}", waiting.subject);
        }
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(waiting);
    }

    /// A negotiation that offers SMB 2 is answered by it.
    fn negotiation(&self) -> &'static str {
        let offers_two = self.dialects.iter().any(|dialect| dialect.starts_with("SMB 2"));
        if offers_two || self.dialects.is_empty() { "negotiate" } else { "negotiate SMB 1 only" }
    }

    fn answer(&mut self, from: Speaker, block: &Block<'_>, signals: &mut Vec<Meaning>) {
        let Some(code) = block.code() else { return };
        let place = self.waiting.iter().position(|waiting| waiting.id == block.id);
        let waiting = place.and_then(|place| self.waiting.remove(place));
        let Waiting { subject, work, handle, name, chained, .. } =
            waiting.unwrap_or_else(|| Waiting {
                id: block.id,
                subject: name(block.command),
                work: work(block.command),
                handle: 0,
                name: String::new(),
                chained: None,
            });
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
        match block.command {
            NEGOTIATE if standing == Standing::Served => {
                let index = block.word(0).unwrap_or(u16::MAX);
                if index == u16::MAX {
                    standing = Standing::Failed;
                    detail = Some("none of the dialects that were offered is accepted".to_owned());
                } else {
                    let dialect = self.dialects.get(usize::from(index));
                    detail = dialect.map(|dialect| format!("SMB 1 ({dialect})"));
                }
            }
            SESSION_SETUP => {
                if let Some(ntlm) = Ntlm::find(block.bytes) {
                    ntlm.introduce(signals);
                }
                if standing == Standing::Served && block.word(4).is_some_and(|word| word & 1 != 0) {
                    detail = Some("signed on as guest".to_owned());
                }
            }
            TREE_CONNECT | TREE_CONNECT_OLD if standing == Standing::Served => {
                shares::tell(&name, signals);
                self.share(block, name);
            }
            CREATE if standing == Standing::Served && work == Work::Pipe => {
                // The handle is after an AndX block and the oplock level (2.2.4.64.2).
                self.pipes.open(u16_le(block.bytes, WORDS + 5).unwrap_or(0).into(), &name);
            }
            CLOSE => self.pipes.close(handle.into()),
            _ => {}
        }
        let served = standing == Standing::Served;
        signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
        if let Some(path) = chained.filter(|_| served) {
            let subject = tree(&path);
            shares::tell(&path, signals);
            self.share(block, path);
            let standing = Standing::Served;
            signals.push(Meaning::Answered { subject, standing, code: None, detail: None });
        }
        let read = match block.command {
            READ => block.data(12, 10),
            TRANSACTION => block.data(14, 12),
            _ => return,
        };
        self.pipes.pass(handle.into(), from, read, signals);
    }

    fn share(&mut self, block: &Block<'_>, path: String) {
        if self.shares.len() < MOST_SHARES {
            self.shares.insert(block.tree, path);
        }
    }
}

fn work(command: u8) -> Work {
    match command {
        NEGOTIATE | SESSION_SETUP | TREE_CONNECT | TREE_CONNECT_OLD => Work::Entry,
        CREATE => Work::File,
        _ => Work::Rest,
    }
}

/// What a command is called where nothing more is known of it ([MS-CIFS] 2.2.2.1).
fn name(command: u8) -> String {
    let name = match command {
        CLOSE => "close",
        TRANSACTION => "transaction",
        0x2b => "echo",
        0x2d | CREATE => "open",
        READ => "read",
        WRITE => "write",
        0x32 => "transaction 2",
        0x71 => "tree disconnect",
        NEGOTIATE => "negotiate",
        SESSION_SETUP => "session setup",
        0x74 => "sign off",
        TREE_CONNECT | TREE_CONNECT_OLD => "tree connect",
        0xa0 => "NT transaction",
        other => return format!("command {other:#04x}"),
    };
    name.to_owned()
}

fn tree(path: &str) -> String {
    text(format!("tree connect {path}").trim_end().to_owned())
}

/// The dialects that a negotiation offers (2.2.4.52.1): each after a byte 2, ended by a zero.
fn dialects(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.get(WORDS + 2..).unwrap_or_default();
    let names = bytes.split(|byte| *byte == 0).filter_map(|name| name.strip_prefix(&[2]));
    names.take(32).map(latin).collect()
}

/// Who signs on: in an NTLM message (security blob), or by name (2.2.4.53.1).
fn account(block: &Block<'_>, signals: &mut Vec<Meaning>) -> Option<String> {
    if find(block.bytes, b"NTLMSSP\0").is_some() {
        let ntlm = Ntlm::find(block.bytes)?;
        ntlm.introduce(signals);
        return match ntlm {
            Ntlm::Authenticate { account, .. } => Some(account),
            Ntlm::Negotiate | Ntlm::Challenge { .. } => None,
        };
    }
    // Only the form without extended security has thirteen words, and tells two passwords'
    // lengths.
    if u8_at(block.bytes, HEADER)? != 13 {
        return None;
    }
    let passwords = usize::from(block.word(14)?) + usize::from(block.word(16)?);
    let at = block.after_words(HEADER)?;
    part(block.bytes, at, passwords)?;
    let (user, after) = block.text(at + passwords)?;
    let (domain, _) = block.text(after)?;
    Some(match (domain.is_empty(), user.is_empty()) {
        (_, true) => "anonymous".to_owned(),
        (true, false) => user,
        (false, false) => format!("{domain}\\{user}"),
    })
}
