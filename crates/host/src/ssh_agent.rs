//! The protocol of ssh agents, as far as a go-between must read it: what is asked, and for which connection to which host.
//!
//! OpenSSH's clients tell an agent with `session-bind@openssh.com` which server they speak with, and prove it: the server
//! signed the identifier of that session. What a client then wants signed to log in begins with the same identifier. So a
//! signature can be given for one host alone, whoever asks. (OpenSSH's `PROTOCOL.agent` and `PROTOCOL`, RFC 4252 and 4253.)

use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

/// Longest message that is read, in bytes: OpenSSH's own limit.
pub const MAX_BYTES: usize = 256 << 10;

const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const EXTENSION: u8 = 27;

/// The answer "no".
pub const FAILURE: &[u8] = &[5];
/// The answer "done".
pub const SUCCESS: &[u8] = &[6];

/// What a client asks of an agent, without the length in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Which keys there are.
    List,
    /// A signature.
    Sign {
        /// The public key, as the protocol has it.
        key: &'a [u8],
        /// What is to be signed.
        data: &'a [u8],
    },
    /// Which server the connection is for.
    Bind(Binding<'a>),
    /// Anything else: adding and removing keys, locks, other extensions.
    Other,
}

/// The client says which server it speaks with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The server's public key.
    pub host_key: &'a [u8],
    /// The identifier of the session.
    pub session: &'a [u8],
    /// The server's signature of that.
    signature: &'a [u8],
    /// Whether the agent is to be used by that server, and not by this client.
    pub forwards: bool,
}

/// What a signature is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// To log in.
    Login {
        /// The identifier of the session.
        session: &'a [u8],
        /// As whom.
        user: &'a [u8],
        /// The server's key, where the client wrote it down as well.
        host_key: Option<&'a [u8]>,
    },
    /// Of a file or a commit, by `ssh-keygen -Y sign`.
    Document {
        /// What it is good for, `git` for instance.
        namespace: &'a [u8],
    },
    /// Nothing that is known.
    Unknown,
}

impl<'a> Request<'a> {
    /// Reads one. `None` for what no client sends.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (kind, rest) = message.split_first()?;
        let mut rest = Reader(rest);
        Some(match *kind {
            REQUEST_IDENTITIES if rest.0.is_empty() => Self::List,
            SIGN_REQUEST => {
                let (key, data, _flags) = (rest.string()?, rest.string()?, rest.number()?);
                if !rest.0.is_empty() {
                    return None;
                }
                Self::Sign { key, data }
            }
            EXTENSION => match rest.string()? {
                b"session-bind@openssh.com" => {
                    let (host_key, session, signature) = (rest.string()?, rest.string()?, rest.string()?);
                    let forwards = rest.byte()? != 0;
                    if !rest.0.is_empty() || session.is_empty() {
                        return None;
                    }
                    Self::Bind(Binding { host_key, session, signature, forwards })
                }
                _ => Self::Other,
            },
            _ => Self::Other,
        })
    }
}

impl<'a> Purpose<'a> {
    /// What such data is signed for.
    pub fn of(data: &'a [u8]) -> Self {
        Self::document(data).or_else(|| Self::login(data)).unwrap_or(Self::Unknown)
    }

    fn document(data: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(data.strip_prefix(b"SSHSIG")?);
        let (namespace, _reserved, _hash, _digest) =
            (rest.string()?, rest.string()?, rest.string()?, rest.string()?);
        (rest.0.is_empty() && !namespace.is_empty()).then_some(Self::Document { namespace })
    }

    fn login(data: &'a [u8]) -> Option<Self> {
        const USERAUTH_REQUEST: u8 = 50;
        let mut rest = Reader(data);
        let session = rest.string()?;
        if session.is_empty() || rest.byte()? != USERAUTH_REQUEST {
            return None;
        }
        let user = rest.string()?;
        if rest.string()? != b"ssh-connection" {
            return None;
        }
        let method = rest.string()?;
        if rest.byte()? != 1 {
            return None;
        }
        let (_algorithm, _key) = (rest.string()?, rest.string()?);
        let host_key = match method {
            b"publickey" => None,
            b"publickey-hostbound-v00@openssh.com" => Some(rest.string()?),
            _ => return None,
        };
        rest.0.is_empty().then_some(Self::Login { session, user, host_key })
    }
}

impl Binding<'_> {
    /// Whether the server that has this key signed this session.
    pub fn is_true(&self) -> bool {
        verify(self.host_key, self.session, self.signature).is_some()
    }
}

/// `None` for a signature that is not of this key, and for kinds of keys that are not known here.
fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let (mut key, mut signature) = (Reader(key), Reader(signature));
    let (kind, algorithm, signed) = (key.string()?, signature.string()?, signature.string()?);
    if !signature.0.is_empty() {
        return None;
    }
    match (kind, algorithm) {
        (b"ssh-ed25519", b"ssh-ed25519") => check(&signature::ED25519, key.last()?, message, signed),
        (b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp256") => {
            ecdsa(&signature::ECDSA_P256_SHA256_FIXED, 32, key, message, signed)
        }
        (b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp384") => {
            ecdsa(&signature::ECDSA_P384_SHA384_FIXED, 48, key, message, signed)
        }
        (b"ssh-rsa", b"rsa-sha2-256") => rsa(&signature::RSA_PKCS1_2048_8192_SHA256, key, message, signed),
        (b"ssh-rsa", b"rsa-sha2-512") => rsa(&signature::RSA_PKCS1_2048_8192_SHA512, key, message, signed),
        _ => None,
    }
}

