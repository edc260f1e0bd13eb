//! Writes packets of flows as a capture of their own: those that decide, for whoever wants to
//! see for himself, or all of chosen flows.
//!
//! The captures are read a second time, and only the frames that are wanted are kept, as they are,
//! each with a remark that says what it shows and where it was found. The file reads back to the
//! same verdicts: a flow whose service failed comes with all packets up to the answer, one to an
//! announced port with the announcement, and where silence decides, the last frame of the capture
//! shows how long it lasted.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::io::Write;

use crate::analyze::pipeline::Pipeline;
use crate::analyze::{Config, join};
use crate::capture::{CaptureReader, Frame, FrameBatch, Input, PcapngWriter, Severity, expand};
use crate::matrix::Outcome;
use crate::net::{FlowKey, FrameNumber};
use crate::packet::{FragmentTable, Packet, Skipped, decode};
use crate::report::{CaptureRecord, Report};
use crate::verdict::record::{EvidenceKind, EvidenceRecord, JudgedFlow, ServiceOutcome, Verdict};

/// Packets to write, by index of their capture in the report.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    captures: BTreeMap<usize, Chosen>,
}

/// Packets of one capture.
#[derive(Clone, Debug, Default)]
struct Chosen {
    /// Frames, and what each shows.
    frames: BTreeMap<FrameNumber, Vec<String>>,
    /// All packets of these flows between two frames.
    stretches: BTreeMap<FlowKey, Vec<Stretch>>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    flow: u64,
    first: FrameNumber,
    last: FrameNumber,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenPackets {
    /// Frames that were written.
    pub frames: u64,
    /// What could not be, and why, a sentence each.
    pub problems: Vec<String>,
}

impl Selection {
    /// The packets that decide the requirements that failed, and what else is found wrong.
    pub fn deciding(report: &Report) -> Selection {
        let failed = |outcome| {
            matches!(
                outcome,
                Outcome::Dropped | Outcome::Refused | Outcome::ServiceFailed | Outcome::Mixed
            )
        };
        let cells = report.matrix.cells.iter().filter(|cell| failed(cell.outcome));
        let told = report.findings.iter().filter(|finding| finding.severity != Severity::Info);
        let ids: BTreeSet<u64> = cells
            .flat_map(|cell| &cell.flows)
            .chain(told.flat_map(|finding| &finding.flows))
            .copied()
            .collect();
        Selection::of(report, &ids)
    }

    /// The packets that decide these flows.
    ///
    /// # Errors
    ///
    /// An id that no flow has.
    pub fn deciding_for(report: &Report, ids: &[u64]) -> Result<Selection, String> {
        report.check_ids(ids)?;
        Ok(Selection::of(report, &ids.iter().copied().collect()))
    }

    /// All packets of all flows of the report.
    pub fn whole(report: &Report) -> Selection {
        let mut selection = Selection::default();
        for flow in report.flows.iter() {
            selection.stretch(&flow, flow.last_frame);
            for packet in flow.evidence.iter().filter(|it| it.kind == EvidenceKind::Icmp) {
                selection.frame(flow.capture, packet.frame, of_packet(report, &flow, &packet));
            }
        }
        selection
    }

    fn of(report: &Report, ids: &BTreeSet<u64>) -> Selection {
        let mut selection = Selection::default();
        for flow in ids.iter().filter_map(|id| report.flows.get(*id)) {
            let flow = &*flow;
            for packet in &flow.evidence {
                selection.frame(flow.capture, packet.frame, of_packet(report, flow, &packet));
            }
            let failed = match flow.service.outcome {
                ServiceOutcome::Failed => flow.service.frame,
                ServiceOutcome::ResetBeforeAnswer => Some(flow.last_frame),
                ServiceOutcome::Served | ServiceOutcome::Silent | ServiceOutcome::NotExamined => {
                    None
                }
            };
            if let Some(last) = failed {
                selection.stretch(flow, last);
            }
            let announced = flow.rpc.as_ref().and_then(|rpc| {
                Some((rpc.announced_frame?, report.flows.telling_of(rpc.endpoint_mapper_flow?)?))
            });
            if let Some((frame, mapper)) = announced {
                selection.stretch(mapper, frame);
                let what = format!(
                    "portmortem: flow {}: announces port {}, which flow {} calls",
                    mapper.id, flow.responder.port, flow.id
                );
                selection.frame(mapper.capture, frame, what);
            }
            if flow.verdict == Verdict::NoReply
                && let Some(last) = last_frame(report, flow.capture)
            {
                let what = format!(
                    "portmortem: the capture goes on until here, without an answer for flow {}",
                    flow.id
                );
                selection.frame(flow.capture, last, what);
            }
        }
        selection
    }

