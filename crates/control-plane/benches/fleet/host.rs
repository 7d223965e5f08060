//! The server's process, and what its host asks of it by the socket.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::{Method, Request};
use camino::{Utf8Path, Utf8PathBuf};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::{Failure, all};

/// The server's program; `cargo xtask bench` builds an optimised one and names it.
const PROGRAM: &str = "COVE_CONTROL";

pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: Option<tempfile::TempDir>,
    url: Option<String>,
    authority: String,
}

impl Server {
    pub(crate) fn start(url: Option<String>) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("cvb").tempdir_in("/tmp")?;
        Self::on(folder, url)
    }

    fn on(folder: tempfile::TempDir, url: Option<String>) -> Result<Self, Failure> {
        let program =
            std::env::var(PROGRAM).unwrap_or_else(|_| env!("CARGO_BIN_EXE_cove-control").to_owned());
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--name", "localhost"]);
        command.env("COVE_CONTROL_HOME", folder.path()).env("NO_COLOR", "1").stderr(Stdio::piped());
        match &url {
            Some(url) => command.env("DATABASE_URL", url),
            None => command.env_remove("DATABASE_URL"),
        };
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("its errors are piped")?).lines();
        let told = lines.by_ref().map_while(Result::ok).find(|line| line.contains("https://localhost:"));
        let told = told.ok_or("the server tells its address")?;
        let after = |mark: &str| {
            told.split(mark).nth(1).and_then(|rest| rest.split([' ', '"']).find(|word| !word.is_empty()))
        };
        let port = after("https://localhost:").ok_or("a port")?.parse()?;
        let authority = after("authority=").ok_or("its authority")?.to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { child, port, folder: Some(folder), url, authority };
        let begun = Instant::now();
        // One that was killed leaves its socket behind.
        let socket = server.folder().join("run/control.sock");
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if begun.elapsed() > Duration::from_secs(30) {
                return Err("the server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Another process with the same state.
    pub(crate) fn restart(mut self) -> Result<Self, Failure> {
        self.child.kill()?;
        self.child.wait()?;
        let (folder, url) = (self.folder.take().ok_or("it has one until it ends")?, self.url.take());
        Self::on(folder, url)
    }

    pub(crate) fn folder(&self) -> Utf8PathBuf {
        let folder = self.folder.as_ref().map(|folder| folder.path().to_owned()).unwrap_or_default();
        Utf8PathBuf::from_path_buf(folder).unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn host(&self) -> Host {
        Host { socket: self.folder().join("run/control.sock") }
    }

    /// What it occupies (PSS), in bytes.
    pub(crate) fn memory(&self) -> Result<u64, Failure> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("the kernel tells it")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Does something, and what processor time it took the server.
    pub(crate) async fn cost<T>(&self, work: impl Future<Output = T>) -> Result<(T, Duration), Failure> {
        let before = self.processor_time()?;
        let done = work.await;
        Ok((done, self.processor_time()?.saturating_sub(before)))
    }

    fn processor_time(&self) -> Result<Duration, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let rest = stat.rsplit_once(") ").ok_or("the kernel's form")?.1;
        let ticks: u64 = rest.split(' ').skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
        // Linux tells hundredths of a second on every computer that we build for.
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An environment on a runner; `index` makes it another one.
pub(crate) fn environment(runner: &str, index: usize) -> Value {
    json!({ "desired_phase": "running", "runner": runner, "source": { "type": "repository", "url": "u" },
        "idle": { "stop_after": stop_after(index) } })
}

pub(crate) fn stop_after(index: usize) -> u64 {
    1000 + index as u64
}

/// The server's host.
pub(crate) struct Host {
    socket: Utf8PathBuf,
}

/// A watch: its bytes as they come.
pub(crate) struct Watch {
    body: Incoming,
    /// What came and was not read yet.
    text: String,
}

impl Host {
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        connect(&self.socket).await
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        call(&mut self.connect().await?, method, path, body).await
    }

    pub(crate) async fn apply(&self, drafts: &[Value]) -> Result<(), Failure> {
        self.call(Method::POST, "/v1/organizations/bench/apply", &json!(drafts)).await.map(drop)
    }

    /// A token for a runner.
    pub(crate) async fn token(&self, runner: &str) -> Result<String, Failure> {
        let path = format!("/v1/organizations/bench/runners/{runner}/token");
        let made = self.call(Method::POST, &path, &json!({})).await?;
        Ok(made["token"].as_str().ok_or("a token")?.to_owned())
    }

    /// Changes the environment of a runner.
    pub(crate) async fn change(&self, runner: &str, index: usize) -> Result<(), Failure> {
        let path = format!("/v1/organizations/bench/environments/{runner}");
        let spec = environment(runner, index);
        let draft = json!({ "kind": "Environment", "metadata": { "name": runner }, "spec": spec });
        self.call(Method::PUT, &path, &draft).await.map(drop)
    }

    /// Writes as much as goes, with so many clients at once; changes a second.
    pub(crate) async fn write(&self, clients: usize, time: Duration) -> Result<f64, Failure> {
        let writers = (0..clients).map(|client| {
            let socket = self.socket.clone();
            tokio::spawn(async move {
                let mut sender = connect(&socket).await?;
                let (begun, mut count) = (Instant::now(), 0_u64);
                while begun.elapsed() < time {
                    project(&mut sender, client, count).await?;
                    count += 1;
                }
                Ok::<_, Failure>(count)
            })
        });
        let writers: Vec<_> = writers.collect();
        let mut count = 0;
        for writer in writers {
            count += writer.await??;
        }
        Ok(count as f64 / time.as_secs_f64())
    }

    /// Opens watches, all of which have caught up.
    pub(crate) async fn watch(&self, count: usize) -> Result<Vec<Watch>, Failure> {
        let opened = (0..count).map(|_| async {
            let mut sender = self.connect().await?;
            sender.ready().await?;
            let request = request(Method::GET, "/v1/organizations/bench/watch", &Value::Null)?;
            let mut watch =
                Watch { body: sender.send_request(request).await?.into_body(), text: String::new() };
            // Its connection lives as long as its body does.
            watch.until("\"synced\"").await?;
            Ok(watch)
        });
        all(opened, 16).await
    }

    /// Changes something, and how long it took until each watch told it, so many times.
    pub(crate) async fn fan_out(
        &self,
        mut watches: Vec<Watch>,
        times: usize,
    ) -> Result<Vec<Duration>, Failure> {
        let mut sender = self.connect().await?;
        let mut ways = Vec::new();
        for count in 0..times {
            let begun = Instant::now();
            project(&mut sender, usize::MAX, 1 << 32 | count as u64).await?;
            let told = watches.iter_mut().map(async |watch| {
                watch.until("\"synced\"").await?;
                Ok(begun.elapsed())
            });
            ways.extend(all(told, usize::MAX).await?);
        }
        Ok(ways)
    }
}

impl Watch {
    /// Reads until this is told.
    async fn until(&mut self, word: &str) -> Result<(), Failure> {
        loop {
            if let Some(at) = self.text.find(word) {
                self.text.drain(..at + word.len());
                return Ok(());
            }
            let frame = self.body.frame().await.ok_or("the watch ended")??;
            if let Some(data) = frame.data_ref() {
                self.text += std::str::from_utf8(data)?;
            }
        }
    }
}

async fn connect(socket: &Utf8Path) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = UnixStream::connect(socket).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn request(method: Method, path: &str, body: &Value) -> Result<Request<Full<Bytes>>, Failure> {
    let request = Request::builder().method(method).uri(path).header("host", "control");
    Ok(request.body(Full::new(body.to_string().into()))?)
}

async fn call(
    sender: &mut SendRequest<Full<Bytes>>,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, Failure> {
    sender.ready().await?;
    let answer = sender.send_request(request(method, path, body)?).await?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await?.to_bytes();
    if status.is_success() {
        return Ok(serde_json::from_slice(&bytes).unwrap_or_default());
    }
    Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&bytes)).into())
}

/// Changes a project of this client.
async fn project(sender: &mut SendRequest<Full<Bytes>>, client: usize, count: u64) -> Result<(), Failure> {
    let name = format!("project-{client}");
    let spec = json!({ "title": format!("the title number {count}"), "repository": { "url": "u" } });
    let draft = json!({ "kind": "Project", "metadata": { "name": name }, "spec": spec });
    call(sender, Method::PUT, &format!("/v1/organizations/bench/projects/{name}"), &draft).await.map(drop)
}