fn check(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signed: &[u8],
) -> Option<()> {
    UnparsedPublicKey::new(algorithm, key).verify(message, signed).ok()
}

/// Such a key has the name of its curve in front, such a signature two numbers.
fn ecdsa(
    algorithm: &'static dyn VerificationAlgorithm,
    width: usize,
    mut key: Reader<'_>,
    message: &[u8],
    signed: &[u8],
) -> Option<()> {
    let (_curve, point) = (key.string()?, key.last()?);
    let mut numbers = Reader(signed);
    let (first, second) = (unsigned(numbers.string()?)?, unsigned(numbers.last()?)?);
    let mut fixed = vec![0; 2 * width];
    for (number, place) in [first, second].into_iter().zip(fixed.chunks_mut(width)) {
        place.get_mut(width.checked_sub(number.len())?..)?.copy_from_slice(number);
    }
    check(algorithm, point, message, &fixed)
}

fn rsa(
    algorithm: &'static signature::RsaParameters,
    mut key: Reader<'_>,
    message: &[u8],
    signed: &[u8],
) -> Option<()> {
    let (e, n) = (unsigned(key.string()?)?, unsigned(key.last()?)?);
    RsaPublicKeyComponents { n, e }.verify(algorithm, message, signed).ok()
}

/// A number without the zeros in front that keep it from being negative.
fn unsigned(number: &[u8]) -> Option<&[u8]> {
    let start = number.iter().position(|byte| *byte != 0)?;
    number.get(start..)
}

/// Takes the protocol's parts from the front of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    /// A string behind which there is nothing.
    fn last(&mut self) -> Option<&'a [u8]> {
        let last = self.string()?;
        self.0.is_empty().then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use ssh_key::PrivateKey;
    use ssh_key::private::{Ed25519Keypair, KeypairData};

    use super::*;

    fn strings(parts: &[&[u8]]) -> Vec<u8> {
        parts.iter().flat_map(|part| [&(part.len() as u32).to_be_bytes()[..], part].concat()).collect()
    }

    fn bind(host_key: &[u8], session: &[u8], signature: &[u8], forwards: u8) -> Vec<u8> {
        let mut message = vec![27];
        message.extend(strings(&[b"session-bind@openssh.com", host_key, session, signature]));
        message.push(forwards);
        message
    }

    #[test]
    fn a_binding_is_true_only_of_who_signed_it() {
        use signature::KeyPair as _;
        let pair = signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key = strings(&[b"ssh-ed25519", pair.public_key().as_ref()]);
        // The same key as OpenSSH writes it.
        let same = PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[7; 32])), "").unwrap();
        assert_eq!(same.public_key().to_bytes().unwrap(), key);
        let signed = strings(&[b"ssh-ed25519", pair.sign(b"session").as_ref()]);
        let is_true = |key: &[u8], session: &[u8], signed: &[u8]| {
            let message = bind(key, session, signed, 0);
            let Some(Request::Bind(binding)) = Request::read(&message) else { panic!("no binding") };
            binding.is_true()
        };
        assert!(is_true(&key, b"session", &signed));
        assert!(!is_true(&key, b"another", &signed));
        let other = signature::Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let other = strings(&[b"ssh-ed25519", other.public_key().as_ref()]);
        assert!(!is_true(&other, b"session", &signed));
        assert!(!is_true(&key, b"session", &strings(&[b"ssh-rsa", b"x"])));
        assert!(!is_true(b"", b"session", b""));
    }

    #[test]
    fn what_a_signature_is_for_is_read_to_its_end() {
        let login = |method: &[u8], more: &[&[u8]], tail: &[u8]| {
            let mut data = strings(&[b"session"]);
            data.push(50);
            data.extend(strings(&[b"git", b"ssh-connection", method]));
            data.push(1);
            data.extend(strings(&[b"ssh-ed25519", b"key"]));
            data.extend(strings(more));
            data.extend(tail);
            data
        };
        let plain = login(b"publickey", &[], b"");
        assert_eq!(Purpose::of(&plain), Purpose::Login { session: b"session", user: b"git", host_key: None });
        let bound = login(b"publickey-hostbound-v00@openssh.com", &[b"host"], b"");
        let Purpose::Login { host_key: Some(b"host"), .. } = Purpose::of(&bound) else { panic!("{bound:?}") };
        for wrong in [login(b"publickey", &[], b"x"), login(b"password", &[], b""), b"anything".to_vec()] {
            assert_eq!(Purpose::of(&wrong), Purpose::Unknown);
        }
        let document = [b"SSHSIG".to_vec(), strings(&[b"git", b"", b"sha512", b"digest"])].concat();
        assert_eq!(Purpose::of(&document), Purpose::Document { namespace: b"git" });
    }

    #[test]
    fn no_bytes_break_it() {
        let whole = bind(b"key", b"session", b"signature", 1);
        for end in 0..whole.len() {
            assert!(!matches!(Request::read(&whole[..end]), Some(Request::Bind(_))), "{end}");
        }
        assert_eq!(Request::read(&[11]), Some(Request::List));
        assert_eq!(Request::read(&[17, 0, 0]), Some(Request::Other), "adding a key");
        assert_eq!(Request::read(&[13, 255, 255, 255, 255]), None);
        assert_eq!(Request::read(&[]), None);
    }
}
