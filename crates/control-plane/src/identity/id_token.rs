//! What an identity provider signs about somebody, and whether to believe it.

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::jwt;

/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 60;

/// What a token must be of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    /// The provider.
    pub(super) issuer: &'a str,
    /// Who it is for: us.
    pub(super) client: &'a str,
    /// What was sent with the question that it answers, where something was.
    pub(super) nonce: Option<&'a str>,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    /// Who it is there.
    pub(super) sub: String,
    /// Their mail address, verified or not.
    #[serde(default)]
    pub(super) email: Option<String>,
    /// Whether the provider has verified that. Some say so in a word.
    #[serde(default)]
    email_verified: Option<Value>,
    /// As they are called.
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    iss: Value,
}

impl Claims {
    /// The mail address, if the provider has verified it.
    pub(super) fn verified_email(&self) -> Option<&str> {
        let is_verified = match &self.email_verified {
            Some(Value::Bool(is)) => *is,
            Some(Value::String(word)) => word == "true",
            _ => false,
        };
        self.email.as_deref().filter(|_| is_verified)
    }
}

/// A token is not believed.
#[derive(Debug, thiserror::Error)]
pub enum IdTokenError {
    /// It names a key that is not known: the provider may have new ones.
    #[error("it is signed with a key that the provider does not have")]
    UnknownKey,
    /// It is no token, its signature is wrong, or it is of somebody else, for somebody else, or over.
    #[error("it is not a token for this server that the provider signed")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// It is for others too, and was asked for by one of them.
    #[error("it was made for another client")]
    Client,
    /// It answers another question.
    #[error("it answers another request than the one that was made")]
    Nonce,
}

/// What a token says, once everything about it is right.
///
/// # Errors
/// Something is not.
pub(super) fn verify(token: &str, keys: &JwkSet, expected: Expected<'_>) -> Result<Claims, IdTokenError> {
    let header = jwt::header(token)?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let is_meant = |key: &&Jwk| {
        let is_named = header.kid.is_none() || header.kid == key.common.key_id;
        is_named && !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption))
    };
    // Without a name each key is tried that could have made such a signature.
    let mut wrong = IdTokenError::UnknownKey;
    for key in keys.keys.iter().filter(is_meant) {
        let decoded =
            DecodingKey::from_jwk(key).and_then(|key| jwt::decode::<Claims>(token, &key, &validation));
        match decoded {
            Ok(data) => return believed(data.claims, expected),
            Err(error) => wrong = error.into(),
        }
    }
    Err(wrong)
}

