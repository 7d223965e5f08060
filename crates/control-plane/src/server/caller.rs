//! Who calls, and whether they may.

use std::sync::Arc;

use api::control::{Document, EnvironmentSpec, Kind, Principal, PrincipalKind, SecretSpec, Verb};
use api::{Name, Problem, ProblemCode};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Control;
use super::answer::Refusal;
use super::credentials::{self, Credentials};
use super::pace::Peer;
use crate::audit::{self, Told};
use crate::authz::{Asked, Asker, Target, World, Worlds, runners_in_scope};
use crate::identity::{
    self, EnrolmentError, Evidence, Person, PersonalTokenError, RunnerIdentity, Token, WorkloadError,
};
use crate::resources::{self, ResourceError};
use crate::store::{Listing, StoreError, Transaction};

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
    /// A person, by a token or by the session of a browser.
    Person(Person),
}

/// The rules, as a transaction may use them: what one that writes read itself may yet be given up, and is not kept.
pub(super) enum Rules {
    /// Within one that reads.
    ForRead(Arc<Worlds>),
    /// Within one that writes.
    ForWrite(Arc<Worlds>),
}

impl Rules {
    pub(super) fn for_read(control: &Control) -> Self {
        Self::ForRead(Arc::clone(&control.worlds))
    }

    pub(super) fn for_write(control: &Control) -> Self {
        Self::ForWrite(Arc::clone(&control.worlds))
    }

    /// Those of an organization.
    pub(super) fn of(
        &self,
        transaction: &mut dyn Transaction,
        organization: &Name,
    ) -> Result<Arc<World>, StoreError> {
        match self {
            Self::ForRead(worlds) => worlds.for_read(transaction, organization),
            Self::ForWrite(worlds) => worlds.for_write(transaction, organization),
        }
    }
}

/// What somebody wants to do.
pub(super) struct Wish<'a> {
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
    /// A policy forbids it, whoever they are: the line of the audit log, and what they are told.
    Forbidden(Box<(Told, Problem)>),
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

impl From<PersonalTokenError> for Failed {
    fn from(error: PersonalTokenError) -> Self {
        Self::Problem(Box::new(error.into()))
    }
}

