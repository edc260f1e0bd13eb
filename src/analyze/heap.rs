//! Puts together what the inputs gave: captures in their order, copies counted once, and what was
//! no capture in a word.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::capture::{Bounds, CaptureSummary, Input, Progress, Severity};
use crate::packet::SkippedTally;
use crate::report::{CaptureRecord, ProblemRecord};
use crate::verdict::flows::{CaptureFlows, Flows};

/// What one file gave.
pub(super) struct Analysed {
    pub(super) record: CaptureRecord,
    pub(super) flows: CaptureFlows,
    /// Hash of the first bytes of a capture that was read.
    pub(super) head: Option<u64>,
    /// Found in an archive.
    pub(super) is_member: bool,
    /// Found in a folder or an archive, and no format that anybody would take for a capture.
    pub(super) no_capture: bool,
}

impl Analysed {
    /// A capture that was read.
    pub(super) fn of(record: CaptureRecord, flows: CaptureFlows) -> Analysed {
        Analysed { record, flows, head: None, is_member: false, no_capture: false }
    }

    /// An input that could not be read.
    pub(super) fn unread(path: &str, message: &str) -> Analysed {
        let mut summary = CaptureSummary::of(path);
        summary.problem(Severity::Error, message, None, None);
        Analysed::of(CaptureRecord::of(summary, &SkippedTally::default()), CaptureFlows::default())
    }

    /// An input whose reading came to a panic.
    pub(super) fn fault(path: &str) -> Analysed {
        let message = "a fault in portmortem stopped it; please report it with this capture";
        Analysed::unread(path, message)
    }
}

/// Where a capture came from: the input, and its number among the contents of that.
type Origin = (usize, usize);

/// All that the inputs gave.
pub(super) struct Heap<'a> {
    inputs: &'a [Input],
    bounds: Bounds,
    progress: &'a Progress,
    found: Vec<(Origin, Analysed)>,
    /// By folder or archive that was named.
    places: BTreeMap<&'a str, InPlace>,
}

impl<'a> Heap<'a> {
    pub(super) fn new(inputs: &'a [Input], bounds: Bounds, progress: &'a Progress) -> Heap<'a> {
        Heap { inputs, bounds, progress, found: Vec::new(), places: BTreeMap::new() }
    }

    /// Adds the contents of the input at `place`. Inputs come in their order.
    pub(super) fn add(&mut self, place: usize, contents: Vec<Analysed>) {
        let Some(input) = self.inputs.get(place) else { return };
        for (number, analysed) in contents.into_iter().enumerate() {
            if let Some(in_place) = self.place_of(input, analysed.is_member) {
                if analysed.no_capture {
                    in_place.left_out.push(analysed.record.path);
                    continue;
                }
                in_place.captures += 1;
            }
            self.found.push(((place, number), analysed));
        }
    }

    /// The folder or archive that somebody named and that this was found in.
    fn place_of(&mut self, input: &'a Input, is_member: bool) -> Option<&mut InPlace> {
        let (place, what) = match input {
            Input::Found { folder, .. } => (folder.as_str(), "folder"),
            Input::Named { .. } | Input::StandardInput if is_member => {
                (input.shown_as(), "archive")
            }
            Input::Named { .. } | Input::StandardInput | Input::Missing { .. } => return None,
        };
        Some(self.places.entry(place).or_insert_with(|| InPlace { what, ..InPlace::default() }))
    }

    /// The records in order, with what was left out behind them, and the flows.
    pub(super) fn into_records(self) -> (Vec<CaptureRecord>, Flows) {
        let looks: Vec<Look<'_>> = self
            .found
            .iter()
            .filter_map(|((input, number), analysed)| {
                let head = analysed.head?;
                let record = &analysed.record;
                let input = self.inputs.get(*input)?;
                Some(Look {
                    input,
                    number: *number,
                    outside: (head, record.bytes),
                    sha256: record.sha256.as_deref(),
                })
            })
            .collect();
        let copies = copies(&looks, self.bounds, self.progress);
        let origins: Vec<usize> = self
            .found
            .iter()
            .enumerate()
            .filter_map(|(index, (_, analysed))| analysed.head.map(|_| index))
            .collect();
        let copy_of: BTreeMap<usize, usize> = copies
            .into_iter()
            .filter_map(|(copy, first)| Some((*origins.get(copy)?, *origins.get(first)?)))
            .collect();
        let mut records: Vec<CaptureRecord> = Vec::new();
        let mut flows = Vec::new();
        for (index, (_, analysed)) in self.found.into_iter().enumerate() {
            let mut record = analysed.record;
            if let Some(first) = copy_of.get(&index) {
                let path = records.get(*first).map(|first| first.path.as_str());
                become_copy(&mut record, *first, path.unwrap_or_default());
            } else {
                flows.push((index, analysed.flows));
            }
            records.push(record);
        }
        records.extend(left_out(self.places));
        (records, Flows::of(flows))
    }
}

