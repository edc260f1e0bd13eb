//! One line that stands alone: who, whom, on what, and what happened.

use crate::diagnosis::FindingKind;
use crate::diagnosis::cause::Weight;
use crate::diagnosis::grouping::Group;
use crate::diagnosis::shares::Facet;
use crate::diagnosis::wording::{Words, always_reached, dropper, services, sides};
use crate::matrix::count_of;

pub(in crate::diagnosis) fn title(words: &Words<'_, '_>, group: &Group<'_>) -> String {
    let shares = &group.shares;
    let Some(share) = shares.first() else { return String::new() };
    let (from, to) = sides(words, group);
    let on = services(shares);
    if share.weight == Weight::NoListener && group.facet() == Facet::NoListener {
        return format!("{from} did not reach {on} of {to}, where nothing is known to listen");
    }
    match group.kind {
        FindingKind::CallerCutOff => {
            format!("nobody answers {from}: it called {to} on {on}")
        }
        FindingKind::HostUnreachable => {
            format!("nothing answers at {to}: {from} called on {on}")
        }
        FindingKind::NameServerSilent => {
            format!("{from} gets no answer from name server {to} on {on}")
        }
        FindingKind::DroppedHere => match dropper(share) {
            Some((machine, sender)) if machine == sender => {
                let other = if machine == share.cell.from.address { to } else { from };
                format!("{} itself drops what it sends to {other} on {on}", words.titled(machine))
            }
            Some((machine, sender)) => {
                let (machine, sender) = (words.titled(machine), words.titled(sender));
                format!("{machine} itself drops what {sender} sends to it on {on}")
            }
            None => format!("the capturing machine drops what {from} sends to {to} on {on}"),
        },
        FindingKind::PortBlocked => {
            let cause = group.cause;
            let what = if cause == FindingKind::Prohibited {
                "is prohibited"
            } else if cause == FindingKind::Refused {
                "is refused"
            } else if cause == FindingKind::Unconfirmed {
                "stays half open"
            } else {
                "gets no answer"
            };
            format!("{on} {what} from any host that was called: {from} called {to}")
        }
        FindingKind::Dropped | FindingKind::UdpUnanswered => {
            let but = if group.kind == FindingKind::Dropped { "" } else { "; over TCP it works" };
            format!("{from} gets no answer from {to} on {on}{but}")
        }
        FindingKind::Prohibited => format!("{from} is told that {to} is prohibited on {on}"),
        FindingKind::Refused => format!("{from} is refused by {to}, or on the way, on {on}"),
        FindingKind::Unconfirmed => {
            format!("connections from {from} to {to} stay half open on {on}")
        }
        FindingKind::Unreachable => format!("{from} is told that {to} is unreachable on {on}"),
        FindingKind::RefusedByHost => format!("{to} itself refuses {from} on {on}"),
        FindingKind::ServiceFailed if group.facet() == Facet::Rights => {
            format!("{from} reaches {to}, and is not accepted, on {on}")
        }
        FindingKind::ServiceFailed => {
            format!("{from} reaches {to}, and the service fails, on {on}")
        }
        FindingKind::ServiceSilent => {
            format!("{from} reaches {to}, and the service says nothing, on {on}")
        }
        FindingKind::Mixed if shares.iter().all(always_reached) => {
            format!("{from} reaches {to}, and the service fails in some attempts, on {on}")
        }
        FindingKind::Mixed => format!("{from} reaches {to} in some attempts only on {on}"),
        FindingKind::CannotTell => {
            format!("the captures cannot tell whether {from} reaches {to} on {on}")
        }
        FindingKind::AlternativeOpen => {
            format!("{from} does not reach {to} on {on}, and an alternative is open")
        }
        FindingKind::NotExercised => {
            let count = count_of(shares.len(), "requirement");
            let pairs = group.pairs();
            if pairs.len() == 1 {
                return format!("nobody tried {count} from {from} to {to}: {on}");
            }
            let hosts = pairs.into_iter().flat_map(|(from, to)| [from, to]).collect();
            format!("nobody tried {count} between {}: {on}", words.titled_all(&hosts))
        }
        FindingKind::RpcPortDropped
        | FindingKind::EndpointNotRegistered
        | FindingKind::RpcOutsideRange
        | FindingKind::RpcAddressDiffers
        | FindingKind::NameNotFound
        | FindingKind::RoleNameUnknown
        | FindingKind::NoRoles
        | FindingKind::OtherFailures
        | FindingKind::RolesInferred => String::new(),
    }
}
