//! How a computer comes in as a runner, and how it is known afterwards.
//!
//! Somebody who may change runners makes a token for one. It serves one computer once, within a day. The computer shows it
//! with a request for a certificate of a key that it made and keeps; from then on the certificate speaks for it. A new
//! token for the same runner lets another computer take its place: the former's certificate counts no more.

use std::str::FromStr as _;

use age::x25519;
use api::control::{
    Enrolled, Enrolment, EnrolmentToken, Kind, Principal, PrincipalKind, RunnerPhase, RunnerStatus,
};
use api::{Name, Problem, ProblemCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Authority, AuthorityError, SignedCertificate, Token};
use crate::audit::{self, Told};
use crate::resources::{self, ResourceError};
use crate::store::{Record, Space, StoreError, Transaction};

/// How long a token can be used.
const TOKEN_LASTS: SignedDuration = SignedDuration::from_hours(24);

/// What tokens of this kind begin with.
const PREFIX: &str = "cove_enrol_";

/// A computer cannot come in.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// The token is wrong, was used, or is over: which of them is nobody's business.
    #[error("the token does not let a computer in")]
    Refused,
    /// What it would be is not one.
    #[error("`recipient` is no age recipient")]
    Recipient,
    /// Its certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Its runner cannot be changed.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes.
    #[error("this computer gives no random numbers")]
    Random,
}

impl From<EnrolmentError> for Problem {
    fn from(error: EnrolmentError) -> Self {
        match error {
            EnrolmentError::Resource(error) => error.into(),
            EnrolmentError::Store(error) | EnrolmentError::Authority(AuthorityError::Store(error)) => {
                error.into()
            }
            EnrolmentError::Refused => Self::new(ProblemCode::EnrolmentRefused, error.to_string()),
            EnrolmentError::Recipient | EnrolmentError::Authority(AuthorityError::Request(_)) => {
                Self::new(ProblemCode::InvalidRequest, error.to_string()).caused_by(&error)
            }
            EnrolmentError::Authority(_) | EnrolmentError::Random => {
                Self::new(ProblemCode::Internal, error.to_string()).caused_by(&error)
            }
        }
    }
}

/// What is kept of a token.
#[derive(Serialize, Deserialize)]
struct Invitation {
    /// The runner's id: one that is made anew under the name is another.
    id: String,
    organization: Name,
    runner: Name,
}

/// Whom a certificate speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerIdentity {
    /// The runner's id.
    pub id: String,
    /// Its organization.
    pub organization: Name,
    /// Its name.
    pub name: Name,
}

impl RunnerIdentity {
    /// As whom it is asked and written down.
    pub fn principal(&self) -> Principal {
        Principal { kind: PrincipalKind::Runner, name: self.name.to_string() }
    }
}

/// Makes a token with which one computer comes in as this runner. `command` is that of the computer, which asks for it.
///
/// # Errors
/// There is no such runner.
pub fn invite(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    organization: &Name,
    runner: &Name,
    command: String,
) -> Result<EnrolmentToken, EnrolmentError> {
    let found = resources::find(transaction, Kind::Runner, organization, runner)?;
    let token = Token::new(PREFIX).ok_or(EnrolmentError::Random)?;
    let expires_at = now + TOKEN_LASTS;
    let invitation =
        Invitation { id: found.metadata.id, organization: organization.clone(), runner: runner.clone() };
    let value = serde_json::to_value(invitation).map_err(StoreError::from)?;
    transaction
        .put_record(Space::Enrolments, &Record { key: token.hash(), value, expires_at: Some(expires_at) })?;
    Ok(EnrolmentToken { token: token.reveal().to_owned(), expires_at, command })
}

/// Lets a computer in that shows a token. The token serves no more.
///
/// # Errors
/// The token is none of ours, or the request cannot be read.
pub fn enrol(
    transaction: &mut dyn Transaction,
    authority: &Authority,
    now: Timestamp,
    asked: &Enrolment,
) -> Result<Enrolled, EnrolmentError> {
    let token = asked.token.as_deref().map(Token::shown).ok_or(EnrolmentError::Refused)?.hash();
    let record = transaction.record(Space::Enrolments, &token, now)?.ok_or(EnrolmentError::Refused)?;
    transaction.remove_record(Space::Enrolments, &token)?;
    let invitation: Invitation = serde_json::from_value(record.value).map_err(StoreError::from)?;
    // It may have been deleted since.
    let found = transaction.resource(Kind::Runner, &invitation.organization, &invitation.runner)?;
    let found = found.filter(|found| found.metadata.id == invitation.id).ok_or(EnrolmentError::Refused)?;
    let runner = RunnerIdentity {
        id: found.metadata.id,
        organization: invitation.organization,
        name: invitation.runner,
    };
    certify(transaction, authority, now, &runner, asked, "enrol")
}

