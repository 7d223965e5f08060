//! QEMU's control channel.
//!
//! One JSON object a line, both ways: commands with an id, answers with the same, and events in between. Lines
//! that are no JSON, answers to nobody and events of no interest are passed over.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::sync::{mpsc, oneshot};

/// How long QEMU may take to answer. It is busy for seconds only when the host is.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// Longest line that is read: answers of the commands used here are far below.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Events that wait to be taken. A guest can cause some of them as fast as it likes: the rest is dropped.
const EVENT_BACKLOG: usize = 64;

/// Why QEMU could not be commanded.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The channel broke.
    #[error("its control channel broke")]
    Channel(#[source] io::Error),
    /// The channel was closed: QEMU is gone or going.
    #[error("its control channel is closed")]
    Closed,
    /// It did not answer in time.
    #[error("it did not answer `{command}` within {} s", ANSWER_DEADLINE.as_secs())]
    Silent {
        /// The command.
        command: &'static str,
    },
    /// It refused.
    #[error("it refused `{command}`: {description}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Its words.
        description: String,
    },
}

/// Something QEMU tells by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The machine is going down.
    Shutdown(Shutdown),
    /// The machine was halted: an error, or a full disk.
    Halted,
    /// The guest's kernel reported that it gave up.
    GuestPanicked,
}

/// Why a machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// The guest switched itself off.
    Guest,
    /// The guest wanted to start again, which a kernel does when it gives up.
    GuestReset,
    /// The host asked for it.
    Host,
}

/// How the machine stands for QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunState {
    /// It runs.
    Running,
    /// The accelerator could not go on.
    InternalError,
    /// A disk could not be written.
    IoError,
    /// Anything else: paused, shutting down.
    Other,
}

struct Call {
    command: &'static str,
    arguments: Value,
    answer: oneshot::Sender<Result<Value, String>>,
}

/// One line from QEMU; whichever part is there tells what it is.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default, rename = "return")]
    result: Option<Value>,
    #[serde(default)]
    error: Option<Refusal>,
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Refusal {
    desc: String,
}

/// A channel on which commands can be given.
#[derive(Debug, Clone)]
pub(crate) struct Qmp {
    calls: mpsc::Sender<Call>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("command", &self.command).finish_non_exhaustive()
    }
}

impl Qmp {
    /// Takes a channel over, and waits until QEMU accepts commands on it.
    pub(crate) async fn start<T>(channel: T) -> Result<(Self, mpsc::Receiver<Event>), QmpError>
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(channel);
        let (calls, inbox) = mpsc::channel(16);
        let (events, outbox) = mpsc::channel(EVENT_BACKLOG);
        tokio::spawn(async move {
            if let Err(error) = run(BufReader::new(reader), writer, inbox, events).await {
                tracing::debug!(%error, "control channel ended");
            }
        });
        let qmp = Self { calls };
        // QEMU reads commands in order, its greeting comes first: the answer proves both.
        qmp.execute("qmp_capabilities").await?;
        Ok((qmp, outbox))
    }

    /// Presses the machine's power button.
    pub(crate) async fn press_power_button(&self) -> Result<(), QmpError> {
        self.execute("system_powerdown").await.map(drop)
    }

    /// Halts the machine's processors.
    pub(super) async fn halt(&self) -> Result<(), QmpError> {
        self.execute("stop").await.map(drop)
    }

    /// Lets a halted machine go on.
    pub(crate) async fn resume(&self) -> Result<(), QmpError> {
        self.execute("cont").await.map(drop)
    }

    /// Asks how the machine stands.
    pub(super) async fn run_state(&self) -> Result<RunState, QmpError> {
        let answer = self.execute("query-status").await?;
        Ok(match answer.get("status").and_then(Value::as_str) {
            Some("running") => RunState::Running,
            Some("internal-error") => RunState::InternalError,
            Some("io-error") => RunState::IoError,
            _ => RunState::Other,
        })
    }

    async fn execute(&self, command: &'static str) -> Result<Value, QmpError> {
        self.execute_with(command, Value::Null).await
    }

    /// Gives a command with arguments, if they are not null.
    pub(crate) async fn execute_with(
        &self,
        command: &'static str,
        arguments: Value,
    ) -> Result<Value, QmpError> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.calls.send(Call { command, arguments, answer }).await.map_err(|_| QmpError::Closed)?;
            match answered.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(description)) => Err(QmpError::Refused { command, description }),
                Err(_) => Err(QmpError::Closed),
            }
        };
        tokio::time::timeout(ANSWER_DEADLINE, exchange).await.unwrap_or(Err(QmpError::Silent { command }))
    }
}

