//! Tarballs from web addresses, kept like content of registries.

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderValue, IF_NONE_MATCH};

use crate::error::{Action, OciError};
use crate::http::{self, Answer};
use crate::manifest::{Freshness, Staleness};
use crate::registry::{LARGEST_CONTENT, Registry};
use crate::retry::{Failure, retry};
use crate::store::{Name, Remembered};

/// Hosts that `GITHUB_TOKEN` is for.
const GITHUB: [&str; 2] = ["github.com", "api.github.com"];

/// What an address gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The content.
    pub bytes: Vec<u8>,
    /// Its digest: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Whether it is what the address gives now, or gave at some time before.
    pub freshness: Freshness,
}

impl Registry {
    /// What an `https://` address gives (`http://` on this computer only). When its server cannot be reached, or
    /// offline, what it gave last, with [`Download::freshness`] saying so. An unchanged file is not sent again.
    ///
    /// # Errors
    /// Anything of [`OciError`].
    pub async fn download(&self, url: &str) -> Result<Download, OciError> {
        let parsed = check_address(url)?;
        let key = parsed.to_string();
        let what = format!("`{url}`");
        let kept = self.kept(&key).await?;
        if self.inner.offline {
            return kept.map(|kept| kept.standing_in(Staleness::Offline)).ok_or(OciError::Offline { what });
        }
        let etag = kept.as_ref().and_then(|kept| kept.remembered.etag.clone());
        let got = retry(|| self.get(&parsed, etag.as_deref(), url)).await;
        let answer = match (got, kept) {
            (Ok(None), Some(kept)) => {
                let Kept { bytes, remembered: Remembered { digest, etag, .. } } = kept;
                self.inner.store.remember(Name::Address(&key), &digest, etag).await?;
                return Ok(Download { bytes, digest, freshness: Freshness::Current });
            }
            (Ok(Some(answer)), _) => answer,
            (Ok(None), None) => {
                let host = parsed.host_str().unwrap_or_default().to_owned();
                return Err(OciError::Protocol {
                    host,
                    fault: "it says nothing changed since never".to_owned(),
                });
            }
            (Err(error), Some(kept)) if error.is_unreachable() => {
                return Ok(kept.standing_in(Staleness::Unreachable(error.to_string())));
            }
            (Err(OciError::Answer { status: 404 | 410, .. }), _) => {
                return Err(OciError::NotFound { what, near: Vec::new() });
            }
            (Err(OciError::TooLarge { limit, .. }), _) => return Err(OciError::TooLarge { what, limit }),
            (Err(error), _) => return Err(error),
        };
        let etag = answer.header("etag").map(str::to_owned);
        let digest = self.inner.store.keep(&answer.body).await?;
        self.inner.store.remember(Name::Address(&key), &digest, etag).await?;
        Ok(Download { bytes: answer.body, digest, freshness: Freshness::Current })
    }

    /// What an address gave when its digest was this one, as a lockfile says: from the store if it is there,
    /// without asking anybody.
    ///
    /// # Errors
    /// [`OciError::DigestMismatch`] when the address gives something else now, and anything [`Registry::download`]
    /// ends in.
    pub async fn download_exactly(&self, url: &str, digest: &str) -> Result<Download, OciError> {
        check_address(url)?;
        if let Some(bytes) = self.inner.store.content(digest).await? {
            return Ok(Download { bytes, digest: digest.to_owned(), freshness: Freshness::Current });
        }
        let download = self.download(url).await?;
        if download.digest == digest {
            return Ok(download);
        }
        let (what, expected) = (format!("`{url}`"), digest.to_owned());
        Err(OciError::DigestMismatch { what, expected, actual: download.digest })
    }

    async fn kept(&self, key: &str) -> Result<Option<Kept>, OciError> {
        let store = &self.inner.store;
        let Some(remembered) = store.recall(Name::Address(key)).await? else { return Ok(None) };
        let bytes = store.content(&remembered.digest).await?;
        Ok(bytes.map(|bytes| Kept { bytes, remembered }))
    }

