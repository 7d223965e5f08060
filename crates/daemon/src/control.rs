//! This computer as a runner of a team's control plane, where its person wants that.
//!
//! Everything works without: a computer that belongs to no control plane calls none, and one that does goes on by itself
//! while the server is away. Calls go out only. The keys are made here and stay in the vault: one speaks for this computer,
//! the other opens secrets that were sealed to it.

pub(crate) mod classes;
mod connect;
mod headless;
mod keys;
mod line;

use std::io;
use std::sync::Arc;

use api::control::{Enrolled, Enrolment, RunnerReport};
use api::{JoinRequest, Membership, Problem, ProblemCode};
use base64::Engine as _;
use camino::Utf8PathBuf;
use host::vault::Vault;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use connect::{Server, Trust};
pub use headless::JoinWish;
use keys::Keys;
pub(crate) use line::{Incoming, Outgoing};

/// How long it may take to take up the line, with all handshakes.
const DIALLING: std::time::Duration = std::time::Duration::from_secs(15);

/// How often it is looked whether the certificate is to be renewed.
const LOOK: std::time::Duration = std::time::Duration::from_hours(6);

/// The control plane of one state folder. Clones share it.
#[derive(Clone)]
pub struct ControlPlane {
    vault: Vault,
    file: Utf8PathBuf,
    /// One change at a time.
    change: Arc<Mutex<()>>,
    /// Tells that this computer joined or left.
    changed: Arc<watch::Sender<()>>,
}

/// What is kept, beside the keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    address: String,
    joined_at: Timestamp,
    certified_at: Timestamp,
    enrolled: Enrolled,
}

impl Kept {
    /// The server, which is held to the authority that it had when this computer joined.
    fn server(&self) -> Result<Server, Problem> {
        Server::new(&self.address, Trust::Authority(self.enrolled.authority.clone()))
    }

    fn membership(&self) -> Result<Membership, Problem> {
        Ok(Membership {
            address: self.address.clone(),
            organization: self.enrolled.organization.clone(),
            runner: self.enrolled.name.clone(),
            authority: connect::fingerprint_of_pem(&self.enrolled.authority)?,
            joined_at: self.joined_at,
            certificate_expires_at: self.enrolled.expires_at,
        })
    }
}

impl ControlPlane {
    /// Keys are in the vault of the one folder, all else in the file.
    pub fn new(secrets: Utf8PathBuf, file: Utf8PathBuf) -> Self {
        Self { vault: Vault::new(secrets), file, change: Arc::default(), changed: Arc::default() }
    }

    /// What this computer is to a control plane.
    ///
    /// # Errors
    /// What is kept cannot be read.
    pub fn membership(&self) -> Result<Option<Membership>, Problem> {
        self.kept()?.map(|kept| kept.membership()).transpose()
    }

    /// Becomes a runner. Nothing is kept unless the server let it in.
    ///
    /// # Errors
    /// It is one already, the server cannot be reached or is another than was named, or the token does not serve.
    pub async fn join(&self, asked: &JoinRequest, now: Timestamp) -> Result<Membership, Problem> {
        let _one = self.change.lock().await;
        if let Some(kept) = self.kept()? {
            let title =
                format!("this computer is the runner `{}` of {} already", kept.enrolled.name, kept.address);
            return Err(Problem::new(ProblemCode::Conflict, title)
                .with_command("leave that first", "cove control leave"));
        }
        let server = Server::new(&asked.address, Trust::Fingerprint(asked.authority.clone()))?;
        // Those of an attempt that was cut off serve again: the server may know them by now.
        let keys = Keys::of(&self.vault).map_err(|error| unkept(&error))?;
        let enrolment = enrolment(&keys, Some(asked.token.clone()))?;
        let enrolled: Enrolled = server.post("/v1/enrol", &enrolment, None).await?;
        if connect::fingerprint_of_pem(&enrolled.authority)? != asked.authority.to_ascii_lowercase() {
            let title = format!("{} told another authority than it showed", asked.address);
            return Err(Problem::new(ProblemCode::CertificateRefused, title));
        }
        let kept = Kept { address: server.address().to_owned(), joined_at: now, certified_at: now, enrolled };
        self.keep(&kept)?;
        tracing::info!(address = kept.address, runner = %kept.enrolled.name, "joined a control plane");
        self.changed.send_replace(());
        kept.membership()
    }

