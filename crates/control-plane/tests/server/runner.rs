//! A runner as small as can be: the crate's own end of the conversation, a WebSocket, and a disk that a crash leaves as it is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use api::control::Enrolled;
use api::{DesiredPhase, Name};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sync::{Disk, Key, Moment, Output, Owners, Refusal, Runner, RunnerId, Tell, ToRunner, Token};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::client::Computer;
use crate::place::Place;

/// How many times faster its clock goes: pauses are for networks, and here is none. A greeting's time must still be enough
/// for a few programs that run in between.
const SPEED: u64 = 5;

type Line = WebSocketStream<TlsStream<TcpStream>>;

pub(crate) struct Mac {
    name: String,
    pub(crate) computer: Computer,
    enrolled: Enrolled,
    /// What would be left after a loss of power.
    disk: Disk,
    runner: Runner,
    begun: Instant,
    wake: Option<u64>,
    line: Option<Line>,
    dials: bool,
    random: u64,
    /// Whether it may connect.
    pub(crate) is_online: bool,
    /// What it was told and the test has not taken.
    pub(crate) told: Vec<Tell>,
    /// What is to be deleted waits for this.
    pub(crate) removes: bool,
    removing: BTreeSet<Key>,
}

impl Mac {
    /// A computer that has come in as a runner, with an empty disk.
    pub(crate) async fn join(place: &Place, port: u16, name: &str) -> Self {
        let (authority, token) = place.token(name);
        let computer = Computer::new(port, &authority);
        let (status, body) = computer.post("/v1/enrol", &computer.enrolment(&token), None).await;
        assert!(status.is_success(), "{body}");
        let enrolled = serde_json::from_value(body).unwrap();
        Self::start(name.to_owned(), computer, enrolled, Disk::default(), 1)
    }

    fn start(name: String, computer: Computer, enrolled: Enrolled, disk: Disk, random: u64) -> Self {
        let begun = Instant::now();
        let id = RunnerId::parse(&name).unwrap();
        // A new one in each run, also where two runs of a test are alike.
        let token = Token(uuid::Uuid::new_v4().as_u64_pair().0);
        let at = Moment { now: 0, random };
        let (runner, output) = Runner::start(id, disk.clone(), Owners::default(), token, at);
        let mut mac = Self {
            name,
            computer,
            enrolled,
            disk,
            runner,
            begun,
            wake: None,
            line: None,
            dials: false,
            random,
            is_online: true,
            told: Vec::new(),
            removes: true,
            removing: BTreeSet::new(),
        };
        mac.keep(output, usize::MAX);
        mac
    }

    /// Loses power, and starts again from its disk.
    pub(crate) fn crash(self) -> Self {
        let random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Self {
            is_online: self.is_online,
            ..Self::start(self.name, self.computer, self.enrolled, self.disk, random)
        }
    }

    fn at(&mut self) -> Moment {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap() * SPEED;
        Moment { now, random: self.random >> 11 }
    }

    /// Writes what is to be written, as far as power lasts; what is to be sent.
    fn keep(&mut self, output: Output, power: usize) -> Vec<sync::ToServer> {
        for record in output.write.into_iter().take(power) {
            self.disk.apply(record);
        }
        self.wake = output.wake;
        for tell in output.tell {
            match tell {
                Tell::Dial => self.dials = true,
                Tell::HangUp => self.line = None,
                Tell::Remove(key) => {
                    self.removing.insert(key);
                }
                other => self.told.push(other),
            }
        }
        output.send
    }

    async fn carry_out(&mut self, output: Output) {
        for message in self.keep(output, usize::MAX) {
            let Some(line) = &mut self.line else { return };
            let text = serde_json::to_string(&message).unwrap();
            if line.send(Message::text(text)).await.is_err() {
                self.line = None;
            }
        }
    }

