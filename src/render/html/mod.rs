//! HTML for people: one file that needs nothing else, opens from disk and prints.
//!
//! The page holds its own style and script, and a content security policy (CSP level 3) that lets
//! nothing else act: both are named by their hashes, so that no text of a capture can become
//! either, and nothing is ever fetched. Everything can be read without the script, which only sorts,
//! searches and copies. The same report gives the same bytes.

mod attempts;
mod background;
mod data;
mod findings;
mod flows;
mod grid;
mod ladder;
mod layout;
mod map;
mod markup;
mod sign;
mod summary;
mod timeline;

use std::io;
use std::io::Write;

use sha2::{Digest, Sha256};

use crate::render::View;
use crate::render::html::attempts::Attempts;
use crate::render::html::flows::FlowData;
use crate::render::html::markup::Markup;
use crate::render::html::summary::sentence;
use crate::render::phrase;
use crate::render::triage::{Part, Triage};
use crate::report::{CaptureRecord, Report};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Writes the page of a view.
pub(super) fn page<W: Write>(report: &Report, view: View, out: &mut W) -> io::Result<()> {
    let triage = Triage::of(report);
    let mut body = Markup::new();
    let flows = match view {
        View::Analysis => analysis(report, &triage, &mut body),
        View::Flows | View::Ladders => flows_alone(report, &triage, &mut body),
    };
    let mut top = Markup::new();
    head(report, &triage, &mut top);
    out.write_all(top.as_str().as_bytes())?;
    out.write_all(body.as_str().as_bytes())?;
    if let Some(flows) = flows {
        out.write_all(b"<script type=\"application/json\" id=\"flow-data\">")?;
        out.write_all(flows.as_str().as_bytes())?;
        out.write_all(b"</script>\n")?;
    }
    out.write_all(b"<script>")?;
    out.write_all(SCRIPT.as_bytes())?;
    out.write_all(b"</script>\n</body>\n</html>\n")
}

/// What a policy calls a text of its page: its SHA-256 in base64.
fn source_of(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = Sha256::digest(text.as_bytes());
    let mut source = String::from("sha256-");
    // RFC 4648, section 4.
    for three in digest.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4_usize {
            let digit = (bits >> (18 - 6 * place)) & 63;
            let digit = usize::try_from(digit).ok().and_then(|digit| DIGITS.get(digit));
            source.push(match digit {
                Some(digit) if place <= three.len() => char::from(*digit),
                _ => '=',
            });
        }
    }
    source
}

fn head(report: &Report, triage: &Triage<'_>, page: &mut Markup) {
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '")
        .text(&source_of(STYLE))
        .raw("'; script-src '")
        .text(&source_of(SCRIPT))
        .raw("'; img-src data:; base-uri 'none'; form-action 'none'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"generator\" content=\"")
        .text(&format!("{} {}", report.generator.name, report.generator.version))
        .raw("\">\n<link rel=\"icon\" href=\"data:,\">\n<title>")
        .text(&triage.headline(report))
        .raw("</title>\n<style>")
        .raw(STYLE)
        .raw("</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#report\">Skip to the report</a>\n");
    sign::shapes(page);
}

/// The line above everything: which captures.
fn banner(report: &Report, page: &mut Markup) {
    page.raw("<header><p class=\"brand\">portmortem</p><p class=\"source\">");
    let counted: Vec<_> = report.counted().collect();
    match counted.as_slice() {
        [] => {}
        [capture] => {
            page.name(&capture.path).raw(" · ");
        }
        captures => {
            page.text(&phrase::counted(phrase::count(captures.len()), "capture")).raw(" · ");
        }
    }
    if !counted.is_empty() {
        page.text(&phrase::counted(report.frames(), "frame"));
    }
    if let [CaptureRecord { first_seen: Some(first), .. }] = counted.as_slice() {
        let time = first.to_string();
        page.raw(" · ").text(time.split('T').next().unwrap_or_default());
    }
    page.raw("</p></header>\n<main id=\"report\">\n");
}

