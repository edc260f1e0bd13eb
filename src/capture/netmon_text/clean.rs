//! Undoes what blogs, mails and word processors do to a line.
//!
//! Entities, markup, typographic dashes, quotes and ellipses, blanks of all widths, and the
//! backslashes of Markdown. What a tag breaks into lines or cells becomes lines and tabs. What is
//! left is text as Network Monitor copies it, or close to it.

/// Bytes of a tag that are looked at.
const MOST_TAG_BYTES: usize = 2000;

/// Tags that end a line.
const LINE_TAGS: [&str; 16] = [
    "br",
    "p",
    "tr",
    "div",
    "li",
    "pre",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "ul",
    "ol",
    "blockquote",
    "section",
];
/// Tags that end a cell.
const CELL_TAGS: [&str; 2] = ["td", "th"];
/// Tags that mean nothing here.
const OTHER_TAGS: [&str; 24] = [
    "a", "b", "i", "u", "s", "em", "strong", "span", "font", "code", "small", "sub", "sup", "tt",
    "samp", "kbd", "tbody", "thead", "img", "body", "html", "mark", "wbr", "label",
];

/// The line as it was copied. Lines that were joined by markup come apart at `\n`, cells at `\t`.
pub(super) fn clean(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = after;
        match letter {
            '&' => match entity(after) {
                Some((decoded, length)) => {
                    push(&mut out, decoded);
                    rest = after.get(length..).unwrap_or_default();
                }
                None => out.push('&'),
            },
            '<' => match tag(after) {
                Some((meaning, length)) => {
                    out.push_str(meaning);
                    rest = after.get(length..).unwrap_or_default();
                }
                None => out.push('<'),
            },
            // Markdown escapes punctuation; a path's backslashes stand before letters.
            '\\' if after
                .starts_with(['.', '…', '_', '*', '[', ']', '{', '}', '(', ')', '#', '|']) => {}
            other => push(&mut out, other),
        }
    }
    out
}

/// Pushes a character in its plain form.
fn push(out: &mut String, letter: char) {
    match letter {
        '…' => out.push_str("..."),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
        '\u{2018}'..='\u{201b}' => out.push('\''),
        '\u{201c}'..='\u{201f}' => out.push('"'),
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => out.push(' '),
        // No width: soft hyphen, zero width blanks and joiners, byte order mark.
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => {}
        '\t' => out.push('\t'),
        control if control.is_control() => out.push(' '),
        other => out.push(other),
    }
}

/// The character of an entity, and the bytes that it takes behind the `&`.
fn entity(after: &str) -> Option<(char, usize)> {
    // Text that was escaped twice: `&amp;nbsp;`.
    if let Some(inner) = after.strip_prefix("amp;") {
        return match simple_entity(inner) {
            Some((decoded, length)) => Some((decoded, length + "amp;".len())),
            None => Some(('&', "amp;".len())),
        };
    }
    simple_entity(after)
}

fn simple_entity(after: &str) -> Option<(char, usize)> {
    let length = after.bytes().take(10).position(|byte| byte == b';')?;
    let name = after.get(..length)?;
    let decoded = match name {
        "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
        "lt" => '<',
        "gt" => '>',
        "quot" | "ldquo" | "rdquo" => '"',
        "apos" | "lsquo" | "rsquo" => '\'',
        "hellip" => '…',
        "ndash" | "mdash" | "minus" => '-',
        "shy" | "zwj" | "zwnj" => '\u{ad}',
        "middot" => '.',
        "lbrace" | "lcub" => '{',
        "rbrace" | "rcub" => '}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((decoded, length + 1))
}

/// What a tag stands for, and the bytes that it takes behind the `<`.
fn tag(after: &str) -> Option<(&'static str, usize)> {
    let closes = after.starts_with('/');
    let name = after.strip_prefix('/').unwrap_or(after);
    let name_length = name.bytes().take(12).take_while(u8::is_ascii_alphanumeric).count();
    let name = name.get(..name_length)?.to_ascii_lowercase();
    let end = after.bytes().take(MOST_TAG_BYTES).position(|byte| matches!(byte, b'>' | b'<'))?;
    if after.as_bytes().get(end) != Some(&b'>') {
        return None;
    }
    let is = |tags: &[&str]| tags.contains(&name.as_str());
    let meaning = if is(&LINE_TAGS) {
        "\n"
    } else if is(&CELL_TAGS) {
        // The end of a cell; its beginning stands where the one before ended.
        if closes { "\t" } else { "" }
    } else if is(&OTHER_TAGS) {
        ""
    } else {
        return None;
    };
    Some((meaning, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_publishing_does_is_undone() {
        for (line, expected) in [
            ("Flags=…A..S.", "Flags=...A..S."),
            ("Flags=&#8230;A&#x2026;.", "Flags=...A...."),
            ("Flags=&hellip;&hellip;S.", "Flags=......S."),
            ("Flags=\\...A\\....,", "Flags=...A....,"),
            ("A&nbsp;\u{a0}\u{2009}B\u{200b}C", "A   BC"),
            ("Seq=1 – 2", "Seq=1 - 2"),
            ("\u{201c}x\u{201d} \u{2018}y\u{2019}", "\"x\" 'y'"),
            ("&gt; &lt;span&gt; &amp;nbsp;&amp;", "> <span>  &"),
            ("<p class=\"x\">a</p>b<br />c", "\na\nb\nc"),
            ("<tr><td>1</td><td>2</td></tr>", "\n1\t2\t\n"),
            ("<span style='a'>TCP</span>:", "TCP:"),
            ("NAME <0x1C> <server> a < b", "NAME <0x1C> <server> a < b"),
            ("Path=\\\\S\\IPC$", "Path=\\\\S\\IPC$"),
            ("a\u{7}b\tc", "a b\tc"),
        ] {
            assert_eq!(clean(line), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn plain_text_stays_and_no_text_stops_it(text in "[ -%'-;=?-\\[\\]-~]{0,60}", any in "\\PC{0,60}") {
            prop_assert_eq!(clean(&text), text);
            prop_assert!(!clean(&any).contains('…'));
        }
    }
}
