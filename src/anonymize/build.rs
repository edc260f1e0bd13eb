//! Run when the program is built: lists the words of its own sentences, tables and profiles, which
//! anonymous reports keep. Not a part of the program.
//!
//! Words are taken from string literals, those of tests left out, and from the tables and profiles
//! that are stored beside the sources.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs, io};

/// Words of file names and of ends of host names, which tell nothing.
const COMMON: [&str; 12] = [
    "_sites", "_tcp", "_udp", "arpa", "cap", "com", "etl", "local", "net", "org", "pcap", "pcapng",
];

/// Files and folders that hold what others write, or what only tests say.
const PASSED_OVER: [&str; 6] =
    ["tests", "tests.rs", "samples", "sample.rs", "script.rs", "build.rs"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src");
    let mut words: BTreeSet<String> = COMMON.iter().map(|word| (*word).to_owned()).collect();
    collect(Path::new("src"), &mut words)?;
    let list: Vec<String> = words.into_iter().collect();
    let folder = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo names no folder"))?;
    fs::write(Path::new(&folder).join("words.txt"), list.join("\n"))
}

fn collect(folder: &Path, words: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if PASSED_OVER.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, words)?;
            continue;
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => literals(&fs::read_to_string(&path)?, words),
            Some("toml" | "tsv") => add(&fs::read_to_string(&path)?, words),
            _ => {}
        }
    }
    Ok(())
}

/// Adds the words of the string literals before the tests of a file.
fn literals(source: &str, words: &mut BTreeSet<String>) {
    let source = source.split("mod tests {").next().unwrap_or_default();
    for line in code(source) {
        add(&line, words);
    }
}

/// The contents of the string literals of a source.
fn code(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut letters = source.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '/' if letters.peek() == Some(&'/') => {
                letters.by_ref().find(|letter| *letter == '\n');
            }
            // A quote as a character is no string.
            '\'' if letters.peek() == Some(&'"') => {
                letters.next();
            }
            '"' => {
                let mut literal = String::new();
                while let Some(letter) = letters.next() {
                    match letter {
                        '"' => break,
                        '\\' => {
                            letters.next();
                            literal.push(' ');
                        }
                        letter => literal.push(letter),
                    }
                }
                found.push(literal);
            }
            _ => {}
        }
    }
    found
}

fn add(text: &str, words: &mut BTreeSet<String>) {
    for word in text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')) {
        let lower = word.to_lowercase();
        if lower.chars().count() > 1 && lower.chars().any(char::is_alphabetic) {
            words.insert(lower);
        }
    }
}
