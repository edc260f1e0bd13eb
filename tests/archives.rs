//! What people pack captures in: compressed files, archives, archives of archives, heaps with
//! copies in them, ring buffers. However packed, a capture gives the report that it gives alone.
//!
//! The archives are written by libraries that the program does not read them with.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use portmortem::capture::{Bounds, Contents, FrameBatch, Reading};
use proptest::prelude::*;
use serde_json::Value;
use support::calls::{below, call, folder, piped, seed, troubled};
use support::case::testdata;
use zip::write::SimpleFileOptions;

/// The flows of the seed, without what tells which of several captures they are in.
fn flows_of_the_seed() -> Vec<Value> {
    flows(&call(&["-f", "json", &seed("pcap")]).json(), 0)
}

/// The flows of a capture of a report.
fn flows(report: &Value, capture: usize) -> Vec<Value> {
    let all = report["flows"].as_array().unwrap().iter();
    all.filter(|flow| flow["capture"] == capture)
        .map(|flow| {
            let mut flow = flow.clone();
            flow["id"] = Value::Null;
            flow["capture"] = Value::Null;
            flow
        })
        .collect()
}

fn paths(report: &Value) -> Vec<String> {
    let captures = report["captures"].as_array().unwrap();
    captures.iter().map(|capture| capture["path"].as_str().unwrap().to_owned()).collect()
}

fn messages(report: &Value) -> Vec<String> {
    let captures = report["captures"].as_array().unwrap().iter();
    captures
        .flat_map(|capture| capture["problems"].as_array().unwrap())
        .map(|problem| problem["message"].as_str().unwrap().to_owned())
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip(members: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn deflated(members: &[(&str, &[u8])]) -> Vec<u8> {
    zip(members, SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated))
}

fn stored(members: &[(&str, &[u8])]) -> Vec<u8> {
    zip(members, SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored))
}

