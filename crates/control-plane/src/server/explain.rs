//! Why somebody may do something, or may not.

use api::control::{Decision, Explain, Kind, PrincipalKind, Verb};
use api::{Name, Problem, ProblemCode};
use axum::Json;
use axum::extract::{Path, State};

use super::Control;
use super::answer::{Body, Refusal};
use super::caller::{Caller, Failed, Rules, Wish, target_for};
use super::resources::name;
use crate::authz::{Asked, Asker, Target};

/// What would be decided, and which roles were looked at. Nothing is done, and nothing is written down.
#[utoipa::path(post, path = "/v1/organizations/{organization}/explain", tag = "resources",
    params(("organization" = Name, Path, description = "The organization")), request_body = Explain,
    responses((status = 200, body = Decision)))]
pub(super) async fn explain(
    State(control): State<Control>,
    caller: Caller,
    Path(organization): Path<String>,
    Body(asked): Body<Explain>,
) -> Result<Json<Decision>, Refusal> {
    let organization = name(&organization)?;
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let decision = caller.read(&control, move |transaction| -> Result<_, Failed> {
        let wish = Wish { verb: Verb::List, kind: Kind::Role, organization: Some(&organization), name: None };
        who.may(&rules, transaction, &wish)?;
        let of = organization.clone();
        let principal = match asked.principal {
            PrincipalKind::User => Asker::User { organization: of, name: asked.name, scope: None },
            PrincipalKind::Runner => Asker::Runner { organization: of, name: asked.name },
            other => {
                let title =
                    format!("decisions are explained for users and runners, not for {}", other.as_str());
                return Err(Problem::new(ProblemCode::InvalidRequest, title).into());
            }
        };
        let resource = match &asked.resource {
            None => Target::every(&organization),
            Some(one) => match transaction.resource(asked.kind, &organization, one)? {
                None => Target::one(&organization, one),
                Some(document) => target_for(transaction, &principal, &document)?,
            },
        };
        let world = rules.of(transaction, &organization)?;
        Ok(world.explain(&Asked { principal, verb: asked.verb, kind: asked.kind, resource }))
    });
    Ok(Json(decision.await?))
}