impl From<WorkloadError> for Failed {
    fn from(error: WorkloadError) -> Self {
        Self::Problem(Box::new(error.into()))
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
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
            Self::Person(person) => {
                Principal { kind: PrincipalKind::User, name: person.identity.name.to_string() }
            }
        }
    }

    /// The organization they belong to; the host belongs to none.
    pub(super) fn organization(&self) -> Option<&Name> {
        match self {
            Self::Host => None,
            Self::Runner(runner) => Some(&runner.organization),
            Self::Person(person) => Some(&person.identity.organization),
        }
    }

    /// As whom it is decided.
    pub(super) fn asker(&self) -> Asker {
        match self {
            Self::Host => Asker::Host,
            Self::Runner(runner) => {
                Asker::Runner { organization: runner.organization.clone(), name: runner.name.clone() }
            }
            Self::Person(Person { identity, scope, .. }) => Asker::User {
                organization: identity.organization.clone(),
                name: identity.name.clone(),
                scope: scope.clone(),
            },
        }
    }

    /// What the audit log says of how they came, beside who they are.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::Person(Person { evidence: Evidence::Token { id, .. }, .. }) => Some(format!("token {id}")),
            Self::Host | Self::Runner(_) | Self::Person(_) => None,
        }
    }

    /// Whether they may, as things are in this transaction: the rules that let them.
    pub(super) fn may(
        &self,
        rules: &Rules,
        transaction: &mut dyn Transaction,
        wish: &Wish<'_>,
    ) -> Result<Vec<String>, Failed> {
        let denied =
            |because| Failed::Denied(Box::new(Told { because, ..self.line(wish.verb.as_str(), wish) }));
        // The host may make an organization of which nobody knows anything yet.
        if matches!(self, Self::Host) {
            return Ok(vec!["host of the server".to_owned()]);
        }
        let Some(organization) = wish.organization else {
            return Err(denied(vec!["only the host may look across organizations".to_owned()]));
        };
        // An organization lies in itself, whichever the address names.
        let at = wish.name.filter(|_| wish.kind == Kind::Organization).unwrap_or(organization);
        let resource = match wish.name {
            None => Target::every(organization),
            Some(name) => match transaction.resource(wish.kind, at, name)? {
                None => Target::one(at, name),
                Some(document) => target_for(transaction, &self.asker(), &document)?,
            },
        };
        let world = rules.of(transaction, organization)?;
        let asked = Asked { principal: self.asker(), verb: wish.verb, kind: wish.kind, resource };
        let decision = world.decide(&asked);
        if decision.allowed { Ok(decision.because) } else { Err(denied(decision.because)) }
    }

    /// Of resources of a kind those that they may see.
    pub(super) fn shown(
        &self,
        rules: &Rules,
        transaction: &mut dyn Transaction,
        (kind, organization): (Kind, &Name),
        documents: Vec<Document>,
    ) -> Result<Vec<Document>, Failed> {
        let world = rules.of(transaction, organization)?;
        if world.sees_all(&self.asker(), kind) {
            return Ok(documents);
        }
        let mut shown = Vec::new();
        for document in documents {
            if self.sees(&world, transaction, &document)? {
                shown.push(document);
            }
        }
        Ok(shown)
    }

    fn sees(
        &self,
        world: &World,
        transaction: &mut dyn Transaction,
        document: &Document,
    ) -> Result<bool, Failed> {
        let resource = target_for(transaction, &self.asker(), document)?;
        let asked = Asked { principal: self.asker(), verb: Verb::Get, kind: document.kind, resource };
        Ok(world.decide(&asked).allowed)
    }

    /// A line for the audit log, of something that was not let yet.
    pub(super) fn line(&self, action: &str, wish: &Wish<'_>) -> Told {
        Told {
            organization: wish.organization.cloned(),
            principal: self.principal(),
            action: action.to_owned(),
            object: Some((wish.kind, wish.name.map(ToString::to_string).unwrap_or_default())),
            resource_version: None,
            allowed: false,
            because: Vec::new(),
            note: self.note(),
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
        let (told, problem) = match done {
            Ok(done) => return Ok(done),
            Err(Failed::Problem(problem)) => return Err((*problem).into()),
            Err(Failed::Forbidden(refused)) => *refused,
            Err(Failed::Denied(told)) => {
                let object = told.object.clone().map(|(kind, name)| format!("{} {name}", kind.plural()));
                let title =
                    format!("{} may not {} {}", told.principal, told.action, object.unwrap_or_default());
                let problem = Problem::new(ProblemCode::NotAllowed, title.trim_end());
                let problem = problem.with_hint(told.because.join(", "));
                (*told, problem)
            }
        };
        let now = (control.now)();
        control.database.write(move |transaction| audit::append(transaction, now, told)).await?;
        Err(problem.into())
    }
}

/// A resource as the rules see it. An execution is whose its environment is.
pub(super) fn target_of(
    transaction: &mut dyn Transaction,
    document: &Document,
) -> Result<Target, StoreError> {
    let metadata = &document.metadata;
    target(transaction, (document.kind, &metadata.organization, &metadata.name), &document.spec)
}

/// The same, of a resource that is to be.
pub(super) fn target(
    transaction: &mut dyn Transaction,
    (kind, organization, name): (Kind, &Name, &Name),
    spec: &serde_json::Value,
) -> Result<Target, StoreError> {
    let environment: Option<EnvironmentSpec> = match Target::needs(kind, spec)? {
        Some(name) => resources::spec_of(transaction, organization, &name)?,
        None => None,
    };
    Ok(Target::of(kind, organization, name, spec, environment.as_ref())?)
}

