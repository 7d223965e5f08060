//! From credentials to what a registry takes: its challenge, and the exchange for a token.
//!
//! The exchange is the one of the Docker registry ("Token Authentication Specification"): a GET with a user and a
//! password, or none, and a POST for a refresh token. Credentials that the token server refuses are tried no
//! further; the request goes on anonymously, because many of them are merely old and the artifact public.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use tokio::time::Instant;

use crate::auth_hosts::{self, AuthHosts};
use crate::credentials::{Credential, Found};
use crate::error::{Action, OciError};
use crate::http::{self, Answer, Http};
use crate::reference::Reference;
use crate::retry::Failure;

/// How long a token lives when its server does not say (the specification's default).
const DEFAULT_LIFE: u64 = 60;
/// Larger than any token.
const LARGEST_TOKEN_ANSWER: u64 = 1 << 20;
/// What this client calls itself to token servers.
const CLIENT_ID: &str = "cove";

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// With user and password each time.
    Basic,
    /// With a token from its token server.
    Bearer { realm: Url, service: Option<String> },
}

impl Challenge {
    /// The challenge of an answer; a token server is preferred, as Docker does.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut basic = None;
        for header in headers.get_all(WWW_AUTHENTICATE) {
            let challenges = http_auth::parser::ChallengeParser::new(header.to_str().ok()?);
            for challenge in challenges.filter_map(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
                if !challenge.scheme.eq_ignore_ascii_case("bearer") {
                    continue;
                }
                let parameter = |name: &str| {
                    let mut parameters = challenge.params.iter();
                    let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                if let Some(realm) = parameter("realm").and_then(|realm| realm.parse().ok()) {
                    return Some(Self::Bearer { realm, service: parameter("service") });
                }
            }
        }
        basic
    }
}

/// What goes with each request.
#[derive(Clone)]
pub(crate) enum Authorization {
    Anonymous,
    Basic { user: String, secret: String },
    Bearer(String),
}

/// An authorization, and what to tell when it is refused.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) authorization: Authorization,
    /// How we asked: `anonymously`, `with …`.
    pub(crate) tried: String,
    pub(crate) notes: Vec<String>,
    /// When it stops being worth sending; none means never.
    pub(crate) until: Option<Instant>,
}

impl Grant {
    /// Puts it onto a request.
    pub(crate) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.authorization {
            Authorization::Anonymous => request,
            Authorization::Basic { user, secret } => request.basic_auth(user, Some(secret)),
            Authorization::Bearer(token) => request.bearer_auth(token),
        }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Who asks for what, and with whose help.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) http: &'a Http,
    /// The token servers that may be asked.
    pub(crate) hosts: &'a AuthHosts,
    pub(crate) reference: &'a Reference,
    pub(crate) action: Action,
}

/// What to send to a registry that asks in this way.
///
/// # Errors
/// A token server that cannot be reached, or whose answer is no token; its refusal is a status 401 or 403.
pub(crate) async fn grant(
    asking: Asking<'_>,
    challenge: Option<&Challenge>,
    found: Found,
) -> Result<Grant, Failure> {
    let Asking { http, hosts, reference, action } = asking;
    let Found { credential, mut notes } = found;
    let anonymous = |notes| Grant {
        authorization: Authorization::Anonymous,
        tried: "anonymously".to_owned(),
        notes,
        until: None,
    };
    let (realm, service) = match (challenge, &credential) {
        (None, _) => return Ok(anonymous(notes)),
        (_, Some((Credential::Registry(token), source))) => {
            let authorization = Authorization::Bearer(token.clone());
            return Ok(Grant { authorization, tried: source.clone(), notes, until: None });
        }
        (Some(Challenge::Basic), Some((Credential::Basic { user, secret }, source))) => {
            let authorization = Authorization::Basic { user: user.clone(), secret: secret.clone() };
            return Ok(Grant { authorization, tried: source.clone(), notes, until: None });
        }
        (Some(Challenge::Basic), _) => return Ok(anonymous(notes)),
        (Some(Challenge::Bearer { realm, service }), _) => (realm, service.as_deref()),
    };
    check_realm(realm, reference, hosts)?;
    let follows = hosts.follow();
    let exchange = Exchange { http, realm, service, scope: scope(reference, action), follows };
    if let Some((credential, source)) = &credential {
        let answer = exchange.ask(Some(credential)).await?;
        if !refused(answer.status) {
            return exchange.read(answer, source.clone(), notes);
        }
        notes.push(format!("asked {source} first, and was refused: they may be old"));
    }
    exchange.read(exchange.ask(None).await?, "anonymously".to_owned(), notes)
}

