//! Reads the captures of all inputs as one (`--join`).
//!
//! A first pass finds the captures and the times of their first frames, and a second reads them in
//! that order. The joined capture comes first in the report, and behind it a record for each of
//! its files, which tells where its frames are among the others.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::analyze::heap::{Analysed, InPlace, Look, become_copy, copies, left_out};
use crate::analyze::pipeline::Pipeline;
use crate::capture::{CaptureSummary, Input, Joined, Part, Reading, Severity};
use crate::packet::SkippedTally;
use crate::report::CaptureRecord;
use crate::verdict::flows::{CaptureFlows, Flows};

/// What an input holds.
#[derive(Default)]
struct Seen {
    parts: Vec<Part>,
    /// What could not be read.
    unread: Vec<CaptureRecord>,
    /// Files that are no captures, and the archive that was named and holds them.
    left_out: Vec<String>,
    is_archive: bool,
}

pub(super) fn read(
    pipeline: Pipeline<'_>,
    inputs: &[Input],
    threads: usize,
) -> (Vec<CaptureRecord>, Flows) {
    let seen: Vec<Seen> = inputs.par_iter().map(|input| look(pipeline, input)).collect();
    let mut places: BTreeMap<&str, InPlace> = BTreeMap::new();
    let (mut parts, mut behind) = (Vec::new(), Vec::new());
    for (input, seen) in inputs.iter().zip(seen) {
        let place = match input {
            Input::Found { folder, .. } => Some((folder.as_str(), "folder")),
            _ if seen.is_archive => Some((input.shown_as(), "archive")),
            Input::Named { .. } | Input::StandardInput | Input::Missing { .. } => None,
        };
        if let Some((place, what)) = place {
            let place = places.entry(place).or_default();
            place.what = what;
            place.captures += seen.parts.len() + seen.unread.len();
            place.left_out.extend(seen.left_out);
        }
        parts.extend(seen.parts);
        behind.extend(seen.unread);
    }
    let (parts, again) = without_copies(pipeline, parts);
    let first = pipeline.config.digest;
    let progress = Some(pipeline.config.progress.clone());
    let reading = Reading { digest: first, progress, ..Reading::default() };
    let joined = Joined::new(parts, reading, pipeline.bounds());
    let (mut records, flows) = through_pipeline(pipeline, joined, threads);
    for (path, first) in again {
        let place = records.iter().position(|record| record.path == first);
        let summary = CaptureSummary::of(&path);
        let mut record = CaptureRecord::of(summary, &SkippedTally::default());
        become_copy(&mut record, place.unwrap_or_default(), &first);
        records.push(record);
    }
    records.append(&mut behind);
    records.extend(left_out(places));
    (records, Flows::of([(0, flows)]))
}

/// The captures of all inputs as one, to be read again.
pub(super) fn open(pipeline: Pipeline<'_>, inputs: &[Input]) -> Joined {
    let parts = inputs.iter().flat_map(|input| look(pipeline, input).parts).collect();
    let (parts, _) = without_copies(pipeline, parts);
    let progress = Some(pipeline.config.progress.clone());
    let reading = Reading { digest: false, progress, ..Reading::default() };
    Joined::new(parts, reading, pipeline.bounds())
}

/// How an input is looked at. What is opened again is counted when it is read.
fn first_look(pipeline: Pipeline<'_>, input: &Input) -> Reading {
    let reading = pipeline.reading(input);
    let progress = reading.progress.filter(|_| !input.opens_again());
    Reading { digest: false, progress, ..Reading::default() }
}