    /// Is a runner no more. The server hears nothing of it; what runs here runs on.
    ///
    /// # Errors
    /// The keys or the file cannot be removed.
    pub async fn leave(&self) -> Result<Option<Membership>, Problem> {
        let _one = self.change.lock().await;
        // What cannot be read is left all the same: it is the way out of that.
        let former = self.membership().unwrap_or_else(|problem| {
            tracing::warn!(%problem, "it is not known what is left");
            None
        });
        // The file first: keys without it are none.
        match fs_err::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unkept(&error)),
            Ok(()) | Err(_) => Keys::remove(&self.vault).map_err(|error| unkept(&error))?,
        }
        self.changed.send_replace(());
        Ok(former)
    }

    /// Hears of it when this computer joins or leaves.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Takes up the line to the server, as this computer.
    ///
    /// # Errors
    /// This computer belongs to none, the server is away, or it refuses.
    pub(crate) async fn dial(&self) -> Result<(Outgoing, Incoming), Problem> {
        let (kept, keys) = self.known()?;
        let server = kept.server()?;
        let identity = (kept.enrolled.certificate.as_str(), &keys);
        match tokio::time::timeout(DIALLING, line::take_up(&server, identity)).await {
            Ok(taken) => taken,
            Err(late) => Err(server.away(&late)),
        }
    }

    /// Posts something as this computer.
    ///
    /// # Errors
    /// This computer belongs to none, the server is away, or it refuses.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        let (kept, keys) = self.known()?;
        let server = kept.server()?;
        server.post(path, body, Some((kept.enrolled.certificate.as_str(), &keys))).await
    }

    /// Opens a secret that was sealed to this computer: an age file, in Base64.
    ///
    /// # Errors
    /// It was sealed to another key, or is damaged. No word of that quotes it.
    pub(crate) fn open_sealed(&self, name: &str, sealed: &str) -> Result<String, Problem> {
        let damaged = || Problem::new(ProblemCode::InvalidRequest, format!("secret `{name}` is damaged"));
        let (_, keys) = self.known()?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(sealed).map_err(|_| damaged())?;
        let value = keys.open(&bytes).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => {
                let title =
                    format!("secret `{name}` was sealed to another computer, or to a former key of this one");
                Problem::new(ProblemCode::Conflict, title).with_command(
                    "whoever knows it seals it again",
                    format!("cove-control secret reseal {name}"),
                )
            }
            _ => damaged(),
        })?;
        String::from_utf8(value).map_err(|_| damaged())
    }

    fn known(&self) -> Result<(Kept, Keys), Problem> {
        let kept = self.kept()?.ok_or_else(|| {
            let title = "this computer belongs to no control plane";
            Problem::new(ProblemCode::Conflict, title)
                .with_command("join one", "cove control join ADDRESS --authority FINGERPRINT")
        })?;
        let keys = Keys::of(&self.vault).map_err(|error| unkept(&error))?;
        Ok((kept, keys))
    }

    /// Has the certificate renewed once two thirds of its time are over. `true` if it was.
    ///
    /// # Errors
    /// The server is away, or refuses.
    pub async fn renew(&self, now: Timestamp) -> Result<bool, Problem> {
        let _one = self.change.lock().await;
        let Some(mut kept) = self.kept()? else { return Ok(false) };
        let lasts = kept.enrolled.expires_at.duration_since(kept.certified_at);
        if now < kept.certified_at + lasts * 2 / 3 {
            return Ok(false);
        }
        if now >= kept.enrolled.expires_at {
            let title = format!("the certificate for {} is over", kept.address);
            return Err(Problem::new(ProblemCode::CertificateRefused, title));
        }
        let server = kept.server()?;
        let keys = Keys::of(&self.vault).map_err(|error| unkept(&error))?;
        let identity = (kept.enrolled.certificate.as_str(), &keys);
        kept.enrolled = server.post("/v1/renew", &enrolment(&keys, None)?, Some(identity)).await?;
        kept.certified_at = now;
        self.keep(&kept)?;
        Ok(true)
    }

    /// Renews the certificate as long as the daemon runs.
    pub async fn keep_certified(self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            match self.renew(Timestamp::now()).await {
                Ok(true) => tracing::info!("the certificate for the control plane was renewed"),
                Ok(false) => {}
                Err(problem) => {
                    tracing::warn!(%problem, "the certificate for the control plane was not renewed");
                }
            }
        }
    }

    fn kept(&self) -> Result<Option<Kept>, Problem> {
        let text = match fs_err::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unkept(&error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            Problem::new(ProblemCode::Internal, format!("{} cannot be read", self.file))
                .caused_by(&error)
                .with_command("join anew", "cove control leave")
        })
    }

    /// Whole or not at all.
    fn keep(&self, kept: &Kept) -> Result<(), Problem> {
        let text = serde_json::to_string_pretty(kept).map_err(|error| unkept(&io::Error::other(error)))?;
        let beside = self.file.with_extension("new");
        let written = fs_err::File::create(&beside).and_then(|mut file| {
            io::Write::write_all(&mut file, text.as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| fs_err::rename(&beside, &self.file)).map_err(|error| unkept(&error))
    }
}

/// What this computer is and offers, as a control plane is told.
pub(crate) fn this_computer() -> RunnerReport {
    RunnerReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: platform(),
        schema: Some(classes::schema()),
        problem: None,
    }
}

/// `macos/arm64`, `linux/amd64`, ….
fn platform() -> String {
    let system = if cfg!(target_os = "macos") { "macos" } else { std::env::consts::OS };
    let processor = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    };
    format!("{system}/{processor}")
}

/// What this computer shows of itself.
fn enrolment(keys: &Keys, token: Option<String>) -> Result<Enrolment, Problem> {
    Ok(Enrolment {
        token,
        certificate_request: keys.request()?,
        recipient: keys.recipient(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: platform(),
    })
}

fn unkept(error: &io::Error) -> Problem {
    Problem::new(ProblemCode::Internal, "what belongs to the control plane cannot be kept or read")
        .caused_by(error)
}
