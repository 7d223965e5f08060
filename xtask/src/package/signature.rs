//! Code signatures, read as macOS reads them: independently of the program that made them.
//!
//! A signature is a *super blob*: numbered blobs, among them the *code directory*, which holds a digest of each page of
//! the program and of each other blob, and the entitlements. Who signed is not looked at, only what.

use sha2::{Digest as _, Sha256};

const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;

/// Numbers of blobs. Those up to 7 have digests in the code directory, counted backwards from its pages.
const DIRECTORY_SLOT: u32 = 0;
const INFO_SLOT: u32 = 1;
const SEAL_SLOT: u32 = 3;
const ENTITLEMENTS_SLOT: u32 = 5;

/// Bytes of each blob's own head: what it is, and its length.
const BLOB_HEAD: usize = 8;

const SHA256: u8 = 2;
const RUNTIME: u32 = 0x1_0000;

/// Why a signature does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    #[error("its signature is cut short or makes no sense")]
    Malformed,
    #[error("its signature has no digests of SHA-256")]
    OtherDigest,
    #[error("page {0} is not the one that was signed")]
    Page(usize),
    #[error("part {0} of its signature is not the one that was signed")]
    Part(u32),
}

/// A signature whose digests hold.
#[derive(Debug)]
pub(super) struct Signature {
    /// The name it was signed under.
    pub(super) identifier: String,
    /// Whether macOS refuses foreign libraries, debuggers and code made at run time.
    pub(super) hardened: bool,
    /// The property list of what it may do.
    pub(super) entitlements: Option<Vec<u8>>,
    /// The digest that an app around it names it by.
    pub(super) digest: [u8; 20],
    info: Option<[u8; 32]>,
    seal: Option<[u8; 32]>,
}

impl Signature {
    /// Reads the signature of `code` and holds the code against it.
    pub(super) fn verified(code: &[u8], signature: &[u8]) -> Result<Self, SignatureError> {
        let blobs = blobs(signature).ok_or(SignatureError::Malformed)?;
        let directory = blobs.iter().find(|(slot, _)| *slot == DIRECTORY_SLOT).map(|(_, blob)| *blob);
        let directory = Directory::read(directory.ok_or(SignatureError::Malformed)?)?;
        directory.hold_pages(code)?;
        for (slot, blob) in &blobs {
            let known = directory.special(*slot);
            if known.is_some_and(|digest| digest != Sha256::digest(blob).as_slice()) {
                return Err(SignatureError::Part(*slot));
            }
        }
        let entitlements = blobs.iter().find(|(slot, _)| *slot == ENTITLEMENTS_SLOT);
        let digest = Sha256::digest(directory.bytes);
        Ok(Self {
            identifier: directory.identifier().ok_or(SignatureError::Malformed)?,
            hardened: directory.flags & RUNTIME != 0,
            entitlements: entitlements.map(|(_, blob)| blob.get(BLOB_HEAD..).unwrap_or_default().to_vec()),
            digest: digest[..20].try_into().expect("SHA-256 has 32 bytes"),
            info: directory.special(INFO_SLOT).and_then(|digest| digest.try_into().ok()),
            seal: directory.special(SEAL_SLOT).and_then(|digest| digest.try_into().ok()),
        })
    }

    /// Whether it was signed together with this `Info.plist`.
    pub(super) fn has_info(&self, info: &[u8]) -> bool {
        self.info.is_some_and(|digest| digest == *Sha256::digest(info))
    }

    /// Whether it was signed together with this list of the app's files.
    pub(super) fn has_seal(&self, seal: &[u8]) -> bool {
        self.seal.is_some_and(|digest| digest == *Sha256::digest(seal))
    }
}

/// The blobs of a super blob, with their numbers.
fn blobs(signature: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    if number(signature, 0)? != SUPER_BLOB {
        return None;
    }
    let count = number(signature, 8)? as usize;
    // Each takes eight bytes of the list, so a made-up count ends there.
    (0..count)
        .map(|index| {
            let entry = index.checked_mul(8)?.checked_add(12)?;
            let start = number(signature, entry.checked_add(4)?)? as usize;
            let length = number(signature, start.checked_add(4)?)? as usize;
            Some((number(signature, entry)?, signature.get(start..start.checked_add(length)?)?))
        })
        .collect()
}

/// A number in the byte order of signatures.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// The code directory.
struct Directory<'a> {
    bytes: &'a [u8],
    flags: u32,
    digests: usize,
    special: usize,
    pages: usize,
    limit: usize,
    page_size: usize,
}

impl<'a> Directory<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, SignatureError> {
        let field = |at| number(bytes, at).ok_or(SignatureError::Malformed);
        if field(0)? != CODE_DIRECTORY {
            return Err(SignatureError::Malformed);
        }
        let [length, kind, _, page_bits] = field(36)?.to_be_bytes();
        if (length, kind) != (32, SHA256) {
            return Err(SignatureError::OtherDigest);
        }
        let page_size = 1_usize.checked_shl(page_bits.into()).ok_or(SignatureError::Malformed)?;
        Ok(Self {
            bytes,
            flags: field(12)?,
            digests: field(16)? as usize,
            special: field(24)? as usize,
            pages: field(28)? as usize,
            limit: field(32)? as usize,
            page_size,
        })
    }

    fn identifier(&self) -> Option<String> {
        let start = number(self.bytes, 20)? as usize;
        let text = self.bytes.get(start..)?.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Holds each page of the code against its digest.
    fn hold_pages(&self, code: &[u8]) -> Result<(), SignatureError> {
        let signed = code.get(..self.limit).filter(|signed| signed.len() == code.len());
        let signed = signed.ok_or(SignatureError::Malformed)?;
        if signed.len().div_ceil(self.page_size) != self.pages {
            return Err(SignatureError::Malformed);
        }
        for (index, page) in signed.chunks(self.page_size).enumerate() {
            let digest = self.digests.checked_add(32 * index).and_then(|start| self.digest(start));
            if digest.ok_or(SignatureError::Malformed)? != Sha256::digest(page).as_slice() {
                return Err(SignatureError::Page(index));
            }
        }
        Ok(())
    }

    /// The digest of another part; `None` where the directory has none.
    fn special(&self, slot: u32) -> Option<&'a [u8]> {
        let slot = slot as usize;
        let start = self.digests.checked_sub(slot.checked_mul(32)?)?;
        let digest = (1..=self.special).contains(&slot).then(|| self.digest(start))??;
        digest.iter().any(|byte| *byte != 0).then_some(digest)
    }

    fn digest(&self, start: usize) -> Option<&'a [u8]> {
        self.bytes.get(start..start.checked_add(32)?)
    }
}
