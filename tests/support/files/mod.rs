//! Stores a scene as a capture file, in each format that the program reads.
//!
//! Written from the formats' descriptions, not with the libraries that the program reads them
//! with, so that one misreading cannot hide the other.

pub mod etl;
pub mod netmon;
pub mod netmon_text;
pub mod pcap;
pub mod pcapng;
pub mod snoop;

/// Byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

/// A file in the making.
pub struct Bytes {
    order: Order,
    pub out: Vec<u8>,
}

impl Bytes {
    pub fn new(order: Order) -> Bytes {
        Bytes { order, out: Vec::new() }
    }

    /// Adds numbers, each with its own width.
    pub fn u16(&mut self, number: u16) {
        self.number(&number.to_be_bytes());
    }

    pub fn u32(&mut self, number: u32) {
        self.number(&number.to_be_bytes());
    }

    pub fn u64(&mut self, number: u64) {
        self.number(&number.to_be_bytes());
    }

    /// Adds bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Adds zeros up to a multiple of four.
    pub fn pad(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }

    /// Where the next byte goes.
    pub fn offset(&self) -> u32 {
        u32::try_from(self.out.len()).unwrap()
    }

    fn number(&mut self, big: &[u8]) {
        match self.order {
            Order::Big => self.out.extend_from_slice(big),
            Order::Little => self.out.extend(big.iter().rev()),
        }
    }
}
