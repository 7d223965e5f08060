//! `cove grant` and `cove revoke`

use std::collections::BTreeMap;

use api::{DEFAULT_GRANT, Environment, GRANT_VARIABLES, Grant, GrantRequest, Phase, Problem, ProblemCode};
use jiff::Timestamp;
use serde::Serialize;

use crate::arguments::{GrantArguments, GrantCommand, NewGrant, RevokeArguments};
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::table::{self, Cell};
use crate::{quantity, select};

pub(super) async fn grant(context: &Context, arguments: GrantArguments) -> Result<(), Failure> {
    match (arguments.command, arguments.new) {
        (Some(GrantCommand::Ls { environment }), _) => list(context, environment.as_deref()).await,
        (None, Some(new)) => give(context, new).await,
        (None, None) => Err(Failure::request("name an environment and what it may use").into()),
    }
}

async fn give(context: &Context, new: NewGrant) -> Result<(), Failure> {
    let client = context.client().await?;
    let environment = select::environment(&client, Some(&new.environment)).await?;
    let request = GrantRequest {
        kind: new.kind,
        host: new.host,
        seconds: new.time.map(|time| time.as_secs()),
        variables: variables(),
    };
    // Said here as well, so that a mistake is told before anything is asked.
    let wanted = request.grant(Timestamp::now());
    let wanted = wanted.map_err(|error| Problem::new(ProblemCode::InvalidRequest, error.to_string()))?;
    let environment = client.grant(environment.id.as_str(), &request).await?;
    let name = &environment.metadata.name;
    let time = quantity::duration(new.time.unwrap_or(DEFAULT_GRANT));
    let host = match (&wanted.host, wanted.kind) {
        (Some(host), _) => format!(" for {host}"),
        (None, api::GrantKind::SshAgent) => " for every host".to_owned(),
        (None, _) => String::new(),
    };
    context.output.note(&format!("`{name}` may use your {}{host} for {time}.", wanted.kind));
    context.output.note(&format!(
        "Take it back with `cove revoke {name} {}`; see each use with `cove audit {name}`.",
        wanted.kind
    ));
    if environment.status.phase == Phase::Running && wanted.kind == api::GrantKind::SshAgent {
        context.output.note("Shells and services that run already do not know of it; new ones do.");
    }
    if context.output.is_json() { shown(context, &environment) } else { Ok(()) }
}

/// Where the programs and agents of whoever grants are. The daemon may have been started elsewhere.
fn variables() -> BTreeMap<String, String> {
    let known =
        GRANT_VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    known.filter(|(_, value)| !value.is_empty()).collect()
}

pub(super) async fn revoke(context: &Context, arguments: RevokeArguments) -> Result<(), Failure> {
    let client = context.client().await?;
    let before = select::environment(&client, Some(&arguments.environment)).await?;
    let after = client.revoke(before.id.as_str(), arguments.kind, arguments.host.as_deref()).await?;
    let name = &after.metadata.name;
    let is_left = |grant: &&Grant| after.spec.grants.iter().any(|other| other.is_for_same(grant));
    let mut gone = before.spec.grants.iter().filter(|grant| !is_left(grant)).peekable();
    if gone.peek().is_none() {
        context.output.note(&format!("Nothing of the kind was granted to `{name}`."));
    }
    for grant in gone {
        context.output.note(&format!("`{name}` may no longer use your {grant}."));
    }
    if context.output.is_json() { shown(context, &after) } else { Ok(()) }
}

/// One row of what is granted.
#[derive(Debug, Serialize)]
struct Granted {
    environment: String,
    #[serde(flatten)]
    grant: Grant,
}

async fn list(context: &Context, environment: Option<&str>) -> Result<(), Failure> {
    let client = context.client().await?;
    let environments = match environment {
        Some(_) => vec![select::environment(&client, environment).await?],
        None => client.environments().await?,
    };
    let now = Timestamp::now();
    let of = |environment: Environment| {
        let name = environment.metadata.name.to_string();
        let live = environment.spec.grants.into_iter().filter(move |grant| grant.is_live(now));
        live.map(move |grant| Granted { environment: name.clone(), grant })
    };
    let granted: Vec<Granted> = environments.into_iter().flat_map(of).collect();
    if granted.is_empty() && !context.output.is_json() {
        context.output.note("Nothing is granted. No environment gets your credentials by itself.");
        return Ok(());
    }
    context.output.show(&granted, |paint| table_of(&granted, now, paint))
}

fn shown(context: &Context, environment: &Environment) -> Result<(), Failure> {
    context.output.show(&environment.spec.grants, |_| String::new())
}

fn table_of(granted: &[Granted], now: Timestamp, paint: Paint) -> String {
    let rows: Vec<Vec<Cell>> = granted
        .iter()
        .map(|Granted { environment, grant }| {
            vec![
                Cell::plain(environment.as_str()),
                Cell::plain(grant.kind.as_str()),
                Cell::plain(grant.host.as_deref().unwrap_or("-")),
                Cell::plain(left(grant, now)),
            ]
        })
        .collect();
    table::render(&["ENVIRONMENT", "KIND", "HOST", "LEFT"], &rows, paint)
}

/// For `cove show`.
pub(super) fn rows(grants: &[Grant], now: Timestamp) -> Vec<(String, String)> {
    let live = grants.iter().filter(|grant| grant.is_live(now));
    live.map(|grant| (grant.to_string(), format!("{} left", left(grant, now)))).collect()
}

fn left(grant: &Grant, now: Timestamp) -> String {
    quantity::duration(grant.expires_at.duration_since(now).try_into().unwrap_or_default())
}