/// What tells whether a capture may be a copy of another.
pub(super) struct Look<'a> {
    pub(super) input: &'a Input,
    /// Its number among the contents of the input.
    pub(super) number: usize,
    /// What is cheap to compare.
    pub(super) outside: (u64, u64),
    /// The digest, where it was computed anyway.
    pub(super) sha256: Option<&'a str>,
}

/// The captures that are copies of earlier ones: each with the first of its kind.
///
/// Digests are computed only of those that look alike, which are nearly always copies.
pub(super) fn copies(
    looks: &[Look<'_>],
    bounds: Bounds,
    progress: &Progress,
) -> BTreeMap<usize, usize> {
    let mut alike: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for (place, look) in looks.iter().enumerate() {
        alike.entry(look.outside).or_default().push(place);
    }
    alike.retain(|_, places| places.len() > 1);
    // The contents of an input are gone through once, whatever is wanted of them.
    let mut wanted: BTreeMap<&str, (&Input, BTreeSet<usize>)> = BTreeMap::new();
    for look in alike.values().flatten().filter_map(|place| looks.get(*place)) {
        // Nobody who interrupts a run waits for digests.
        let is_wanted = look.sha256.is_none() && !progress.is_interrupted();
        if is_wanted && look.input.opens_again() {
            let entry = wanted.entry(look.input.shown_as());
            entry.or_insert_with(|| (look.input, BTreeSet::new())).1.insert(look.number);
        }
    }
    let digests: BTreeMap<&str, BTreeMap<usize, String>> = wanted
        .par_iter()
        .map(|(name, (input, numbers))| (*name, input.digests(numbers, bounds)))
        .collect();
    let digest_of = |look: &Look<'_>| {
        let computed = digests.get(look.input.shown_as()).and_then(|found| found.get(&look.number));
        look.sha256.map(str::to_owned).or_else(|| computed.cloned())
    };
    let mut copies = BTreeMap::new();
    for places in alike.values() {
        let mut first_with: BTreeMap<String, usize> = BTreeMap::new();
        for place in places {
            let Some(digest) = looks.get(*place).and_then(digest_of) else { continue };
            let first = *first_with.entry(digest).or_insert(*place);
            if first != *place {
                copies.insert(*place, first);
            }
        }
    }
    copies
}

/// Leaves of a record what tells about the file. What is in it is told by the first.
pub(crate) fn become_copy(record: &mut CaptureRecord, first: usize, path: &str) {
    record.same_as = Some(first);
    record.skipped.clear();
    record.names.clear();
    record.links.clear();
    record.taken_on = None;
    record.silent_neighbours.clear();
    record.comments.clear();
    record.comments_left_out = 0;
    record.problems = vec![ProblemRecord {
        severity: Severity::Info,
        message: format!("the same capture as {path}, byte for byte: it is counted once"),
        offset: None,
        frame: None,
    }];
}

/// What was found in a folder or archive that was named.
#[derive(Default)]
pub(crate) struct InPlace {
    /// "folder" or "archive".
    pub(crate) what: &'static str,
    /// How many captures there are.
    pub(crate) captures: usize,
    /// Files that are no captures.
    pub(crate) left_out: Vec<String>,
}

/// Records that tell what was left out, so that no report looks more complete than it is.
pub(crate) fn left_out<P: AsRef<str>>(
    places: BTreeMap<P, InPlace>,
) -> impl Iterator<Item = CaptureRecord> {
    places.into_iter().filter_map(|(path, place)| place.into_record(path.as_ref()))
}

impl InPlace {
    /// Files that are named in the message; the others are counted.
    const NAMED: usize = 3;

    /// Begins the message about a place that holds no capture.
    pub(crate) fn without_capture(what: &str) -> String {
        format!("there is no capture in this {what}")
    }

    fn into_record(self, path: &str) -> Option<CaptureRecord> {
        let names = self.left_out.get(..Self::NAMED).unwrap_or(&self.left_out).join(", ");
        let more = match self.left_out.len().saturating_sub(Self::NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (severity, message) = match (self.captures, self.left_out.len()) {
            (_, 0) => return None,
            (0, _) => {
                (Severity::Error, format!("{}: {names}{more}", InPlace::without_capture(self.what)))
            }
            (_, 1) => (Severity::Info, format!("left out, because it is no capture: {names}")),
            (_, count) => {
                let message = format!("{count} files left out, because they are no captures");
                (Severity::Info, format!("{message}: {names}{more}"))
            }
        };
        let mut summary = CaptureSummary::of(path);
        summary.problem(severity, message, None, None);
        let record = CaptureRecord::of(summary, &SkippedTally::default());
        Some(CaptureRecord { left_out: self.left_out, ..record })
    }
}
