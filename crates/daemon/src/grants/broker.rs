//! Decides for one environment, at the instant of each request, and writes down what it decided.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::{AuditEvent, Environment, EnvironmentId, Grant, GrantKind};
use jiff::Timestamp;

use super::Inner;
use super::programs::Means;

/// Within this time…
const WINDOW: Duration = Duration::from_mins(1);

/// …so many requests are answered. More are refused without a line for each: the log is not to be filled from inside.
const MOST: u32 = 120;

/// …and so many refusals have a line each; more are counted in one.
const MOST_REFUSALS: u32 = 10;

/// Longest text of a container in a line of the log, in bytes.
const LONGEST_TEXT: usize = 80;

/// Texts of containers, short enough for a line of the log.
pub(super) fn short(text: &str) -> String {
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(LONGEST_TEXT - '…'.len_utf8())])
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Broker {
    inner: Arc<Inner>,
    id: EnvironmentId,
    flow: SharedFlow,
}

/// How much one environment asks, over all of its links and containers: a new one is no fresh start.
pub(super) type SharedFlow = Arc<Mutex<Flow>>;

/// A use that was let through and written down. Its answer may leave only while it still is.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) grant: Grant,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) kind: GrantKind,
    pub(super) host: Option<String>,
    /// For what, for people.
    pub(super) purpose: String,
}

impl Wanted {
    pub(super) fn new(kind: GrantKind, host: Option<&str>, purpose: impl Into<String>) -> Self {
        Self { kind, host: host.map(str::to_owned), purpose: purpose.into() }
    }
}

impl Broker {
    pub(super) fn new(inner: &Arc<Inner>, id: &EnvironmentId) -> Self {
        let mut flows = inner.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let flow = Arc::clone(flows.entry(id.clone()).or_default());
        Self { inner: Arc::clone(inner), id: id.clone(), flow }
    }

    /// Whether one more request is answered. To be asked once for each.
    pub(super) async fn admits(&self) -> bool {
        self.turn(|flow| &mut flow.requests, MOST).await
    }

    async fn turn(&self, of: impl FnOnce(&mut Flow) -> &mut Window, most: u32) -> bool {
        let turn = {
            let mut flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
            of(&mut flow).turn(Instant::now(), most)
        };
        if let Some(refused) = turn.tell {
            self.write(AuditEvent::Flooded { refused }).await;
        }
        turn.admitted
    }

    /// The grants of a kind as they are now.
    pub(super) fn granted(&self, kind: GrantKind) -> Vec<Grant> {
        let Some(environment) = self.environment() else { return Vec::new() };
        let mut grants = super::live(&environment, Timestamp::now());
        grants.retain(|grant| grant.kind == kind);
        grants
    }

    /// What the person's programs run with that are asked by this grant.
    pub(super) fn means(&self, grant: &Grant) -> Means {
        self.inner.means(&grant.variables)
    }

    fn environment(&self) -> Option<Environment> {
        self.inner.store.environment(&self.id).ok().flatten()
    }

    /// Lets a use through that a grant covers: writes it down first.
    ///
    /// # Errors
    /// It cannot be written down; then it must not happen.
    pub(super) async fn allow(&self, grant: Grant, wanted: Wanted) -> Result<Leave, String> {
        let Wanted { kind, host, purpose } = wanted;
        let host = host.or_else(|| grant.host.clone());
        if self.write(AuditEvent::Used { kind, host, purpose }).await {
            Ok(Leave { grant })
        } else {
            Err("the audit log cannot be written".to_owned())
        }
    }

    /// Whether the answer may still leave. The grant may have been taken back while the person's program worked.
    ///
    /// # Errors
    /// It was; that is written down.
    pub(super) async fn confirm(&self, leave: &Leave) -> Result<(), String> {
        let Grant { kind, host, .. } = &leave.grant;
        if self.granted(*kind).iter().any(|grant| grant.is_for_same(&leave.grant)) {
            return Ok(());
        }
        let wanted = Wanted::new(*kind, host.as_deref(), "the answer that was waited for");
        Err(self.refuse(wanted, "it was revoked or is over").await)
    }

