//! Which of an organization's people somebody is whom the identity provider let in.
//!
//! First by who they are there, which never changes. Who signs in for the first time is found by an address that the
//! provider has verified, and is bound to that person from then on: an address that changes hands later gets nothing. Who is
//! unknown becomes a member where an organization lists the domain of their address, and is refused everywhere else.

use api::control::{
    Document, Draft, DraftMetadata, Identity, Kind, OrganizationSpec, Principal, PrincipalKind, UserSpec,
    UserStatus,
};
use api::{Name, Problem, ProblemCode};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Claimed, PersonIdentity};
use crate::audit::{self, Told};
use crate::resources::{self, ResourceError};
use crate::store::{Listing, StoreError, Transaction};

/// How many people of one name there can be before somebody has to think of another.
const NAMESAKES: u32 = 100;

/// Longest part of a name that is taken from an address, so that a number can follow.
const STEM: usize = 32;

/// Somebody is let in nowhere here.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The provider has not verified their address.
    #[error("the identity provider has verified no mail address of {0}")]
    Unverified(String),
    /// Nobody has the address.
    #[error("nobody here has the mail address {0}")]
    Unknown(String),
    /// Somebody has the address who was another person when they signed in first.
    #[error("{address} is the address of {user}, who is somebody else at the identity provider")]
    AnotherPerson {
        /// The address.
        address: String,
        /// The user.
        user: Name,
    },
    /// They are suspended.
    #[error("{0} is suspended")]
    Suspended(Name),
    /// They are in several organizations and named none.
    #[error("{address} is in several organizations: {}", words(.organizations))]
    Several {
        /// Their address, or who they are.
        address: String,
        /// All of them.
        organizations: Vec<Name>,
    },
    /// Their user cannot be made or changed.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        let hint = match &error {
            SignInError::Resource(_) | SignInError::Store(_) => "",
            SignInError::Unverified(_) => "verify it there, or let an administrator of the provider do so",
            SignInError::Unknown(_) => {
                "an administrator declares a User with this address, or lists its domain in the Organization"
            }
            SignInError::AnotherPerson { .. } => {
                "if the address changed hands, an administrator deletes that User and declares a new one"
            }
            SignInError::Suspended(_) => "an administrator can end that: `suspended: false` in the User",
            SignInError::Several { .. } => {
                "name one with `--organization`, or behind the address as `organization=NAME`"
            }
        };
        match error {
            SignInError::Resource(error) => error.into(),
            SignInError::Store(error) => error.into(),
            other => Self::new(ProblemCode::SignInRefused, other.to_string()).with_hint(hint),
        }
    }
}

/// A user that is there.
struct Found {
    document: Document,
    spec: UserSpec,
    identity: Option<Identity>,
}

/// Who it is, in this organization or in the only one they are in. Their first sign-in, and one that makes a member, are
/// written down with it. `how` they came is for the audit log.
///
/// # Errors
/// They are let in nowhere.
pub fn sign_in(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    claimed: &Claimed,
    organization: Option<&Name>,
    how: &str,
) -> Result<PersonIdentity, SignInError> {
    let identity = Identity { issuer: claimed.issuer.clone(), subject: claimed.subject.clone() };
    let users = users(transaction, organization)?;
    let known: Vec<_> = users.iter().filter(|user| user.identity.as_ref() == Some(&identity)).collect();
    let (person, because) = if known.is_empty() {
        (first_sign_in(transaction, now, claimed, &identity, &users, organization)?, "verified address")
    } else {
        (only(claimed, &known)?.person(), "identity provider")
    };
    let told = Told {
        organization: Some(person.organization.clone()),
        principal: Principal { kind: PrincipalKind::User, name: person.name.to_string() },
        action: "sign_in".to_owned(),
        object: None,
        resource_version: None,
        allowed: true,
        because: vec![because.to_owned()],
        note: Some(how.to_owned()),
    };
    audit::append(transaction, now, told)?;
    Ok(person)
}

/// A line of the audit log about somebody who was let in nowhere.
pub fn told_of_refusal(claimed: &Claimed, error: &SignInError, how: &str) -> Told {
    Told {
        organization: None,
        principal: Principal { kind: PrincipalKind::Nobody, name: called(claimed) },
        action: "sign_in".to_owned(),
        object: None,
        resource_version: None,
        allowed: false,
        because: vec![error.to_string()],
        note: Some(how.to_owned()),
    }
}