    /// One attempt; nothing when the file is the one with this validator.
    async fn get(&self, url: &Url, etag: Option<&str>, written: &str) -> Result<Option<Answer>, Failure> {
        let host = url.host_str().unwrap_or_default();
        let client = self.inner.session.http.client(host)?;
        let token =
            self.inner.session.credentials.variable("GITHUB_TOKEN").filter(|_| GITHUB.contains(&host));
        let mut answer = None;
        // A token that is old or of another account must not hide what is public.
        for token in token.map(Some).into_iter().chain([None]) {
            let mut request = http::get(&client, url.clone(), "*/*");
            if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
                request = request.header(IF_NONE_MATCH, etag);
            }
            if let Some(mut token) =
                token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok())
            {
                token.set_sensitive(true);
                request = request.header(AUTHORIZATION, token);
            }
            let came = answer.insert(http::send(request, host, LARGEST_CONTENT).await?);
            if !matches!(came.status.as_u16(), 401 | 403 | 404) {
                break;
            }
        }
        let Some(answer) = answer else { return Ok(None) };
        match answer.status.as_u16() {
            304 => Ok(None),
            401 | 403 => Err(OciError::Unauthorized {
                registry: host.to_owned(),
                repository: written.to_owned(),
                action: Action::Pull,
                tried: if token.is_some() { "with `GITHUB_TOKEN` and anonymously" } else { "anonymously" }
                    .to_owned(),
                notes: Vec::new(),
                advice: "only files that anyone may download can be named by address".to_owned(),
            }
            .into()),
            _ => answer.success(host).map(Some),
        }
    }
}

/// What the store has of an address.
struct Kept {
    bytes: Vec<u8>,
    remembered: Remembered,
}

impl Kept {
    fn standing_in(self, because: Staleness) -> Download {
        let freshness = Freshness::Remembered { at: self.remembered.at, because };
        Download { bytes: self.bytes, digest: self.remembered.digest, freshness }
    }
}

fn check_address(url: &str) -> Result<Url, OciError> {
    let fault = |fault: String| OciError::Address { url: url.to_owned(), fault };
    let mut parsed: Url = url.parse().map_err(|error| fault(format!("it is not a web address ({error})")))?;
    if parsed.password().is_some() || !parsed.username().is_empty() {
        // Not told back: it may end in a log.
        let url = format!("{}://…", parsed.scheme());
        return Err(OciError::Address { url, fault: "it holds a user or a password".to_owned() });
    }
    match (parsed.scheme(), parsed.host_str()) {
        ("https", Some(_)) => {}
        ("http", Some(host)) if http::is_loopback(host) => {}
        ("http", _) => {
            return Err(fault("it is without TLS, so anyone on the way could change what comes".to_owned()));
        }
        (scheme, _) => return Err(fault(format!("`{scheme}` is not a way to download"))),
    }
    parsed.set_fragment(None);
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_with_tls_or_of_this_computer_are_taken() {
        for url in ["https://x.io/a.tgz", "http://localhost:8080/a", "http://127.0.0.1/a", "http://[::1]:1/a"]
        {
            assert!(check_address(url).is_ok(), "{url}");
        }
        for (url, told) in [
            ("http://x.io/a.tgz", "without TLS"),
            ("ftp://x.io/a", "`ftp` is not a way to download"),
            ("file:///etc/passwd", "`file` is not a way"),
            ("x.io/a", "not a web address"),
            ("https://", "not a web address"),
        ] {
            let error = check_address(url).expect_err(url).to_string();
            assert!(error.contains(told) && error.contains("expected an `https://` address"), "{error}");
        }
        let error = check_address("https://me:SECRET@x.io/a").unwrap_err().to_string();
        assert!(error.contains("user or a password") && !error.contains("SECRET"), "{error}");
    }
}
