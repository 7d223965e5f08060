//! `up`: makes the container if there is none, starts it, and runs the lifecycle in it.

mod bring;
mod turn;

pub(crate) use bring::{image_failure, no_service};

use std::cell::OnceCell;
use std::process::ExitCode;

use devcontainer::reference::View;
use devcontainer::{Config, Properties, Resolved};
use engine::ContainerState;
use provision::Secrets;
use provision::lifecycle::Extent;

use crate::Surroundings;
use crate::arguments::UpArguments;
use crate::engines::Said;
use crate::inside::Inside;
use crate::log::{Level, Log};
use crate::outcome::{self, Failure, Success};
use crate::secrets_file;
use crate::target::{Asked, absolute, labels_of};
use turn::Turn;

/// What is said to fail.
const FAILING: &str = "An error occurred setting up the container.";

/// A container that runs.
struct Running {
    state: ContainerState,
    /// The compose project it belongs to.
    project: Option<String>,
    resolved: Resolved,
    /// What was merged into that, in order.
    entries: Vec<Properties>,
    /// The entries of image and features for a fresh container, and those of its label for one that was there.
    merged_from: MergedFrom,
}

/// What the merged configuration is printed from.
enum MergedFrom {
    /// What image and features say.
    Image(Vec<Properties>),
    /// What the container's label says.
    Container(Vec<Properties>),
}

pub(crate) async fn run(arguments: UpArguments, surroundings: &Surroundings<'_>) -> ExitCode {
    let secrets = match secrets_file::read(&arguments.secrets, surroundings) {
        Ok(secrets) => secrets,
        Err(failure) => {
            let masks = provision::Masks::default();
            Log::new(arguments.log.log_level, arguments.log.log_format, masks, true).error(&failure.message);
            return failure.print();
        }
    };
    let log = Log::new(arguments.log.log_level, arguments.log.log_format, secrets.masks(), true);
    match up(&arguments, surroundings, &secrets, &log).await {
        Ok(up) => {
            outcome::line(&up);
            ExitCode::SUCCESS
        }
        Err(failure) => log.failure(&failure),
    }
}

pub(crate) async fn up(
    arguments: &UpArguments,
    surroundings: &Surroundings<'_>,
    secrets: &Secrets,
    log: &Log,
) -> Result<outcome::Up, Failure> {
    let asked = asked(arguments, surroundings);
    if let Some(file) = asked.config.as_ref().filter(|file| !is_usual_name(file.file_name())) {
        let message = format!("Filename must be devcontainer.json or .devcontainer.json ({file}).");
        return Err(Failure { message, ..Failure::plain(FAILING) });
    }
    let target = asked.read(FAILING)?;
    let Some(config) = &target.config else {
        return Err(Failure::plain("No dev container config and no workspace found."));
    };
    for warning in &config.warnings {
        log.write(Level::Warning, &warning.to_string());
    }
    let said = Said { docker: &arguments.docker, compose: arguments.docker_compose_path.as_deref() };
    let host = surroundings.awake(said).await?;
    let bringing = bring::Bringing { arguments, surroundings, host: &host, log, target: &target, config };
    let labels = target.labels().unwrap_or_default();
    let turn = Turn::wait(&surroundings.host.state(), &host.engine, &labels, log).await;
    let running = bringing.up(secrets).await?;
    // Not until the hooks have ended: some run as long as a person works.
    drop(turn);
    let container_id = running.state.id.clone();
    let with_container = |failure: Failure| Failure { container_id: Some(container_id.clone()), ..failure };
    finish(arguments, surroundings, secrets, log, &host.engine, config, &target, running)
        .await
        .map_err(with_container)
}

/// Runs what is to be run in the container, and tells the outcome.
#[expect(clippy::too_many_arguments, reason = "the whole of a run; a struct of them would be used once")]
async fn finish(
    arguments: &UpArguments,
    surroundings: &Surroundings<'_>,
    secrets: &Secrets,
    log: &Log,
    engine: &engine::Engine,
    config: &Config,
    target: &crate::target::Target,
    running: Running,
) -> Result<outcome::Up, Failure> {
    let Running { state, project, resolved, entries, merged_from } = running;
    let folder = Some(config.workspace_folder.clone()).filter(|folder| !folder.is_empty());
    let mut inside = Inside {
        engine,
        state: &state,
        resolved,
        entries,
        folder,
        folders: &arguments.folders,
        default_probe: arguments.probe.default_user_env_probe.into(),
        remote_env: &arguments.remote_env,
        surroundings,
        log,
        record: OnceCell::new(),
    };
    let extent = Extent {
        skip_non_blocking: arguments.attach.skip_non_blocking_commands,
        prebuild: arguments.prebuild,
        stop_for_personalization: false,
        skip_post_attach: arguments.attach.skip_post_attach,
    };
    let lifecycle = (!arguments.skip_post_create).then_some((&extent, &arguments.dotfiles));
    let place = inside.patched_workplace(lifecycle).await;
    let place = place.map_err(|failure| Failure { description: FAILING.to_owned(), ..failure })?;
    if !arguments.skip_post_create {
        inside.lifecycle(&place, &extent, secrets, &arguments.dotfiles).await?;
    }
    let view = View { config, scheme: target.scheme, container_env: Some(&state.env) };
    let merged = || match &merged_from {
        MergedFrom::Image(entries) => view.merged_for_image(entries, &[]),
        MergedFrom::Container(entries) => view.merged_for_container(entries),
    };
    let include = arguments.include;
    Ok(outcome::Up {
        outcome: Success::Success,
        container_id: state.id.clone(),
        compose_project_name: project,
        remote_user: place.user().to_owned(),
        remote_workspace_folder: place.folder().to_owned(),
        configuration: include.include_configuration.then(|| view.configuration().into()),
        merged_configuration: include.include_merged_configuration.then(|| merged().into()),
        oci_auth_diagnostics: outcome::OciAuthDiagnostics::default(),
    })
}

fn asked(arguments: &UpArguments, surroundings: &Surroundings<'_>) -> Asked {
    let path =
        |path: &Option<camino::Utf8PathBuf>| path.as_deref().map(|path| absolute(&surroundings.folder, path));
    let named = !arguments.id_label.is_empty() || arguments.override_config.is_some();
    let here = (!named).then(|| surroundings.folder.clone());
    Asked {
        workspace: path(&arguments.workspace_folder).or(here),
        config: path(&arguments.config),
        override_config: path(&arguments.override_config),
        container_id: None,
        id_labels: labels_of(&arguments.id_label),
        git_root: arguments.mount_workspace_git_root,
        worktree_common_dir: arguments.mount_git_worktree_common_dir,
        consistency: Some(arguments.workspace_mount_consistency),
        must_be_complete: true,
    }
}

fn is_usual_name(name: Option<&str>) -> bool {
    matches!(name, Some("devcontainer.json" | ".devcontainer.json"))
}
