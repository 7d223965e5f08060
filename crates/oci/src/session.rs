//! Talking to registries: where each is, what it wants to hear, and requests that carry it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::token_cache::{RegistryToken, RegistryTokenType};
use oci_client::{Reference as ClientReference, RegistryOperation};
use reqwest::{StatusCode, Url};
use tokio::time::Instant;

use crate::auth::{self, Authorization, Challenge, Grant};
use crate::auth_hosts::AuthHosts;
use crate::credentials::{self, Credentials};
use crate::error::{Action, OciError};
use crate::http::{self, Answer, Http, Scheme};
use crate::reference::{Reference, Version};
use crate::retry::{Failure, retry};

/// The answer to the first question is small whatever it says.
const LARGEST_GREETING: u64 = 1 << 20;
/// For this long a host that did not answer is not asked again: an artifact has many parts, and each would wait
/// for the network's patience to end.
const SILENCE: Duration = Duration::from_secs(5);

/// All that is known of the registries met so far.
pub(crate) struct Session {
    pub(crate) http: Http,
    pub(crate) credentials: Credentials,
    plain_http: Vec<String>,
    auth_hosts: AuthHosts,
    endpoints: Mutex<HashMap<String, Endpoint>>,
    grants: Mutex<HashMap<(String, String, Action), Grant>>,
    silent: Mutex<HashMap<String, (Instant, String)>>,
}

/// How a registry is spoken to.
#[derive(Debug, Clone)]
struct Endpoint {
    scheme: Scheme,
    challenge: Option<Challenge>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host behind a registry's name; Docker Hub's is another one.
fn host_of(registry: &str) -> &str {
    if registry == "docker.io" { "index.docker.io" } else { registry }
}

fn asks_who(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// How a registry wants to be asked. Where it sent us on, the challenge is that of somebody else, whose token server
/// would be given the registry's password.
fn challenge_of(answer: &Answer, asked: &Url) -> Option<Challenge> {
    if answer.is_of(asked) { Challenge::of(&answer.headers) } else { None }
}

fn is_refusal(error: &OciError) -> bool {
    matches!(error, OciError::Answer { status: 401 | 403, .. })
}

impl Session {
    pub(crate) fn new(
        http: Http,
        credentials: Credentials,
        plain_http: Vec<String>,
        auth_hosts: AuthHosts,
    ) -> Self {
        Self {
            http,
            credentials,
            plain_http,
            auth_hosts,
            endpoints: Mutex::default(),
            grants: Mutex::default(),
            silent: Mutex::default(),
        }
    }

    /// Where a repository's manifests, blobs and tags are.
    pub(crate) async fn address(&self, reference: &Reference, path: &str) -> Result<Url, OciError> {
        let scheme = self.endpoint(reference.registry()).await?.scheme.text();
        let (host, repository) = (host_of(reference.registry()), reference.repository());
        let text = format!("{scheme}://{host}/v2/{repository}/{path}");
        text.parse().map_err(|error| OciError::Address { url: text.clone(), fault: format!("{error}") })
    }

    /// A GET of something of this repository, read up to a limit.
    ///
    /// # Errors
    /// [`OciError::NotFound`] names `what`; otherwise what the network or the registry said.
    pub(crate) async fn get(
        &self,
        reference: &Reference,
        url: &Url,
        accept: &str,
        limit: u64,
        what: &str,
    ) -> Result<Answer, OciError> {
        let got = retry(|| self.get_once(reference, url, accept, limit)).await;
        got.map_err(|error| found_missing(error, what))
    }

    async fn get_once(
        &self,
        reference: &Reference,
        url: &Url,
        accept: &str,
        limit: u64,
    ) -> Result<Answer, Failure> {
        let host = host_of(reference.registry());
        let client = self.http.client(host)?;
        let mut grant = self.grant(reference, Action::Pull).await?;
        for last in [false, true] {
            let request = grant.apply(http::get(&client, url.clone(), accept));
            let answer = http::send(request, host, limit).await?;
            if !asks_who(answer.status) {
                return answer.success(host);
            }
            self.forget(reference, Action::Pull);
            if last {
                break;
            }
            // A token can end early, and some registries ask only here who is there.
            if let Some(challenge) = challenge_of(&answer, url) {
                let mut endpoints = locked(&self.endpoints);
                endpoints
                    .entry(reference.registry().to_owned())
                    .and_modify(|known| known.challenge = Some(challenge));
            }
            grant = self.grant(reference, Action::Pull).await?;
        }
        Err(refused(reference, Action::Pull, grant).into())
    }

    /// A call of the registry client, with the right to do it.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub(crate) async fn call<T, F>(
        &self,
        reference: &Reference,
        action: Action,
        what: &str,
        call: impl Fn(oci_client::Client, ClientReference) -> F,
    ) -> Result<T, OciError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let call = &call;
        let done = retry(|| async move {
            let host = host_of(reference.registry());
            for last in [false, true] {
                let grant = self.grant(reference, action).await?;
                let (client, name) = self.client(reference, action, &grant).await?;
                let failure = match call(client, name).await {
                    Ok(done) => return Ok(done),
                    Err(CallError::Client(error)) => http::of_client(&error, host, what),
                    Err(CallError::Ours(failure)) => failure,
                };
                if !is_refusal(&failure.error) {
                    return Err(failure);
                }
                self.forget(reference, action);
                if last {
                    return Err(refused(reference, action, grant).into());
                }
            }
            unreachable!("the second round always returns")
        });
        done.await.map_err(|error| found_missing(error, what))
    }

