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
        "not a capture that portmortem reads; it reads pcap, pcapng, Network Monitor .cap and snoop"
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
            Error::Unknown | Error::Empty | Error::Report => true,
            Error::Unreadable(_)
            | Error::NotReadYet { .. }
            | Error::Version { .. }
            | Error::CutOff { .. }
            | Error::Damaged { .. } => false,
        }
    }
}
