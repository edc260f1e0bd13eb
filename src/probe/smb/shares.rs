//! What opening a share proves of both sides.

use crate::probe::{Duty, Holder, Meaning};

/// Tells the duties that a share stands for. Its host has opened it to the caller.
pub(super) fn tell(path: &str, signals: &mut Vec<Meaning>) {
    let Some((_, share)) = path.trim_end_matches('\\').rsplit_once('\\') else { return };
    let share = share.to_ascii_uppercase();
    let mut does = |holder, duty, verb: &str| {
        signals.push(Meaning::Does { holder, duty, how: format!("{verb} the share {share}") });
    };
    match share.as_str() {
        // Every domain controller has it, and nothing else.
        "SYSVOL" => does(Holder::Speaker, Duty::DomainController, "has"),
        // Where site servers put content; clients get it over HTTP.
        "SMS_DP$" => {
            does(Holder::Speaker, Duty::DistributionPoint, "has");
            does(Holder::Peer, Duty::SiteServer, "opened");
        }
        _ if is_of_site(&share) => does(Holder::Speaker, Duty::SiteServer, "has"),
        _ => {}
    }
}

/// `SMS_P01`: the share of a site server, called after its site. Site codes have three letters or
/// digits, and may not be SMS or CCM.
fn is_of_site(share: &str) -> bool {
    share.strip_prefix("SMS_").is_some_and(|code| {
        code.len() == 3
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && !matches!(code, "SMS" | "CCM")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duties(path: &str) -> Vec<(Holder, Duty)> {
        let mut signals = Vec::new();
        tell(path, &mut signals);
        let duty = |signal: &Meaning| {
            if let Meaning::Does { holder, duty, .. } = signal {
                return Some((*holder, *duty));
            }
            None
        };
        signals.iter().filter_map(duty).collect()
    }

    #[test]
    fn shares_of_controllers_and_sites_tell_who_has_them() {
        let dc = (Holder::Speaker, Duty::DomainController);
        assert_eq!(duties(r"\dc1.example.com\SYSVOL"), [dc]);
        assert_eq!(duties(r"\dc1\sysvol\"), [dc]);
        assert_eq!(duties(r"\cm01\SMS_P01"), [(Holder::Speaker, Duty::SiteServer)]);
        let both = [(Holder::Speaker, Duty::DistributionPoint), (Holder::Peer, Duty::SiteServer)];
        assert_eq!(duties(r"\dp01\SMS_DP$"), both);
    }

    #[test]
    fn shares_of_anybody_tell_nothing() {
        for path in [r"\a\IPC$", r"\a\SMS_CCM", r"\a\SMS_SITE", r"\a\SMS_PÖ", "", r"\"] {
            assert_eq!(duties(path), [], "{path}");
        }
    }
}
