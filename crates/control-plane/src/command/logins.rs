//! Servers elsewhere, and as whom somebody of this computer is signed in to them: a file that is theirs alone.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use api::control::not_its_time;
use api::{Name, Problem, ProblemCode};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, Method, Request, Response, Uri};
use camino::{Utf8Path, Utf8PathBuf};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::arguments::Access;
use super::call::{request, unexpected};
use super::serve::failed;
use crate::https::{Https, HttpsError, Trust};

/// Where a server is, unless its address says so.
const PORT: u16 = 8443;

/// A token from the environment, for programs: no command line, in which everybody on a computer can read it.
const TOKEN: &str = "COVE_CONTROL_TOKEN";

/// A server, and as whom one is signed in there.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Login {
    /// `https://control.example.com:8443`.
    pub(super) server: String,
    /// SHA-256 of its authority, in hex; those that the system trusts if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) authority: Option<String>,
    /// In which organization.
    pub(super) organization: Name,
    /// Who.
    pub(super) user: Name,
    /// What proves it.
    pub(super) token: String,
    /// To take that back by.
    pub(super) id: String,
    /// Until when.
    pub(super) expires_at: Timestamp,
}

/// All of them, one for each server.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Logins {
    #[serde(default)]
    logins: Vec<Login>,
}

impl Logins {
    /// Those of whoever runs this.
    pub(super) fn read() -> Result<Self, Problem> {
        let Some(path) = path() else { return Ok(Self::default()) };
        match fs_err::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(&format!("{path} cannot be read"), &error)),
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                failed(&format!("{path} cannot be read"), &error)
                    .with_hint("delete it, and sign in again with `cove-control login`")
            }),
        }
    }

    /// The one for a server.
    pub(super) fn of(&self, server: &str) -> Option<&Login> {
        self.logins.iter().find(|login| login.server == server)
    }

    /// The only one.
    pub(super) fn only(&self) -> Result<Option<&Login>, Problem> {
        if let [_, _, ..] = self.logins.as_slice() {
            let servers: Vec<_> = self.logins.iter().map(|login| login.server.as_str()).collect();
            let title = format!("you are signed in to several servers: {}", servers.join(", "));
            return Err(Problem::new(ProblemCode::InvalidRequest, title).with_hint("name one with --server"));
        }
        Ok(self.logins.first())
    }

    /// Puts one in the place of another for the same server.
    pub(super) fn put(&mut self, login: Login) {
        self.remove(&login.server);
        self.logins.push(login);
    }

    pub(super) fn remove(&mut self, server: &str) {
        self.logins.retain(|login| login.server != server);
    }

    /// Writes them down, whole or not at all.
    pub(super) fn write(&self) -> Result<(), Problem> {
        let path = path().ok_or_else(|| {
            Problem::new(ProblemCode::InvalidRequest, "there is no folder for your configuration")
                .with_hint("set HOME or XDG_CONFIG_HOME")
        })?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| unexpected(&error))?;
        replace(&path, &text).map_err(|error| failed(&format!("{path} cannot be written"), &error))
    }
}

