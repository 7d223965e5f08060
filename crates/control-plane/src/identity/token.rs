//! Secrets that are told once and kept as hashes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Random bytes in a token: nobody guesses them, so that no slow hash is needed.
const BYTES: usize = 32;

/// A secret that its holder shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one, of a kind that programs which look for lost secrets can tell. None where the system gives no random
    /// bytes.
    pub fn new(prefix: &str) -> Option<Self> {
        use ring::rand::SecureRandom as _;
        let mut bytes = [0; BYTES];
        ring::rand::SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// One that somebody shows.
    pub fn shown(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// What it is kept as. Who reads that cannot show the token.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }

    /// The secret itself, to be told to its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token")
    }
}

/// Bytes as people compare them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
