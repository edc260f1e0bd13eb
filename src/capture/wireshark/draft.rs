//! A frame in the making, put together from the lines or elements of a text.

use crate::capture::LinkType;
use crate::capture::text::Text;
use crate::capture::wireshark::account::Account;
use crate::capture::wireshark::clock;
use crate::capture::wireshark::notes::Notes;

/// A frame in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Line of the text that it begins in; 0 where lines mean nothing.
    pub(super) line: u64,
    /// Its number, where the text tells it.
    pub(super) number: Option<u64>,
    /// When it was captured.
    pub(super) time: Option<clock::Reading>,
    /// Length on the wire, where the text tells it.
    pub(super) original: Option<u32>,
    /// What the bytes begin with, where the text tells it.
    pub(super) link_type: Option<LinkType>,
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// What the text says of the packet, which counts where there are no bytes.
    pub(super) account: Option<Account>,
}

/// Takes the frames out of one shape of text, in order.
pub(super) trait Drafts: Send {
    /// The next frame, or `None` at the end of what can be read.
    fn next(&mut self, text: &mut Text, notes: &mut Notes) -> Option<Draft>;
}