    fn frame(&mut self, capture: usize, frame: FrameNumber, what: String) {
        let remarks = self.captures.entry(capture).or_default().frames.entry(frame).or_default();
        // The last frame of a capture ends the silence of many flows.
        if remarks.len() < MOST_REMARKS && !remarks.contains(&what) {
            remarks.push(what);
        }
    }

    fn stretch(&mut self, flow: &JudgedFlow, last: FrameNumber) {
        let (key, _) = FlowKey::of(flow.transport, flow.initiator, flow.responder);
        let stretches = self.captures.entry(flow.capture).or_default();
        let stretch = Stretch { flow: flow.id, first: flow.first_frame, last };
        stretches.stretches.entry(key).or_default().push(stretch);
    }
}

/// Remarks of one frame.
const MOST_REMARKS: usize = 8;

/// `portmortem: flow 12, 10.0.0.5:52702 → 10.1.0.13:135, no_reply: syn, frame 101 of site.cap`.
fn of_packet(report: &Report, flow: &JudgedFlow, packet: &EvidenceRecord) -> String {
    let note = packet.note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
    let place = place(report, flow.capture, packet.frame);
    let (from, to) = (flow.initiator, flow.responder);
    format!(
        "portmortem: flow {}, {from} → {to}, {}: {}{note}, {place}",
        flow.id, flow.verdict, packet.kind
    )
}

fn place(report: &Report, capture: usize, frame: FrameNumber) -> String {
    let path = report.captures.get(capture).map_or("", |capture| capture.path.as_str());
    format!("frame {frame} of {path}")
}

fn last_frame(report: &Report, capture: usize) -> Option<FrameNumber> {
    let frames = report.captures.get(capture)?.frames;
    (frames > 0).then_some(FrameNumber(frames))
}

/// Reads the inputs again and writes what is wanted as pcapng.
///
/// What can be read only once has nothing left to give, and is a problem.
///
/// # Errors
///
/// Of writing. What cannot be read again is told among the problems.
pub fn write_packets(
    config: &Config,
    report: &Report,
    selection: &Selection,
    out: &mut dyn Write,
) -> io::Result<WrittenPackets> {
    let local = report.captures.iter().any(|capture| capture.zone != "utc");
    let mut about = vec![format!(
        "packets chosen by portmortem {}; remarks name the frame and the capture that each is from",
        report.generator.version
    )];
    if local {
        about.push("some times are local: their capture does not tell its zone".to_owned());
    }
    let mut writer = PcapngWriter::new(out, "portmortem", &about)?;
    let mut copy = Copy {
        report,
        writer: &mut writer,
        missing: selection.captures.iter().map(|(place, chosen)| (*place, chosen)).collect(),
        unstored: BTreeMap::new(),
        frames: 0,
    };
    let known_ports = config.matrix.known_ports();
    let inputs = expand(&config.inputs, config.recursive);
    config.progress.begin(&inputs);
    let pipeline = Pipeline { known_ports: &known_ports, config, several: false };
    if config.options.join {
        copy.capture(0, &mut join::open(pipeline, &inputs))?;
    } else {
        for input in &inputs {
            copy.input(pipeline, input)?;
        }
    }
    config.progress.end();
    let mut problems: Vec<String> = Vec::new();
    for place in copy.missing.keys() {
        let path = report.captures.get(*place).map_or("", |capture| capture.path.as_str());
        problems.push(format!(
            "{path}: it could not be read a second time, so its packets are missing"
        ));
    }
    for (what, count) in copy.unstored {
        problems.push(format!("{count} frames of {what} have no place in a pcapng file"));
    }
    Ok(WrittenPackets { frames: copy.frames, problems })
}

/// The second reading.
struct Copy<'a, W: Write> {
    report: &'a Report,
    writer: &'a mut PcapngWriter<W>,
    /// Captures that are wanted and were not come by yet.
    missing: BTreeMap<usize, &'a Chosen>,
    /// Frames that pcapng cannot hold, by link type.
    unstored: BTreeMap<String, u64>,
    frames: u64,
}