/// Writes a file that nobody else can read, in a folder that nobody else can look into.
fn replace(path: &Utf8Path, text: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = folder.join(format!(".logins.{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(text).and_then(|()| file.sync_all()))
        .and_then(|()| fs_err::rename(&beside, path));
    if written.is_err() {
        // It may never have been made.
        let _ = fs_err::remove_file(&beside);
    }
    written
}

/// Where they are; nowhere for who has no home.
fn path() -> Option<Utf8PathBuf> {
    let named = |name| std::env::var(name).ok().filter(|value| value.starts_with('/')).map(Utf8PathBuf::from);
    let folder = named("XDG_CONFIG_HOME").or_else(|| Some(named("HOME")?.join(".config")))?;
    Some(folder.join("cove-control/logins.json"))
}

/// A server elsewhere.
pub(super) struct Server {
    address: String,
    https: Https,
    token: Option<String>,
}

impl Server {
    /// One to which nobody signed in yet.
    pub(super) fn new(address: &str, authority: Option<&str>) -> Result<Self, Problem> {
        let address = address_of(address)?;
        let trust = match authority {
            None => Trust::System,
            Some(authority) => {
                let is_hex = authority.len() == 64 && authority.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !is_hex {
                    let title = "an authority is named by 64 digits and letters from a to f";
                    return Err(Problem::new(ProblemCode::InvalidRequest, title)
                        .with_hint("`cove-control serve` says it when it starts"));
                }
                Trust::Fingerprint(authority.to_owned())
            }
        };
        let https = Https::new(trust).map_err(|error| failed("TLS cannot be set up", &error))?;
        Ok(Self { address, https, token: None })
    }

    /// The one that somebody signed in to.
    pub(super) fn of(login: &Login) -> Result<Self, Problem> {
        let server = Self::new(&login.server, login.authority.as_deref())?;
        Ok(Self { token: Some(login.token.clone()), ..server })
    }

    /// The one that was named, by a token of the environment or as who signed in there.
    pub(super) fn named(address: &str, access: &Access) -> Result<Self, Problem> {
        let address = address_of(address)?;
        let logins = Logins::read()?;
        let login = logins.of(&address);
        let authority = access.authority.as_deref().or_else(|| login?.authority.as_deref());
        let server = Self::new(&address, authority)?;
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let Some(token) = token.or_else(|| login.map(|login| login.token.clone())) else {
            let title = format!("you are not signed in to {address}");
            return Err(Problem::new(ProblemCode::NotSignedIn, title)
                .with_command("sign in", format!("cove-control login {address}"))
                .with_hint(format!("programs have a token in {TOKEN}")));
        };
        Ok(Self { token: Some(token), ..server })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request of JSON.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, Problem> {
        let request = self.request(method, path, body)?;
        self.https.send(request).await.map_err(|error| self.problem(&error))
    }

    /// Asks for something that the server goes on to tell.
    pub(super) async fn open(&self, path: &str) -> Result<Response<Incoming>, Problem> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        self.https.open(request).await.map_err(|error| self.problem(&error))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Problem> {
        let mut request = request(method, &self.address, path, body)?;
        if let Some(token) = &self.token {
            let mut value =
                HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| unexpected(&error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    fn problem(&self, error: &HttpsError) -> Problem {
        if error.is_of_time() {
            return not_its_time(&self.address, Timestamp::now()).caused_by(error);
        }
        if let HttpsError::Untrusted(_) = error {
            let title = format!("{} is not the server that it should be", self.address);
            return Problem::new(ProblemCode::CertificateRefused, title).caused_by(error).with_hint(
                "check the address; a server that has its own authority is named with `--authority`: `cove-control serve` says \
                 it when it starts",
            );
        }
        let title = format!("{} cannot be reached", self.address);
        Problem::new(ProblemCode::ControlPlaneUnreachable, title).caused_by(error)
    }
}

/// An address as it is kept: with its port.
fn address_of(text: &str) -> Result<String, Problem> {
    let wrong = || {
        Problem::new(ProblemCode::InvalidRequest, format!("`{text}` is no address of a control plane"))
            .with_hint("it looks like https://control.example.com:8443")
    };
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| wrong())?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    let is_plain =
        uri.scheme_str() == Some("https") && matches!(uri.path(), "" | "/") && uri.query().is_none();
    match authority.filter(|_| is_plain) {
        Some(authority) => {
            let port = authority.port_u16().unwrap_or(PORT);
            Ok(format!("https://{}:{port}", authority.host().to_ascii_lowercase()))
        }
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_server_are_one() {
        for text in
            ["https://c.example", "https://C.example/", "https://c.example:8443", "https://c.example:8443/"]
        {
            assert_eq!(address_of(text).ok().as_deref(), Some("https://c.example:8443"), "{text}");
        }
        assert_eq!(address_of("https://[::1]:99").ok().as_deref(), Some("https://[::1]:99"));
        for text in
            ["c.example", "http://c.example", "https://c.example/x", "https://a@c.example", "https://", ""]
        {
            assert!(address_of(text).is_err(), "{text}");
        }
    }
}
