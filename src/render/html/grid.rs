//! The matrix as a picture: host pairs by services, a sign in each field.
//!
//! Of a few pairs the services stand below each other, with what was seen beside them; of many,
//! the pairs do, those with the most failures first.

use std::collections::BTreeMap;

use crate::matrix::{Cell, Outcome};
use crate::net::{Address, Transport};
use crate::render::html::attempts::Attempts;
use crate::render::html::markup::Markup;
use crate::render::html::sign::Sign;
use crate::render::phrase;
use crate::render::seen;
use crate::render::triage::Triage;
use crate::report::Report;

/// Pairs up to which services stand below each other.
const FEW_PAIRS: usize = 3;
/// Pairs that are shown.
const MOST_PAIRS: usize = 120;
/// Services beyond which those that nobody tried are left out.
const MANY_SERVICES: usize = 18;

/// What a row of the matrix asks for, whoever asks.
type Service<'a> = (&'a str, Transport, &'a str);

struct Grid<'a> {
    services: Vec<Service<'a>>,
    pairs: Vec<(Address, Address)>,
    fields: BTreeMap<((Address, Address), usize), &'a Cell>,
    left_out: usize,
}

/// Draws the matrix of a report. It has at least one cell.
pub(super) fn grid(
    report: &Report,
    triage: &Triage<'_>,
    attempts: &Attempts<'_>,
    page: &mut Markup,
) {
    let grid = sort(report);
    page.raw("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"matrix\">");
    if grid.pairs.len() <= FEW_PAIRS {
        by_service(report, &grid, triage, attempts, page);
    } else {
        by_pair(report, &grid, triage, attempts, page);
    }
    page.raw("</div>");
    let pairs = grid.pairs.len().saturating_sub(MOST_PAIRS);
    if pairs > 0 {
        page.raw("<p class=\"more\">")
            .text(&phrase::counted(phrase::count(pairs), "more host pair"))
            .raw(", those with the fewest failures, are not drawn; <code>--format csv</code> has them all.</p>");
    }
    if grid.left_out > 0 {
        page.raw("<p class=\"more\">")
            .text(&phrase::counted(phrase::count(grid.left_out), "service"))
            .raw(" that nobody tried: see Not exercised.</p>");
    }
}

fn sort(report: &Report) -> Grid<'_> {
    let mut services: Vec<Service<'_>> = Vec::new();
    let mut place_of: BTreeMap<Service<'_>, usize> = BTreeMap::new();
    let mut tried: Vec<bool> = Vec::new();
    let mut fields: BTreeMap<((Address, Address), usize), &Cell> = BTreeMap::new();
    let mut failures: BTreeMap<(Address, Address), (usize, usize)> = BTreeMap::new();
    for cell in &report.matrix.cells {
        let service = (cell.service.as_str(), cell.transport, cell.ports.as_str());
        let place = *place_of.entry(service).or_insert_with(|| {
            services.push(service);
            tried.push(false);
            services.len() - 1
        });
        let pair = (cell.from.address, cell.to.address);
        let counts = failures.entry(pair).or_default();
        let sign = Sign::of_outcome(cell.outcome);
        counts.0 += usize::from(sign.is_bad());
        counts.1 += usize::from(sign != Sign::Untried);
        if sign != Sign::Untried
            && let Some(tried) = tried.get_mut(place)
        {
            *tried = true;
        }
        // Two rows of a matrix may ask for the same: the worse one is shown.
        let field = fields.entry((pair, place)).or_insert(cell);
        if sign < Sign::of_outcome(field.outcome) {
            *field = cell;
        }
    }
    let mut pairs: Vec<_> = failures.into_iter().collect();
    pairs.sort_by_key(|(_, counts)| std::cmp::Reverse(*counts));
    let pairs: Vec<_> = pairs.into_iter().map(|(pair, _)| pair).collect();
    let many = services.len() > MANY_SERVICES && tried.contains(&true);
    let shown = |place: &usize| !many || tried.get(*place).copied().unwrap_or(false);
    let kept: Vec<usize> = (0..services.len()).filter(shown).collect();
    let left_out = services.len() - kept.len();
    let new_place: BTreeMap<usize, usize> =
        kept.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    Grid {
        services: kept.iter().filter_map(|place| services.get(*place).copied()).collect(),
        pairs,
        fields: fields
            .into_iter()
            .filter_map(|((pair, place), cell)| Some(((pair, *new_place.get(&place)?), cell)))
            .collect(),
        left_out,
    }
}

