//! JSON web tokens, signed and verified by the library that TLS here has too.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey, Header, TokenData, Validation,
};
use ring::rand::SystemRandom;
use ring::signature as sign;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a provider may sign with: nothing that who verifies could have made, and nothing that is no signature.
const TAKEN: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // For keys in other forms, which nothing here has.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Nothing of the crate may be called before this.
fn ready() {
    static ONCE: Once = Once::new();
    // A provider that somebody else chose would do as well.
    ONCE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

/// Signs with ES256.
pub(super) fn encode(header: &Header, claims: &impl Serialize, key: &EncodingKey) -> Result<String, Error> {
    ready();
    jsonwebtoken::encode(header, claims, key)
}

/// The header of a token, which nothing has verified yet.
pub(super) fn header(token: &str) -> Result<Header, Error> {
    let header = jsonwebtoken::decode_header(token)?;
    if TAKEN.contains(&header.alg) { Ok(header) } else { Err(ErrorKind::InvalidAlgorithm.into()) }
}

/// What a token claims, once its signature and what `validation` asks for are right.
pub(super) fn decode<T: DeserializeOwned>(
    token: &str,
    key: &DecodingKey,
    validation: &Validation,
) -> Result<TokenData<T>, Error> {
    ready();
    jsonwebtoken::decode(token, key, validation)
}

struct Es256(sign::EcdsaKeyPair);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the crate wants functions of this type")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    if *algorithm != Algorithm::ES256 || key.family() != AlgorithmFamily::Ec {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let random = SystemRandom::new();
    let pair =
        sign::EcdsaKeyPair::from_pkcs8(&sign::ECDSA_P256_SHA256_FIXED_SIGNING, key.as_bytes(), &random);
    Ok(Box::new(Es256(pair.map_err(|_| Error::from(ErrorKind::InvalidEcdsaKey))?)))
}

impl Signer<Vec<u8>> for Es256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let signed = self.0.sign(&SystemRandom::new(), message);
        Ok(signed.map_err(|_| signature::Error::new())?.as_ref().to_vec())
    }
}

impl JwtSigner for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

struct Verify {
    algorithm: Algorithm,
    key: DecodingKey,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the crate wants functions of this type")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if !TAKEN.contains(algorithm) || key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Verify { algorithm: *algorithm, key: key.clone() }))
}

impl Verifier<Vec<u8>> for Verify {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let rsa = |parameters| match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                sign::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            DecodingKeyKind::SecretOrDer(_) => Err(ring::error::Unspecified),
        };
        let plain = |algorithm: &'static dyn sign::VerificationAlgorithm| match self.key.kind() {
            DecodingKeyKind::SecretOrDer(key) => {
                sign::UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            DecodingKeyKind::RsaModulusExponent { .. } => Err(ring::error::Unspecified),
        };
        let verified = match self.algorithm {
            Algorithm::RS256 => rsa(&sign::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => rsa(&sign::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => rsa(&sign::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => rsa(&sign::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => rsa(&sign::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => rsa(&sign::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => plain(&sign::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => plain(&sign::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => plain(&sign::ED25519),
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Verify {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