/// Finds the captures in an input.
fn look(pipeline: Pipeline<'_>, input: &Input) -> Seen {
    let mut seen = Seen::default();
    let unread = |path: &str, message: &str| Analysed::unread(path, message).record;
    let contents = match input.contents(first_look(pipeline, input), pipeline.bounds()) {
        Ok(contents) => contents,
        Err(message) => {
            seen.unread.push(unread(input.shown_as(), &message));
            return seen;
        }
    };
    let is_found = matches!(input, Input::Found { .. });
    let mut numbered = contents.enumerate();
    loop {
        let next = catch_unwind(AssertUnwindSafe(|| {
            let (number, content) = numbered.next()?;
            seen.is_archive |= content.is_member;
            let shown_as = content.shown_as;
            match content.opened {
                Ok(_) if content.is_member && !input.opens_again() => {
                    let message = "an archive that can be read only once cannot be put in the order \
                                   of time: give it as a file";
                    seen.unread.push(unread(&shown_as, message));
                }
                Ok(reader) => {
                    seen.parts.push(Part::look(reader, input, number, shown_as, content.head));
                }
                Err(error) if (is_found || content.is_member) && error.is_no_capture() => {
                    seen.left_out.push(shown_as);
                }
                Err(error) => seen.unread.push(unread(&shown_as, &error.to_string())),
            }
            Some(())
        }));
        match next {
            Ok(Some(())) => {}
            Ok(None) => return seen,
            Err(_) => {
                seen.unread.push(Analysed::fault(input.shown_as()).record);
                return seen;
            }
        }
    }
}

/// Takes out what is there several times; gives the names of that, and of the first of each.
fn without_copies(pipeline: Pipeline<'_>, parts: Vec<Part>) -> (Vec<Part>, Vec<(String, String)>) {
    let looks: Vec<Look<'_>> = parts
        .iter()
        .map(|part| Look {
            input: &part.input,
            number: part.number,
            outside: (part.head, 0),
            sha256: None,
        })
        .collect();
    let copies = copies(&looks, pipeline.bounds(), &pipeline.config.progress);
    drop(looks);
    let names: Vec<String> = parts.iter().map(|part| part.shown_as.clone()).collect();
    let name = |place: usize| names.get(place).cloned().unwrap_or_default();
    let again = copies.iter().map(|(copy, first)| (name(*copy), name(*first))).collect();
    let kept = parts.into_iter().enumerate().filter(|(place, _)| !copies.contains_key(place));
    (kept.map(|(_, part)| part).collect(), again)
}

/// Reads the captures. The records are that of all of them, and one for each.
fn through_pipeline(
    pipeline: Pipeline<'_>,
    mut joined: Joined,
    threads: usize,
) -> (Vec<CaptureRecord>, CaptureFlows) {
    let read = AssertUnwindSafe(|| {
        let (flows, mut skipped) = pipeline.frames(&mut joined, threads);
        let (mut summary, parts) = joined.into_summaries();
        for part in &parts {
            summary.own_addresses.extend(&part.summary.own_addresses);
        }
        let flows = pipeline.told(flows, threads, &mut summary, &mut skipped);
        (summary, skipped, parts, flows)
    });
    let Ok((summary, skipped, mut parts, flows)) = catch_unwind(read) else {
        return (vec![Analysed::fault("the joined capture").record], CaptureFlows::default());
    };
    // One alone is joined with nothing.
    if parts.len() < 2 {
        let alone = parts.pop().map(|mut part| {
            part.summary.names = summary.names;
            part.summary.links = summary.links;
            part.summary.taken_on = summary.taken_on;
            part.summary.serves = summary.serves;
            CaptureRecord::of(part.summary, &skipped)
        });
        return (alone.into_iter().collect(), flows);
    }
    let mut records = vec![CaptureRecord::of(summary, &skipped)];
    for part in parts {
        let mut summary = part.summary;
        let (first, last) = (part.first_frame.0, part.first_frame.0 + summary.frames);
        if first < last {
            let message = match first {
                1 => format!("holds frames 1 to {} of the joined capture", last - 1),
                _ => format!(
                    "holds frames {first} to {} of the joined capture: frame {first} there is frame \
                     1 here",
                    last - 1
                ),
            };
            summary.problem(Severity::Info, message, None, None);
        }
        let record = CaptureRecord::of(summary, &SkippedTally::default());
        records.push(CaptureRecord { part_of: Some(0), ..record });
    }
    (records, flows)
}
