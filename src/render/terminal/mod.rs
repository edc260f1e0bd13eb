//! Reports for a terminal, or for a pipe of a given width.
//!
//! The first screen answers the administrator's question; what follows is there to check it.

mod analysis;
mod background;
mod flows;
mod ink;
mod ladder;
mod logs;
mod page;
mod requests;
mod tries;

use std::io;
use std::io::Write;

pub(in crate::render) use requests::alone as requests;

use crate::render::terminal::page::Page;
use crate::render::{Style, View};
use crate::report::Report;

/// Writes the page of a view.
pub(super) fn page(
    report: &Report,
    view: View,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(out, style);
    match view {
        View::Analysis => analysis::write(report, &mut page),
        View::Flows => flows::write(report, &mut page),
        View::Ladders => ladder::write(report, &mut page),
    }
}
