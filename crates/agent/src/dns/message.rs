//! The little of a DNS message that we read and write: one question, and an answer with one address.

use std::net::IpAddr;

const HEADER: usize = 12;
const LONGEST_NAME: usize = 255;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
/// Seconds an answer may be kept: names change only with a configuration.
const TIME_TO_LIVE: u32 = 30;

/// The bytes are not a message with one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a DNS message with one question")]
pub(super) struct Unreadable;

/// One question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question<'a> {
    /// The name asked for, in lower case, without the last dot.
    pub(super) name: String,
    kind: u16,
    class: u16,
    message: &'a [u8],
    /// Where the question ends in the message.
    end: usize,
}

impl<'a> Question<'a> {
    /// Reads a message. Compressed names do not occur in questions and are not read.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Unreadable> {
        let is_query = *message.get(2).ok_or(Unreadable)? & 0x80 == 0;
        if !is_query || u16_at(message, 4)? != 1 {
            return Err(Unreadable);
        }
        let mut name = String::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*message.get(at).ok_or(Unreadable)?);
            at += 1;
            if length == 0 {
                break;
            }
            let label = message.get(at..at + length).filter(|_| length < 64).ok_or(Unreadable)?;
            if name.len() + length > LONGEST_NAME {
                return Err(Unreadable);
            }
            if !name.is_empty() {
                name.push('.');
            }
            // Bytes that are not ASCII never match one of our names; how they look does not matter.
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            at += length;
        }
        let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        Ok(Self { name, kind, class, message, end: at + 4 })
    }

    /// The answer to it: the address, if the question was for its family, and otherwise nothing more to say.
    pub(super) fn answer(&self, address: IpAddr) -> Vec<u8> {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let kind = if address.is_ipv4() { TYPE_A } else { TYPE_AAAA };
        let fits = self.kind == kind && self.class == CLASS_IN;
        let mut answer = head(self.message, 0, u16::from(fits));
        answer.extend_from_slice(&self.message[HEADER..self.end]);
        if fits {
            // The name again, as a pointer to the question.
            answer.extend_from_slice(&[0xc0, HEADER as u8]);
            answer.extend_from_slice(&kind.to_be_bytes());
            answer.extend_from_slice(&CLASS_IN.to_be_bytes());
            answer.extend_from_slice(&TIME_TO_LIVE.to_be_bytes());
            answer.extend_from_slice(&(octets.len() as u16).to_be_bytes());
            answer.extend_from_slice(&octets);
        }
        answer
    }
}

/// The answer that the resolver behind could not be reached. `None` if the question cannot be read.
pub(super) fn server_failure(message: &[u8]) -> Option<Vec<u8>> {
    let question = Question::parse(message).ok()?;
    let mut answer = head(message, 2, 0);
    answer.extend_from_slice(&message[HEADER..question.end]);
    Some(answer)
}

/// Header of an answer to `message`, which has been parsed, with one question.
fn head(message: &[u8], code: u8, answers: u16) -> Vec<u8> {
    let recursion_desired = message[2] & 0x01;
    let mut head = vec![message[0], message[1], 0x80 | recursion_desired, 0x80 | code, 0, 1];
    head.extend_from_slice(&answers.to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    head
}

fn u16_at(message: &[u8], at: usize) -> Result<u16, Unreadable> {
    match message.get(at..at + 2) {
        Some([high, low]) => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(Unreadable),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
        let mut message = id.to_be_bytes().to_vec();
        message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.push(0);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message
    }

    #[test]
    fn an_address_of_the_other_family_is_an_empty_answer() {
        let message = question(5, "host.docker.internal", TYPE_AAAA);
        let answer = Question::parse(&message).unwrap().answer("10.0.2.2".parse().unwrap());
        assert_eq!(u16_at(&answer, 6), Ok(0));
        assert_eq!(answer[3] & 0x0f, 0, "the name exists");
        assert_eq!(answer[HEADER..], message[HEADER..]);
    }

    #[test]
    fn what_is_after_the_question_is_not_repeated() {
        let mut message = question(5, "a.b", TYPE_A);
        let end = message.len();
        message.extend_from_slice(&[0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
        let answer = Question::parse(&message).unwrap().answer("1.2.3.4".parse().unwrap());
        assert_eq!(answer.len(), end + 16);
        assert_eq!(u16_at(&answer, 10), Ok(0), "no additional records");
    }

    #[test]
    fn answers_compressed_names_and_cut_messages_are_not_read() {
        let mut reply = question(5, "a.b", TYPE_A);
        reply[2] |= 0x80;
        assert_eq!(Question::parse(&reply), Err(Unreadable));
        let mut pointer = question(5, "a.b", TYPE_A);
        pointer[HEADER] = 0xc0;
        assert_eq!(Question::parse(&pointer), Err(Unreadable));
        let whole = question(5, "a.b", TYPE_A);
        for length in 0..whole.len() {
            assert_eq!(Question::parse(&whole[..length]), Err(Unreadable), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(count) = bytes.get_mut(4..6) {
                count.copy_from_slice(&[0, 1]);
            }
            if let Ok(question) = Question::parse(&bytes) {
                let answer = question.answer("1.2.3.4".parse().unwrap());
                prop_assert_eq!(&answer[..2], &bytes[..2]);
            }
            let _ = server_failure(&bytes);
        }
    }
}
