//! Lines of setup: `text  $$<Configuration Manager Setup><05-27-2014 10:15:02.123-120><thread=1234
//! (0x4D2)>` as `ConfigMgrSetup.log` and all server components write them, and
//! `<05-27-2014 10:15:02> text` as `ConfigMgrPrereq.log` does.

use crate::capture::Severity;
use crate::log::message::Message;
use crate::log::when;

/// What stands between the text and its marks.
const MARKS: &str = "$$<";

/// Reads a line whose marks stand behind its text. `before` are lines of the same text.
pub(super) fn read_marked(text: &str, line: u64, before: &[String]) -> Option<Message> {
    let (said, marks) = text.rsplit_once(MARKS)?;
    let (component, marks) = marks.split_once('>')?;
    let (when, _) = marks.trim_start().strip_prefix('<')?.split_once('>')?;
    let (date, time) = when.trim().split_once(' ')?;
    let mut all = before.to_vec();
    all.push(said.to_owned());
    let said = all.join("\n");
    Some(Message {
        line,
        severity: severity_of(&said),
        // Setup writes a tilde for a line end.
        text: said.trim_matches(|letter: char| letter == '~' || letter.is_whitespace()).to_owned(),
        time: when::of_configmgr(date, time),
        component: Some(component.trim().to_owned()).filter(|name| !name.is_empty()),
    })
}

/// Whether a line has its marks behind its text.
pub(super) fn is_marked(text: &str) -> bool {
    text.contains(MARKS)
}

/// Reads the first line of a message whose time stands before its text.
pub(super) fn read_timed(text: &str, line: u64) -> Option<Message> {
    let (when, said) = text.strip_prefix('<')?.split_once('>')?;
    let (date, time) = when.trim().split_once(' ')?;
    let time = when::of_configmgr(date, time)?;
    let said = said.trim();
    Some(Message {
        line,
        severity: severity_of(said),
        text: said.to_owned(),
        time: Some(time),
        component: None,
    })
}

/// How bad a line without a mark is, where it says so at its beginning or, as the check of
/// prerequisites does, between semicolons.
fn severity_of(text: &str) -> Option<Severity> {
    let text = text.trim_start_matches(|letter: char| letter == '~' || letter.is_whitespace());
    let begins = |word: &str| {
        text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && !text.get(word.len()..).is_some_and(|rest| rest.starts_with(char::is_alphanumeric))
    };
    let states =
        |word: &str| text.split(';').skip(1).any(|part| part.trim().eq_ignore_ascii_case(word));
    // Three stars begin what the driver of SQL Server complains of.
    if ["ERROR", "FATAL", "***"].into_iter().any(begins) || states("Error") || states("Failed") {
        Some(Severity::Error)
    } else if begins("WARNING") || states("Warning") {
        Some(Severity::Warning)
    } else if begins("INFO") || states("Passed") {
        Some(Severity::Info)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_behind_the_text() {
        // The shape of the line in Microsoft's article on drivers of SQL Server.
        let line = " *** [08001][10060][Microsoft][SQL Server Native Client 11.0]TCP Provider: no \
                    answer~~  $$<Configuration Manager Setup><08-22-2016 04:15:01.917+420><thread=2868 (0xB34)>";
        let message = read_marked(line, 3, &[]).unwrap();
        assert!(
            message.text.starts_with("*** [08001][10060]") && message.text.ends_with("no answer")
        );
        assert_eq!(message.time.unwrap().to_string(), "2016-08-22T11:15:01.917Z");
        assert_eq!(message.severity, Some(Severity::Error));
        assert_eq!(message.component.as_deref(), Some("Configuration Manager Setup"));
    }

    #[test]
    fn a_message_of_several_lines_is_one() {
        let before = ["ERROR: one".to_owned(), "two".to_owned()];
        let message =
            read_marked("three $$<Setup><05-27-2014 10:15:02.123+0>", 1, &before).unwrap();
        assert_eq!(message.text, "ERROR: one\ntwo\nthree");
        assert_eq!(message.severity, Some(Severity::Error));
    }

    #[test]
    fn the_check_of_prerequisites_tells_its_time_first() {
        let line = "<05-27-2014 10:15:02> CAS01.corp.example;    SQL Server sysadmin rights;    Error;    \
                    setup cannot connect";
        let message = read_timed(line, 9).unwrap();
        assert_eq!(message.time.unwrap().to_string(), "2014-05-27T10:15:02");
        assert_eq!(message.severity, Some(Severity::Error));
        assert!(message.text.starts_with("CAS01.corp.example;"));
        assert!(read_timed("<html> text", 1).is_none());
        assert!(read_timed("<05-27-2014 10:15> text", 1).is_none());
    }

    #[test]
    fn words_at_the_beginning_tell_how_bad_it_is() {
        for (text, expected) in [
            ("ERROR: Failed to connect", Some(Severity::Error)),
            ("~FATAL: no way", Some(Severity::Error)),
            ("WARNING: slow", Some(Severity::Warning)),
            ("INFO: error code is 0", Some(Severity::Info)),
            ("Errors: none", None),
            ("CM01;    Schema extensions;    Warning;    not extended", Some(Severity::Warning)),
            ("CM01;    Schema extensions;    Passed", Some(Severity::Info)),
        ] {
            assert_eq!(severity_of(text), expected, "{text}");
        }
    }
}
