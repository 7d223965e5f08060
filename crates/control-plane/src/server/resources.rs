//! Resources, by kind and name.

use api::control::{AppliedDraft, DifferenceKind, Document, Draft, ExecutionSpec, Kind, Verb};
use api::{Name, Problem, ProblemCode};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::Control;
use super::answer::{Body, Parameters, Refusal};
use super::caller::{Caller, Failed, Rules, Wish};
use super::openapi::PluralKind;
use crate::audit::{self, Told};
use crate::identity;
use crate::resources::{self, Applied, Deleted};
use crate::store::{Listing, StoreError, Transaction};
use crate::sync::Fleet;

/// Most resources in one answer.
const MOST: u32 = 500;

/// Which part of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// The last name that is known.
    after: Option<Name>,
    /// At most so many; 500 in any case.
    limit: Option<u32>,
}

/// How a change is to be made.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ApplyQuery {
    /// Only tells what would change.
    #[serde(default)]
    dry_run: bool,
}

/// Which version is to go.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// Refused if it is not the present one.
    resource_version: Option<u64>,
}

/// All organizations that the caller may see: the host all, others their own, which is no secret to who belongs to it.
#[utoipa::path(get, path = "/v1/organizations", tag = "resources", params(ListQuery),
    responses((status = 200, body = [Document])))]
pub(super) async fn organizations(
    State(control): State<Control>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Vec<Document>>, Refusal> {
    let listing = Listing {
        kind: Kind::Organization,
        organization: None,
        after: query.after.map(|name| (name.clone(), name)),
        most: query.limit.unwrap_or(MOST).min(MOST),
    };
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let listed = caller.read(&control, move |transaction| {
        if let Some(own) = who.organization() {
            let is_known = listing.after.as_ref().is_some_and(|(last, _)| last >= own);
            let own = transaction.resource(Kind::Organization, own, own)?;
            return Ok(own.into_iter().filter(|_| !is_known && listing.most > 0).collect());
        }
        let wish = Wish { verb: Verb::List, kind: Kind::Organization, organization: None, name: None };
        who.may(&rules, transaction, &wish)?;
        Ok(transaction.resources(&listing)?)
    });
    Ok(Json(listed.await?))
}

/// Resources of a kind, by name.
#[utoipa::path(get, path = "/v1/organizations/{organization}/{kind}", tag = "resources",
    params(("organization" = Name, Path, description = "The organization"), ("kind" = PluralKind, Path, description = "The kind, as it is written in an address"), ListQuery),
    responses((status = 200, body = [Document])))]
pub(super) async fn list(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, kind)): Path<(String, String)>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Vec<Document>>, Refusal> {
    let (organization, kind) = (name(&organization)?, kind_of(&kind)?);
    let listing = Listing {
        kind,
        organization: Some(organization.clone()),
        after: query.after.map(|name| (organization.clone(), name)),
        most: query.limit.unwrap_or(MOST).min(MOST),
    };
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let listed = caller.read(&control, move |transaction| {
        who.may(
            &rules,
            transaction,
            &Wish { verb: Verb::List, kind, organization: Some(&organization), name: None },
        )?;
        resources::find(transaction, Kind::Organization, &organization, &organization)?;
        // Of what was read some may not be shown: it is read on until there is as much as was asked for.
        let (mut listing, mut shown) = (listing, Vec::new());
        loop {
            let page = transaction.resources(&listing)?;
            let is_last = page.len() < listing.most as usize;
            let last = page.last().map(|document| document.metadata.name.clone());
            shown.extend(who.shown(&rules, transaction, (kind, &organization), page)?);
            let Some(last) = last.filter(|_| !is_last && shown.len() < listing.most as usize) else {
                shown.truncate(listing.most as usize);
                return Ok(shown);
            };
            listing.after = Some((organization.clone(), last));
        }
    });
    Ok(Json(listed.await?))
}

/// One resource.
#[utoipa::path(get, path = "/v1/organizations/{organization}/{kind}/{name}", tag = "resources",
    params(("organization" = Name, Path, description = "The organization"), ("kind" = PluralKind, Path, description = "The kind, as it is written in an address"), ("name" = Name, Path, description = "Which")),
    responses((status = 200, body = Document)))]