/// A zip archive as a program writes it that cannot go back to fill in the sizes.
fn streamed_zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new_stream(Vec::new());
    for (name, bytes) in members {
        let method = zip::CompressionMethod::Deflated;
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn cabinet(members: &[(&str, &[u8])], compression: cab::CompressionType) -> Vec<u8> {
    let mut builder = cab::CabinetBuilder::new();
    let folder = builder.add_folder(compression);
    for (name, _) in members {
        folder.add_file(*name);
    }
    let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
    let mut left = members.iter();
    while let Some(mut file) = writer.next_file().unwrap() {
        file.write_all(left.next().unwrap().1).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Every kind of archive with these members, and the name of the kind.
fn archives(members: &[(&str, &[u8])]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("tar", tar(members)),
        ("tar.gz", gzip(&tar(members))),
        ("zip", deflated(members)),
        ("stored.zip", stored(members)),
        ("streamed.zip", streamed_zip(members)),
        ("cab", cabinet(members, cab::CompressionType::MsZip)),
        ("stored.cab", cabinet(members, cab::CompressionType::None)),
    ]
}

#[test]
fn a_capture_in_an_archive_gives_what_it_gives_alone() {
    let folder = folder();
    let (pcap, netmon) = (fs::read(seed("pcap")).unwrap(), fs::read(seed("cap")).unwrap());
    let digest = call(&["-f", "json", &seed("pcap")]).json()["captures"][0]["sha256"].clone();
    let members = [("deep/a.pcap", &pcap[..]), ("notes.txt", b"hello"), ("n.cap", &netmon)];
    let expected = flows_of_the_seed();
    for (name, archive) in archives(&members) {
        let path = below(&folder, name);
        fs::write(&path, &archive).unwrap();
        for (run, shown) in
            [(call(&["-f", "json", &path]), &*path), (piped(&["-f", "json", "-"], &archive), "-")]
        {
            assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{name}");
            let report = run.json();
            let mut shown_paths = paths(&report);
            shown_paths.sort();
            let mut names = ["", "/deep/a.pcap", "/n.cap"].map(|it| format!("{shown}{it}"));
            names.sort();
            assert_eq!(shown_paths, names, "{name}");
            assert_eq!(report["totals"]["flows"], 30, "{name}");
            let captures = report["captures"].as_array().unwrap();
            let place = captures.iter().position(|it| it["sha256"] == digest).unwrap();
            assert_eq!(flows(&report, place), expected, "{name}");
            assert_eq!(captures[place]["bytes"], pcap.len(), "{name}");
            assert_eq!(captures[2]["left_out"][0], format!("{shown}/notes.txt"), "{name}");
        }
    }
}

#[test]
fn archives_in_archives_are_opened_to_a_bound() {
    let folder = folder();
    let pcap = fs::read(seed("pcap")).unwrap();
    let inner = tar(&[("b.pcap.gz", &gzip(&pcap))]);
    let path = below(&folder, "a.zip");
    fs::write(&path, deflated(&[("folder/inner.tgz", &gzip(&inner))])).unwrap();
    let report = call(&["-f", "json", &path]).json();
    assert_eq!(paths(&report), [format!("{path}/folder/inner.tgz/b.pcap.gz")]);
    assert_eq!(report["captures"][0]["compression"], "gzip");
    assert_eq!(flows(&report, 0), flows_of_the_seed());
    // As an archive that holds itself would be: never ending.
    let mut nested = pcap;
    for depth in 1..=9 {
        nested = stored(&[("r.zip", &nested)]);
        fs::write(&path, &nested).unwrap();
        let run = call(&["-f", "json", &path]);
        if depth <= 8 {
            assert_eq!(run.json()["totals"]["flows"], 15, "{depth}");
        } else {
            troubled(&run, &[&path, "packed in files more often than portmortem unpacks"]);
        }
    }
}

#[test]
fn an_encrypted_member_is_named_and_the_others_are_read() {
    let folder = folder();
    let pcap = fs::read(seed("pcap")).unwrap();
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let plain = SimpleFileOptions::default();
    let secret = plain.with_aes_encryption(zip::AesMode::Aes256, "secret");
    for (name, options) in [("secret.pcap", secret), ("open.pcap", plain)] {
        writer.start_file(name, options).unwrap();
        writer.write_all(&pcap).unwrap();
    }
    let archive = writer.finish().unwrap().into_inner();
    let path = below(&folder, "a.zip");
    fs::write(&path, &archive).unwrap();
    for run in [call(&["-f", "json", &path]), piped(&["-f", "json", "-"], &archive)] {
        troubled(&run, &["/secret.pcap: it is encrypted", "unpack it"]);
        let report = run.json();
        assert_eq!(flows(&report, 1), flows_of_the_seed());
    }
}

#[test]
fn an_archive_that_is_cut_off_gives_what_comes_before_and_says_so() {
    let folder = folder();
    let pcap = fs::read(seed("pcap")).unwrap();
    // What does not compress, so that the cut lies in it.
    let mut noise = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.to_be_bytes()[0]
    })
    .take(200_000)
    .collect();
    for (name, archive) in archives(&[("a.pcap", &pcap), ("noise", &noise), ("z.pcap", &pcap)]) {
        let cut = archive.len() / 2;
        let path = below(&folder, name);
        fs::write(&path, &archive[..cut]).unwrap();
        for run in [call(&["-f", "json", &path]), piped(&["-f", "json", "-"], &archive[..cut])] {
            assert_eq!(run.exit, 2, "{name}");
            let report = run.json();
            assert_eq!(flows(&report, 0), flows_of_the_seed(), "{name}");
            let told = messages(&report);
            assert!(told.iter().any(|told| told.contains("missing from the report")), "{told:?}");
        }
    }
}

