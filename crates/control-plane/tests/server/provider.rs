//! A real identity provider, in a process of its own, and a browser that somebody sits at.
//!
//! It is a package for Node.js, whose version a lock file beside it says; npm installs it into the build folder. Where there
//! is no Node.js, tests that need it are skipped, or fail under `COVE_REQUIRE_UI=1`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{Method, Response, StatusCode, Uri};
use hyper::body::Bytes;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use sha2::{Digest as _, Sha256};

use super::client::Computer;
use super::place::Place;

/// What belongs into the folder that it runs in.
const FILES: [&str; 4] = ["package.json", "package-lock.json", "provider.mjs", "verify.mjs"];

/// It ends with the value.
pub(crate) struct Provider {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
    pub(crate) issuer: String,
    /// The file of its authority.
    pub(crate) authority: String,
    fingerprint: String,
}

/// Where the packages are; nowhere without Node.js.
pub(crate) fn packages() -> Option<&'static Path> {
    static PACKAGES: OnceLock<Option<PathBuf>> = OnceLock::new();
    PACKAGES.get_or_init(install).as_deref()
}

fn install() -> Option<PathBuf> {
    let has = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has("node") || !has("npm") {
        assert!(std::env::var_os("COVE_REQUIRE_UI").is_none_or(|value| value != "1"), "Node.js is needed");
        writeln!(std::io::stderr(), "skipped, no Node.js").expect("standard error is open");
        return None;
    }
    let (from, to) = (
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider"),
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("provider"),
    );
    fs::create_dir_all(&to).unwrap();
    // Two runs at a time would install into each other's folder.
    let lock = fs::File::create(to.join("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = fs::read(from.join("package-lock.json")).unwrap();
    let is_there = fs::read(to.join("installed")).is_ok_and(|installed| installed == wanted);
    for file in FILES {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    if !is_there {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-fund", "--no-audit", "--prefer-offline", "--ignore-scripts"]);
        let done = npm.current_dir(&to).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        fs::write(to.join("installed"), wanted).unwrap();
    }
    Some(to)
}

impl Provider {
    /// One whose certificate is of an authority that nobody knows yet.
    pub(crate) fn start(place: &Place, packages: &Path) -> Self {
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let files = [
            place.file("provider.key", &key.serialize_pem()),
            place.file("provider.pem", &(certificate.pem() + &authority.pem())),
        ];
        let mut node = Command::new("node");
        node.arg(packages.join("provider.mjs")).args(files).stdin(Stdio::piped()).stdout(Stdio::piped());
        // It warns of what is only for development, which this is.
        let mut child = node.stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut issuer = String::new();
        output.read_line(&mut issuer).unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            child,
            output,
            issuer: issuer.trim().to_owned(),
            authority: place.file("provider-authority.pem", &authority.pem()),
            fingerprint: hex(&Sha256::digest(authority.der())),
        }
    }

    /// What a server is told of it.
    pub(crate) fn options<'a>(&'a self, client: &'a str) -> [&'a str; 6] {
        ["--issuer", &self.issuer, "--client-id", client, "--issuer-authority", &self.authority]
    }

    /// Begins, for the client at this address.
    pub(crate) fn serve(&mut self, client: &str) {
        writeln!(self.input, "{client}/v1/sign-in/callback").unwrap();
        let mut ready = String::new();
        self.output.read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), "ready");
    }

    fn port(&self) -> u16 {
        self.issuer.rsplit(':').next().unwrap().parse().unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Somebody at a browser: pages, forms, cookies.
pub(crate) struct Browser {
    computers: BTreeMap<u16, Computer>,
    /// By port and name. To a browser both servers are one host, and their cookies have different names.
    cookies: BTreeMap<(u16, String), String>,
    /// As whom they sign in at the provider.
    name: String,
}

/// What a browser got in the end.
pub(crate) struct Page {
    pub(crate) uri: Uri,
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Browser {
    /// It trusts the provider's authority, and the server's.
    pub(crate) fn new(name: &str, provider: &Provider, (server, authority): (u16, &str)) -> Self {
        let computers = [
            (provider.port(), Computer::new(provider.port(), &provider.fingerprint)),
            (server, Computer::new(server, authority)),
        ];
        Self { computers: computers.into(), cookies: BTreeMap::new(), name: name.to_owned() }
    }

    /// Its cookies for a server, as it sends them.
    pub(crate) fn cookies(&self, port: u16) -> String {
        let theirs = self.cookies.iter().filter(|((of, _), _)| *of == port);
        theirs.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// One request, without going where the answer sends it.
    pub(crate) async fn request(&mut self, method: Method, uri: &Uri, form: &str) -> Response<Bytes> {
        let port = uri.port_u16().unwrap();
        let path = uri.path_and_query().unwrap().as_str();
        let cookies = self.cookies(port);
        let mut headers = vec![("accept", "text/html"), ("sec-fetch-site", "same-origin")];
        headers.extend((!cookies.is_empty()).then_some(("cookie", cookies.as_str())));
        headers.extend((!form.is_empty()).then_some(("content-type", "application/x-www-form-urlencoded")));
        let answer =
            self.computers[&port].send(method, path, &headers, Bytes::from(form.to_owned()), None).await;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let key = (port, name.to_owned());
            if value.is_empty() {
                self.cookies.remove(&key)
            } else {
                self.cookies.insert(key, value.to_owned())
            };
        }
        answer
    }

    /// Goes somewhere, follows wherever it is sent, and signs in and agrees where it is asked; until a page asks for nothing,
    /// or sends it to where `stop` is in the address.
    pub(crate) async fn lead(&mut self, to: &str, stop: &str) -> Page {
        let (mut uri, mut method, mut form): (Uri, _, _) = (to.parse().unwrap(), Method::GET, String::new());
        for _ in 0..30 {
            let answer = self.request(method, &uri, &form).await;
            let status = answer.status();
            if let Some(location) = answer.headers().get(LOCATION) {
                uri = resolved(&uri, location.to_str().unwrap());
                if uri.to_string().contains(stop) {
                    return Page { uri, status, text: String::new() };
                }
                (method, form) = (Method::GET, String::new());
                continue;
            }
            let text = String::from_utf8(answer.into_body().to_vec()).unwrap();
            let Some((action, filled)) = self.fill(&text) else { return Page { uri, status, text } };
            (uri, method, form) = (resolved(&uri, &action), Method::POST, filled);
        }
        panic!("it never ends: {uri}")
    }

    /// The form on a page: where it goes, and what it is filled with.
    fn fill(&self, page: &str) -> Option<(String, String)> {
        let form = page.split("<form").nth(1)?.split("</form>").next()?;
        let action = attribute(form.split('>').next()?, "action")?;
        let mut filled = Vec::new();
        for input in form.split("<input").skip(1) {
            let input = input.split('>').next()?;
            let Some(name) = attribute(input, "name") else { continue };
            let value = match name.as_str() {
                "login" | "password" => self.name.clone(),
                _ => attribute(input, "value").unwrap_or_default(),
            };
            filled.push(format!("{name}={value}"));
        }
        Some((action, filled.join("&")))
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    Some(tag.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.replace("&amp;", "&"))
}

/// An address on a page of another.
fn resolved(from: &Uri, to: &str) -> Uri {
    if to.starts_with("https:") {
        return to.parse().unwrap();
    }
    format!("https://{}{to}", from.authority().unwrap()).parse().unwrap()
}
