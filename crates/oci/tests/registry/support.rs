//! A store and a home of one's own, artifacts, and a server that answers as a test says.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use oci::{Artifact, DEVCONTAINERS_CONFIG, DEVCONTAINERS_LAYER, File, Files, Layer, Options, Registry};

/// What one user has: a store, and a folder for Docker's configuration.
pub(crate) struct User {
    folder: tempfile::TempDir,
}

impl User {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    pub(crate) fn docker_config(&self, text: &str) {
        fs_err::write(self.path().join("config.json"), text).unwrap();
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            cache: self.path().join("store"),
            docker_config: Some(self.path().to_owned()),
            plain_http: Vec::new(),
            extra_ca: Vec::new(),
            auth_hosts: oci::AuthHosts::Any,
            offline: false,
            environment: BTreeMap::from([("PATH".to_owned(), format!("{}:/usr/bin:/bin", self.path()))]),
        }
    }

    /// As a process of this user, started anew.
    pub(crate) fn registry(&self) -> Registry {
        Registry::new(self.options()).unwrap()
    }

    pub(crate) fn offline(&self) -> Registry {
        Registry::new(Options { offline: true, ..self.options() }).unwrap()
    }

    /// Where the store has content.
    pub(crate) fn stored(&self, digest: &str) -> Utf8PathBuf {
        self.path().join("store/blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }
}

pub(crate) fn artifact(script: &str) -> Artifact {
    let file = File { bytes: script.as_bytes().to_vec(), mode: 0o755 };
    Artifact {
        config_media_type: DEVCONTAINERS_CONFIG.into(),
        layers: vec![Layer {
            media_type: DEVCONTAINERS_LAYER.into(),
            annotations: BTreeMap::from([(oci::TITLE_ANNOTATION.to_owned(), "feature.tgz".to_owned())]),
            bytes: oci::pack(&Files::from([("install.sh".into(), file)])),
        }],
        annotations: BTreeMap::from([(oci::METADATA_ANNOTATION.to_owned(), r#"{"id":"go"}"#.to_owned())]),
    }
}

/// A request as a scripted server sees it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method and target, such as `GET /v2/`.
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A server of HTTP on the loopback that answers as it is told, until the test ends.
pub(crate) struct Server {
    pub(crate) address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&str, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (own, log) = (address.clone(), Arc::clone(&seen));
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is none of the server's business.
                let _ = serve(stream, &log, |request| answer(&own, request));
            }
        });
        Self { address, seen }
    }

    /// The requests so far, by their first lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|request| request.line.clone()).collect()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    answer: impl Fn(&Request) -> Reply,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let request = Request { line, headers, body: String::from_utf8_lossy(&body).into_owned() };
    let Reply { status, headers, body } = answer(&request);
    log.lock().unwrap().push(request);
    write!(stream, "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "\r\n")?;
    stream.write_all(&body)
}