pub(super) async fn get(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, kind, wanted)): Path<(String, String, String)>,
) -> Result<Json<Document>, Refusal> {
    let (organization, kind, wanted) = (name(&organization)?, kind_of(&kind)?, name(&wanted)?);
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let found = caller.read(&control, move |transaction| {
        let wish = Wish { verb: Verb::Get, kind, organization: Some(&organization), name: Some(&wanted) };
        who.may(&rules, transaction, &wish)?;
        Ok(resources::find(transaction, kind, &organization, &wanted)?)
    });
    Ok(Json(found.await?))
}

/// Makes or changes one resource.
#[utoipa::path(put, path = "/v1/organizations/{organization}/{kind}/{name}", tag = "resources",
    params(("organization" = Name, Path, description = "The organization"), ("kind" = PluralKind, Path, description = "The kind, as it is written in an address"), ("name" = Name, Path, description = "Which")), request_body = Draft,
    responses((status = 200, description = "It is as the draft wants it", body = Document),
        (status = 201, description = "It was made", body = Document)))]
pub(super) async fn put(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, kind, wanted)): Path<(String, String, String)>,
    Body(draft): Body<Draft>,
) -> Result<Response, Refusal> {
    let (organization, kind, wanted) = (name(&organization)?, kind_of(&kind)?, name(&wanted)?);
    if draft.kind != kind || draft.metadata.name != wanted {
        let in_body = format!("{} {}", draft.kind, draft.metadata.name);
        let title = format!("the address is that of {kind} {wanted}, and the body is {in_body}");
        return Err(Problem::new(ProblemCode::InvalidRequest, title).into());
    }
    let (who, rules) = (caller.clone(), Rules::for_write(&control));
    let now = (control.now)();
    let fleet = control.fleet.clone();
    let applied = caller.write(&control, move |transaction| {
        apply_one(transaction, now, (&who, &rules, &fleet), &organization, draft)
    });
    let Applied { document, difference } = applied.await?;
    let status = if difference.kind == DifferenceKind::Create { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(document)).into_response())
}

/// Makes or changes several resources, or none of them. A later one may name what an earlier one makes.
#[utoipa::path(post, path = "/v1/organizations/{organization}/apply", tag = "resources",
    params(("organization" = Name, Path, description = "The organization"), ApplyQuery), request_body = [Draft],
    responses((status = 200, body = [AppliedDraft])))]
pub(super) async fn apply(
    State(control): State<Control>,
    caller: Caller,
    Path(organization): Path<String>,
    Parameters(query): Parameters<ApplyQuery>,
    Body(drafts): Body<Vec<Draft>>,
) -> Result<Json<Vec<AppliedDraft>>, Refusal> {
    let organization = name(&organization)?;
    let (who, rules, now) = (caller.clone(), Rules::for_write(&control), (control.now)());
    let fleet = if query.dry_run { control.fleet.for_rehearsal() } else { control.fleet.clone() };
    let all = move |transaction: &mut dyn Transaction| -> Result<Vec<AppliedDraft>, Failed> {
        let mut outcomes = Vec::new();
        for draft in drafts {
            let Applied { document, difference } =
                apply_one(transaction, now, (&who, &rules, &fleet), &organization, draft)?;
            outcomes.push(AppliedDraft { difference, resource: document });
        }
        Ok(outcomes)
    };
    if query.dry_run {
        return Ok(Json(caller.rehearse(&control, all).await?));
    }
    Ok(Json(caller.write(&control, all).await?))
}

/// Takes one resource away. `202` where it goes later.
#[utoipa::path(delete, path = "/v1/organizations/{organization}/{kind}/{name}", tag = "resources",
    params(("organization" = Name, Path, description = "The organization"), ("kind" = PluralKind, Path, description = "The kind, as it is written in an address"), ("name" = Name, Path, description = "Which"), DeleteQuery),
    responses((status = 202, description = "It goes once those in its `finalizers` are done", body = Document),
        (status = 204, description = "It is gone")))]
