//! What paths of ConfigMgr and WSUS are for, and what they prove of both sides.

use crate::probe::Duty;

/// Beginnings of paths, in lower case, and what is behind them. The longer ones first.
const PATHS: &[(&str, &str)] = &[
    ("/sms_mp/.sms_aut?mplist", "list of management points"),
    ("/sms_mp/.sms_aut?mpcert", "certificate of the management point"),
    ("/sms_mp/.sms_pol", "policy from the management point"),
    ("/sms_mp/.sms_dcm", "compliance baselines from the management point"),
    ("/sms_mp", "management point"),
    ("/ccm_system_windowsauth", "client messages to the management point, with Windows sign-in"),
    ("/ccm_system_tokenauth", "client messages to the management point, with token sign-in"),
    ("/ccm_system_aad", "client messages to the management point, with Entra sign-in"),
    ("/ccm_system", "client messages to the management point"),
    ("/ccm_incoming", "upload to the management point"),
    ("/ccm_client", "client files from the management point"),
    ("/ccm_proxy", "cloud management gateway"),
    ("/ccmtokenauth_sms_dp_smspkg", "content of the distribution point"),
    ("/ccmtokenauth", "management point, with token sign-in"),
    ("/bgb", "client notification"),
    ("/sms_fsp", "fallback status point"),
    ("/sms_dp_smspkg", "content of the distribution point"),
    ("/sms_dp_smssig", "content signatures of the distribution point"),
    ("/nocert_sms_dp_smspkg", "content of the distribution point"),
    ("/smspkg", "content of the distribution point"),
    ("/cmuserservice", "software center's application catalog"),
    ("/cmenrollmentservice", "enrollment point"),
    ("/enrollmentserver", "enrollment proxy point"),
    ("/adminservice", "administration service of the SMS Provider"),
    ("/selfupdate", "WSUS self-update"),
    ("/clientwebservice", "WSUS scan"),
    ("/simpleauthwebservice", "WSUS client sign-in"),
    ("/reportingwebservice", "WSUS status reports"),
    ("/serversyncwebservice", "WSUS synchronisation from upstream"),
    ("/dssauthwebservice", "WSUS sign-in of a downstream server"),
    ("/apiremoting30", "WSUS administration by the site server"),
    ("/wsman", "Windows remote management"),
    ("/certsrv/mscep", "certificate enrollment (NDES)"),
];

/// Beginnings of paths, in lower case, with the duty of the host that serves them and, where one
/// can be told, of its caller. Paths that other products have too are left out.
const DUTIES: &[(&str, Duty, Option<Duty>)] = &[
    ("/sms_mp", Duty::ManagementPoint, Some(Duty::Client)),
    ("/ccm_system", Duty::ManagementPoint, Some(Duty::Client)),
    ("/ccm_incoming", Duty::ManagementPoint, Some(Duty::Client)),
    ("/bgb", Duty::ManagementPoint, Some(Duty::Client)),
    ("/ccm_proxy", Duty::CloudGateway, Some(Duty::Client)),
    ("/sms_fsp", Duty::FallbackStatusPoint, Some(Duty::Client)),
    ("/sms_dp_sms", Duty::DistributionPoint, Some(Duty::Client)),
    ("/nocert_sms_dp_smspkg", Duty::DistributionPoint, Some(Duty::Client)),
    ("/ccmtokenauth_sms_dp_smspkg", Duty::DistributionPoint, Some(Duty::Client)),
    ("/cmenrollmentservice", Duty::EnrollmentPoint, Some(Duty::EnrollmentProxyPoint)),
    ("/adminservice/", Duty::SmsProvider, Some(Duty::Console)),
    ("/selfupdate/", Duty::SoftwareUpdatePoint, Some(Duty::Client)),
    ("/clientwebservice/", Duty::SoftwareUpdatePoint, Some(Duty::Client)),
    ("/simpleauthwebservice/", Duty::SoftwareUpdatePoint, Some(Duty::Client)),
    // Clients report here, and so do downstream servers.
    ("/reportingwebservice/", Duty::SoftwareUpdatePoint, None),
    ("/serversyncwebservice/", Duty::SoftwareUpdatePoint, Some(Duty::SoftwareUpdatePoint)),
    ("/dssauthwebservice/", Duty::SoftwareUpdatePoint, Some(Duty::SoftwareUpdatePoint)),
    ("/apiremoting30/", Duty::SoftwareUpdatePoint, Some(Duty::SiteServer)),
];

/// The duties that a path stands for: of the host that serves it, and of its caller.
pub(super) fn duties(path: &str) -> Option<(Duty, Option<Duty>)> {
    let path = lower(path);
    let known = DUTIES.iter().find(|(begin, ..)| path.starts_with(begin));
    known.map(|(_, serves, calls)| (*serves, *calls))
}

/// A path with one slash before it: some callers double it.
fn lower(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/')).to_ascii_lowercase()
}

/// What a path is for, if it is one of ConfigMgr's or WSUS's.
pub(super) fn purpose(path: &str) -> Option<&'static str> {
    let path = lower(path);
    PATHS.iter().find(|(begin, _)| path.starts_with(begin)).map(|(_, purpose)| *purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_known_in_any_case() {
        assert_eq!(purpose("/sms_mp/.sms_aut?MPList"), Some("list of management points"));
        assert_eq!(
            purpose("//DssAuthWebService/DssAuthWebService.asmx"),
            Some("WSUS sign-in of a downstream server")
        );
        assert_eq!(purpose("/index.html"), None);
    }

    #[test]
    fn a_path_that_proves_a_duty_has_a_purpose() {
        for (path, ..) in DUTIES {
            assert!(purpose(&format!("{path}pkg")).is_some(), "{path}");
        }
        assert_eq!(
            duties("/SMS_MP/.sms_aut?MPList"),
            Some((Duty::ManagementPoint, Some(Duty::Client)))
        );
        assert_eq!(duties("/reports"), None);
    }

    #[test]
    fn no_path_hides_a_longer_one() {
        for (index, (path, _)) in PATHS.iter().enumerate() {
            let hidden = PATHS.iter().take(index).find(|(earlier, _)| path.starts_with(earlier));
            assert!(hidden.is_none(), "{path}");
        }
    }
}
