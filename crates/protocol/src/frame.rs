//! One frame: a kind, a length, and that many bytes.
//!
//! ```text
//!  0        1                    5                 5 + length
//!  +--------+--------------------+-----------------+
//!  | kind   | length, big endian | payload         |
//!  +--------+--------------------+-----------------+
//! ```
//!
//! The decoder is fed bytes and gives frames; it never reads by itself, so that every runtime can use it.

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 5;

/// Longest payload either side accepts. A guest is not trusted: a longer length is an error, not an allocation.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// What the payload of a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A message of this crate, as JSON.
    Message,
    /// Bytes for the standard input of a process, or the content of a file; an empty one ends it.
    Input,
    /// Bytes from standard output, or from a terminal.
    Output,
    /// Bytes from standard error.
    ErrorOutput,
    /// A kind of a newer peer: skipped.
    Unknown(u8),
}

impl FrameKind {
    /// The kind that the first byte of a frame tells.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Message,
            1 => Self::Input,
            2 => Self::Output,
            3 => Self::ErrorOutput,
            other => Self::Unknown(other),
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::Input => 1,
            Self::Output => 2,
            Self::ErrorOutput => 3,
            Self::Unknown(other) => other,
        }
    }
}

/// One unit on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: FrameKind,
    /// The bytes, at most [`MAX_PAYLOAD_BYTES`].
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame of raw bytes. The caller cuts long data into pieces of at most [`MAX_PAYLOAD_BYTES`].
    pub fn new(kind: FrameKind, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, payload: payload.into() }
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        debug_assert!(self.payload.len() <= MAX_PAYLOAD_BYTES, "callers cut data into frames");
        let mut out = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        out.push(self.kind.to_byte());
        out.extend_from_slice(&(self.payload.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.payload);
        out
    }

    /// Reads the payload as a message.
    ///
    /// # Errors
    /// When the payload is not the JSON of a `T`.
    pub fn message<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.payload)
    }
}

/// The bytes of one message frame.
///
/// # Panics
/// Never for the types of this crate: they are plain data that JSON can always hold.
pub fn encode_json<T: serde::Serialize>(message: &T) -> Vec<u8> {
    let payload = serde_json::to_vec(message)
        .expect("protocol messages are plain data without map keys other than strings");
    Frame::new(FrameKind::Message, payload).encode()
}

/// The peer announced a payload longer than [`MAX_PAYLOAD_BYTES`]; the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer announced a frame of {announced} bytes; at most {MAX_PAYLOAD_BYTES} are allowed")]
pub struct FrameTooLong {
    /// The announced length, in bytes.
    pub announced: usize,
}

/// Turns a stream of bytes into frames.
///
/// Feed it with [`push`](Self::push), then take frames with [`next`](Self::next) until there is none.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    consumed: usize,
}

impl FrameDecoder {
    /// A decoder that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole frame, if there is one.
    ///
    /// # Errors
    /// [`FrameTooLong`]; every later call answers the same.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would end at the first gap; this one is fed again"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameTooLong> {
        let rest = &self.buffer[self.consumed..];
        let Some((header, body)) = rest.split_at_checked(HEADER_BYTES) else { return Ok(None) };
        let announced = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if announced > MAX_PAYLOAD_BYTES {
            return Err(FrameTooLong { announced });
        }
        let Some(payload) = body.get(..announced) else { return Ok(None) };
        let frame = Frame::new(FrameKind::from_byte(header[0]), payload);
        self.consumed += HEADER_BYTES + announced;
        Ok(Some(frame))
    }

    /// Bytes received and not yet taken: what belongs to the raw stream once the frames have ended.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.buffer.split_off(self.consumed)
    }

    /// Whether the stream ended inside a frame.
    pub fn is_mid_frame(&self) -> bool {
        self.buffer.len() > self.consumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let frames = [
            Frame::new(FrameKind::Message, b"{}".to_vec()),
            Frame::new(FrameKind::Input, Vec::new()),
            Frame::new(FrameKind::Unknown(200), vec![7; 300]),
        ];
        let wire: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        for step in [1, 2, 3, 5, 64, wire.len()] {
            let mut decoder = FrameDecoder::new();
            let mut seen = Vec::new();
            for piece in wire.chunks(step) {
                decoder.push(piece);
                while let Some(frame) = decoder.next().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames, "cut into pieces of {step}");
            assert!(!decoder.is_mid_frame());
        }
    }

    #[test]
    fn the_layout_is_fixed() {
        let wire = Frame::new(FrameKind::ErrorOutput, b"no".to_vec()).encode();
        assert_eq!(wire, [3, 0, 0, 0, 2, b'n', b'o']);
    }

    #[test]
    fn a_hostile_length_is_refused_before_anything_is_allocated() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decoder.next(), Err(FrameTooLong { announced: 0xffff_ffff }));
        assert_eq!(decoder.next(), Err(FrameTooLong { announced: 0xffff_ffff }));
    }

    #[test]
    fn what_follows_the_last_frame_is_handed_over() {
        let mut decoder = FrameDecoder::new();
        let mut wire = Frame::new(FrameKind::Message, b"{}".to_vec()).encode();
        wire.extend_from_slice(b"GET / HTTP/1.1");
        decoder.push(&wire);
        assert!(decoder.next().unwrap().is_some());
        assert_eq!(decoder.into_rest(), b"GET / HTTP/1.1");
    }
}