#[test]
fn a_damaged_member_is_named_and_the_others_are_read() {
    let folder = folder();
    let pcap = fs::read(seed("pcap")).unwrap();
    let mut archive = stored(&[("a.pcap", &pcap), ("b.pcap", &pcap)]);
    // A bit in the payload of the first member's last frame.
    let place = archive.windows(4).position(|window| window == b"PK\x03\x04").unwrap();
    let end = place + 30 + "a.pcap".len() + pcap.len();
    archive[end - 1] ^= 1;
    let path = below(&folder, "a.zip");
    fs::write(&path, archive).unwrap();
    let run = call(&["-f", "json", &path]);
    troubled(&run, &["a.zip/a.pcap: ", "checksum in the archive does not fit"]);
    assert_eq!(flows(&run.json(), 1), flows_of_the_seed());
}

#[test]
fn an_archive_without_captures_is_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let path = below(&folder, "logs.zip");
    for (name, archive) in archives(&[("a.log", b"one"), ("b.log", b"two")]) {
        fs::write(&path, archive).unwrap();
        let run = call(&[&path]);
        troubled(&run, &[&path, "no capture in this archive", "a.log", "b.log"]);
        // Beside a capture it is nothing to speak of.
        fs::copy(seed("pcap"), folder.path().join("a.pcap")).unwrap();
        let run = call(&["-f", "json", folder.path().to_str().unwrap()]);
        assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{name}");
        assert!(messages(&run.json())[0].starts_with("2 files left out"), "{name}");
        fs::remove_file(folder.path().join("a.pcap")).unwrap();
    }
    fs::write(&path, deflated(&[])).unwrap();
    troubled(&call(&[&path]), &[&path, "the archive holds no files"]);
}

#[test]
fn names_of_members_are_labels_and_nothing_else() {
    let folder = folder();
    let pcap = fs::read(seed("pcap")).unwrap();
    let names = ["../../up.pcap", "/etc/root.pcap", "\u{1b}[2J.pcap", "C:\\x\\..\\y.pcap", "a//b"];
    let mut bytes = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(pcap.len() as u64 + place as u64);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(&pcap);
        bytes.resize(bytes.len() + place, 0);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    let path = below(&folder, "a.tar");
    fs::write(&path, bytes).unwrap();
    let before = fs::read_dir(folder.path()).unwrap().count();
    let run = call(&["-q", "-f", "json", &path]);
    assert_eq!(paths(&run.json()), names.map(|name| format!("{path}/{name}")));
    let run = call(&["-v", &path]);
    assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
    assert!(!Path::new("/etc/root.pcap").exists());
}