fn refused(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

fn scope(reference: &Reference, action: Action) -> String {
    let actions = match action {
        Action::Pull => "pull",
        Action::Push => "pull,push",
    };
    format!("repository:{}:{actions}", reference.repository())
}

/// A registry reached over TLS may not make us send a password without it, nor to a host that it is not known to have
/// where that matters.
fn check_realm(realm: &Url, reference: &Reference, hosts: &AuthHosts) -> Result<(), OciError> {
    if !hosts.allow(reference.registry(), realm) {
        let fault = format!(
            "it wants credentials to be sent to `{realm}`, which is not known to be its own; \
             trust `{}={}` if it is",
            reference.registry(),
            auth_hosts::authority_of(realm)
        );
        return Err(OciError::Protocol { host: reference.registry().to_owned(), fault });
    }
    let host = realm.host_str().unwrap_or_default();
    if realm.scheme() == "https" || http::is_loopback(host) || http::is_loopback(reference.registry()) {
        return Ok(());
    }
    let fault = format!("its token server `{realm}` is not reached over TLS");
    Err(OciError::Protocol { host: reference.registry().to_owned(), fault })
}

/// One exchange with a token server.
struct Exchange<'a> {
    http: &'a Http,
    realm: &'a Url,
    service: Option<&'a str>,
    scope: String,
    /// Whether the token server may send us on.
    follows: bool,
}

impl Exchange<'_> {
    fn host(&self) -> &str {
        self.realm.host_str().unwrap_or_default()
    }

    async fn ask(&self, credential: Option<&Credential>) -> Result<Answer, Failure> {
        let client = if self.follows {
            self.http.client(self.host())
        } else {
            self.http.client_that_stays(self.host())
        }?;
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &self.scope);
        }
        let request = match credential {
            Some(Credential::Identity(token)) => {
                url.query_pairs_mut()
                    .append_pair("client_id", CLIENT_ID)
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("refresh_token", token);
                // The pairs are a form's body: in an address the token would end in logs.
                let form = url.query().unwrap_or_default().to_owned();
                client
                    .post(self.realm.clone())
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form)
            }
            Some(Credential::Basic { user, secret }) => client.get(url).basic_auth(user, Some(secret)),
            Some(Credential::Registry(_)) | None => client.get(url),
        };
        http::send(request, self.host(), LARGEST_TOKEN_ANSWER).await
    }

    fn read(&self, answer: Answer, tried: String, notes: Vec<String>) -> Result<Grant, Failure> {
        if refused(answer.status) {
            // The registry itself says no next, with a better reason than its token server.
            return Ok(Grant {
                authorization: Authorization::Anonymous,
                tried,
                notes,
                until: Some(Instant::now()),
            });
        }
        let answer = answer.success(self.host())?;
        let fault =
            |fault: &str| OciError::Protocol { host: self.host().to_owned(), fault: fault.to_owned() };
        let read: TokenAnswer =
            serde_json::from_slice(&answer.body).map_err(|_| fault("its token cannot be read"))?;
        let token = read.token.filter(|token| !token.is_empty()).or(read.access_token);
        let token = token.ok_or_else(|| fault("it gave no token"))?;
        let life = Duration::from_secs(read.expires_in.unwrap_or(DEFAULT_LIFE).clamp(1, 86_400));
        // Some of its life goes by on the way.
        let until = Instant::now() + life.saturating_sub(Duration::from_secs(10)).max(life / 2);
        Ok(Grant { authorization: Authorization::Bearer(token), tried, notes, until: Some(until) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn challenge(headers: &[&str]) -> Option<Challenge> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(WWW_AUTHENTICATE, header.parse().unwrap());
        }
        Challenge::of(&map)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.parse().unwrap(), service: service.map(str::to_owned) }
    }

    #[test]
    fn challenges_as_registries_write_them() {
        let ghcr =
            r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull""#;
        for (headers, expected) in [
            (&[ghcr][..], Some(bearer("https://ghcr.io/token", Some("ghcr.io")))),
            (&[r#"bearer realm="https://x.io/t""#], Some(bearer("https://x.io/t", None))),
            (&[r#"Basic realm="x""#], Some(Challenge::Basic)),
            (&[r#"Basic realm="x""#, ghcr], Some(bearer("https://ghcr.io/token", Some("ghcr.io")))),
            (
                &[r#"Basic realm="x", Bearer realm="https://x.io/t",service="s""#],
                Some(bearer("https://x.io/t", Some("s"))),
            ),
            (&[r#"Bearer realm="not an address""#], None),
            (&["Negotiate"], None),
            (&[], None),
        ] {
            assert_eq!(challenge(headers), expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn foreign_challenges_never_panic(text in "[ -~]{0,80}") {
            challenge(&[&text]);
        }
    }
}