/// What is to be right beside the signature, the issuer, the audience and the times.
fn believed(claims: Claims, expected: Expected<'_>) -> Result<Claims, IdTokenError> {
    // The library would take a list that has the issuer in it.
    if claims.iss != expected.issuer {
        return Err(IdTokenError::Client);
    }
    let is_for_others = claims.aud.as_array().is_some_and(|audiences| audiences.len() > 1);
    match &claims.azp {
        Some(client) if client != expected.client => return Err(IdTokenError::Client),
        None if is_for_others => return Err(IdTokenError::Client),
        _ => {}
    }
    if expected.nonce.is_some() && claims.nonce.as_deref() != expected.nonce {
        return Err(IdTokenError::Nonce);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use rcgen::{KeyPair, PublicKeyData as _};
    use serde_json::json;

    use super::*;

    const EXPECTED: Expected<'_> =
        Expected { issuer: "https://id.example", client: "cove", nonce: Some("n-1") };

    /// A provider's key and the set that it publishes.
    struct Provider {
        key: KeyPair,
        keys: JwkSet,
    }

    impl Provider {
        fn new(kid: Option<&str>) -> Self {
            let key = KeyPair::generate().unwrap();
            let point = key.der_bytes();
            let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
            let mut jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig" });
            if let Some(kid) = kid {
                jwk["kid"] = kid.into();
            }
            Self { key, keys: serde_json::from_value(json!({ "keys": [jwk] })).unwrap() }
        }

        fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
            let header = Header { kid: kid.map(ToOwned::to_owned), ..Header::new(Algorithm::ES256) };
            jwt::encode(&header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
        }
    }

    fn claims(change: &Value) -> Value {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({
            "iss": EXPECTED.issuer, "aud": EXPECTED.client, "sub": "17", "nonce": "n-1", "iat": now, "exp": now + 300,
            "email": "ann@example.com", "email_verified": true,
        });
        for (key, value) in change.as_object().unwrap() {
            claims[key] = value.clone();
        }
        claims
    }

    #[test]
    fn a_token_is_believed_if_everything_about_it_is_right() {
        let provider = Provider::new(Some("a"));
        let now = jiff::Timestamp::now().as_second();
        for (change, is_right) in [
            (json!({}), true),
            (json!({ "aud": ["cove"] }), true),
            (json!({ "aud": ["cove", "other"], "azp": "cove" }), true),
            (json!({ "exp": now - 30 }), true),
            (json!({ "aud": ["cove", "other"] }), false),
            (json!({ "azp": "other" }), false),
            (json!({ "aud": "other" }), false),
            (json!({ "aud": null }), false),
            (json!({ "iss": "https://evil.example" }), false),
            (json!({ "iss": ["https://id.example", "https://evil.example"] }), false),
            (json!({ "iss": null }), false),
            (json!({ "sub": null }), false),
            (json!({ "nonce": "n-2" }), false),
            (json!({ "nonce": null }), false),
            (json!({ "exp": now - 90 }), false),
            (json!({ "exp": null }), false),
            (json!({ "nbf": now + 600 }), false),
        ] {
            let token = provider.sign(Some("a"), &claims(&change));
            let verified = verify(&token, &provider.keys, EXPECTED);
            assert_eq!(verified.is_ok(), is_right, "{change}: {verified:?}");
        }
    }

    #[test]
    fn nobody_else_signs_for_the_provider() {
        let (provider, other) = (Provider::new(Some("a")), Provider::new(Some("a")));
        let token = provider.sign(Some("a"), &claims(&json!({})));
        assert!(verify(&token, &other.keys, EXPECTED).is_err());
        let unknown = verify(&provider.sign(Some("b"), &claims(&json!({}))), &provider.keys, EXPECTED);
        assert!(matches!(unknown, Err(IdTokenError::UnknownKey)), "{unknown:?}");
        // Without names, the key that fits is found.
        let (mut nameless, mut both) = (Provider::new(None), other.keys.clone());
        both.keys.append(&mut nameless.keys.keys);
        assert!(verify(&nameless.sign(None, &claims(&json!({}))), &both, EXPECTED).is_ok());
        assert!(verify("", &both, EXPECTED).is_err());

        // Nothing that is no signature, and nothing that is one of a key which everybody has.
        let payload = URL_SAFE_NO_PAD.encode(claims(&json!({})).to_string());
        let key = provider.key.der_bytes();
        for algorithm in ["none", "None", "HS256", "ES256", "RS256", "EdDSA"] {
            let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm, "kid": "a" }).to_string());
            let message = format!("{header}.{payload}");
            let hmac =
                ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key), message.as_bytes());
            for signature in [String::new(), URL_SAFE_NO_PAD.encode(hmac)] {
                let forged = verify(&format!("{message}.{signature}"), &provider.keys, EXPECTED);
                assert!(forged.is_err(), "{algorithm}");
            }
        }
    }

    #[test]
    fn an_address_counts_if_the_provider_has_verified_it() {
        for (verified, counts) in [
            (json!(true), true),
            (json!("true"), true),
            (json!(false), false),
            (json!("false"), false),
            (json!(1), false),
            (json!(null), false),
        ] {
            let read: Claims =
                serde_json::from_value(claims(&json!({ "email_verified": verified }))).unwrap();
            assert_eq!(read.verified_email().is_some(), counts, "{verified}");
        }
    }
}