#[test]
fn long_names_are_read_whole() {
    let folder = folder();
    let pcap = fs::read(seed("pcap")).unwrap();
    let long = format!("{}/{}.pcap", "folder".repeat(20), "name".repeat(40));
    // GNU's way, and pax's, which tells the size as well.
    let mut pax = tar::Builder::new(Vec::new());
    let size = pcap.len().to_string();
    pax.append_pax_extensions([("path", long.as_bytes()), ("size", size.as_bytes())]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(pcap.len() as u64);
    header.set_path("short").unwrap();
    header.set_cksum();
    pax.append(&header, &pcap[..]).unwrap();
    for archive in [tar(&[(&long, &pcap)]), pax.into_inner().unwrap()] {
        let path = below(&folder, "a.tar");
        fs::write(&path, archive).unwrap();
        let report = call(&["-f", "json", &path]).json();
        assert_eq!(messages(&report), [""; 0]);
        assert_eq!(paths(&report), [format!("{path}/{long}")]);
    }
}

#[test]
fn a_thousand_members_are_read() {
    let folder = folder();
    let capture = fs::read(testdata().join("ipv6").join("capture.pcap")).unwrap();
    let (most, _) = capture.split_at(capture.len() - 2);
    let names: Vec<String> = (0..1000).map(|number| format!("{number:04}.pcap")).collect();
    let captures: Vec<Vec<u8>> =
        (0..1000_u16).map(|number| [most, &number.to_be_bytes()].concat()).collect();
    let members: Vec<(&str, &[u8])> =
        names.iter().map(String::as_str).zip(captures.iter().map(Vec::as_slice)).collect();
    for (name, archive) in [("a.zip", deflated(&members)), ("a.tgz", gzip(&tar(&members)))] {
        let path = below(&folder, name);
        fs::write(&path, archive).unwrap();
        let report = call(&["-q", "-f", "json", "--no-flows", &path]).json();
        assert_eq!(
            paths(&report),
            *names.iter().map(|it| format!("{path}/{it}")).collect::<Vec<_>>()
        );
        let alone = call(&["-q", "-f", "json", "--no-flows", &path, "--threads", "8"]);
        assert_eq!(alone.json(), report);
    }
}

// ---- Bombs.

/// A pcap header with frames of zeros behind it, which deflate to a thousandth.
fn zeros(bytes: usize) -> Vec<u8> {
    let mut capture = fs::read(seed("pcap")).unwrap()[..24].to_vec();
    let frame = [[0; 8], [0, 0xc0, 0, 0, 0, 0xc0, 0, 0]].concat();
    while capture.len() < bytes {
        capture.extend(&frame);
        capture.resize(capture.len() + 0xc000, 0);
    }
    capture
}

#[test]
fn what_inflates_too_much_is_stopped_where_the_bound_says() {
    let folder = folder();
    let (bomb, nothing) = (zeros(20 << 20), vec![0; 9 << 20]);
    let bound = ["--max-inflated", "4MiB"];
    for (name, archive) in [
        ("a.gz", gzip(&bomb)),
        ("a.zip", deflated(&[("a.pcap", &bomb), ("b.pcap", &bomb)])),
        ("streamed.zip", streamed_zip(&[("zeros", &nothing[..]), ("b.pcap", &bomb)])),
        ("a.tar.gz", gzip(&tar(&[("zeros", &nothing[..]), ("b.pcap", &bomb)]))),
        ("twice.gz", gzip(&gzip(&bomb))),
        ("a.cab", cabinet(&[("a.pcap", &bomb)], cab::CompressionType::MsZip)),
    ] {
        let path = below(&folder, name);
        fs::write(&path, &archive).unwrap();
        for run in [
            call(&[&["-f", "json", &path], &bound[..]].concat()),
            piped(&[&["-f", "json", "-"], &bound[..]].concat(), &archive),
        ] {
            // A zip that can be sought in passes over what is no capture without inflating it.
            troubled(&run, &["4 MiB, the most that one input may inflate to", "--max-inflated"]);
            assert!(run.json()["captures"].as_array().unwrap().len() <= 3, "{name}");
        }
        // What is honest passes.
        let run = call(&["-q", "-f", "json", "--max-inflated", "1GiB", &path]);
        assert_eq!(run.exit, 0, "{name}: {run:?}");
    }
}

#[test]
fn a_bomb_in_a_bomb_is_stopped_by_its_ratio() {
    // Zeros deflate to a thousandth, and that again to a hundredth.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let frame = &zeros(1 << 20)[..];
    encoder.write_all(&frame[..24]).unwrap();
    for _ in 0..300 {
        encoder.write_all(&frame[24..]).unwrap();
    }
    let bomb = gzip(&encoder.finish().unwrap());
    assert!(bomb.len() < 30_000, "{}", bomb.len());
    let run = piped(&["-f", "json", "--no-flows", "-"], &bomb);
    troubled(&run, &["inflates to more than 10000 times its size", "--max-inflated"]);
    let frames = run.json()["captures"][0]["frames"].as_u64().unwrap();
    assert!((5_000..6_000).contains(&frames), "{frames} frames of 48 KiB in 256 MiB");
}

// ---- Copies.

#[test]
fn a_capture_that_is_there_twice_counts_once() {
    let folder = folder();
    let pcap = fs::read(seed("pcap")).unwrap();
    fs::create_dir(folder.path().join("old")).unwrap();
    fs::write(folder.path().join("old/copy of site.pcap"), &pcap).unwrap();
    fs::write(folder.path().join("a.zip"), deflated(&[("site.pcap", &pcap)])).unwrap();
    // As long and beginning alike, and yet another.
    let mut other = zeros(200_000);
    fs::write(folder.path().join("y.pcap"), &other).unwrap();
    *other.last_mut().unwrap() = 1;
    fs::write(folder.path().join("z.pcap"), &other).unwrap();
    let root = folder.path().to_str().unwrap();
    for threads in ["1", "8"] {
        let run = call(&["-f", "json", root, "--threads", threads]);
        assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
        let report = run.json();
        assert_eq!(report["totals"]["flows"], 15);
        let same: Vec<&Value> =
            report["captures"].as_array().unwrap().iter().map(|it| &it["same_as"]).collect();
        assert_eq!(same, [&Value::Null, &0.into(), &0.into(), &Value::Null, &Value::Null]);
        let told = messages(&report);
        assert!(told[0].starts_with("the same capture as ") && told[0].contains("a.zip/site.pcap"));
        // No format sees it otherwise.
        let text = call(&["flows", root, "--threads", threads]).stdout;
        assert!(text.contains("15 flows"), "{text}");
    }
    // What comes in by a pipe is compared as well.
    let run = piped(&["flows", "-f", "csv", &below(&folder, "site.pcap"), "-"], &pcap);
    assert_eq!(run.stdout.lines().count(), 16);
}

// ---- Ring buffers.

/// The seed in files of 40 frames, with names in another order than their times.
fn ring() -> Vec<(&'static str, Vec<u8>)> {
    let pcap = fs::read(seed("pcap")).unwrap();
    let (header, mut rest) = pcap.split_at(24);
    let mut files = Vec::new();
    for name in ["c.pcap", "a.pcap", "b.pcap"] {
        let mut file = header.to_vec();
        for _ in 0..40 {
            let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
            file.extend(&rest[..16 + length]);
            rest = &rest[16 + length..];
        }
        files.push((name, file));
    }
    assert!(rest.is_empty());
    files
}

#[test]
fn joined_files_are_one_capture_in_the_order_of_their_times() {
    let folder = tempfile::tempdir().unwrap();
    let files = ring();
    for (name, bytes) in &files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let members: Vec<(&str, &[u8])> = files.iter().map(|(name, file)| (*name, &file[..])).collect();
    let sorted = [members[1], members[2], members[0]];
    let zipped = below(&folder, "ring.zip");
    fs::write(&zipped, deflated(&sorted)).unwrap();
    let expected = flows_of_the_seed();
    for inputs in [
        vec![below(&folder, "b.pcap"), below(&folder, "c.pcap"), below(&folder, "a.pcap")],
        vec![zipped.clone()],
        // A copy of each besides.
        vec![zipped, folder.path().to_str().unwrap().to_owned()],
    ] {
        for threads in ["1", "3"] {
            let mut words = vec!["-f", "json", "--join", "--threads", threads];
            words.extend(inputs.iter().map(String::as_str));
            let run = call(&words);
            assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{inputs:?}");
            let report = run.json();
            assert_eq!(flows(&report, 0), expected, "{inputs:?}");
            assert_eq!(report["totals"]["flows"], 15);
            let captures = report["captures"].as_array().unwrap();
            assert!(paths(&report)[0].ends_with("c.pcap and 2 more, joined"));
            assert_eq!(captures[0]["frames"], 120);
            for (place, (name, _)) in files.iter().enumerate() {
                let part = &captures[place + 1];
                assert!(part["path"].as_str().unwrap().ends_with(name));
                assert_eq!((&part["part_of"], &part["frames"]), (&0.into(), &40.into()));
                let first = format!("holds frames {} to {}", place * 40 + 1, place * 40 + 40);
                let told = part["problems"][0]["message"].as_str().unwrap();
                assert!(told.starts_with(&first), "{told}");
            }
            assert!(captures[4..].iter().all(|copy| !copy["same_as"].is_null()));
        }
    }
    // One by one they tell less: flows that run on from file to file are cut.
    let apart = call(&["-q", "-f", "json", folder.path().to_str().unwrap()]).json();
    assert!(apart["totals"]["flows"].as_u64().unwrap() > 15);
}

#[test]
fn a_damaged_file_in_a_ring_gives_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let files = ring();
    for (place, (name, bytes)) in files.iter().enumerate() {
        let end = bytes.len() - usize::from(place == 1);
        fs::write(folder.path().join(name), &bytes[..end]).unwrap();
    }
    let absent = below(&folder, "absent.pcap");
    let run = call(&["-f", "json", "--join", folder.path().to_str().unwrap(), &absent]);
    troubled(&run, &["a.pcap: frame 40: offset ", "ends in the middle"]);
    troubled(&run, &[&absent, "check the path"]);
    let report = run.json();
    assert_eq!(report["captures"][0]["frames"], 119);
    // The frames behind it are numbered on without a gap: what was the flow of frame 117.
    assert_eq!(report["flows"].as_array().unwrap().last().unwrap()["last_frame"], 116);
}

