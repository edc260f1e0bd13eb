//! Names whose failure says nothing of the directory.
//!
//! A DNS server that cannot reach the internet answers SERVFAIL to every lookup that Windows does of
//! its own accord (updates, telemetry, certificates, the test for a network). Many sites mean it so,
//! and the names of the directory are served all the same. So these lookups are told and are no
//! failure. Any other name may be the directory's and counts: a conditional forwarder that is
//! broken looks like this.

/// Domains of the internet that Windows and its browsers look up unasked (Microsoft Learn "Manage
/// connection endpoints for Windows", and those of the certificate authorities that it names).
const UNASKED: &[&str] = &[
    "akadns.net",
    "akamaiedge.net",
    "akamaized.net",
    "azure.com",
    "azureedge.net",
    "bing.com",
    "digicert.com",
    "globalsign.com",
    "google.com",
    "googleapis.com",
    "gstatic.com",
    "gvt1.com",
    "live.com",
    "live.net",
    "microsoft.com",
    "mozilla.com",
    "mozilla.net",
    "mozilla.org",
    "msedge.net",
    "msftconnecttest.com",
    "msftncsi.com",
    "msn.com",
    "msocsp.com",
    "ntp.org",
    "office.com",
    "office.net",
    "office365.com",
    "public-trust.com",
    "skype.com",
    "trafficmanager.net",
    "verisign.com",
    "windows.com",
    "windows.net",
    "windowsupdate.com",
    "xboxlive.com",
];

/// Zones of names for addresses (RFC 1035 3.5, RFC 3596 2.5). Nothing of a sign-on needs them.
const REVERSE: &[&str] = &["in-addr.arpa", "ip6.arpa"];

/// Whether a lookup that fails says nothing of the directory.
pub(crate) fn is_outside(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_within = |zone: &&str| {
        name.strip_suffix(*zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    UNASKED.iter().any(is_within) || REVERSE.iter().any(is_within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_windows_asks_of_the_internet_is_outside() {
        for name in ["slscr.update.microsoft.com", "WWW.Bing.com.", "9.0.168.192.in-addr.arpa"] {
            assert!(is_outside(name), "{name}");
        }
    }

    #[test]
    fn any_other_name_may_be_the_directorys() {
        for name in ["", "appserver", "dc1.notmicrosoft.com", "_ldap._tcp.dc._msdcs.contoso.com"] {
            assert!(!is_outside(name), "{name}");
        }
    }
}
