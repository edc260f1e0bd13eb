//! Lines of the components of Configuration Manager, in the form that `CMTrace` shows best:
//! `<![LOG[text]LOG]!><time="10:15:02.123-120" date="05-27-2014" component="..." context=""
//! type="3" thread="1234" file="...">`.
//!
//! The form is that of Microsoft's *About log files in Configuration Manager*; the text may hold
//! line ends.

use crate::capture::Severity;
use crate::log::message::Message;
use crate::log::when;

/// Begins a message.
pub(super) const BEGIN: &str = "<![LOG[";
/// Ends its text.
pub(super) const END: &str = "]LOG]!>";

/// Reads a whole message. Gives too what follows it on its line, which may be another.
pub(super) fn read(text: &str, line: u64) -> Option<(Message, &str)> {
    let (said, rest) = text.trim_start().strip_prefix(BEGIN)?.split_once(END)?;
    let (marks, rest) = rest.strip_prefix('<')?.split_once('>')?;
    let (date, time) = (mark(marks, "date"), mark(marks, "time"));
    let severity = match mark(marks, "type") {
        Some("3") => Some(Severity::Error),
        Some("2") => Some(Severity::Warning),
        // 0 is what some parts of setup write for good news.
        Some("0" | "1") => Some(Severity::Info),
        Some(_) | None => None,
    };
    let message = Message {
        line,
        text: said.to_owned(),
        time: date.zip(time).and_then(|(date, time)| when::of_configmgr(date, time)),
        severity,
        component: mark(marks, "component").filter(|name| !name.is_empty()).map(str::to_owned),
    };
    Some((message, rest))
}

/// The value of a mark: `3` for `type` in `type="3"`.
fn mark<'a>(marks: &'a str, name: &str) -> Option<&'a str> {
    marks.match_indices(name).find_map(|(at, _)| {
        let before = marks.get(..at)?.chars().next_back();
        let value = marks.get(at + name.len()..)?.trim_start().strip_prefix('=')?.trim_start();
        let alone = before.is_none_or(char::is_whitespace);
        alone.then(|| value.strip_prefix('"')?.split_once('"').map(|(value, _)| value))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_text_time_component_and_type() {
        let line = "<![LOG[Unable to connect to WMI on remote machine]LOG]!><time=\"10:15:02.123-120\" \
                    date=\"05-27-2014\" component=\"SMS_CLIENT_CONFIG_MANAGER\" context=\"\" type=\"3\" \
                    thread=\"4321\" file=\"ccm.cpp:1\">";
        let (message, rest) = read(line, 7).unwrap();
        assert_eq!(message.text, "Unable to connect to WMI on remote machine");
        assert_eq!(message.time.unwrap().to_string(), "2014-05-27T08:15:02.123Z");
        assert_eq!(message.severity, Some(Severity::Error));
        assert_eq!(message.component.as_deref(), Some("SMS_CLIENT_CONFIG_MANAGER"));
        assert_eq!((message.line, rest), (7, ""));
    }

    #[test]
    fn marks_may_miss_or_be_wrong() {
        let (message, rest) =
            read("<![LOG[text]LOG]!><type=\"2\" date=\"x\" time=\"y\">behind", 1).unwrap();
        assert_eq!(message.severity, Some(Severity::Warning));
        assert_eq!((message.time, message.component), (None, None));
        assert_eq!(rest, "behind");
        assert_eq!(mark("datetime=\"1\" time=\"2\"", "time"), Some("2"));
        assert_eq!(mark("time=2", "time"), None);
        for cut in ["<![LOG[text]LOG]!>", "<![LOG[text]LOG]!><time=", "<![LOG[text", "text"] {
            assert!(read(cut, 1).is_none(), "{cut}");
        }
    }
}