// ---- Anything.

/// Beginnings of all that is unpacked.
fn magics() -> Vec<Vec<u8>> {
    let pcap = fs::read(testdata().join("ipv6").join("capture.pcap")).unwrap();
    let members = [("a.pcap", &pcap[..]), ("b", b"text")];
    let mut whole: Vec<Vec<u8>> = archives(&members).into_iter().map(|(_, bytes)| bytes).collect();
    whole.push(gzip(&pcap));
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    whole.push(ruzstd::encoding::compress_to_vec(&pcap[..], level));
    let mut xz =
        lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
    xz.write_all(&pcap).unwrap();
    whole.push(xz.finish().unwrap());
    let mut bzip2 = bzip2::read::BzEncoder::new(&pcap[..], bzip2::Compression::fast());
    let mut bytes = Vec::new();
    bzip2.read_to_end(&mut bytes).unwrap();
    whole.push(bytes);
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&pcap).unwrap();
    whole.push(lz4.finish().unwrap());
    whole
}

/// Goes through everything in some bytes; gives the number of contents.
fn walk(bytes: Vec<u8>, as_file: bool) -> usize {
    let reading = Reading { digest: true, ..Reading::default() };
    let bounds = Bounds::of_bytes(1 << 20);
    let contents = if as_file {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        Contents::of_file(file.path(), "trial", reading, bounds).unwrap()
    } else {
        Contents::of_pipe(Box::new(Cursor::new(bytes)), "trial", reading, bounds)
    };
    let mut found = 0;
    for content in contents {
        found += 1;
        assert!(found < 100, "endless");
        if let Ok(mut reader) = content.opened {
            let mut inflated = 0;
            let mut spare = FrameBatch::default();
            while let Some(batch) = reader.next_batch(spare) {
                inflated += batch.frames().map(|frame| frame.bytes.len()).sum::<usize>();
                spare = batch;
            }
            reader.finish();
            assert!(inflated < 3 << 20, "{inflated} bytes, beyond the bound");
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_stops_nothing_and_keeps_the_bounds(
        which in 0..12_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        as_file in any::<bool>(),
    ) {
        let mut bytes = magics().swap_remove(which);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        walk(bytes, as_file);
    }

    #[test]
    fn arbitrary_bytes_behind_a_magic_stop_nothing(
        which in 0..12_usize,
        kept in 4..40_usize,
        rest in prop::collection::vec(any::<u8>(), 0..300),
        as_file in any::<bool>(),
    ) {
        let mut bytes = magics().swap_remove(which);
        bytes.truncate(kept);
        bytes.extend(rest);
        walk(bytes, as_file);
    }
}
