//! Why a capture could not be opened.

use std::io;

/// Why a capture could not be opened. Messages come without the path: the caller puts it first.
///
/// What goes wrong after the opening is a [`Problem`](crate::capture::Problem) of the summary.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system does not let us read it.
    #[error("cannot be read: {0}{advice}", advice = advice(.0))]
    Unreadable(io::Error),
    /// Not a single byte.
    #[error("the file is empty: nothing was captured, or it was not copied")]
    Empty,
    /// Nothing that we know of begins like this.
    #[error(
        "not a capture that portmortem reads; it reads pcap, pcapng, Network Monitor .cap, Windows \
         .etl, snoop, and text saved by Wireshark and Network Monitor"
    )]
    Unknown,
    /// We know what it is, and cannot read it.
    #[error("this is {what}, which portmortem does not read yet; {advice}")]
    NotReadYet {
        /// What it is, with its article.
        what: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// More layers than anybody packs by accident.
    #[error(
        "files are packed in files more often than portmortem unpacks; unpack it and give what is \
         in it"
    )]
    TooDeep,
    /// An archive where one capture was asked for.
    #[error("this is an archive, which may hold several captures")]
    Archive,
    /// An archive without files.
    #[error("the archive holds no files")]
    EmptyArchive,
    /// An archive that does not go on as it should.
    #[error(
        "the {what} cannot be read to its end: {why}; what follows in it is missing from the report"
    )]
    ArchiveDamaged {
        /// What it is.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A member of an archive, or all of it, that needs a password.
    #[error("it is encrypted, so nobody can tell what it is; unpack it and give what is in it")]
    Encrypted,
    /// A member of an archive whose contents we cannot get at.
    #[error("cannot be unpacked: {why}; unpack it with another program and give what is in it")]
    MemberNotRead {
        /// What keeps us from it.
        why: &'static str,
    },
    /// A bound on what may be inflated was reached: its own words.
    #[error("what follows in the archive was not read: {0}")]
    BoundReached(String),
    /// What this program wrote itself.
    #[error(
        "this is a report of portmortem, not a capture; give the captures that it was made from"
    )]
    Report,
    /// A format that we read, in a version that we do not know.
    #[error(
        "{format} version {major}.{minor} is not known here (known: {known}); the header may be \
         damaged, or the program that wrote it newer than portmortem: save it again as pcapng"
    )]
    Version {
        /// The format's name.
        format: &'static str,
        /// Version that the header tells, before the point.
        major: u16,
        /// Version that the header tells, after the point.
        minor: u16,
        /// The versions that we read.
        known: &'static str,
    },
    /// It ends before its header does.
    #[error(
        "the {format} header is cut off after {bytes} bytes: no frame can be read, the capture \
         must be taken or copied again"
    )]
    CutOff {
        /// The format's name.
        format: &'static str,
        /// Bytes there are.
        bytes: usize,
    },
    /// The header contradicts itself.
    #[error("the {format} header is damaged ({why}): no frame can be read")]
    Damaged {
        /// The format's name.
        format: &'static str,
        /// What does not fit.
        why: &'static str,
    },
}

/// What to do where the operating system says no.
fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::NotFound {
        "; check the path"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "; run portmortem as a user who may read it, or have it copied"
    } else {
        ""
    }
}

impl Error {
    /// Whether this is simply no capture, as far as we can tell: a failure when somebody named
    /// the file, and nothing to speak of when it was found in a folder.
    pub fn is_no_capture(&self) -> bool {
        match self {
            Error::Unknown | Error::Empty | Error::Report | Error::EmptyArchive => true,
            Error::Unreadable(_)
            | Error::NotReadYet { .. }
            | Error::TooDeep
            | Error::Archive
            | Error::ArchiveDamaged { .. }
            | Error::Encrypted
            | Error::MemberNotRead { .. }
            | Error::BoundReached(_)
            | Error::Version { .. }
            | Error::CutOff { .. }
            | Error::Damaged { .. } => false,
        }
    }
}