/// A service a row.
fn by_service(
    report: &Report,
    grid: &Grid<'_>,
    triage: &Triage<'_>,
    attempts: &Attempts<'_>,
    page: &mut Markup,
) {
    let alone = grid.pairs.len() == 1;
    page.raw("<table class=\"grid tall\"><caption class=\"hidden\">Outcome of each requirement</caption><thead><tr><th scope=\"col\">service</th><th scope=\"col\">port</th>");
    for (from, to) in &grid.pairs {
        page.raw("<th scope=\"col\">");
        end(triage, *from, page);
        page.raw(" <span class=\"to\">→ ");
        end(triage, *to, page);
        page.raw("</span></th>");
    }
    page.raw(if alone { "<th scope=\"col\">seen</th>" } else { "" });
    page.raw("</tr></thead><tbody>\n");
    for (place, (service, transport, ports)) in grid.services.iter().enumerate() {
        page.raw("<tr><th scope=\"row\">").name(service);
        let field = |pair: &(Address, Address)| grid.fields.get(&(*pair, place)).copied();
        let mut cells = grid.pairs.iter().filter_map(field).peekable();
        let need = cells.peek().map(|cell| cell.need.as_str());
        if let Some(need) = need.filter(|need| *need != "required") {
            page.raw(" <span class=\"soft\">").text(&need.replace('_', " ")).raw("</span>");
        }
        page.raw("</th><td class=\"code\">");
        page.raw(transport.as_str()).raw("/").text(ports).raw("</td>");
        for pair in &grid.pairs {
            outcome(field(pair), attempts, true, page);
        }
        if alone {
            page.raw("<td class=\"seen\">");
            if let Some(cell) = cells.next().filter(|it| it.outcome != Outcome::NotExercised) {
                page.text(&seen::of_cell(report, cell));
            }
            page.raw("</td>");
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table>");
}

/// A pair a row.
fn by_pair(
    report: &Report,
    grid: &Grid<'_>,
    triage: &Triage<'_>,
    attempts: &Attempts<'_>,
    page: &mut Markup,
) {
    page.raw("<table class=\"grid wide\"><caption class=\"hidden\">Outcome of each requirement</caption><thead><tr><th scope=\"col\">from</th><th scope=\"col\">to</th>");
    for (service, transport, ports) in &grid.services {
        page.raw("<th scope=\"col\" class=\"turned\"><span>")
            .name(service)
            .raw(" <span class=\"code\">")
            .raw(transport.as_str())
            .raw("/")
            .text(ports)
            .raw("</span></span></th>");
    }
    page.raw("</tr></thead><tbody>\n");
    for pair in grid.pairs.iter().take(MOST_PAIRS) {
        page.raw("<tr><th scope=\"row\">");
        end(triage, pair.0, page);
        page.raw("</th><th scope=\"row\">");
        end(triage, pair.1, page);
        page.raw("</th>");
        for place in 0..grid.services.len() {
            let cell = grid.fields.get(&(*pair, place)).copied();
            titled_outcome(report, cell, attempts, page);
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table>");
}

fn end(triage: &Triage<'_>, address: Address, page: &mut Markup) {
    page.raw("<span class=\"end\">").name(&triage.name(address)).raw("</span>");
}

fn titled_outcome(
    report: &Report,
    cell: Option<&Cell>,
    attempts: &Attempts<'_>,
    page: &mut Markup,
) {
    match cell {
        Some(cell) if Sign::of_outcome(cell.outcome).is_bad() => {
            page.raw("<td class=\"field ")
                .raw(Sign::of_outcome(cell.outcome).class())
                .raw("\" title=\"")
                .text(&seen::of_cell(report, cell))
                .raw("\">");
            inside(cell, attempts, false, page);
        }
        cell => outcome(cell, attempts, false, page),
    }
}

fn outcome(cell: Option<&Cell>, attempts: &Attempts<'_>, word: bool, page: &mut Markup) {
    let Some(cell) = cell else {
        page.raw("<td class=\"field\"><span class=\"hidden\">nothing listed</span></td>");
        return;
    };
    page.raw("<td class=\"field ").raw(Sign::of_outcome(cell.outcome).class()).raw("\">");
    inside(cell, attempts, word, page);
}

fn inside(cell: &Cell, attempts: &Attempts<'_>, word: bool, page: &mut Markup) {
    let sign = Sign::of_outcome(cell.outcome);
    let place = if sign.is_bad() { attempts.place_of(&cell.flows) } else { None };
    if let Some(place) = place {
        page.raw("<a href=\"#attempt-").count(place).raw("\">");
    }
    sign.draw(page);
    page.raw(if word { "<span>" } else { "<span class=\"hidden\">" });
    page.raw(sign.word()).raw("</span>");
    page.raw(if place.is_some() { "</a></td>" } else { "</td>" });
}
