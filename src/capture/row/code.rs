//! Writes a row as the bytes of a frame, and reads it back.

use crate::capture::row::{Row, RowContent, RowNumber, RowOther, RowPath, RowRepeat, RowSegment};
use crate::net::{Address, Endpoint, FrameNumber, SeqNumber, Timestamp, Transport};

impl<'a> Row<'a> {
    /// Appends the row as the bytes of a frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_option(out, self.number, |out, number| put(out, number.0.to_be_bytes()));
        put(out, self.line.to_be_bytes());
        put_option(out, self.time, |out, time| put(out, time.as_nanoseconds().to_be_bytes()));
        put_option(out, self.ttl, Vec::push);
        put_option(out, self.ip_id, |out, id| put(out, id.to_be_bytes()));
        put_option(out, self.wire_length, |out, length| put(out, length.to_be_bytes()));
        out.push(u8::from(self.to_group));
        self.content.write(out);
        out.extend_from_slice(self.note.as_bytes());
    }

    /// Reads what [`Row::write`] wrote; `None` for anything else.
    pub fn read(bytes: &'a [u8]) -> Option<Row<'a>> {
        let mut rest = bytes;
        let rest = &mut rest;
        Some(Row {
            number: take_option(rest, |rest| Some(FrameNumber(u64::from_be_bytes(take(rest)?))))?,
            line: u32::from_be_bytes(take(rest)?),
            time: take_option(rest, |rest| {
                Timestamp::from_nanoseconds(i64::from_be_bytes(take(rest)?).into())
            })?,
            ttl: take_option(rest, byte)?,
            ip_id: take_option(rest, |rest| Some(u16::from_be_bytes(take(rest)?)))?,
            wire_length: take_option(rest, |rest| Some(u32::from_be_bytes(take(rest)?)))?,
            to_group: byte(rest)? != 0,
            content: RowContent::read(rest)?,
            note: std::str::from_utf8(rest).ok()?,
        })
    }
}

const SEGMENT: u8 = 0;
const DATAGRAM: u8 = 1;
const ICMP_ERROR: u8 = 2;
const OTHER: u8 = 3;

impl RowContent {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            RowContent::Segment { path, segment } => {
                out.push(SEGMENT);
                path.write(out);
                segment.write(out);
            }
            RowContent::Datagram { path, length } => {
                out.push(DATAGRAM);
                path.write(out);
                put(out, length.to_be_bytes());
            }
            RowContent::IcmpError { reporter, icmp_type, code, transport, quoted, quoted_seq } => {
                out.push(ICMP_ERROR);
                put(out, reporter.to_bytes());
                let udp = u8::from(*transport == Transport::Udp);
                put(out, [*icmp_type, *code, udp]);
                quoted.write(out);
                put_option(out, *quoted_seq, |out, seq| put(out, seq.0.to_be_bytes()));
            }
            RowContent::Other(other) => {
                let (kind, number) = match *other {
                    RowOther::Arp => (0, 0),
                    RowOther::Icmp => (1, 0),
                    RowOther::IpProtocol(number) => (2, u16::from(number)),
                    RowOther::EtherType(number) => (3, number),
                    RowOther::NoPorts => (4, 0),
                    RowOther::NoTraffic => (5, 0),
                };
                put(out, [OTHER, kind]);
                put(out, number.to_be_bytes());
            }
        }
    }

    fn read(rest: &mut &[u8]) -> Option<RowContent> {
        Some(match byte(rest)? {
            SEGMENT => {
                RowContent::Segment { path: RowPath::read(rest)?, segment: RowSegment::read(rest)? }
            }
            DATAGRAM => RowContent::Datagram {
                path: RowPath::read(rest)?,
                length: u32::from_be_bytes(take(rest)?),
            },
            ICMP_ERROR => {
                let reporter = Address::from_bytes(take(rest)?)?;
                let [icmp_type, code, udp] = take(rest)?;
                RowContent::IcmpError {
                    reporter,
                    icmp_type,
                    code,
                    transport: if udp == 0 { Transport::Tcp } else { Transport::Udp },
                    quoted: RowPath::read(rest)?,
                    quoted_seq: take_option(rest, |rest| {
                        Some(SeqNumber(u32::from_be_bytes(take(rest)?)))
                    })?,
                }
            }
            OTHER => {
                let kind = byte(rest)?;
                let number = u16::from_be_bytes(take(rest)?);
                RowContent::Other(match kind {
                    0 => RowOther::Arp,
                    1 => RowOther::Icmp,
                    2 => RowOther::IpProtocol(u8::try_from(number).ok()?),
                    3 => RowOther::EtherType(number),
                    4 => RowOther::NoPorts,
                    5 => RowOther::NoTraffic,
                    _ => return None,
                })
            }
            _ => return None,
        })
    }
}

impl RowPath {
    fn write(&self, out: &mut Vec<u8>) {
        for end in [self.source, self.destination] {
            put(out, end.address.to_bytes());
            put(out, end.port.to_be_bytes());
        }
        put_option(out, self.conversation, |out, number| put(out, number.to_be_bytes()));
    }

    fn read(rest: &mut &[u8]) -> Option<RowPath> {
        let end = |rest: &mut &[u8]| {
            let address = Address::from_bytes(take(rest)?)?;
            Some(Endpoint { address, port: u16::from_be_bytes(take(rest)?) })
        };
        Some(RowPath {
            source: end(rest)?,
            destination: end(rest)?,
            conversation: take_option(rest, |rest| Some(u32::from_be_bytes(take(rest)?)))?,
        })
    }
}