    async fn client(
        &self,
        reference: &Reference,
        action: Action,
        grant: &Grant,
    ) -> Result<(oci_client::Client, ClientReference), OciError> {
        let scheme = self.endpoint(reference.registry()).await?.scheme;
        let client = self.http.registry(host_of(reference.registry()), scheme)?;
        let (registry, repository) = (reference.registry().to_owned(), reference.repository().to_owned());
        let name = match reference.version() {
            Version::Tag(tag) => ClientReference::with_tag(registry, repository, tag.clone()),
            Version::Digest(digest) => ClientReference::with_digest(registry, repository, digest.clone()),
        };
        let token = match &grant.authorization {
            Authorization::Anonymous => return Ok((client, name)),
            Authorization::Basic { user, secret } => RegistryTokenType::Basic(user.clone(), secret.clone()),
            Authorization::Bearer(token) => {
                RegistryTokenType::Bearer(RegistryToken::Token { token: token.clone() })
            }
        };
        // It looks into its cache of tokens only for registries it has some credentials for.
        client.store_auth_if_needed(name.resolve_registry(), &RegistryAuth::Anonymous).await;
        client.tokens.insert(&name, RegistryOperation::Pull, token.clone()).await;
        if action == Action::Push {
            client.tokens.insert(&name, RegistryOperation::Push, token).await;
        }
        Ok((client, name))
    }

    async fn grant(&self, reference: &Reference, action: Action) -> Result<Grant, Failure> {
        let key = (reference.registry().to_owned(), reference.repository().to_owned(), action);
        let known = locked(&self.grants).get(&key).cloned();
        if let Some(grant) = known.filter(|grant| grant.until.is_none_or(|until| Instant::now() < until)) {
            return Ok(grant);
        }
        let endpoint = self.endpoint(reference.registry()).await?;
        let found = match endpoint.challenge {
            Some(_) => self.credentials.find(reference.registry()).await,
            // A registry that does not ask is not told, and no keychain is opened for it.
            None => credentials::Found::default(),
        };
        let asking = auth::Asking { http: &self.http, hosts: &self.auth_hosts, reference, action };
        let grant = auth::grant(asking, endpoint.challenge.as_ref(), found).await?;
        locked(&self.grants).insert(key, grant.clone());
        Ok(grant)
    }

    /// The next request finds credentials anew: the user may have logged in since.
    fn forget(&self, reference: &Reference, action: Action) {
        let key = (reference.registry().to_owned(), reference.repository().to_owned(), action);
        locked(&self.grants).remove(&key);
    }

