//! An identity provider, by OpenID Connect: the code flow with PKCE for browsers, and the device flow.
//!
//! What a provider says of itself and its keys are read when they are needed first, and again every hour or when a key is
//! not known: a server starts whether its provider is there or not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::Full;
use hyper::body::Bytes;
use jsonwebtoken::jwk::JwkSet;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::id_token::{self, Claims, Expected, IdTokenError};
use crate::https::{Https, HttpsError, Trust};
use api::{Problem, ProblemCode};

/// What is asked for: who it is, and their address and name.
const SCOPE: &str = "openid email profile";

/// How long what a provider says of itself counts.
const FRESH: Duration = Duration::from_hours(1);

/// At least so long after it was read it is read again for a key that is not known: tokens that somebody made up cost the
/// provider nothing.
const AGAIN: Duration = Duration::from_secs(30);

/// Letters that are themselves in a form.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a server is a client of its provider.
pub struct ProviderOptions {
    /// The provider: `https://id.example.com`.
    pub issuer: String,
    /// As what it knows this server.
    pub client: String,
    /// What proves that; a public client has none.
    pub secret: Option<String>,
    /// PEM of the authorities that the provider's certificate is of; those that the system trusts if absent.
    pub authorities: Option<Vec<u8>>,
}

/// An identity provider.
pub struct Provider {
    issuer: String,
    client: String,
    secret: Option<String>,
    https: Https,
    known: tokio::sync::Mutex<Option<Arc<Known>>>,
}

/// What a provider says of itself.
struct Known {
    metadata: Metadata,
    keys: JwkSet,
    read_at: Instant,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// A sign-in cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// TLS cannot be set up with these authorities.
    #[error("the authorities of the identity provider cannot be used")]
    Authorities(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It does not answer.
    #[error("the identity provider does not answer")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its answer is not one.
    #[error("{address} answered with {status}, and not with what is asked for there")]
    Odd {
        /// What was asked.
        address: String,
        /// Its status.
        status: StatusCode,
        /// What is wrong with it, where it was a success.
        source: Option<serde_json::Error>,
    },
    /// It calls itself something else.
    #[error("the identity provider says that it is `{0}`")]
    Issuer(String),
    /// It does not let devices sign in.
    #[error("the identity provider does not let people sign in on a device without a browser")]
    NoDevices,
    /// It does not know this server, or not by this secret.
    #[error("the identity provider does not know this server as a client: {0}")]
    Client(String),
    /// It does not let the person in.
    #[error("the identity provider refused it: {0}")]
    Refused(String),
    /// Somebody may have made it up.
    #[error("what came back was not said by the identity provider")]
    Untold,
    /// What it signed is not believed.
    #[error("the identity provider's token is not believed")]
    Token(#[from] IdTokenError),
}

/// Somebody, as the provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The provider.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
    /// Their address, if the provider has verified it.
    pub email: Option<String>,
    /// As they are called.
    pub title: Option<String>,
}

/// What a device shows, and asks with.
#[derive(Debug, Clone, Deserialize)]
pub struct DeviceGrant {
    /// What to ask with.
    pub device_code: String,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// Seconds until it is over.
    pub expires_in: u64,
    /// Seconds between questions.
    #[serde(default = "usual_interval")]
    pub interval: u64,
}

const fn usual_interval() -> u64 {
    5
}

/// What became of a device's question.
#[derive(Debug)]
pub enum DeviceProgress {
    /// The person has not signed in yet.
    Pending,
    /// And the device asks too often.
    SlowDown,
    /// They have.
    SignedIn(Claimed),
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct OAuthError {
    error: String,
    error_description: Option<String>,
}

impl Provider {
    /// One, of which nothing is asked yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(options: ProviderOptions) -> Result<Self, ProviderError> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| ProviderError::Authorities(error);
        let trust = match &options.authorities {
            None => Trust::System,
            Some(pem) => {
                let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
                let read = read.map_err(|error| wrong(error.into()))?;
                if read.is_empty() {
                    return Err(wrong("there is no certificate in the file".into()));
                }
                Trust::Authorities(read)
            }
        };
        let https = Https::new(trust).map_err(|error| wrong(error.into()))?;
        let ProviderOptions { issuer, client, secret, .. } = options;
        Ok(Self { issuer, client, secret, https, known: tokio::sync::Mutex::default() })
    }