    /// Goes on for some time, or until it has nothing to do for the moment and `until` holds.
    pub(crate) async fn go_on(&mut self, time: Duration, until: impl Fn(&Runner) -> bool) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if until(&self.runner) {
                return true;
            }
            if std::mem::take(&mut self.dials) {
                self.dial().await;
            }
            if self.removes {
                for key in std::mem::take(&mut self.removing) {
                    let at = self.at();
                    let output = self.runner.removed(&key, at);
                    self.carry_out(output).await;
                }
            }
            if !self.is_online && self.line.take().is_some() {
                let at = self.at();
                let output = self.runner.disconnected(at);
                self.carry_out(output).await;
            }
            self.hear(end).await;
        }
        until(&self.runner)
    }

    async fn dial(&mut self) {
        let line = if self.is_online { self.take_up().await } else { None };
        self.line = line;
        let at = self.at();
        let output =
            if self.line.is_some() { self.runner.connected(at) } else { self.runner.disconnected(at) };
        self.carry_out(output).await;
    }

    /// A connection, where the server takes it.
    pub(crate) async fn take_up(&self) -> Option<Line> {
        let stream = self.computer.connect(Some(&self.enrolled)).await.ok()?;
        let request = ClientRequestBuilder::new("wss://localhost/v1/sync".parse().unwrap());
        let config = WebSocketConfig::default().max_message_size(Some(2 << 20));
        let (line, _) = client_async_with_config(request, stream, Some(config)).await.ok()?;
        Some(line)
    }

    /// Waits for a message, or for its own clock, but not longer than that.
    async fn hear(&mut self, end: Instant) {
        let now = self.at().now;
        let wake = self.wake.map_or(u64::MAX, |wake| wake.saturating_sub(now).div_ceil(SPEED));
        let most = end.saturating_duration_since(Instant::now()).min(Duration::from_millis(wake));
        let Some(line) = &mut self.line else {
            tokio::time::sleep(most).await;
            let at = self.at();
            let output = self.runner.tick(at);
            return self.carry_out(output).await;
        };
        let Ok(message) = tokio::time::timeout(most, line.next()).await else {
            let at = self.at();
            let output = self.runner.tick(at);
            return self.carry_out(output).await;
        };
        let at = self.at();
        let output = match message {
            Some(Ok(Message::Text(text))) => {
                let message: ToRunner = serde_json::from_str(&text).unwrap();
                self.runner.receive(message, at)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => return,
            Some(Ok(Message::Close(_)) | Err(_)) | None => {
                self.line = None;
                self.runner.disconnected(at)
            }
        };
        self.carry_out(output).await;
    }

    /// Reads until the server ends the connection that there is. Whether it does.
    pub(crate) async fn wait_for_end(&mut self) -> bool {
        let Some(line) = &mut self.line else { return true };
        let ended = tokio::time::timeout(Duration::from_mins(1), async {
            while let Some(Ok(message)) = line.next().await {
                if matches!(message, Message::Close(_)) {
                    return;
                }
            }
        });
        ended.await.is_ok()
    }

    /// Makes an environment here.
    pub(crate) async fn create(&mut self, key: &str, name: &str, project: Option<&str>) {
        let spec = json!({ "desired_phase": DesiredPhase::Running, "runner": self.name, "project": project,
            "source": { "type": "folder", "path": format!("/work/{name}") } });
        let spec: api::control::EnvironmentSpec = serde_json::from_value(spec).unwrap();
        let fields = spec.fields(&Name::parse(name).unwrap());
        let fields = fields.into_iter().filter(|(field, _)| field != sync::PLACED);
        let at = self.at();
        let output = self.runner.create(&Key::parse(key).unwrap(), fields, at).unwrap();
        self.carry_out(output).await;
    }

    /// Edits a field here.
    pub(crate) async fn edit(&mut self, key: &Key, field: &str, value: Value) {
        let at = self.at();
        let output = self.runner.edit(key, field, value, at).unwrap();
        self.carry_out(output).await;
    }

    /// The same, and power fails before all of it is written.
    pub(crate) fn edit_and_crash(mut self, key: &Key, field: &str, value: Value, power: usize) -> Self {
        let at = self.at();
        let output = self.runner.edit(key, field, value, at).unwrap();
        self.keep(output, power);
        self.crash()
    }

    /// Reports of an environment.
    pub(crate) async fn status(&mut self, key: &Key, value: Value) {
        let at = self.at();
        let output = self.runner.status(key, value, at).unwrap();
        self.carry_out(output).await;
    }

    /// Tells that something happened.
    pub(crate) async fn event(&mut self, value: Value) {
        let at = self.at();
        let output = self.runner.event(value, at).unwrap();
        self.carry_out(output).await;
    }

    /// The value of a field that counts here.
    pub(crate) fn value(&self, key: &Key, field: &str) -> Value {
        let document = self.runner.document(key);
        document.and_then(|document| document.value(field, &Owners::default())).cloned().unwrap_or_default()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.runner.disk().documents.keys().cloned().collect()
    }

    pub(crate) fn secrets(&self, key: &Key) -> Vec<sync::Sealed> {
        self.runner.disk().documents.get(key).map(|held| held.secrets.clone()).unwrap_or_default()
    }

    /// Whether nothing waits for the server.
    pub(crate) fn is_quiet(&self) -> bool {
        self.runner.disk().events.iter().next().is_none()
    }

    /// What was refused.
    pub(crate) fn refusals(&self) -> Vec<&Refusal> {
        let refusals = self.told.iter().filter_map(|tell| match tell {
            Tell::Refused(refusal) => Some(refusal),
            _ => None,
        });
        refusals.collect()
    }
}
