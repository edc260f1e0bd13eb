//! What stays in a text, and what does not.

use super::*;

fn pseudonyms() -> Pseudonyms {
    Pseudonyms::new("a key")
}

#[test]
fn names_and_addresses_go_and_the_sentence_stays() {
    let pseudonyms = pseudonyms();
    let told = pseudonyms.text(
        "no answer from DC01.corp.contoso.com (10.1.0.10:389, also [fe80::1]:88) in frame 101 at \
         2012-11-13T09:30:51.718Z: KDC_ERR_S_PRINCIPAL_UNKNOWN (0x7)",
    );
    for gone in ["DC01", "corp", "contoso", "10.1.0.10", "fe80::1]"] {
        assert!(!told.contains(gone), "{gone} is in: {told}");
    }
    for kept in [
        "no answer from ",
        ":389, also [fe80::",
        "]:88) in frame 101 at 2012-11-13T09:30:51.718Z: ",
        "KDC_ERR_S_PRINCIPAL_UNKNOWN (0x7)",
    ] {
        assert!(told.contains(kept), "{kept} is not in: {told}");
    }
}

#[test]
fn one_name_has_one_pseudonym_in_any_case_and_place() {
    let pseudonyms = pseudonyms();
    let name = pseudonyms.text("MORDORDC");
    assert_eq!(name.len(), LENGTH);
    let told = pseudonyms.text("\\\\mordordc\\IPC$ and MordorDC.theshire.local");
    assert_eq!(told.matches(&name).count(), 2, "{told}");
    assert_ne!(Pseudonyms::new("another").text("MORDORDC"), name);
}

#[test]
fn an_endpoint_a_block_and_a_reversed_name_hold_addresses() {
    let pseudonyms = pseudonyms();
    let of = |text: &str| pseudonyms.text(text);
    let address = of("10.1.0.10");
    assert_eq!(of("10.1.0.10:389"), format!("{address}:389"));
    assert_eq!(of("10.1.0.10."), format!("{address}."));
    assert_eq!(of("(10.1.0.10)"), format!("({address})"));
    let block: ipnet::IpNet = of("10.1.0.0/16").parse().unwrap();
    assert!(block.contains(&address.parse::<IpAddr>().unwrap()));
    assert_eq!(block.trunc(), block);
    assert!(!of("PTR 10.0.1.10.in-addr.arpa").contains("10.0.1.10"));
    assert_eq!(of("version 3.1.1, 12:15:30"), "version 3.1.1, 12:15:30");
}

#[test]
fn the_words_are_the_programs_own() {
    let words: BTreeSet<&str> = WORDS.lines().collect();
    for own in ["refused", "kdc_err_preauth_required", "drsuapi", "retransmission", "_msdcs"] {
        assert!(words.contains(own), "{own}");
    }
    // Names of hosts and domains in tests and comments.
    for name in ["contoso", "mordordc", "cas01", "dc01", "theshire"] {
        assert!(!words.contains(name), "{name}");
    }
}

#[test]
fn the_address_of_a_network_card_is_replaced_as_a_whole() {
    let pseudonyms = Pseudonyms::new("key");
    let one = pseudonyms.text("08:00:27:16:66:59");
    assert!(one.starts_with("02:") && one.len() == 17 && !one.contains("27:16"), "{one}");
    assert_eq!(
        pseudonyms.text("sent by 08:00:27:16:66:59, twice"),
        format!("sent by {one}, twice")
    );
    assert_ne!(pseudonyms.text("08:00:27:16:66:5A"), one);
    // Longer runs of digits are something else.
    assert_eq!(pseudonyms.text("10:15:00"), "10:15:00");
}

#[test]
fn addresses_in_names_of_hosts_and_files_are_replaced_too() {
    let pseudonyms = pseudonyms();
    let address = pseudonyms.text("10.1.77.213");
    for text in [
        "trace_10.1.77.213.pcap",
        "DC10.1.77.213",
        "trace_10.1.77.213.389",
        "dc01.10.1.77.213.pcap",
        "10.1.77.213.10.1.77.213",
        "10.1.77.213-10.1.77.213",
        "010.001.077.213.00389-010.002.000.001.50000",
    ] {
        let told = pseudonyms.text(text);
        assert!(told.contains(&address) && !told.contains("213"), "{text}: {told}");
        assert!(!told.contains("77"), "{text}: {told}");
    }
    for text in ["ip-10-1-77-213.ec2.internal", "host10-1-77-213", "10-1-77-213"] {
        let told = pseudonyms.text(text);
        assert!(told.contains(&address.replace('.', "-")), "{text}: {told}");
    }
    // Dates, ranges, and versions of more or fewer numbers.
    for text in ["2014-05-27", "49152-65535", "20.04.1", "5.10.0", "tcp 88-90"] {
        assert_eq!(pseudonyms.text(text), text);
    }
}

#[test]
fn cards_with_hyphens_and_security_identifiers_are_replaced() {
    let pseudonyms = pseudonyms();
    let card = pseudonyms.text("00:50:56:12:34:56");
    assert_eq!(
        pseudonyms.text("card 00-50-56-12-34-56"),
        format!("card {}", card.replace(':', "-"))
    );
    let told = pseudonyms.text("account S-1-5-21-3623811015-3361044348-30300820-1013 failed");
    assert!(told.starts_with("account S-1-5-21-") && told.ends_with(" failed"), "{told}");
    for number in ["3623811015", "3361044348", "30300820", "1013"] {
        assert!(!told.contains(number), "{told}");
    }
    assert_eq!(told.matches('-').count(), 7, "{told}");
}