    /// The provider, as it calls itself.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where a browser is sent to. `verifier` stays here until the code comes back.
    ///
    /// # Errors
    /// The provider does not answer.
    pub async fn authorization(
        &self,
        redirect: &str,
        state: &str,
        nonce: &str,
        verifier: &str,
    ) -> Result<String, ProviderError> {
        let known = self.known(FRESH).await?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.client),
            ("redirect_uri", redirect),
            ("scope", SCOPE),
            ("state", state),
            ("nonce", nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let endpoint = &known.metadata.authorization_endpoint;
        Ok(format!("{endpoint}{}{query}", if endpoint.contains('?') { '&' } else { '?' }))
    }

    /// Whether an answer that came by a browser says whom it is of, if the provider does that: one of another provider is
    /// not taken for this one's.
    ///
    /// # Errors
    /// It does not, or the provider does not answer.
    pub async fn check_issuer(&self, told: Option<&str>) -> Result<(), ProviderError> {
        let must = self.known(FRESH).await?.metadata.authorization_response_iss_parameter_supported;
        match told {
            Some(told) if told == self.issuer => Ok(()),
            None if !must => Ok(()),
            _ => Err(ProviderError::Untold),
        }
    }

    /// Who it is that a code is of.
    ///
    /// # Errors
    /// The provider does not take the code, or what it says is not believed.
    pub async fn exchange(
        &self,
        code: &str,
        redirect: &str,
        verifier: &str,
        nonce: &str,
    ) -> Result<Claimed, ProviderError> {
        let asked = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ];
        let known = self.known(FRESH).await?;
        match self.ask(&known.metadata.token_endpoint, &known, &asked).await? {
            Ok(tokens) => self.claimed(tokens, Some(nonce)).await,
            Err(error) => Err(refused(error)),
        }
    }

    /// Begins to let a device in.
    ///
    /// # Errors
    /// The provider does not answer, or has no such thing.
    pub async fn device(&self) -> Result<DeviceGrant, ProviderError> {
        let known = self.known(FRESH).await?;
        let endpoint = known.metadata.device_authorization_endpoint.as_ref();
        let endpoint = endpoint.ok_or(ProviderError::NoDevices)?;
        self.ask(endpoint, &known, &[("scope", SCOPE)]).await?.map_err(refused)
    }

    /// Whether the person has signed in.
    ///
    /// # Errors
    /// They refused, it is over, or the provider does not answer.
    pub async fn device_progress(&self, device_code: &str) -> Result<DeviceProgress, ProviderError> {
        let asked =
            [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", device_code)];
        let known = self.known(FRESH).await?;
        match self.ask(&known.metadata.token_endpoint, &known, &asked).await? {
            Ok(tokens) => self.claimed(tokens, None).await.map(DeviceProgress::SignedIn),
            Err(OAuthError { error, .. }) if error == "authorization_pending" => Ok(DeviceProgress::Pending),
            Err(OAuthError { error, .. }) if error == "slow_down" => Ok(DeviceProgress::SlowDown),
            Err(error) => Err(refused(error)),
        }
    }

    /// Who tokens are about.
    async fn claimed(&self, tokens: Tokens, nonce: Option<&str>) -> Result<Claimed, ProviderError> {
        let expected = Expected { issuer: &self.issuer, client: &self.client, nonce };
        let mut known = self.known(FRESH).await?;
        let verified = match id_token::verify(&tokens.id_token, &known.keys, expected) {
            Err(IdTokenError::UnknownKey) => {
                known = self.known(AGAIN).await?;
                id_token::verify(&tokens.id_token, &known.keys, expected)
            }
            done => done,
        };
        let mut claims = verified?;
        // By the letter of the protocol, the token has who it is, and all else is asked for.
        if let (None, Some(endpoint), Some(token)) =
            (&claims.email, &known.metadata.userinfo_endpoint, &tokens.access_token)
        {
            let mut bearer =
                HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ProviderError::Untold)?;
            bearer.set_sensitive(true);
            let request = Request::get(endpoint).header(AUTHORIZATION, bearer);
            let more: Claims = self.read(endpoint, request.body(Full::default())).await?;
            if more.sub != claims.sub {
                return Err(ProviderError::Untold);
            }
            claims = more;
        }
        let email = claims.verified_email().map(ToOwned::to_owned);
        Ok(Claimed { issuer: self.issuer.clone(), subject: claims.sub, email, title: claims.name })
    }

