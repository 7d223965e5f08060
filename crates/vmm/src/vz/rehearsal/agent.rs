//! As much of the daemon as a rehearsal needs: one request to the agent at a time.

use std::time::Duration;

use protocol::agent::{AgentHello, Exec, ExecEnd, Failure, Reply, Request};
use protocol::{FrameDecoder, FrameKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{ByteStream, VmDriver};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// The agent of a machine.
pub(super) struct Agent<'a>(pub(super) &'a dyn VmDriver);

/// One stream to the agent.
struct Talk {
    stream: ByteStream,
    decoder: FrameDecoder,
}

impl Talk {
    async fn frame(&mut self) -> Option<protocol::Frame> {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(frame);
            }
            let mut piece = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece)).await;
            match read.expect("the agent stopped talking").unwrap() {
                0 => return None,
                count => self.decoder.push(&piece[..count]),
            }
        }
    }
}

impl Agent<'_> {
    async fn begin(&self, request: &Request) -> (Reply, Talk) {
        let mut stream = self.0.connect(protocol::AGENT_PORT).await.unwrap();
        stream.write_all(&protocol::encode_json(request)).await.unwrap();
        stream.flush().await.unwrap();
        let mut talk = Talk { stream, decoder: FrameDecoder::new() };
        let reply = talk.frame().await.expect("a reply").message().unwrap();
        (reply, talk)
    }

    pub(super) async fn hello(&self) -> AgentHello {
        let hello = Request::Hello { protocol: protocol::VERSION, version: "rehearsal".to_owned() };
        match self.begin(&hello).await.0 {
            Reply::Hello(hello) => hello,
            other => panic!("no greeting: {other:?}"),
        }
    }

    /// Asks for something that is answered with "done".
    pub(super) async fn try_ask(&self, request: &Request) -> Result<(), Failure> {
        match self.begin(request).await.0 {
            Reply::Done => Ok(()),
            Reply::Failed(failure) => Err(failure),
            other => panic!("{other:?} to {request:?}"),
        }
    }

    pub(super) async fn ask(&self, request: &Request) {
        self.try_ask(request).await.unwrap_or_else(|failure| panic!("{failure:?} to {request:?}"));
    }

    /// Runs a line of shell; gives its status and what it wrote.
    pub(super) async fn exec(&self, line: &str) -> (i32, String) {
        let argv = ["/usr/bin/busybox", "sh", "-c", line].map(str::to_owned).to_vec();
        let exec = Exec { argv, env: [].into(), cwd: None, terminal: None, input: false };
        let (reply, mut talk) = self.begin(&Request::Exec(exec)).await;
        assert!(matches!(reply, Reply::Started { .. }), "{reply:?}");
        let mut output = Vec::new();
        while let Some(frame) = talk.frame().await {
            match frame.kind {
                FrameKind::Output => output.extend(frame.payload),
                FrameKind::Message => {
                    let end: ExecEnd = frame.message().unwrap();
                    return (end.status(), String::from_utf8_lossy(&output).into_owned());
                }
                _ => {}
            }
        }
        panic!("`{line}` was cut off");
    }

    /// Runs a line until its output has these words.
    pub(super) async fn exec_until(&self, line: &str, words: &str) {
        let looking = async {
            while !self.exec(line).await.1.contains(words) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking)
            .await
            .unwrap_or_else(|_| panic!("`{line}` never says {words}"));
    }
}