impl RowSegment {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        for number in [self.seq, self.ack] {
            out.push(match number {
                RowNumber::Wire(_) => 0,
                RowNumber::Relative(_) => 1,
                RowNumber::Untold => 2,
                RowNumber::Fitted(_) => 3,
            });
            put(out, number.value().to_be_bytes());
        }
        put_option(out, self.window, |out, window| put(out, window.to_be_bytes()));
        put(out, self.length.to_be_bytes());
        out.push(match self.repeat {
            RowRepeat::Unsaid => 0,
            RowRepeat::Retransmitted => 1,
            RowRepeat::Reused => 2,
        });
    }

    fn read(rest: &mut &[u8]) -> Option<RowSegment> {
        let number = |rest: &mut &[u8]| {
            let kind = byte(rest)?;
            let value = u32::from_be_bytes(take(rest)?);
            Some(match kind {
                0 => RowNumber::Wire(value),
                1 => RowNumber::Relative(value),
                2 => RowNumber::Untold,
                3 => RowNumber::Fitted(value),
                _ => return None,
            })
        };
        Some(RowSegment {
            flags: byte(rest)?,
            seq: number(rest)?,
            ack: number(rest)?,
            window: take_option(rest, |rest| Some(u16::from_be_bytes(take(rest)?)))?,
            length: u32::from_be_bytes(take(rest)?),
            repeat: match byte(rest)? {
                0 => RowRepeat::Unsaid,
                1 => RowRepeat::Retransmitted,
                2 => RowRepeat::Reused,
                _ => return None,
            },
        })
    }
}

fn put<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend_from_slice(&bytes);
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    take(rest).map(|[byte]| byte)
}

/// The outer `None` is for bytes that are no option.
#[expect(clippy::option_option, reason = "what is not there, and what cannot be read")]
fn take_option<T>(
    rest: &mut &[u8],
    read: impl FnOnce(&mut &[u8]) -> Option<T>,
) -> Option<Option<T>> {
    match byte(rest)? {
        0 => Some(None),
        1 => read(rest).map(Some),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses() -> impl Strategy<Value = Address> {
        prop_oneof![
            any::<std::net::Ipv4Addr>().prop_map(Address::from),
            any::<std::net::Ipv6Addr>().prop_map(Address::from),
            "[A-Za-z][A-Za-z0-9.-]{0,20}".prop_map(|name| name.parse().unwrap()),
            "IPv[46]:[1-9][0-9]{0,8} (initiator|responder)".prop_map(|host| host.parse().unwrap()),
        ]
    }

    fn paths() -> impl Strategy<Value = RowPath> {
        let end =
            || (addresses(), any::<u16>()).prop_map(|(address, port)| Endpoint { address, port });
        (end(), end(), any::<Option<u32>>()).prop_map(|(source, destination, conversation)| {
            RowPath { source, destination, conversation }
        })
    }

    fn numbers() -> impl Strategy<Value = RowNumber> {
        prop_oneof![
            any::<u32>().prop_map(RowNumber::Wire),
            any::<u32>().prop_map(RowNumber::Relative),
            any::<u32>().prop_map(RowNumber::Fitted),
            Just(RowNumber::Untold),
        ]
    }

    fn segments() -> impl Strategy<Value = RowSegment> {
        let repeat = prop::sample::select(vec![
            RowRepeat::Unsaid,
            RowRepeat::Retransmitted,
            RowRepeat::Reused,
        ]);
        (any::<u8>(), numbers(), numbers(), any::<Option<u16>>(), any::<u32>(), repeat).prop_map(
            |(flags, seq, ack, window, length, repeat)| RowSegment {
                flags,
                seq,
                ack,
                window,
                length,
                repeat,
            },
        )
    }

    fn contents() -> impl Strategy<Value = RowContent> {
        let error = (addresses(), any::<[u8; 2]>(), any::<bool>(), paths(), any::<Option<u32>>());
        prop_oneof![
            (paths(), segments()).prop_map(|(path, segment)| RowContent::Segment { path, segment }),
            (paths(), any::<u32>())
                .prop_map(|(path, length)| RowContent::Datagram { path, length }),
            error.prop_map(|(reporter, [icmp_type, code], tcp, quoted, seq)| {
                RowContent::IcmpError {
                    reporter,
                    icmp_type,
                    code,
                    transport: if tcp { Transport::Tcp } else { Transport::Udp },
                    quoted,
                    quoted_seq: seq.map(SeqNumber),
                }
            }),
            prop_oneof![
                Just(RowOther::Arp),
                Just(RowOther::Icmp),
                Just(RowOther::NoPorts),
                Just(RowOther::NoTraffic),
                any::<u8>().prop_map(RowOther::IpProtocol),
                any::<u16>().prop_map(RowOther::EtherType),
            ]
            .prop_map(RowContent::Other),
        ]
    }

    proptest! {
        #[test]
        fn a_row_reads_back_as_it_was_written(
            number in any::<Option<u64>>(),
            line in any::<u32>(),
            time in any::<Option<i64>>(),
            (ttl, ip_id, wire_length, to_group) in any::<(Option<u8>, Option<u16>, Option<u32>, bool)>(),
            content in contents(),
            note in "\\PC{0,30}",
        ) {
            let row = Row {
                number: number.map(FrameNumber),
                line,
                time: time.and_then(|time| Timestamp::from_nanoseconds(time.into())),
                ttl,
                ip_id,
                wire_length,
                to_group,
                content,
                note: &note,
            };
            let mut bytes = Vec::new();
            row.write(&mut bytes);
            prop_assert_eq!(Row::read(&bytes), Some(row));
        }

        #[test]
        fn no_bytes_stop_the_reading(bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..120)) {
            if let Some(row) = Row::read(&bytes) {
                let mut again = Vec::new();
                row.write(&mut again);
                prop_assert_eq!(Row::read(&again), Some(row));
            }
        }
    }
}