/// A part of the page; nothing where it would be empty.
fn section(
    page: &mut Markup,
    contents: &mut Markup,
    id: &'static str,
    title: &'static str,
    body: &Markup,
) {
    if body.is_empty() {
        return;
    }
    page.raw("<section aria-labelledby=\"").raw(id).raw("\"><h2 id=\"").raw(id).raw("\">");
    page.raw(title).raw("</h2>\n").append(body).raw("</section>\n");
    contents.raw("<li><a href=\"#").raw(id).raw("\">").raw(title).raw("</a></li>");
}

fn analysis(report: &Report, triage: &Triage<'_>, page: &mut Markup) -> Option<FlowData> {
    banner(report, page);
    page.raw("<div class=\"first\">\n");
    summary::summary(report, triage, page);
    page.raw("</div>\n");
    let attempts = Attempts::of(report);
    let built = |wanted: bool, build: &mut dyn FnMut(&mut Markup)| {
        let mut body = Markup::new();
        if wanted {
            build(&mut body);
        }
        body
    };
    let cells = !report.matrix.cells.is_empty();
    let tried = triage.count(Part::NotExercised) < phrase::count(report.matrix.cells.len());
    let matrix = built(cells && tried, &mut |body| grid::grid(report, triage, &attempts, body));
    let map = built(true, &mut |body| map::map(report, triage, body));
    let times = built(true, &mut |body| timeline::timeline(report, triage, body));
    let failed = built(!attempts.is_empty(), &mut |body| attempts.section(report, triage, body));
    let findings =
        built(!report.findings.is_empty(), &mut |body| findings::findings(report, triage, body));
    let asked = !report.firewall_requests.is_empty() || !report.rule_set.rules.is_empty();
    let requests = built(asked, &mut |body| findings::requests(report, triage, body));
    let untried = report.matrix.not_exercised_unlisted > 0
        || triage.count(Part::NotExercised) > 0
        || !report.to_try.is_empty();
    let untried = built(untried, &mut |body| findings::untried(report, triage, body));
    let mut data = None;
    let flows = built(report.totals.flows > 0, &mut |body| {
        data = flow_table(report, triage, body);
    });
    let logs = built(!report.logs.is_empty(), &mut |body| background::logs(report, body));
    let hosts = built(!report.hosts.is_empty(), &mut |body| background::hosts(report, body));
    let captures =
        built(!report.captures.is_empty(), &mut |body| background::captures(report, body));

    let (mut sections, mut contents) = (Markup::new(), Markup::new());
    for (id, title, body) in [
        ("matrix", "What works and what does not", &matrix),
        ("requests", "Ask the firewall team for", &requests),
        ("map", "Map", &map),
        ("findings", "Findings", &findings),
        ("times", "When", &times),
        ("failed", "Failed attempts, packet by packet", &failed),
        ("untried", "Not exercised", &untried),
        ("flows", "Flows", &flows),
        ("logs", "Logs", &logs),
        ("hosts", "Hosts", &hosts),
        ("captures", "Captures", &captures),
    ] {
        section(&mut sections, &mut contents, id, title, body);
    }
    if !contents.is_empty() {
        page.raw("<nav aria-label=\"Parts of the report\"><ul>").append(&contents);
        page.raw("</ul></nav>\n");
    }
    page.append(&sections);
    foot(report, page);
    data
}

fn flows_alone(report: &Report, triage: &Triage<'_>, page: &mut Markup) -> Option<FlowData> {
    banner(report, page);
    let totals = &report.totals;
    page.raw("<div class=\"first\"><h1>")
        .text(&sentence(&phrase::counted(totals.flows, "flow")))
        .raw("</h1><p class=\"lead\">");
    for (count, word) in [
        (totals.success, "success, "),
        (totals.timeout, "timeout, "),
        (totals.reject, "reject, "),
        (totals.inconclusive, "inconclusive."),
    ] {
        page.text(&phrase::number(count)).raw(" ").raw(word);
    }
    page.raw("</p></div>\n");
    let (mut body, mut captures) = (Markup::new(), Markup::new());
    let data = if totals.flows > 0 { flow_table(report, triage, &mut body) } else { None };
    if !report.captures.is_empty() {
        background::captures(report, &mut captures);
    }
    let mut contents = Markup::new();
    section(page, &mut contents, "flows", "Flows", &body);
    section(page, &mut contents, "captures", "Captures", &captures);
    foot(report, page);
    data
}

