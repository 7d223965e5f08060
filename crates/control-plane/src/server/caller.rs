//! Who calls, and whether they may.

use api::control::{Kind, Principal, PrincipalKind, Verb};
use api::{Name, Problem, ProblemCode};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Control;
use super::answer::Refusal;
use crate::audit::{self, Told};
use crate::identity::{self, EnrolmentError, RunnerIdentity};
use crate::resources::ResourceError;
use crate::store::{StoreError, Transaction};

/// What a connection proved about who is at its other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// It came by the socket in the state folder, which only the host's own user can use.
    Host,
    /// A certificate that our authority signed: SHA-256 of it, in hex.
    Certificate(String),
    /// Nothing.
    Nothing,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// Whoever can use the server's own computer.
    Host,
    /// A runner.
    Runner(RunnerIdentity),
}

/// What somebody wants to do.
pub(super) struct Asked<'a> {
    /// What.
    pub(super) verb: Verb,
    /// With what.
    pub(super) kind: Kind,
    /// Where; nowhere for what concerns the whole server.
    pub(super) organization: Option<&'a Name>,
    /// With which one; none for a list.
    pub(super) name: Option<&'a Name>,
}

/// Why a transaction of a caller is given up.
#[derive(Debug)]
pub(super) enum Failed {
    /// They may not.
    Denied(Box<Told>),
    /// It cannot be.
    Problem(Box<Problem>),
}

impl From<ResourceError> for Failed {
    fn from(error: ResourceError) -> Self {
        Self::Problem(Box::new(error.into()))
    }
}

impl From<EnrolmentError> for Failed {
    fn from(error: EnrolmentError) -> Self {
        Self::Problem(Box::new(error.into()))
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Problem(Box::new(error.into()))
    }
}

impl Caller {
    /// As whom it is written down.
    pub(super) fn principal(&self) -> Principal {
        match self {
            Self::Host => Principal { kind: PrincipalKind::Host, name: "local".to_owned() },
            Self::Runner(runner) => runner.principal(),
        }
    }

    /// Whether they may, as things are in this transaction: the rules that let them.
    pub(super) fn may(
        &self,
        _transaction: &mut dyn Transaction,
        asked: &Asked<'_>,
    ) -> Result<Vec<String>, Failed> {
        match self {
            Self::Host => Ok(vec!["host of the server".to_owned()]),
            Self::Runner(_) => Err(Failed::Denied(Box::new(Told {
                because: vec!["deny by default".to_owned()],
                ..self.line(asked.verb.as_str(), asked)
            }))),
        }
    }

    /// A line for the audit log, of something that was not let yet.
    pub(super) fn line(&self, action: &str, asked: &Asked<'_>) -> Told {
        Told {
            organization: asked.organization.cloned(),
            principal: self.principal(),
            action: action.to_owned(),
            object: Some((asked.kind, asked.name.map(ToString::to_string).unwrap_or_default())),
            resource_version: None,
            allowed: false,
            because: Vec::new(),
            note: None,
        }
    }

    /// Reads as they may.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        control: &Control,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Refusal> {
        let done = control.database.read(work).await;
        self.settle(control, done).await
    }

    /// Writes as they may: all of it or nothing.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        control: &Control,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Refusal> {
        let done = control.database.write(work).await;
        self.settle(control, done).await
    }

    /// Does all that a write would do, and gives it up.
    pub(super) async fn rehearse<T: Send + 'static>(
        &self,
        control: &Control,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Refusal> {
        let done = control.database.rehearse(work).await;
        self.settle(control, done).await
    }

    /// That somebody was refused is written down by itself: what they wanted was given up as a whole.
    async fn settle<T>(&self, control: &Control, done: Result<T, Failed>) -> Result<T, Refusal> {
        let told = match done {
            Ok(done) => return Ok(done),
            Err(Failed::Problem(problem)) => return Err((*problem).into()),
            Err(Failed::Denied(told)) => *told,
        };
        let object = told.object.clone().map(|(kind, name)| format!("{} {name}", kind.plural()));
        let title = format!("{} may not {} {}", told.principal, told.action, object.unwrap_or_default());
        let because = told.because.join(", ");
        let now = (control.now)();
        control.database.write(move |transaction| audit::append(transaction, now, told)).await?;
        Err(Problem::new(ProblemCode::NotAllowed, title.trim_end()).with_hint(because).into())
    }
}

impl FromRequestParts<Control> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        match parts.extensions.get::<Proof>() {
            Some(Proof::Host) => Ok(Self::Host),
            Some(Proof::Certificate(fingerprint)) => {
                let (now, fingerprint) = ((control.now)(), fingerprint.clone());
                let known =
                    control.database.read(move |transaction| identity::known(transaction, now, &fingerprint));
                known.await?.map(Self::Runner).ok_or_else(|| {
                    let title = "the certificate of this runner does not count any more";
                    Problem::new(ProblemCode::CertificateRefused, title).into()
                })
            }
            Some(Proof::Nothing) | None => {
                Err(Problem::new(ProblemCode::NotSignedIn, "nobody is signed in").into())
            }
        }
    }
}
