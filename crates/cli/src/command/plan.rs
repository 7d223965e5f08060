//! `cove plan`: what `cove up` would do with a folder, and what a rebuild would cost.

use std::fmt::Write as _;

use api::{ChangeEffect, Consent, ConsentKind, PlanRequest, PlannedStep, Preview, PropertyChange};
use client::Client;

use crate::arguments::PlanArguments;
use crate::context::{Context, existing_folder};
use crate::failure::Failure;
use crate::paint::Paint;
use crate::problem_text::{self, Weight};
use crate::text::{harmless, shortened};
use crate::{personal, select, table};

/// Most characters of a value that are shown.
const VALUE_WIDTH: usize = 60;

pub(super) async fn run(context: &Context, arguments: PlanArguments) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = request(&client, &arguments).await?;
    let preview = client.preview(&request).await?;
    context.output.show(&preview, |paint| text(&preview, paint))
}

/// The folder a person means: that of an environment, or one that has none yet.
async fn request(client: &Client, arguments: &PlanArguments) -> Result<PlanRequest, Failure> {
    let subject = arguments.subject.as_deref();
    let environment = match &arguments.config {
        None => select::environment(client, subject).await,
        Some(_) => Err(Failure::Status(1)),
    };
    let folder = existing_folder(subject.unwrap_or(".").into());
    let (folder, config) = match (environment, folder) {
        (Ok(environment), _) => (environment.spec.source.folder().clone(), environment.spec.config),
        (Err(_), Ok(folder)) => {
            let config = arguments.config.as_deref().map(|config| super::up::relative_to(&folder, config));
            (folder, config)
        }
        (Err(Failure::Status(_)), Err(failure)) | (Err(failure), Err(_)) => return Err(failure),
    };
    let variables = personal::variables_of(&folder, config.as_deref());
    Ok(PlanRequest { folder, config, variables, features: true })
}

fn text(preview: &Preview, paint: Paint) -> String {
    let mut out = match &preview.environment {
        Some(name) => format!("{}\n", paint.bold(name.as_str())),
        None => format!("{}, which has no environment yet\n", paint.bold(preview.folder.as_str())),
    };
    let config = preview.config_file.as_ref().map_or("none: the default image is used", |file| file.as_str());
    writeln!(out, "configuration: {}", harmless(config)).expect("writing to a string cannot fail");
    if let Some(problem) = &preview.plan.blocked {
        section(
            &mut out,
            paint,
            "`cove up` would do nothing",
            &problem_text::render(problem, Weight::Error, paint),
        );
    } else if preview.plan.steps.is_empty() {
        out.push_str("\nNothing is left to do.\n");
    } else {
        section(&mut out, paint, "`cove up` would", &steps(&preview.plan.steps, paint));
    }
    if !preview.changes.is_empty() {
        let rows: Vec<_> = preview.changes.iter().map(change).collect();
        section(&mut out, paint, "Changed since its container was made", &table::pairs(&rows, paint));
    }
    if let Some(rebuild) = &preview.rebuild {
        let mut body = steps(&rebuild.steps, paint);
        let costs =
            rebuild.lost.iter().map(|it| ("gone", it)).chain(rebuild.kept.iter().map(|it| ("stays", it)));
        let rows: Vec<_> = costs.map(|(word, what)| (word.to_owned(), harmless(what))).collect();
        body.push_str(&table::pairs(&rows, paint));
        section(&mut out, paint, "`cove up --rebuild` would", &body);
    }
    if !preview.consents.is_empty() {
        let title = "Wanted of this computer, and agreed to by nobody yet (`cove up --trust`)";
        section(&mut out, paint, title, &wishes(&preview.consents));
    }
    for warning in &preview.warnings {
        write!(out, "\n{}\n", problem_text::render(warning, Weight::Warning, paint))
            .expect("writing to a string cannot fail");
    }
    out
}

fn section(out: &mut String, paint: Paint, title: &str, body: &str) {
    write!(out, "\n{}\n{}\n", paint.bold(title), body.trim_end_matches('\n'))
        .expect("writing to a string cannot fail");
}

fn steps(steps: &[PlannedStep], paint: Paint) -> String {
    let mut out = String::new();
    for (at, step) in steps.iter().enumerate() {
        let reason = paint.dim(&format!("because {}", step.reason));
        writeln!(out, "{:3}. {}  {reason}", at + 1, step.step.title())
            .expect("writing to a string cannot fail");
    }
    out
}

/// The lines of what a configuration wants of this computer.
pub(super) fn wishes(consents: &[Consent]) -> String {
    let lines = consents.iter().map(|consent| {
        let word = match consent.kind {
            ConsentKind::HostCommand => "run, outside of any container:",
            ConsentKind::HostMount => "show files to the container:",
        };
        format!("  {word} {}\n", harmless(&consent.text))
    });
    lines.collect()
}

/// The properties that changed, one a line.
pub(super) fn changes(changes: &[PropertyChange], paint: Paint) -> String {
    table::pairs(&changes.iter().map(change).collect::<Vec<_>>(), paint)
}

fn change(change: &PropertyChange) -> (String, String) {
    let shown = |value: &Option<serde_json::Value>| {
        value
            .as_ref()
            .map_or("nothing".to_owned(), |value| shortened(&harmless(&value.to_string()), VALUE_WIDTH))
    };
    let effect = match change.effect {
        ChangeEffect::NewContainer => "needs a new container",
        ChangeEffect::NextStart => "counts with the next `cove up`",
        ChangeEffect::AtOnce => "counts at once",
    };
    (harmless(&change.property), format!("{} -> {}, {effect}", shown(&change.old), shown(&change.new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_a_preview_holds_is_told() {
        let preview: Preview = serde_json::from_value(serde_json::json!({
            "environment": "web", "folder": "/srv/web", "config_file": "/srv/web/.devcontainer/devcontainer.json",
            "steps": [{"step": {"kind": "start_container"}, "reason": "not all that belongs to it runs"}],
            "changes": [
                {"property": "image", "old": "debian:12", "new": "debian:13", "effect": "new_container"},
                {"property": "forwardPorts", "new": [3000], "effect": "next_start"}
            ],
            "rebuild": {
                "steps": [{"step": {"kind": "create_container"}, "reason": "a rebuild was asked for"}],
                "lost": ["the container's own files"], "kept": ["the volume `data` at /data"]
            },
            "consents": [{"kind": "host_mount", "text": "type=bind,source=/,target=/host", "digest": "d1"}],
            "warnings": [{"code": "E0111", "title": "the configuration asks for more"}]
        }))
        .unwrap();
        insta::assert_snapshot!(text(&preview, Paint::OFF), @r#"
        web
        configuration: /srv/web/.devcontainer/devcontainer.json

        `cove up` would
          1. Starting the container  because not all that belongs to it runs

        Changed since its container was made
          image         "debian:12" -> "debian:13", needs a new container
          forwardPorts  nothing -> [3000], counts with the next `cove up`

        `cove up --rebuild` would
          1. Creating the container  because a rebuild was asked for
          gone   the container's own files
          stays  the volume `data` at /data

        Wanted of this computer, and agreed to by nobody yet (`cove up --trust`)
          show files to the container: type=bind,source=/,target=/host

        warning[E0111]: the configuration asks for more
        see: cove explain E0111
        "#);
    }
}
