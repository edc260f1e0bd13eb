//! What to run during the next capture.

use std::io;

use crate::render::phrase;
use crate::render::terminal::page::Page;
use crate::render::triage::Triage;
use crate::report::Report;

/// So many lines stand on the first screen; of more there is a word.
const FEW: usize = 4;

/// Writes all lines where there are few, or all are asked for.
pub(super) fn section(report: &Report, triage: &Triage<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let lines: usize = report.to_try.iter().map(|host| host.tries.len()).sum();
    if lines == 0 {
        return Ok(());
    }
    if lines > FEW && !page.verbose() {
        let line = format!(
            "to try them during the next capture: {} for {}; --probe-script FILE.ps1 writes them",
            phrase::counted(phrase::count(lines), "line"),
            phrase::counted(phrase::count(report.to_try.len()), "host")
        );
        return page.paragraph(2, 4, None, &line);
    }
    page.heading(
        "TRY DURING THE NEXT CAPTURE",
        "in PowerShell; --probe-script FILE.ps1 writes them",
    )?;
    for host in &report.to_try {
        let name = page.safe(&triage.name(host.host));
        let role = page.short(&host.role, 40);
        page.paragraph(2, 4, None, &format!("on {name} ({role})"))?;
        for line in &host.tries {
            page.paragraph(4, 8, None, &page.short(&line.command, 1000))?;
        }
    }
    Ok(())
}