pub(super) async fn delete(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, kind, wanted)): Path<(String, String, String)>,
    Parameters(query): Parameters<DeleteQuery>,
) -> Result<Response, Refusal> {
    let (organization, kind, wanted) = (name(&organization)?, kind_of(&kind)?, name(&wanted)?);
    let (who, rules, now) = (caller.clone(), Rules::for_write(&control), (control.now)());
    let fleet = control.fleet.clone();
    let deleted = caller.write(&control, move |transaction| {
        let wish = Wish { verb: Verb::Delete, kind, organization: Some(&organization), name: Some(&wanted) };
        let because = who.may(&rules, transaction, &wish)?;
        let version = query.resource_version;
        if kind == Kind::Runner {
            // Before it is gone: what is not deleted after all is rolled back with the rest.
            let runner = resources::find(transaction, kind, &organization, &wanted)?;
            identity::revoke_all(transaction, now, &runner.metadata.id)?;
        }
        let mut deleted = resources::delete(transaction, now, kind, &organization, &wanted, version)?;
        if let Deleted::Going(document) = &deleted
            && kind == Kind::Environment
        {
            deleted = fleet.turn(transaction, &organization, now)?.delete(document)?;
        }
        let resource_version = Some(transaction.version()?);
        let line = who.line(Verb::Delete.as_str(), &wish);
        audit::append(transaction, now, Told { allowed: true, because, resource_version, ..line })?;
        Ok(deleted)
    });
    Ok(match deleted.await? {
        Deleted::Gone => StatusCode::NO_CONTENT.into_response(),
        Deleted::Going(document) => (StatusCode::ACCEPTED, Json(*document)).into_response(),
    })
}

/// Applies a draft, with its line of the audit log.
fn apply_one(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    (who, rules, fleet): (&Caller, &Rules, &Fleet),
    organization: &Name,
    draft: Draft,
) -> Result<Applied, Failed> {
    let mut proposal = resources::propose(transaction, organization, draft)?;
    let (kind, former) = (proposal.kind, proposal.present.clone());
    let verb = if former.is_some() { Verb::Update } else { Verb::Create };
    let (at, wanted) = (proposal.organization.clone(), proposal.metadata.name.clone());
    let wish = Wish { verb, kind, organization: Some(&at), name: Some(&wanted) };
    let because = who.may_carry_out(rules, transaction, &proposal)?;
    resources::hold(transaction, &mut proposal).map_err(|error| who.refused(error, &wish))?;
    let mut applied = resources::carry_out(transaction, now, proposal)?;
    if kind == Kind::Environment && applied.difference.kind != DifferenceKind::Same {
        let turn = fleet.turn(transaction, &at, now)?;
        applied.document = turn.declare(former.as_ref(), &applied.document)?;
    }
    if kind == Kind::Execution && applied.difference.kind != DifferenceKind::Same {
        let execution: ExecutionSpec =
            serde_json::from_value(applied.document.spec.clone()).map_err(StoreError::from)?;
        let environment = resources::find(transaction, Kind::Environment, &at, &execution.environment)?;
        fleet.turn(transaction, &at, now)?.run(&execution, &environment)?;
    }
    if applied.difference.kind != DifferenceKind::Same {
        let resource_version = Some(applied.document.metadata.resource_version);
        let line = who.line(verb.as_str(), &wish);
        audit::append(transaction, now, Told { allowed: true, because, resource_version, ..line })?;
    }
    Ok(applied)
}

pub(super) fn name(text: &str) -> Result<Name, Refusal> {
    Name::parse(text).map_err(|error| Problem::new(ProblemCode::InvalidRequest, error.to_string()).into())
}

fn kind_of(text: &str) -> Result<Kind, Refusal> {
    let found = Kind::ALL.into_iter().find(|kind| kind.plural() == text);
    found.ok_or_else(|| {
        let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.plural()).collect();
        let problem = Problem::new(ProblemCode::InvalidRequest, format!("there is no kind `{text}`"));
        problem.with_hint(format!("kinds are {}", known.join(", "))).into()
    })
}
