//! What nobody tried: the cells to list for it, how many more there are, and rows that no flow is
//! for.
//!
//! Whole networks may be given roles, so pairs of hosts are counted by companies: hosts that play
//! the same roles.

use std::collections::{BTreeMap, BTreeSet};

use crate::matrix::assess::CellKey;
use crate::matrix::roles::Cast;
use crate::matrix::rows::{Parts, Row, Rows};
use crate::net::Address;

/// Cells without a flow that are listed. Beyond, as when whole networks are given roles, only
/// pairs that talked are listed in full, and the rest is counted.
const LISTED_NOT_EXERCISED: u64 = 20_000;

/// What a sheet says beside what was exercised.
pub(super) struct Untried {
    /// All cells to list, those that were exercised too, in order.
    pub(super) keys: Vec<CellKey>,
    /// Cells that nobody exercised and that are not listed.
    pub(super) unlisted: u64,
    /// Rows that two hosts have the roles for and that nobody exercised, by id.
    pub(super) never: Vec<String>,
}

/// How a host has a role.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    given: bool,
    candidate: bool,
}

/// Hosts that play the same roles in the same way.
type Companies = BTreeMap<BTreeMap<usize, Standing>, Vec<Address>>;

/// Finds what nobody tried.
///
/// Rows with a condition are listed where a flow exercises them and not counted else: nobody knows
/// whether they are called for.
/// `exercised` are in order.
pub(super) fn untried(rows: &Rows<'_>, cast: &Cast<'_>, exercised: &[CellKey]) -> Untried {
    let companies = companies(rows, cast);
    let (mut all, mut given) = (0, 0);
    let mut played = BTreeSet::new();
    let mut of_given: Vec<(&[Address], &[Address], Vec<usize>)> = Vec::new();
    for (from_parts, from) in &companies {
        for (to_parts, to) in &companies {
            let selves = if from_parts == to_parts { from.len() } else { 0 };
            let pairs = from.len().saturating_mul(to.len()).saturating_sub(selves) as u64;
            if pairs == 0 {
                continue;
            }
            let between = |given_only: bool| {
                let plays = |row: &Row<'_>, parts: &BTreeMap<usize, Standing>, role| {
                    parts.get(&role).is_some_and(|standing| {
                        (standing.given || !given_only) && row.judges(standing.candidate)
                    })
                };
                fitting(rows, |row, opens, called| {
                    plays(row, from_parts, opens) && plays(row, to_parts, called)
                })
            };
            let fitting = between(false);
            played.extend(fitting.iter().copied());
            all += pairs.saturating_mul(rows.without_twins(fitting).len() as u64);
            let fitting = rows.without_twins(between(true));
            given += pairs.saturating_mul(fitting.len() as u64);
            // Between others there may be billions of pairs to go through for nothing.
            if !fitting.is_empty() {
                of_given.push((from, to, fitting));
            }
        }
    }
    let mut keys: Vec<CellKey> = exercised.to_vec();
    let mut list = |from: Address, to: Address, fitting: &[usize]| {
        let is_there = |row: &usize| {
            let first = exercised.partition_point(|key| *key < (from, to, 0));
            let same = exercised.get(first..).unwrap_or_default().iter();
            let mut same = same.take_while(|(one, other, _)| (*one, *other) == (from, to));
            same.any(|(_, _, other)| rows.are_twins(*row, *other))
        };
        let new = fitting.iter().filter(|row| !is_there(row));
        keys.extend(new.map(|row| (from, to, *row)));
    };
    if given <= LISTED_NOT_EXERCISED {
        for (froms, tos, fitting) in &of_given {
            for from in *froms {
                for to in tos.iter().filter(|to| *to != from) {
                    list(*from, *to, fitting);
                }
            }
        }
    } else {
        let talking: BTreeSet<(Address, Address)> =
            exercised.iter().flat_map(|(from, to, _)| [(*from, *to), (*to, *from)]).collect();
        for (from, to) in talking {
            let (Some(from_parts), Some(to_parts)) = (cast.parts_of(from), cast.parts_of(to))
            else {
                continue;
            };
            let given = |parts: &Parts<'_>, role| parts.get(&role).is_some_and(|part| part.given);
            let fitting = fitting(rows, |_, opens, called| {
                given(from_parts, opens) && given(to_parts, called)
            });
            list(from, to, &rows.without_twins(fitting));
        }
    }
    if keys.len() > exercised.len() {
        keys.sort_unstable();
        keys.dedup();
    }
    let counted = |(_, _, row): &&CellKey| rows.all.get(*row).is_some_and(Row::is_unconditional);
    Untried {
        unlisted: all.saturating_sub(keys.iter().filter(counted).count() as u64),
        never: never(rows, cast, exercised, &played),
        keys,
    }
}

fn companies(rows: &Rows<'_>, cast: &Cast<'_>) -> Companies {
    let mut parts: BTreeMap<Address, BTreeMap<usize, Standing>> = BTreeMap::new();
    for role in 0..rows.matrix.roles.len() {
        for (address, part) in cast.players(role) {
            parts
                .entry(address)
                .or_default()
                .insert(role, Standing { given: part.given, candidate: part.candidate });
        }
    }
    let mut companies = Companies::new();
    for (address, parts) in parts {
        companies.entry(parts).or_default().push(address);
    }
    companies
}

/// Rows without a condition that two hosts have the roles for, one way or the other.
fn fitting(rows: &Rows<'_>, fits: impl Fn(&Row<'_>, usize, usize) -> bool) -> Vec<usize> {
    let unconditional = rows.all.iter().enumerate().filter(|(_, row)| row.is_unconditional());
    unconditional
        .filter(|(_, row)| row.directions().any(|(opens, called)| fits(row, opens, called)))
        .map(|(index, _)| index)
        .collect()
}

/// Rows of those that are played which no flow exercises, by itself or by a twin.
fn never(
    rows: &Rows<'_>,
    cast: &Cast<'_>,
    exercised: &[CellKey],
    played: &BTreeSet<usize>,
) -> Vec<String> {
    let mut seen = vec![false; rows.all.len()];
    for (from, to, row) in exercised {
        let (Some(from_parts), Some(to_parts)) = (cast.parts_of(*from), cast.parts_of(*to)) else {
            continue;
        };
        for (other, seen) in seen.iter_mut().enumerate().filter(|(_, seen)| !**seen) {
            *seen = rows.are_twins(*row, other) && rows.fits(other, from_parts, to_parts);
        }
    }
    let unseen = rows.all.iter().zip(seen).enumerate();
    unseen
        .filter(|(index, (_, seen))| !seen && played.contains(index))
        .map(|(_, (row, _))| row.requirement.id.clone())
        .collect()
}