    /// What the provider says of itself, not older than this.
    async fn known(&self, oldest: Duration) -> Result<Arc<Known>, ProviderError> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.read_at.elapsed() < oldest) {
            return Ok(Arc::clone(known));
        }
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = self.get(&address).await?;
        if metadata.issuer != self.issuer {
            return Err(ProviderError::Issuer(metadata.issuer));
        }
        let keys = self.get(&metadata.jwks_uri).await?;
        let new = Arc::new(Known { metadata, keys, read_at: Instant::now() });
        *known = Some(Arc::clone(&new));
        Ok(new)
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, ProviderError> {
        self.read(address, Request::get(address).body(Full::default())).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        address: &str,
        request: axum::http::Result<Request<Full<Bytes>>>,
    ) -> Result<T, ProviderError> {
        let (status, body) = self.send(address, request).await?;
        if status.is_success() { parsed(address, status, &body) } else { Err(odd(address, status)) }
    }

    /// Asks with a form, as this client.
    async fn ask<T: DeserializeOwned>(
        &self,
        address: &str,
        known: &Known,
        asked: &[(&str, &str)],
    ) -> Result<Result<T, OAuthError>, ProviderError> {
        let mut asked = asked.to_vec();
        let mut request = Request::post(address)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        let methods = known.metadata.token_endpoint_auth_methods_supported.as_ref();
        let is_basic = methods.is_none_or(|methods| methods.iter().any(|one| one == "client_secret_basic"));
        match &self.secret {
            Some(secret) if is_basic => {
                let pair = format!("{}:{}", encoded(&self.client), encoded(secret));
                let header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
                let mut header = header.map_err(|_| ProviderError::Untold)?;
                header.set_sensitive(true);
                request = request.header(AUTHORIZATION, header);
            }
            Some(secret) => asked.extend([("client_id", self.client.as_str()), ("client_secret", secret)]),
            None => asked.push(("client_id", &self.client)),
        }
        // The endpoint for devices wants it in any case.
        if !asked.iter().any(|(name, _)| *name == "client_id") {
            asked.push(("client_id", &self.client));
        }
        let (status, body) = self.send(address, request.body(Full::from(form(&asked)))).await?;
        if status.is_success() {
            return parsed(address, status, &body).map(Ok);
        }
        match serde_json::from_slice::<OAuthError>(&body) {
            Ok(error) => Ok(Err(error)),
            Err(_) => Err(odd(address, status)),
        }
    }

    async fn send(
        &self,
        address: &str,
        request: axum::http::Result<Request<Full<Bytes>>>,
    ) -> Result<(StatusCode, Bytes), ProviderError> {
        let request = request.map_err(|_| HttpsError::Address(address.to_owned()))?;
        let answer = self.https.send(request).await?;
        Ok((answer.status(), answer.into_body()))
    }
}

fn parsed<T: DeserializeOwned>(address: &str, status: StatusCode, body: &[u8]) -> Result<T, ProviderError> {
    let parsed = serde_json::from_slice(body);
    parsed.map_err(|error| ProviderError::Odd { address: address.to_owned(), status, source: Some(error) })
}

fn odd(address: &str, status: StatusCode) -> ProviderError {
    ProviderError::Odd { address: address.to_owned(), status, source: None }
}

fn refused(error: OAuthError) -> ProviderError {
    let OAuthError { error, error_description } = error;
    let words = match error_description {
        Some(description) => format!("{error}: {description}"),
        None => error.clone(),
    };
    match error.as_str() {
        "invalid_client" | "unauthorized_client" | "unsupported_grant_type" | "invalid_scope" => {
            ProviderError::Client(words)
        }
        _ => ProviderError::Refused(words),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string()
}

fn form(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

impl From<HttpsError> for ProviderError {
    fn from(error: HttpsError) -> Self {
        Self::Away(Box::new(error))
    }
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        let code = match &error {
            ProviderError::Refused(_) | ProviderError::Untold | ProviderError::Token(_) => {
                ProblemCode::SignInRefused
            }
            _ => ProblemCode::IdentityProviderUnavailable,
        };
        let problem = Self::new(code, error.to_string()).caused_by(&error);
        match error {
            ProviderError::Client(_) => problem
                .with_hint("whoever runs the server compares --client-id and the secret with the provider's"),
            ProviderError::Issuer(_) => problem.with_hint("whoever runs the server gives that to --issuer"),
            ProviderError::NoDevices => {
                problem.with_hint("make a token in the console, and put it into COVE_CONTROL_TOKEN")
            }
            _ => problem,
        }
    }
}