impl<W: Write> Copy<'_, W> {
    fn input(&mut self, pipeline: Pipeline<'_>, input: &Input) -> io::Result<()> {
        let captures = &self.report.captures;
        let named = |place: &usize| captures.get(*place).map(|capture| capture.path.as_str());
        let shown_as = input.shown_as();
        let may_hold = |path: &str| path.starts_with(shown_as);
        if !input.opens_again() || !self.missing.keys().filter_map(named).any(may_hold) {
            return Ok(());
        }
        let Ok(contents) = input.contents(pipeline.reading(input), pipeline.bounds()) else {
            return Ok(());
        };
        for content in contents {
            let is_this = |place: &usize| named(place) == Some(content.shown_as.as_str());
            let place = self.missing.keys().copied().find(is_this);
            if let (Some(place), Ok(mut reader)) = (place, content.opened) {
                self.capture(place, reader.as_mut())?;
            }
        }
        Ok(())
    }

    fn capture(&mut self, place: usize, reader: &mut dyn CaptureReader) -> io::Result<()> {
        let Some(chosen) = self.missing.remove(&place) else { return Ok(()) };
        let Some(record) = self.report.captures.get(place) else { return Ok(()) };
        let mut fragments = FragmentTable::default();
        let mut spare = FrameBatch::default();
        while let Some(batch) = reader.next_batch(spare) {
            for frame in batch.frames() {
                let mut remarks = chosen.frames.get(&frame.number).cloned();
                if remarks.is_none() && !chosen.stretches.is_empty() {
                    remarks = chosen.in_stretch(frame, &mut fragments, record);
                }
                if let Some(remarks) = remarks {
                    self.frame(frame, place, record, &remarks)?;
                }
            }
            spare = batch;
        }
        Ok(())
    }

    fn frame(
        &mut self,
        frame: Frame<'_>,
        place: usize,
        record: &CaptureRecord,
        remarks: &[String],
    ) -> io::Result<()> {
        if !PcapngWriter::<W>::holds(frame.link_type) {
            *self.unstored.entry(frame.link_type.name().into_owned()).or_default() += 1;
            return Ok(());
        }
        self.writer.frame(frame, place, &record.path, remarks)?;
        self.frames += 1;
        Ok(())
    }
}

impl Chosen {
    /// The remark on a frame that is a packet of a wanted flow.
    fn in_stretch(
        &self,
        frame: Frame<'_>,
        fragments: &mut FragmentTable,
        record: &CaptureRecord,
    ) -> Option<Vec<String>> {
        let packet: Packet<'_> = match decode(&frame) {
            Ok(packet) => packet,
            Err(Skipped::Fragment) => match fragments.decode(frame) {
                Some(packet) => packet,
                // It comes before the piece that names its flow, so it may be of a wanted one.
                None => return Some(vec![remark(record, frame, "a piece of a packet")]),
            },
            Err(_) => return None,
        };
        let stretches = self.stretches.get(&packet.key)?;
        let around = |it: &&Stretch| (it.first..=it.last).contains(&frame.number);
        let stretch = stretches.iter().find(around)?;
        Some(vec![remark(record, frame, &format!("flow {}", stretch.flow))])
    }
}

fn remark(record: &CaptureRecord, frame: Frame<'_>, what: &str) -> String {
    format!("portmortem: {what}, frame {} of {}", frame.number, record.path)
}