/// A resource as the rules see it that somebody asks for. On which runners a secret lies is found out for runners alone: all
/// environments say it together, and no rule asks it of people.
pub(super) fn target_for(
    transaction: &mut dyn Transaction,
    asker: &Asker,
    document: &Document,
) -> Result<Target, StoreError> {
    let target = target_of(transaction, document)?;
    if document.kind != Kind::Secret || !matches!(asker, Asker::Runner { .. }) {
        return Ok(target);
    }
    let spec: SecretSpec = serde_json::from_value(document.spec.clone())?;
    let listed = transaction.resources(&Listing::of(Kind::Environment, &document.metadata.organization))?;
    let environments: Vec<EnvironmentSpec> =
        listed.into_iter().map(|one| serde_json::from_value(one.spec)).collect::<Result<_, _>>()?;
    Ok(target.on(runners_in_scope(&spec.scope, &environments)))
}

impl FromRequestParts<Control> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        let peer = Peer::of(parts);
        match parts.extensions.get::<Proof>() {
            Some(Proof::Host) => Ok(Self::Host),
            Some(Proof::Certificate(fingerprint)) => {
                let shown = fingerprint.clone();
                known(control, peer, fingerprint.clone(), by_certificate(control, shown)).await
            }
            Some(Proof::Nothing) | None => match credentials::of(parts) {
                Credentials::Bearer(token) => {
                    known(control, peer, token.hash(), by_token(control, token)).await
                }
                Credentials::Session(cookie) => {
                    known(control, peer, cookie.hash(), by_session(control, cookie)).await
                }
                Credentials::CrossSite => {
                    let title = "the request was not made by a page of this server";
                    Err(Problem::new(ProblemCode::NotAllowed, title).into())
                }
                Credentials::Unreadable => {
                    let title = "the request's `Authorization` is no `Bearer` token";
                    Err(Problem::new(ProblemCode::NotSignedIn, title).into())
                }
                Credentials::None => Err(not_signed_in("nobody is signed in")),
            },
        }
    }
}

fn not_signed_in(title: &str) -> Refusal {
    Problem::new(ProblemCode::NotSignedIn, title)
        .with_command("sign in", "cove-control login https://SERVER")
        .into()
}

/// Who it is by what somebody shows, which is looked up unless too much of what they showed counts for nothing.
async fn known(
    control: &Control,
    peer: Peer,
    shown: String,
    look_up: impl Future<Output = Result<Caller, Refusal>>,
) -> Result<Caller, Refusal> {
    control.pace.may_show(peer, &shown)?;
    let found = look_up.await;
    match &found {
        Ok(_) => control.pace.shown(peer, shown, true),
        Err(refusal) => {
            let code = refusal.problem().code;
            // A database that is away says nothing of who it is.
            if matches!(code, ProblemCode::NotSignedIn | ProblemCode::CertificateRefused) {
                control.pace.shown(peer, shown, false);
            }
        }
    }
    found
}

async fn by_certificate(control: &Control, fingerprint: String) -> Result<Caller, Refusal> {
    let now = (control.now)();
    let known = control.database.read(move |transaction| identity::known(transaction, now, &fingerprint));
    known.await?.map(Caller::Runner).ok_or_else(|| {
        let title = "the certificate of this runner does not count any more";
        Problem::new(ProblemCode::CertificateRefused, title).into()
    })
}

async fn by_token(control: &Control, token: Token) -> Result<Caller, Refusal> {
    let (now, shown) = ((control.now)(), token.clone());
    let known = control.database.read(move |transaction| identity::by_token(transaction, now, &shown));
    let (person, is_news) = known.await?.ok_or_else(|| not_signed_in("the token does not count any more"))?;
    if is_news {
        control.database.write(move |transaction| identity::used(transaction, now, &token)).await?;
    }
    Ok(Caller::Person(person))
}

async fn by_session(control: &Control, cookie: Token) -> Result<Caller, Refusal> {
    let now = (control.now)();
    let known = control.database.read(move |transaction| identity::by_session(transaction, now, &cookie));
    known.await?.map(Caller::Person).ok_or_else(|| not_signed_in("the session is over"))
}
