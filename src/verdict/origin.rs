//! Who refused: the host itself, or a device that speaks in its name.
//!
//! A first version that looks at the one packet. RFC 9293 3.10.7.1: a closed port answers a SYN
//! with sequence number 0 and acknowledges the SYN; a window of 0 is usual. Devices that build
//! the reset from the SYN copy its fields. One odd field is no proof (stacks differ); two that
//! agree are taken for a device's work.

use crate::flow::{Evidence, EvidenceKind, Flow, Sender};
use crate::verdict::record::Origin;

/// Origin of the refusal of a flow, and the signs, a sentence each.
pub(super) fn of_refusal(flow: &Flow) -> (Origin, Vec<String>) {
    let find = |sender, kind| {
        let of = move |evidence: &&Evidence| evidence.sender == sender && evidence.kind == kind;
        flow.evidence.iter().find(of)
    };
    let (Some(syn), Some(reset)) =
        (find(Sender::Initiator, EvidenceKind::Syn), find(Sender::Responder, EvidenceKind::Rst))
    else {
        return (Origin::Unknown, vec!["the SYN or the reset is not in the evidence".to_owned()]);
    };
    let mut against_host = Vec::new();
    if let Some(seq) = reset.seq
        && seq.0 != 0
    {
        against_host.push(format!(
            "the reset in frame {} has sequence number {seq}; a closed port sends 0 \
             (RFC 9293, 3.10.7.1)",
            reset.frame
        ));
    }
    if let (Some(window), Some(syn_window)) = (reset.window, syn.window)
        && window != 0
        && window == syn_window
    {
        against_host.push(format!(
            "its window {window} is that of the SYN in frame {}; a closed port usually sends 0",
            syn.frame
        ));
    }
    if let (Some(id), Some(syn_id)) = (reset.ip_id, syn.ip_id)
        && id != 0
        && id == syn_id
    {
        against_host
            .push(format!("its IP identification {id} is that of the SYN in frame {}", syn.frame));
    }
    if against_host.len() >= 2 {
        return (Origin::Middlebox, against_host);
    }
    if !against_host.is_empty() {
        return (Origin::Unknown, against_host);
    }
    if reset.seq.is_none() {
        let untold = format!(
            "the sequence number that the reset in frame {} had on the wire is not told",
            reset.frame
        );
        return (Origin::Unknown, vec![untold]);
    }
    let fits = format!(
        "the reset in frame {} has sequence number 0 and acknowledges the SYN, as a closed port \
         answers (RFC 9293, 3.10.7.1)",
        reset.frame
    );
    match reset.window {
        Some(0) => (Origin::Host, vec![fits]),
        Some(window) => {
            (Origin::Host, vec![fits, format!("its window is {window} rather than the usual 0")])
        }
        None => (Origin::Unknown, vec![fits, "its window is cut off".to_owned()]),
    }
}
