//! The little of a DNS message that is written and read: one question for an address, and the addresses that answer it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
const POINTER: u8 = 0xc0;
/// Addresses that are taken from one answer.
const MOST: usize = 8;

/// The family of addresses that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

/// A question. `None` for what is no name.
pub(super) fn question(number: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut message = number.to_be_bytes().to_vec();
    // Recursion desired, one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    if message.len() > HEADER + 255 {
        return None;
    }
    message.extend(kind.number().to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    Some(message)
}

/// The addresses in the answer to the question of that number. `None` for what answers another, or nothing.
pub(super) fn answers(message: &[u8], number: u16, kind: Kind) -> Option<Vec<IpAddr>> {
    let is_answer = message.get(2)? & 0x80 != 0;
    if u16_at(message, 0)? != number || !is_answer {
        return None;
    }
    let mut at = HEADER;
    for _ in 0..u16_at(message, 4)? {
        at = after_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..u16_at(message, 6)? {
        at = after_name(message, at)?;
        let (of, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        let length = usize::from(u16_at(message, at + 8)?);
        let data = message.get(at + 10..at + 10 + length)?;
        // Names that stand for others are followed by the server, which sends their addresses along.
        if of == kind.number() && class == CLASS_IN && found.len() < MOST {
            found.extend(address(kind, data));
        }
        at += 10 + length;
    }
    Some(found)
}

fn address(kind: Kind, data: &[u8]) -> Option<IpAddr> {
    match kind {
        Kind::V4 => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
        Kind::V6 => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
    }
}

/// Where a name ends. A pointer ends it: what it points at is of no interest.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & POINTER == POINTER => return Some(at + 2),
            length if length & POINTER != 0 => return None,
            length => at += 1 + usize::from(length),
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = question(7, "db.local", Kind::V4).unwrap();
        message[2] |= 0x80;
        message[7] = records.len() as u8;
        for (kind, data) in records {
            message.extend([POINTER, HEADER as u8]);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 30]);
            message.extend((data.len() as u16).to_be_bytes());
            message.extend(*data);
        }
        message
    }

    #[test]
    fn addresses_are_read_whatever_stands_between_them() {
        let message = answer(&[(5, b"\x01x\x00"), (1, &[10, 0, 0, 2]), (1, &[1, 2]), (1, &[10, 0, 0, 3])]);
        let found = answers(&message, 7, Kind::V4).unwrap();
        assert_eq!(found, [IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 3])]);
        assert_eq!(answers(&message, 7, Kind::V6), Some(Vec::new()));
        assert_eq!(answers(&message, 8, Kind::V4), None);
        assert_eq!(answers(&message[..message.len() - 1], 7, Kind::V4), None);
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        for name in ["", "a..b", "a.", &"x".repeat(64), &["y".repeat(60).as_str(); 5].join(".")] {
            assert_eq!(question(1, name, Kind::V4), None, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let number = u16_at(&bytes, 0).unwrap_or_default();
            let mut bytes = bytes;
            if let Some(flags) = bytes.get_mut(2) {
                *flags |= 0x80;
            }
            answers(&bytes, number, Kind::V6);
        }
    }
}