fn flow_table(report: &Report, triage: &Triage<'_>, page: &mut Markup) -> Option<FlowData> {
    if report.flows.is_empty() {
        page.raw("<p>")
            .text(&phrase::counted(report.totals.flows, "flow"))
            .raw(" were found and left out of this report (<code>--no-flows</code>).</p>");
        return None;
    }
    Some(flows::flows(report, triage, page))
}

fn foot(report: &Report, page: &mut Markup) {
    page.raw("</main>\n<footer><p>Numbers of frames are those that Wireshark and Network Monitor show. Nothing here is called blocked: a firewall that drops, a host that is down and a capture that missed the way back look the same.</p><p>Made by ")
        .text(&format!("{} {}", report.generator.name, report.generator.version))
        .raw(" with the matrix ")
        .name(&report.matrix.profile)
        .raw(". This page fetches nothing and sends nothing.</p></footer>\n<p id=\"live\" class=\"hidden\" role=\"status\"></p>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    fn rendered(report: &Report, view: View) -> String {
        let mut bytes = Vec::new();
        page(report, view, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_policy_names_style_and_script_by_their_hashes() {
        // From FIPS 180-4's examples: SHA-256 of "abc", in base64.
        assert_eq!(source_of("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        let page = rendered(&samples::seed(), View::Analysis);
        assert!(page.contains(&source_of(STYLE)) && page.contains(&source_of(SCRIPT)));
    }

    #[test]
    fn style_and_script_cannot_end_their_own_elements() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        let controls = |text: &str| text.contains(|it: char| it.is_control() && it != '\n');
        assert!(!controls(STYLE) && !controls(SCRIPT));
    }

    #[test]
    fn only_this_program_makes_elements_and_attributes() {
        for report in samples::all() {
            for view in [View::Analysis, View::Flows] {
                let page = rendered(&report, view);
                assert_eq!(page.matches("<script").count(), page.matches("</script>").count());
                // The script, and the data where there are flows.
                let scripts = 1 + usize::from(!report.flows.is_empty());
                assert_eq!(page.matches("<script").count(), scripts);
                assert_eq!(page.matches("<style").count(), 1);
                for forbidden in [" style=", " onclick", " onerror", "<b>\u{202e}", "javascript:"] {
                    let body = page.split_once("<main").unwrap().1;
                    let body = body.split("<script").next().unwrap();
                    assert!(!body.replace("(javascript:1)", "").contains(forbidden), "{forbidden}");
                }
            }
        }
    }

    #[test]
    fn parts_without_content_are_left_out() {
        let page = rendered(&samples::empty(), View::Analysis);
        assert!(!page.contains("<section") && !page.contains("<nav"), "{page}");
        let page = rendered(&samples::good(), View::Analysis);
        assert!(!page.contains("id=\"requests\"") && !page.contains("id=\"failed\""));
    }

    #[test]
    fn every_id_is_given_once_and_every_link_leads_somewhere() {
        for report in samples::all() {
            let page = rendered(&report, View::Analysis);
            let markup = page.split("<script").next().unwrap();
            let ids: Vec<&str> =
                markup.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            let mut once = ids.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), ids.len(), "{ids:?}");
            for target in markup.split("href=\"#").skip(1) {
                let target = target.split('"').next().unwrap();
                assert!(ids.contains(&target), "{target}");
            }
        }
    }

    #[test]
    fn the_same_report_gives_the_same_bytes_and_a_small_page() {
        let page = rendered(&samples::seed(), View::Analysis);
        assert_eq!(page, rendered(&samples::seed(), View::Analysis));
        assert!(page.len() < 150_000, "{}", page.len());
    }
}