    async fn endpoint(&self, registry: &str) -> Result<Endpoint, OciError> {
        if let Some(known) = locked(&self.endpoints).get(registry) {
            return Ok(known.clone());
        }
        self.check_silence(registry)?;
        let found = retry(|| self.greet(registry)).await;
        match &found {
            Ok(endpoint) => {
                locked(&self.endpoints).insert(registry.to_owned(), endpoint.clone());
            }
            Err(error) => self.note_silence(registry, error),
        }
        found
    }

    fn check_silence(&self, registry: &str) -> Result<(), OciError> {
        match locked(&self.silent).get(registry) {
            Some((until, reason)) if Instant::now() < *until => {
                Err(OciError::Unreachable { host: registry.to_owned(), reason: reason.clone() })
            }
            _ => Ok(()),
        }
    }

    fn note_silence(&self, registry: &str, error: &OciError) {
        if let OciError::Unreachable { reason, .. } = error {
            let entry = (Instant::now() + SILENCE, reason.clone());
            locked(&self.silent).insert(registry.to_owned(), entry);
        }
    }

    /// Asks a registry how it is spoken to. This computer's own registries rarely speak TLS, so they are asked
    /// without it first; nothing secret is said before the answer.
    async fn greet(&self, registry: &str) -> Result<Endpoint, Failure> {
        let listed = self.plain_http.iter().any(|plain| plain.eq_ignore_ascii_case(registry));
        if listed {
            return self.greet_over(registry, Scheme::Http).await;
        }
        if !http::is_loopback(registry) {
            return self.greet_over(registry, Scheme::Https).await;
        }
        let plain = self.greet_over(registry, Scheme::Http).await;
        let Err(failure) = plain else { return plain };
        match self.greet_over(registry, Scheme::Https).await {
            Ok(endpoint) => Ok(endpoint),
            Err(other) if matches!(other.error, OciError::UntrustedCertificate { .. }) => Err(other),
            Err(_) => Err(failure),
        }
    }

    async fn greet_over(&self, registry: &str, scheme: Scheme) -> Result<Endpoint, Failure> {
        let host = host_of(registry);
        let text = format!("{}://{host}/v2/", scheme.text());
        let url: Url =
            text.parse().map_err(|error| OciError::Address { url: text, fault: format!("{error}") })?;
        let answer = http::send(self.http.client(host)?.get(url.clone()), host, LARGEST_GREETING).await?;
        let challenge = challenge_of(&answer, &url);
        // A TLS server answers 400 to plain HTTP; everything else that is no outage is a registry of some kind.
        let status = answer.status;
        if status == StatusCode::BAD_REQUEST
            || status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
        {
            return Err(answer.success(host).err().unwrap_or_else(|| {
                OciError::Protocol { host: host.to_owned(), fault: "no greeting".to_owned() }.into()
            }));
        }
        Ok(Endpoint { scheme, challenge })
    }
}

/// What a call of the registry client ends in.
pub(crate) enum CallError {
    /// What it said itself.
    Client(OciDistributionError),
    /// What was found wrong with its answer.
    Ours(Failure),
}

impl From<OciDistributionError> for CallError {
    fn from(error: OciDistributionError) -> Self {
        Self::Client(error)
    }
}

fn found_missing(error: OciError, what: &str) -> OciError {
    match error {
        OciError::Answer { status: 404, .. } => {
            OciError::NotFound { what: what.to_owned(), near: Vec::new() }
        }
        OciError::TooLarge { limit, .. } => OciError::TooLarge { what: what.to_owned(), limit },
        other => other,
    }
}

fn refused(reference: &Reference, action: Action, grant: Grant) -> OciError {
    OciError::Unauthorized {
        registry: reference.registry().to_owned(),
        repository: reference.repository().to_owned(),
        action,
        tried: grant.tried,
        notes: grant.notes,
        advice: credentials::advice(reference.registry()),
    }
}