    /// Writes down that something was refused, or that more was than is told one by one. The answer is the reason, for
    /// who asked.
    pub(super) async fn refuse(&self, wanted: Wanted, reason: impl Into<String>) -> String {
        let (Wanted { kind, host, purpose }, reason) = (wanted, reason.into());
        if self.turn(|flow| &mut flow.refusals, MOST_REFUSALS).await {
            let host = host.as_deref().map(short);
            self.write(AuditEvent::Refused { kind, host, purpose, reason: reason.clone() }).await;
        }
        reason
    }

    /// A token of the control plane for whoever is in the environment. It is the environment's own, so nobody grants it:
    /// there is one wherever it is shared with a control plane.
    ///
    /// # Errors
    /// There is none, it is away, or the audit log cannot be written.
    pub(super) async fn identity(&self, audience: &str) -> Result<String, String> {
        let identities = self.inner.identities.get().filter(|identities| identities.has(&self.id));
        let Some(identities) = identities else {
            return Err("this environment is not shared with a control plane, which alone makes such tokens"
                .to_owned());
        };
        if !self.write(AuditEvent::Identified { audience: short(audience) }).await {
            return Err("the audit log cannot be written".to_owned());
        }
        identities.token(&self.id, audience).await.map_err(|problem| problem.to_string())
    }

    /// The reason for what nobody granted, with the command that would.
    pub(super) fn not_granted(&self, kind: GrantKind, host: Option<&str>) -> String {
        let name = self.environment().map_or_else(|| "ENV".to_owned(), |it| it.metadata.name.to_string());
        let host = host.map(|host| format!(" --host {}", short(host))).unwrap_or_default();
        format!("it is not granted; on the computer of its owner: cove grant {name} {kind}{host}")
    }

    async fn write(&self, event: AuditEvent) -> bool {
        self.inner.audit.record(self.environment().as_ref(), None, event).await.is_ok()
    }
}

/// How often something is asked, and refused.
#[derive(Default)]
pub(super) struct Flow {
    requests: Window,
    refusals: Window,
}

#[derive(Default)]
struct Window {
    since: Option<Instant>,
    admitted: u32,
    refused: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Turn {
    admitted: bool,
    /// How many were refused in the window that is over.
    tell: Option<u64>,
}

impl Window {
    fn turn(&mut self, now: Instant, most: u32) -> Turn {
        let is_over = self.since.is_none_or(|since| now.duration_since(since) >= WINDOW);
        let mut tell = None;
        if is_over {
            tell = Some(self.refused).filter(|refused| *refused > 0);
            *self = Self { since: Some(now), admitted: 0, refused: 0 };
        }
        let admitted = self.admitted < most;
        if admitted {
            self.admitted += 1;
        } else {
            self.refused += 1;
            // The first is told of at once, since there may be no later one.
            if self.refused == 1 {
                tell = Some(1);
            }
        }
        Turn { admitted, tell }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_refused_and_told_of_in_few_lines() {
        let (mut window, start) = (Window::default(), Instant::now());
        let turns: Vec<Turn> = (0..1000).map(|_| window.turn(start, MOST)).collect();
        assert_eq!(turns.iter().filter(|turn| turn.admitted).count(), MOST as usize);
        assert_eq!(turns.iter().filter(|turn| turn.tell.is_some()).count(), 1);
        let later = window.turn(start + WINDOW, MOST);
        assert_eq!(later, Turn { admitted: true, tell: Some(1000 - u64::from(MOST)) });
        assert_eq!(window.turn(start + WINDOW, MOST), Turn { admitted: true, tell: None });
    }

    #[test]
    fn texts_of_containers_are_short() {
        for (text, bytes) in [("github.com".to_owned(), 10), ("x".repeat(80), 80), ("ä".repeat(1000), 79)] {
            assert_eq!(short(&text).len(), bytes, "{text}");
        }
    }
}