/// By their address, or as a new member.
fn first_sign_in(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    claimed: &Claimed,
    identity: &Identity,
    users: &[Found],
    organization: Option<&Name>,
) -> Result<PersonIdentity, SignInError> {
    let Some(address) = &claimed.email else {
        return Err(SignInError::Unverified(called(claimed)));
    };
    let (free, taken): (Vec<_>, Vec<_>) =
        users.iter().filter(|user| user.spec.has_address(address)).partition(|user| user.identity.is_none());
    let person = if !free.is_empty() {
        only(claimed, &free)?.person()
    } else if let Some(other) = taken.first() {
        let user = other.document.metadata.name.clone();
        return Err(SignInError::AnotherPerson { address: address.clone(), user });
    } else {
        new_member(transaction, now, claimed, address, organization)?
    };
    let status = UserStatus { identity: Some(identity.clone()) };
    let status = serde_json::to_value(status).map_err(StoreError::from)?;
    resources::report(transaction, now, Kind::User, &person.organization, &person.name, status)?;
    Ok(person)
}

/// Makes somebody a member of the one organization that takes people of their address.
fn new_member(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    claimed: &Claimed,
    address: &str,
    organization: Option<&Name>,
) -> Result<PersonIdentity, SignInError> {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let listing = Listing {
        kind: Kind::Organization,
        organization: organization.cloned(),
        after: None,
        most: u32::MAX,
    };
    let mut takes = Vec::new();
    for document in transaction.resources(&listing)? {
        let spec: OrganizationSpec = read(&document.spec)?;
        let is_its = spec.domains.iter().any(|its| !domain.is_empty() && its.eq_ignore_ascii_case(domain));
        if is_its && document.metadata.deleted_at.is_none() {
            takes.push(document.metadata.name);
        }
    }
    let organization = match takes.as_slice() {
        [only] => only.clone(),
        [] => return Err(SignInError::Unknown(address.to_owned())),
        _ => return Err(SignInError::Several { address: address.to_owned(), organizations: takes }),
    };
    let name = free_name(transaction, &organization, local)?
        .ok_or_else(|| SignInError::Unknown(address.to_owned()))?;
    let spec = UserSpec {
        email: address.to_owned(),
        title: claimed.title.clone(),
        suspended: false,
        dotfiles: None,
    };
    let spec = serde_json::to_value(spec).map_err(StoreError::from)?;
    let metadata = DraftMetadata { name, organization: None, labels: [].into(), resource_version: Some(0) };
    let made = resources::apply(transaction, now, &organization, Draft { kind: Kind::User, metadata, spec })?;
    let metadata = made.document.metadata;
    let told = Told {
        organization: Some(organization.clone()),
        principal: Principal { kind: PrincipalKind::Server, name: "sign-in".to_owned() },
        action: "create".to_owned(),
        object: Some((Kind::User, metadata.name.to_string())),
        resource_version: Some(metadata.resource_version),
        allowed: true,
        because: vec![format!("domain {domain}")],
        note: None,
    };
    audit::append(transaction, now, told)?;
    Ok(PersonIdentity { id: metadata.id, organization, name: metadata.name })
}

/// A name that nobody in an organization has yet, like the address.
fn free_name(
    transaction: &mut dyn Transaction,
    organization: &Name,
    local: &str,
) -> Result<Option<Name>, StoreError> {
    let stem: String = local.chars().take(STEM).collect();
    for number in 1..=NAMESAKES {
        let name = match number {
            1 => Name::from_text(&stem),
            _ => Name::from_text(&format!("{stem}-{number}")),
        };
        if transaction.resource(Kind::User, organization, &name)?.is_none() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

impl Found {
    fn person(&self) -> PersonIdentity {
        let metadata = &self.document.metadata;
        PersonIdentity {
            id: metadata.id.clone(),
            organization: metadata.organization.clone(),
            name: metadata.name.clone(),
        }
    }
}

/// The only one of these, who is not suspended.
fn only<'a>(claimed: &Claimed, found: &[&'a Found]) -> Result<&'a Found, SignInError> {
    let [one] = found else {
        let organizations = found.iter().map(|one| one.document.metadata.organization.clone()).collect();
        return Err(SignInError::Several { address: called(claimed), organizations });
    };
    if one.spec.suspended {
        return Err(SignInError::Suspended(one.document.metadata.name.clone()));
    }
    Ok(one)
}

fn users(transaction: &mut dyn Transaction, organization: Option<&Name>) -> Result<Vec<Found>, StoreError> {
    let listing =
        Listing { kind: Kind::User, organization: organization.cloned(), after: None, most: u32::MAX };
    let mut users = Vec::new();
    for document in transaction.resources(&listing)? {
        if document.metadata.deleted_at.is_none() {
            let spec = read(&document.spec)?;
            let status: UserStatus = read(&document.status)?;
            users.push(Found { document, spec, identity: status.identity });
        }
    }
    Ok(users)
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, StoreError> {
    Ok(T::deserialize(value)?)
}

/// As people know them, or else as the provider does.
fn called(claimed: &Claimed) -> String {
    claimed.email.clone().unwrap_or_else(|| claimed.subject.clone())
}

fn words(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
