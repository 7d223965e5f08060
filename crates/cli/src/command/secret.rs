//! `cove secret`

pub(super) mod value;

use api::{
    Environment, SECRETS_FOLDER, SHORTEST_MASKED, SecretScope, SecretStatus, SecretTarget, SecretValue,
    SecretWish,
};
use camino::Utf8Path;
use client::Client;
use jiff::Timestamp;

use crate::arguments::{ScopeOptions, SecretCommand};
use crate::context::{Context, working_folder};
use crate::failure::Failure;
use crate::paint::Paint;
use crate::table::{self, Cell};
use crate::{quantity, select};

pub(super) async fn run(context: &Context, command: SecretCommand) -> Result<(), Failure> {
    match command {
        SecretCommand::Set { name, scope, as_env, as_file } => {
            let variable = as_env.map(|name| SecretTarget::Variable { name });
            let file = as_file.map(|path| {
                let path = path.unwrap_or_else(|| Utf8Path::new(SECRETS_FOLDER).join(&name));
                SecretTarget::File { path }
            });
            set(context, name, &scope, variable.or(file)).await
        }
        SecretCommand::Ls { environment } => list(context, environment).await,
        SecretCommand::Rm { name, scope } => remove(context, name, &scope).await,
    }
}

async fn set(
    context: &Context,
    name: String,
    scope: &ScopeOptions,
    target: Option<SecretTarget>,
) -> Result<(), Failure> {
    let client = context.client().await?;
    let scope = scope_of(&client, scope).await?;
    let all = client.secrets(None).await?;
    let before = all.iter().find(|it| it.name == name && it.scope == scope).map(|it| &it.target);
    let is_file = matches!(target.as_ref().or(before), Some(SecretTarget::File { .. }));
    let value = value::read(context.output, &name)?;
    // A variable seldom means the end of line that `echo` writes; a file may.
    let value = if is_file { value } else { value::without_end_of_line(value) };
    let wish = SecretWish { name, scope, value: Some(SecretValue(value)), target };
    let Some(status) = client.change_secret(&wish).await? else {
        return Err(Failure::request("the secret is not there; something removed it").into());
    };
    if !status.masked {
        context.output.note(&format!(
            "It has less than {SHORTEST_MASKED} characters, so it is not taken out of what Cove prints."
        ));
    }
    let environments = client.environments().await?;
    let runs =
        |environment: &&Environment| environment.status.container.as_ref().is_some_and(|it| it.running);
    let counts = environments.iter().filter(runs).any(|it| counts_for(&status.scope, it));
    if counts && matches!(status.target, SecretTarget::Variable { .. }) {
        context.output.note(
            "What is started from now on has it. What runs keeps its variables: `cove show` says what to start anew.",
        );
    }
    context.output.show(&status, |paint| {
        let (whom, place) = (whom(&status.scope, &environments), place(&status.target));
        format!("{} is kept for {whom}, as {place}\n", paint.bold(&status.name))
    })
}

fn counts_for(scope: &SecretScope, environment: &Environment) -> bool {
    scope.rank(&environment.id, environment.spec.source.folder()).is_some()
}

async fn list(context: &Context, environment: Option<String>) -> Result<(), Failure> {
    let client = context.client().await?;
    let environments = client.environments().await?;
    let of = match &environment {
        Some(text) => Some(select::environment(&client, Some(text)).await?),
        None => None,
    };
    let secrets = client.secrets(of.as_ref().map(|it| it.id.as_str())).await?;
    if secrets.is_empty() && !context.output.is_json() {
        context.output.note("There are no secrets. `cove secret set NAME` keeps one.");
        return Ok(());
    }
    context.output.show(&secrets, |paint| table_of(&secrets, &environments, paint))
}

fn table_of(secrets: &[SecretStatus], environments: &[Environment], paint: Paint) -> String {
    let rows: Vec<_> = secrets
        .iter()
        .map(|secret| {
            let whom = whom(&secret.scope, environments);
            let told = match &secret.yields_to {
                Some(scope) => format!("hidden by that of {}", self::whom(scope, environments)),
                None if secret.given => "came with --secrets-file".to_owned(),
                None if !secret.masked => "short: not masked".to_owned(),
                None => String::new(),
            };
            let name =
                if secret.yields_to.is_some() { paint.dim(&secret.name) } else { paint.bold(&secret.name) };
            vec![
                Cell::painted(&secret.name, name),
                Cell::plain(whom),
                Cell::plain(place(&secret.target)),
                Cell::plain(ago(secret.changed)),
                Cell::plain(told),
            ]
        })
        .collect();
    table::render(&["NAME", "FOR", "AS", "CHANGED", ""], &rows, paint)
}

fn whom(scope: &SecretScope, environments: &[Environment]) -> String {
    match scope {
        SecretScope::User => "all environments".to_owned(),
        SecretScope::Project { folder } => format!("the project {folder}"),
        SecretScope::Environment { id } => {
            let known = environments.iter().find(|it| it.id == *id);
            format!("the environment {}", known.map_or(id.as_str(), |it| it.metadata.name.as_str()))
        }
    }
}

fn place(target: &SecretTarget) -> String {
    match target {
        SecretTarget::Variable { name } => format!("${name}"),
        SecretTarget::File { path } => path.to_string(),
    }
}

fn ago(then: Timestamp) -> String {
    let passed = Timestamp::now().duration_since(then);
    format!("{} ago", quantity::duration(passed.try_into().unwrap_or_default()))
}

async fn remove(context: &Context, name: String, scope: &ScopeOptions) -> Result<(), Failure> {
    let client = context.client().await?;
    let scope = scope_of(&client, scope).await?;
    let wish = SecretWish { name, scope, value: None, target: None };
    client.change_secret(&wish).await?;
    let environments = client.environments().await?;
    context.output.show(&wish, |paint| {
        format!("{} is gone for {}\n", paint.bold(&wish.name), whom(&wish.scope, &environments))
    })
}

async fn scope_of(client: &Client, options: &ScopeOptions) -> Result<SecretScope, Failure> {
    Ok(match (&options.project, &options.env) {
        (Some(folder), _) => {
            let folder = working_folder()?.join(folder);
            // One that is gone can still be named, to remove what is kept for it.
            SecretScope::Project { folder: folder.canonicalize_utf8().unwrap_or(folder) }
        }
        (None, Some(text)) => {
            SecretScope::Environment { id: select::environment(client, Some(text)).await?.id }
        }
        (None, None) => SecretScope::User,
    })
}
