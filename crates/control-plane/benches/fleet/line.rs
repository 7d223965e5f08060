//! Runners: the crate's own end, and a real connection each.

use std::time::{Duration, Instant};

use api::control::Enrolled;
use axum::http::StatusCode;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use sync::{Disk, Key, Moment, Output, Owners, Runner, RunnerId, ToRunner, ToServer, Token};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::Computer;
use crate::host::Server;
use crate::{Failure, all};

/// Runners that come at once, and that talk at once.
const AT_ONCE: usize = 32;
/// How long anything may take.
const DEADLINE: Duration = Duration::from_mins(2);

/// A computer, and who it is.
pub(crate) struct Member(pub(crate) Computer, pub(crate) Enrolled);

/// One that is connected.
pub(crate) struct Line {
    stream: WebSocketStream<TlsStream<TcpStream>>,
    runner: Runner,
    lease: Token,
    key: Key,
    count: u64,
}

/// Lets computers in as these runners.
pub(crate) async fn enrol(server: &Server, runners: &[String]) -> Result<Vec<Member>, Failure> {
    let host = server.host();
    let enrolled = runners.iter().map(async |runner| {
        let computer = Computer::new(server.port(), server.authority());
        let token = host.token(runner).await?;
        loop {
            let (status, body) = computer.post("/v1/enrol", &computer.enrolment(&token), None).await;
            // All of them come from one address, and strangers are held to a measure.
            if status == StatusCode::TOO_MANY_REQUESTS {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            if !status.is_success() {
                return Err(body.to_string().into());
            }
            return Ok(Member(computer, serde_json::from_value(body)?));
        }
    });
    all(enrolled, AT_ONCE).await
}

/// The server has another port now.
pub(crate) fn follow(server: &Server, members: &mut [Member]) {
    for member in members {
        member.0.port = server.port();
    }
}

/// Connects them, until each has its environment.
pub(crate) async fn connect(members: &[Member]) -> Result<Vec<Line>, Failure> {
    let mut lines = all(members.iter().map(Line::open), AT_ONCE).await?;
    // In the order of their names, as they were declared.
    lines.sort_by_key(|line| {
        let number = line.runner.author().to_string();
        number.split(['-', '~']).nth(1).and_then(|number| number.parse::<usize>().ok())
    });
    Ok(lines)
}

/// Signs of life of some at a time, for that long; how many were answered.
pub(crate) async fn beat(lines: &mut [Line], time: Duration) -> Result<u64, Failure> {
    let begun = Instant::now();
    each(lines, async |line| {
        let mut count = 0;
        while begun.elapsed() < time {
            let lease = line.lease;
            line.send(&ToServer::Beat { lease }).await?;
            line.until(|said| matches!(said, ToRunner::Alive { .. })).await?;
            count += 1;
        }
        Ok(count)
    })
    .await
}

/// Reports of some at a time, for that long; how many were taken in.
pub(crate) async fn report(lines: &mut [Line], time: Duration) -> Result<u64, Failure> {
    let begun = Instant::now();
    each(lines, async |line| {
        let mut done = 0;
        while begun.elapsed() < time {
            line.count += 1;
            let phase = if line.count % 2 == 0 { "running" } else { "stopped" };
            let (lease, key, count) = (line.lease, line.key.clone(), line.count);
            let value = json!({ "phase": phase });
            line.send(&ToServer::Status { lease, key, count, value }).await?;
            line.until(|said| matches!(said, ToRunner::StatusKept { .. })).await?;
            done += 1;
        }
        Ok(done)
    })
    .await
}

/// Lets the first of them do something at once: enough that the server is never idle.
async fn each(
    lines: &mut [Line],
    work: impl AsyncFn(&mut Line) -> Result<u64, Failure>,
) -> Result<u64, Failure> {
    let done = lines.iter_mut().take(AT_ONCE).map(|line| work(line));
    Ok(all(done, AT_ONCE).await?.into_iter().sum())
}

impl Line {
    async fn open(member: &Member) -> Result<Self, Failure> {
        let Member(computer, enrolled) = member;
        let stream = computer.connect(Some(enrolled)).await?;
        let request = ClientRequestBuilder::new("wss://localhost/v1/sync".parse()?);
        let (stream, _) = client_async(request, stream).await?;
        let id = RunnerId::parse(enrolled.name.as_str())?;
        let token = Token(uuid::Uuid::new_v4().as_u64_pair().0);
        let (mut runner, _) = Runner::start(id, Disk::default(), Owners::default(), token, AT);
        runner.tick(AT);
        let output = runner.connected(AT);
        let key = Key::parse("none")?;
        let mut line = Self { stream, runner, lease: Token(0), key, count: 0 };
        line.carry_out(output).await?;
        let came = async {
            // Its environment comes, and that it has taken it over is kept.
            loop {
                match line.next().await? {
                    ToRunner::Welcome(welcome) => line.lease = welcome.lease,
                    ToRunner::Kept { .. } => return Ok::<_, Failure>(()),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(DEADLINE, came).await??;
        line.key = line.runner.disk().documents.keys().next().ok_or("its environment came")?.clone();
        Ok(line)
    }

    async fn send(&mut self, message: &ToServer) -> Result<(), Failure> {
        Ok(self.stream.send(Message::text(serde_json::to_string(message)?)).await?)
    }

    async fn carry_out(&mut self, output: Output) -> Result<(), Failure> {
        for message in output.send {
            self.send(&message).await?;
        }
        Ok(())
    }

    /// Reads a message, and answers it.
    async fn next(&mut self) -> Result<ToRunner, Failure> {
        loop {
            let message = self.stream.next().await.ok_or("the server closed it")??;
            if let Message::Text(text) = message {
                let said: ToRunner = serde_json::from_str(&text)?;
                let output = self.runner.receive(said.clone(), AT);
                self.carry_out(output).await?;
                return Ok(said);
            }
        }
    }

    async fn until(&mut self, is_it: impl Fn(&ToRunner) -> bool) -> Result<(), Failure> {
        let found = async {
            while !is_it(&self.next().await?) {}
            Ok(())
        };
        tokio::time::timeout(DEADLINE, found).await?
    }

    /// Waits until its environment has that.
    pub(crate) async fn until_stop_after(&mut self, seconds: u64) -> Result<(), Failure> {
        let found = async {
            loop {
                let document = self.runner.document(&self.key).ok_or("it has it")?;
                let idle = document.value("idle", &Owners::default());
                if idle.is_some_and(|idle| idle["stop_after"] == seconds) {
                    return Ok(());
                }
                self.next().await?;
            }
        };
        tokio::time::timeout(DEADLINE, found).await?
    }
}

/// Time stands still for them: nothing is to be said again.
const AT: Moment = Moment { now: 0, random: 7 };