async fn run<R, W>(
    mut reader: R,
    mut writer: W,
    mut inbox: mpsc::Receiver<Call>,
    events: mpsc::Sender<Event>,
) -> Result<(), QmpError>
where
    R: tokio::io::AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut waiting = BTreeMap::new();
    let mut next_id = 0_u64;
    let mut line = Vec::new();
    loop {
        // `read_until` keeps what it has read in `line` when the other branch wins.
        let mut limited = (&mut reader).take(MAX_LINE_BYTES.saturating_sub(line.len() as u64));
        tokio::select! {
            read = limited.read_until(b'\n', &mut line) => {
                if read.map_err(QmpError::Channel)? == 0 && line.len() < MAX_LINE_BYTES as usize {
                    return Ok(());
                }
                receive(&line, &mut waiting, &events);
                line.clear();
            }
            call = inbox.recv() => {
                let Some(call) = call else { return Ok(()) };
                next_id += 1;
                let mut message = json!({ "execute": call.command, "id": next_id });
                if !call.arguments.is_null() {
                    message["arguments"] = call.arguments;
                }
                waiting.insert(next_id, call.answer);
                writer.write_all(format!("{message}\n").as_bytes()).await.map_err(QmpError::Channel)?;
                writer.flush().await.map_err(QmpError::Channel)?;
            }
        }
    }
}

fn receive(
    line: &[u8],
    waiting: &mut BTreeMap<u64, oneshot::Sender<Result<Value, String>>>,
    events: &mpsc::Sender<Event>,
) {
    let Ok(line) = serde_json::from_slice::<Line>(line) else {
        tracing::debug!(bytes = line.len(), "a line on the control channel is no message");
        return;
    };
    if let Some(event) = line.event {
        if let Some(event) = understand(&event, &line.data) {
            let _ = events.try_send(event);
        }
    } else if let Some(answer) = line.id.and_then(|id| waiting.remove(&id)) {
        let result = match line.error {
            Some(refusal) => Err(refusal.desc),
            None => Ok(line.result.unwrap_or_default()),
        };
        // Nobody waits for an answer that came too late.
        let _ = answer.send(result);
    }
}

fn understand(event: &str, details: &Value) -> Option<Event> {
    match event {
        "SHUTDOWN" => Some(Event::Shutdown(match details.get("reason").and_then(Value::as_str) {
            Some("guest-shutdown") => Shutdown::Guest,
            Some("guest-reset" | "guest-panic") => Shutdown::GuestReset,
            _ => Shutdown::Host,
        })),
        "STOP" => Some(Event::Halted),
        "GUEST_PANICKED" | "GUEST_CRASHLOADED" => Some(Event::GuestPanicked),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;

    const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"major": 10}}, "capabilities": []}}"#;

    /// A QEMU that greets, and answers each command with what `answers` gives for it.
    fn emulator(channel: DuplexStream, answers: fn(&str) -> String) {
        tokio::spawn(async move {
            let (reader, mut writer) = tokio::io::split(channel);
            writer.write_all(format!("{GREETING}\r\n").as_bytes()).await.unwrap();
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let command: Value = serde_json::from_str(&line).unwrap();
                let answer = answers(command["execute"].as_str().unwrap());
                let answer = answer.replace("ID", &command["id"].to_string());
                writer.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            }
        });
    }

    #[tokio::test]
    async fn answers_find_their_command_among_events_and_junk() {
        let (host, channel) = tokio::io::duplex(4096);
        emulator(channel, |command| match command {
            "query-status" => concat!(
                "junk {\n\n[1]\n{\"id\": 77, \"return\": {}}\n{\"id\": \"x\"}\n",
                r#"{"event": "NIC_RX_FILTER_CHANGED", "data": {}}"#,
                "\n",
                r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#,
                "\n",
                r#"{"id": ID, "return": {"status": "internal-error", "running": false}}"#
            )
            .to_owned(),
            "system_powerdown" => r#"{"id": ID, "error": {"class": "G", "desc": "no button"}}"#.to_owned(),
            _ => r#"{"id": ID, "return": {}}"#.to_owned(),
        });
        let (qmp, mut events) = Qmp::start(host).await.unwrap();
        assert_eq!(qmp.run_state().await.unwrap(), RunState::InternalError);
        assert_eq!(events.recv().await, Some(Event::Shutdown(Shutdown::GuestReset)));
        let refused = qmp.press_power_button().await.unwrap_err();
        assert_eq!(refused.to_string(), "it refused `system_powerdown`: no button");
    }

    #[tokio::test]
    async fn a_closed_channel_is_told_to_those_who_wait() {
        let (host, channel) = tokio::io::duplex(4096);
        drop(channel);
        assert!(matches!(Qmp::start(host).await, Err(QmpError::Closed)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_emulator_does_not_hold_anyone_for_ever() {
        let (host, _channel) = tokio::io::duplex(4096);
        assert!(matches!(Qmp::start(host).await, Err(QmpError::Silent { command: "qmp_capabilities" })));
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_and_the_channel_goes_on() {
        let (host, channel) = tokio::io::duplex(1 << 16);
        emulator(channel, |command| match command {
            "query-status" => {
                let junk = "x".repeat(3 * MAX_LINE_BYTES as usize);
                format!("{junk}\n{}", r#"{"id": ID, "return": {"status": "running"}}"#)
            }
            _ => r#"{"id": ID, "return": {}}"#.to_owned(),
        });
        let (qmp, _events) = Qmp::start(host).await.unwrap();
        assert_eq!(qmp.run_state().await.unwrap(), RunState::Running);
    }
}