/// Gives a runner a new certificate. The one it showed counts until it ends: an answer that is lost does no harm.
///
/// # Errors
/// The request cannot be read.
pub fn renew(
    transaction: &mut dyn Transaction,
    authority: &Authority,
    now: Timestamp,
    runner: &RunnerIdentity,
    asked: &Enrolment,
) -> Result<Enrolled, EnrolmentError> {
    certify(transaction, authority, now, runner, asked, "renew")
}

fn certify(
    transaction: &mut dyn Transaction,
    authority: &Authority,
    now: Timestamp,
    runner: &RunnerIdentity,
    asked: &Enrolment,
    action: &str,
) -> Result<Enrolled, EnrolmentError> {
    // Whoever seals a secret seals it to all runners in its scope, and is not to be kept from it by one.
    x25519::Recipient::from_str(&asked.recipient).map_err(|_| EnrolmentError::Recipient)?;
    let SignedCertificate { pem, fingerprint, expires_at } =
        authority.sign_runner(&asked.certificate_request, &runner.id, now)?;
    let RunnerIdentity { organization, name, .. } = runner;
    let document = resources::find(transaction, Kind::Runner, organization, name)?;
    let mut status: RunnerStatus = serde_json::from_value(document.status).map_err(StoreError::from)?;
    if action == "enrol" {
        revoke_all(transaction, now, &runner.id)?;
    }
    let value = serde_json::to_value(runner).map_err(StoreError::from)?;
    let record = Record { key: fingerprint.clone(), value, expires_at: Some(expires_at) };
    transaction.put_record(Space::Certificates, &record)?;
    status.phase = RunnerPhase::Active;
    status.version = Some(asked.version.clone());
    status.platform = Some(asked.platform.clone());
    status.recipient = Some(asked.recipient.clone());
    status.certificate = Some(fingerprint);
    status.certificate_expires_at = Some(expires_at);
    let status = serde_json::to_value(status).map_err(StoreError::from)?;
    let document = resources::report(transaction, now, Kind::Runner, organization, name, status)?;
    let told = Told {
        organization: Some(organization.clone()),
        principal: runner.principal(),
        action: action.to_owned(),
        object: Some((Kind::Runner, name.to_string())),
        resource_version: Some(document.metadata.resource_version),
        allowed: true,
        because: vec![if action == "enrol" { "enrolment token" } else { "certificate" }.to_owned()],
        note: None,
    };
    audit::append(transaction, now, told)?;
    if action == "enrol" {
        // Unless it connects soon.
        crate::sync::presence::left(transaction, now, organization, name)?;
    }
    Ok(Enrolled {
        runner: runner.id.clone(),
        name: name.clone(),
        organization: organization.clone(),
        certificate: pem,
        authority: authority.pem().to_owned(),
        expires_at,
    })
}

/// Whom a certificate of ours speaks for; nobody if it was taken back.
///
/// # Errors
/// The database failed.
pub fn known(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    fingerprint: &str,
) -> Result<Option<RunnerIdentity>, StoreError> {
    let record = transaction.record(Space::Certificates, fingerprint, now)?;
    record.map(|record| serde_json::from_value(record.value)).transpose().map_err(StoreError::from)
}

/// Takes all certificates of a runner back.
///
/// # Errors
/// There is no such runner.
pub fn revoke(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    organization: &Name,
    runner: &Name,
) -> Result<(), EnrolmentError> {
    let document = resources::find(transaction, Kind::Runner, organization, runner)?;
    revoke_all(transaction, now, &document.metadata.id)?;
    let mut status: RunnerStatus = serde_json::from_value(document.status).map_err(StoreError::from)?;
    status.phase = RunnerPhase::Revoked;
    status.certificate = None;
    status.certificate_expires_at = None;
    let status = serde_json::to_value(status).map_err(StoreError::from)?;
    resources::report(transaction, now, Kind::Runner, organization, runner, status)?;
    Ok(())
}

/// Takes all certificates of a runner back, and invitations that were not used yet, by its id.
///
/// # Errors
/// The database failed.
pub fn revoke_all(transaction: &mut dyn Transaction, now: Timestamp, id: &str) -> Result<(), StoreError> {
    for record in transaction.records(Space::Certificates, now)? {
        let runner: RunnerIdentity = serde_json::from_value(record.value)?;
        if runner.id == id {
            transaction.remove_record(Space::Certificates, &record.key)?;
        }
    }
    // An invitation that was not used yet would undo that.
    for record in transaction.records(Space::Enrolments, now)? {
        let invitation: Invitation = serde_json::from_value(record.value)?;
        if invitation.id == id {
            transaction.remove_record(Space::Enrolments, &record.key)?;
        }
    }
    Ok(())
}
