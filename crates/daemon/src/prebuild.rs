//! Prebuilds: images of containers that an environment of its own was brought up for, as far as
//! `updateContentCommand`. A later `up` begins from one whose inputs are the same.
//!
//! What is in the image of a person is nothing by construction: sources are mounted, secrets and the configuration's
//! variables are given to each process when it starts, and a container that has more variables than its image is refused.
//! What a hook writes into a file is in the image, so secrets that it was given are looked for in all layers before the
//! image is kept.

mod arguments;
mod kept;
mod named;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use api::{Environment, HookStage, Problem, ProblemCode, Secrets, Session, Source};
use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::feature::Lockfile;
use devcontainer::{Config, ContainerSource, METADATA_LABEL, Sources as _};
use engine::{ContainerState, Engine, Login, Progress, ProgressEvent, ProgressKind};
use futures::StreamExt;
use oci::Credential;
use provision::image::PreparedImage;
use provision::{Disk, container};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio_util::io::{StreamReader, SyncIoBridge};

pub(crate) use arguments::{variables_beside, variables_of, without_kept};
pub(crate) use kept::remove_unsearched;
use named::named;
pub(crate) use named::{Named, fetch_again, fetch_named};
use search::Wanted;

use crate::clone;
use crate::configuration::BASE_ENTRIES_LABEL;
use crate::observe::{CONFIG_LABEL, ENVIRONMENT_LABEL, REBUILD_LABEL};
use crate::problems::from_engine;
use crate::properties::hex;
use crate::reconcile::Parts;
use crate::store::MadePrebuild;

/// What a prebuild was made of, property by property: digests in a JSON object.
pub(crate) const INPUTS_LABEL: &str = "dev.cove.prebuild.inputs";
/// Which sources it is for.
const SOURCE_LABEL: &str = "dev.cove.prebuild.source";
/// The commit that they were at.
const COMMIT_LABEL: &str = "dev.cove.prebuild.commit";
/// The environment it was made as.
const NAME_LABEL: &str = "dev.cove.prebuild.name";
/// The id of that environment.
const MAKER_LABEL: &str = "dev.cove.prebuild.environment";
/// What a container of the base image runs, as JSON: that of the image is what the prebuild's container ran.
const PROCESS_LABEL: &str = "dev.cove.prebuild.process";

/// What every prebuild's own name begins with.
const OWN_NAMES: &str = "cove/prebuild-";

/// On a container: that it is for a prebuild, and has no variables of the configuration.
pub(crate) const FOR_PREBUILD_LABEL: &str = "dev.cove.for-prebuild";

/// On a container: the prebuild that it began from.
pub(crate) const BEGAN_LABEL: &str = "dev.cove.began-from";

/// Properties that decide what is in the image.
const INPUTS: [&str; 14] = [
    "image",
    "build",
    "dockerFile",
    "context",
    "features",
    "overrideFeatureInstallOrder",
    "containerEnv",
    "containerUser",
    "remoteUser",
    "updateRemoteUserUID",
    "workspaceFolder",
    "workspaceMount",
    "onCreateCommand",
    "updateContentCommand",
];

/// The input that only counts where it is.
const LOCKFILE: &str = "the lockfile";

/// Bytes of a local feature that are looked at.
const MOST_OF_FEATURE: u64 = 8 << 20;

/// Hexadecimal digits of digests, where that is enough.
const DIGITS: usize = 16;

/// What an environment would make a prebuild of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inputs {
    source: String,
    /// Digests, by property.
    parts: BTreeMap<String, String>,
}

impl Inputs {
    /// Those of an environment whose configuration reads like this. `None` for one that no prebuild is made of.
    pub(crate) async fn of(environment: &Environment, config: &Config, architecture: &str) -> Option<Self> {
        if matches!(config.container, ContainerSource::Compose(_)) {
            return None;
        }
        let source = source_of(&environment.spec.source).await;
        let mut parts: BTreeMap<String, String> = INPUTS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), digest(&config.written.get(*name)?.to_string()))))
            .collect();
        if let ContainerSource::Build(build) = &config.container {
            let text = Disk.read(&build.dockerfile).ok().flatten().unwrap_or_default();
            parts.insert("the Dockerfile".to_owned(), digest(&String::from_utf8_lossy(&text)));
        }
        if let Some(file) = &config.file {
            let local = config.features.keys().filter(|name| name.starts_with('.'));
            for (name, folder) in local.filter_map(|name| Some((name, file.parent()?.join(name)))) {
                parts.insert(format!("the files of `{name}`"), digest_of_files(&folder));
            }
            let lockfile = Disk.read(&Lockfile::path_beside(file)).ok().flatten();
            let lockfile = lockfile.map(|text| digest(&String::from_utf8_lossy(&text)));
            parts.extend(lockfile.map(|digest| (LOCKFILE.to_owned(), digest)));
        }
        parts.insert("the processor".to_owned(), architecture.to_owned());
        Some(Self { source, parts })
    }

    fn key(&self) -> String {
        digest(&format!("{}\n{:?}", self.source, self.parts))
    }

    /// What differs from those of a prebuild.
    fn differences(&self, of_image: &BTreeMap<String, String>) -> Vec<String> {
        let names: BTreeSet<&String> = of_image.keys().chain(self.parts.keys()).collect();
        // Bringing the prebuild up wrote its lockfile. Where there is none, nothing is pinned.
        let is_pinned = self.parts.contains_key(LOCKFILE);
        let names = names.into_iter().filter(|name| is_pinned || *name != LOCKFILE);
        let differ = names.filter(|name| of_image.get(*name) != self.parts.get(*name));
        differ.cloned().collect()
    }
}

/// Of the files of a local feature, by name and content.
fn digest_of_files(folder: &Utf8Path) -> String {
    let (mut all, mut room) = (Sha256::new(), MOST_OF_FEATURE);
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        // What cannot be read fails the build, and is told there.
        let Ok(facts) = path.symlink_metadata() else { continue };
        if facts.is_dir() {
            let below = path.read_dir_utf8().into_iter().flatten().filter_map(Result::ok);
            let mut below: Vec<Utf8PathBuf> = below.map(camino::Utf8DirEntry::into_path).collect();
            below.sort();
            left.extend(below);
        } else if facts.is_file() {
            let Some(rest) = room.checked_sub(facts.len() + 1) else { break };
            room = rest;
            let name = path.strip_prefix(folder).unwrap_or(&path);
            all.update(format!("{name}\0{}\0", facts.len()));
            all.update(fs_err::read(&path).unwrap_or_default());
        }
    }
    let mut digest = hex(&all.finalize());
    digest.truncate(DIGITS);
    digest
}

fn digest(text: &str) -> String {
    let mut digest = hex(&Sha256::digest(text));
    digest.truncate(DIGITS);
    digest
}

/// Which sources: the repository they come from, by its URL where it has one, and the part of it.
async fn source_of(source: &Source) -> String {
    let text = match source {
        Source::Clone { url, .. } => normal(url),
        Source::Folder { path } | Source::Worktree { path, .. } => {
            let said = |arguments: &'static [&'static str]| clone::ask_git(path, arguments);
            let (url, prefix) = (
                said(&["config", "--get", "remote.origin.url"]).await,
                said(&["rev-parse", "--show-prefix"]).await,
            );
            match url {
                Some(url) => format!("{} {}", normal(&url), prefix.unwrap_or_default()),
                None => path.to_string(),
            }
        }
    };
    digest(text.trim())
}

/// A URL without what tells ways to the same repository apart.
fn normal(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.trim_end_matches('/');
    rest.strip_suffix(".git").unwrap_or(rest).replacen(':', "/", 1).to_lowercase()
}

/// A prebuild for an environment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// None for these sources.
    None,
    /// One that fits: its name.
    Fits(String),
    /// One, and what differs.
    Stale(Box<Problem>),
}

/// Looks for a prebuild among the engine's images: those that were made here, and the one that the configuration itself
/// names. What any other image says of itself is no reason to work in it.
pub(crate) async fn find(
    parts: &Parts,
    environment: &Environment,
    config: &Config,
) -> Result<Found, Problem> {
    let engine = parts.machine.engine();
    let asked_for = named(config);
    // Git is asked only where it matters. On macOS without the developer tools it opens a dialogue.
    let any = engine.images(&[SOURCE_LABEL.to_owned()]).await.map_err(|error| from_engine(&error))?;
    if any.is_empty() && asked_for.is_none() {
        return Ok(Found::None);
    }
    let Some(inputs) = inputs(&engine, environment, config).await? else { return Ok(Found::None) };
    let label = format!("{SOURCE_LABEL}={}", inputs.source);
    let mut names = engine.images(&[label]).await.map_err(|error| from_engine(&error))?;
    // Its own name is the one to tell.
    names.sort_by_key(|name| !name.starts_with(OWN_NAMES));
    names.extend(asked_for.clone());
    let mut newest: Option<(String, Vec<String>)> = None;
    for name in names {
        let Some(image) = engine.image(&name).await.map_err(|error| from_engine(&error))? else { continue };
        let made = parts.store.made_prebuild(&image.id)?.filter(|made| made.source == inputs.source);
        let of_image = match (made, image.labels.get(INPUTS_LABEL)) {
            (Some(made), _) => made.inputs,
            (None, Some(label)) if asked_for.as_ref() == Some(&name) => {
                serde_json::from_str(label).unwrap_or_default()
            }
            (None, _) => continue,
        };
        let differences = inputs.differences(&of_image);
        if differences.is_empty() {
            return Ok(Found::Fits(name));
        }
        newest = Some((name, differences));
    }
    Ok(newest.map_or(Found::None, |(name, differences)| {
        let title = format!("the prebuild `{name}` is not used: {} changed since", differences.join(", "));
        let problem = Problem::new(ProblemCode::PrebuildStale, title);
        Found::Stale(Box::new(with_remedy(problem, &environment.spec.source)))
    }))
}

/// A prebuild is made of a folder; a clone uses those of folders with the same repository.
fn with_remedy(problem: Problem, source: &Source) -> Problem {
    match source {
        Source::Folder { path } | Source::Worktree { path, .. } => {
            problem.with_command("make one that fits", format!("cove prebuild {path}"))
        }
        Source::Clone { url, .. } => problem.with_hint(format!(
            "make one that fits: check `{url}` out into a folder of this computer, and run `cove prebuild` there"
        )),
    }
}

async fn inputs(
    engine: &Engine,
    environment: &Environment,
    config: &Config,
) -> Result<Option<Inputs>, Problem> {
    let architecture = engine.version().await.map_err(|error| from_engine(&error))?.architecture;
    Ok(Inputs::of(environment, config, &architecture).await)
}

/// A prebuild as an image that was made ready, so that nothing of it is made again.
pub(crate) async fn prepared(engine: &Engine, name: &str, config: &Config) -> Result<PreparedImage, Problem> {
    let found = engine.image(name).await.map_err(|error| from_engine(&error))?;
    let gone = || Problem::new(ProblemCode::ImageNotFound, format!("the prebuild `{name}` is gone"));
    let mut info = found.ok_or_else(gone)?;
    let mut metadata = container::metadata(&info.labels);
    if let Some(base) = info.labels.get(BASE_ENTRIES_LABEL).and_then(|count| count.parse().ok()) {
        metadata.truncate(base);
    }
    let process = info.labels.get(PROCESS_LABEL).cloned().unwrap_or_default();
    if let Ok((entrypoint, cmd)) = serde_json::from_str(&process) {
        (info.entrypoint, info.cmd) = (entrypoint, cmd);
    }
    let label = devcontainer::metadata_label(&metadata, &[], config, &[]);
    let user = info.user.clone().unwrap_or_else(|| "root".to_owned());
    Ok(PreparedImage { image: name.to_owned(), info, metadata, label, user })
}

/// A configuration for making a prebuild: its variables reach each process as it starts, and not the image.
pub(crate) fn without_variables(config: &Config) -> Config {
    let mut config = config.clone();
    config.properties.container_env.clear();
    config.run_args = without_kept(&config.run_args);
    config
}

/// What `initializeCommand` was given that is called like a secret: it can put that into what is built. In memory alone.
#[derive(Debug, Clone)]
pub(crate) struct Initialized {
    /// The session it ran for.
    pub(crate) session: Session,
    pub(crate) secrets: Secrets,
}

/// What the image of a prebuild must not hold, by name.
fn all_secrets(
    parts: &Parts,
    environment: &Environment,
    config: &Config,
    initialized: Option<&Initialized>,
) -> Result<BTreeMap<String, String>, Problem> {
    // Those that are files lie in the container's memory, and still a hook may have copied one.
    let mut secrets = parts.secrets.of(environment)?.values.clone();
    // The configuration hands on variables of the person, and files of them; some are called like secrets.
    let theirs = parts.store.variables(&environment.id)?.into_iter();
    let theirs = theirs.chain(variables_of(parts, environment, config)?);
    secrets.extend(theirs.filter(|(name, _)| reconciler::is_secret_variable(name)));
    let session = &environment.spec.retry;
    let hooks = parts.store.hooks_of(&environment.id, "")?;
    let ran = hooks.iter().any(|(stage, run, _)| *stage == HookStage::Initialize && *run == session.0);
    match initialized.filter(|initialized| initialized.session == *session) {
        Some(initialized) => secrets.extend(initialized.secrets.0.clone()),
        None if ran => {
            let title = "the daemon began anew after `initializeCommand` had run, and does not know any more which secrets to \
                         look for in the image";
            return Err(Problem::new(ProblemCode::PrebuildFailed, title)
                .with_hint("make it again: nothing of this try is kept"));
        }
        None => {}
    }
    Ok(secrets)
}

/// Refuses a container that has variables beside those of its image: they would be in the prebuild.
fn judge_variables(state: &ContainerState, base: &PreparedImage) -> Result<(), Problem> {
    let more = state.env.iter().filter(|(name, value)| base.info.env.get(*name) != Some(*value));
    let more: Vec<String> = more.map(|(name, _)| format!("`{name}`")).collect();
    if more.is_empty() {
        return Ok(());
    }
    let title = format!(
        "the container has variables that its image has not, and the prebuild would hold them: {}",
        more.join(", ")
    );
    Err(Problem::new(ProblemCode::PrebuildFailed, title)
        .with_hint("put them into `containerEnv` or `remoteEnv`, which are given to each process"))
}

/// Makes an image of the container of a prebuild.
///
/// # Errors
/// The engine cannot, or the image holds a secret or might.
pub(crate) async fn commit(
    parts: &Parts,
    environment: &Environment,
    config: &Config,
    container: (&ContainerState, &PreparedImage),
    initialized: Option<&Initialized>,
    progress: &dyn Progress,
) -> Result<String, Problem> {
    let engine = parts.machine.engine();
    let (state, base) = container;
    remove_unsearched(parts, &environment.id).await?;
    judge_variables(state, base)?;
    let secrets = all_secrets(parts, environment, config, initialized)?;
    let inputs = inputs(&engine, environment, config).await?;
    let composed = || Problem::new(ProblemCode::PrebuildFailed, "no prebuild is made of a compose project");
    let inputs = inputs.ok_or_else(composed)?;
    let name = environment.metadata.name.as_str();
    let image = format!("{OWN_NAMES}{}:{}", name.trim_end_matches("-prebuild"), inputs.key());
    let path = environment.spec.source.folder();
    let at = clone::ask_git(path, &["rev-parse", "HEAD"]).await.unwrap_or_default();
    let body = json!({
        "User": base.info.user.clone().unwrap_or_else(|| "root".to_owned()),
        "Entrypoint": base.info.entrypoint,
        "Cmd": base.info.cmd,
        "Labels": labels(environment, &inputs, base, &at),
    });
    let before = engine.image(&image).await.map_err(|error| from_engine(&error))?;
    let id = engine.commit(&state.id, &body).await.map_err(|error| from_engine(&error))?;
    let searched = search(&engine, &id, &secrets, progress).await;
    if let Err(problem) = searched {
        engine.remove_image(&id).await.map_err(|error| from_engine(&error))?;
        return Err(problem);
    }
    engine.tag(&id, &image).await.map_err(|error| from_engine(&error))?;
    let made = MadePrebuild { source: inputs.source.clone(), inputs: inputs.parts.clone() };
    parts.store.keep_prebuild(&id, &made)?;
    // The one of that name before is of no use any more, unless somebody works in it.
    if let Some(before) = before.filter(|before| before.id != id) {
        match engine.remove_image(&before.id).await {
            Ok(()) => parts.store.forget_prebuild(&before.id)?,
            Err(error) => tracing::info!(%error, "an earlier prebuild stays"),
        }
    }
    Ok(image)
}

fn labels(
    environment: &Environment,
    inputs: &Inputs,
    base: &PreparedImage,
    commit: &str,
) -> Map<String, Value> {
    let process = json!([base.info.entrypoint, base.info.cmd]).to_string();
    let parts = json!(inputs.parts).to_string();
    let label = |name: &str, value: &str| (name.to_owned(), json!(value));
    Map::from_iter([
        label(INPUTS_LABEL, &parts),
        label(SOURCE_LABEL, &inputs.source),
        label(COMMIT_LABEL, commit),
        label(NAME_LABEL, environment.metadata.name.as_str()),
        label(MAKER_LABEL, environment.id.as_str()),
        label(PROCESS_LABEL, &process),
        label(METADATA_LABEL, &base.label),
        // What the container said of itself, and its image must not: labels cannot be taken away.
        label(ENVIRONMENT_LABEL, ""),
        label(CONFIG_LABEL, ""),
        label(REBUILD_LABEL, ""),
        label(BEGAN_LABEL, ""),
        label(FOR_PREBUILD_LABEL, ""),
        label(devcontainer::LOCAL_FOLDER_LABEL, ""),
        label(devcontainer::CONFIG_FILE_LABEL, ""),
    ])
}

/// Looks for secrets in all of an image.
async fn search(
    engine: &Engine,
    id: &str,
    secrets: &BTreeMap<String, String>,
    progress: &dyn Progress,
) -> Result<(), Problem> {
    let wanted = Wanted::new(secrets);
    if wanted.is_empty() {
        return Ok(());
    }
    progress.report(ProgressEvent {
        item: "layers".to_owned(),
        kind: ProgressKind::Line("looking for secrets in all layers".to_owned()),
    });
    let pieces = engine.save_image(id).map_err(|error| from_engine(&error))?;
    let reader = StreamReader::new(pieces.map(|piece| piece.map_err(io::Error::other)));
    let looking = tokio::task::spawn_blocking(move || wanted.in_image(SyncIoBridge::new(reader)));
    let unread = |error: &dyn std::error::Error| {
        let title = "the prebuild could not be looked through for secrets";
        Problem::new(ProblemCode::PrebuildFailed, title).caused_by(error)
    };
    let found = looking.await.map_err(|error| unread(&error))?.map_err(|error| unread(&error))?;
    let Some(name) = found else { return Ok(()) };
    let title =
        format!("the prebuild holds the value of the secret `{name}`: a hook or task wrote it into a file");
    Err(Problem::new(ProblemCode::PrebuildFailed, title)
        .with_hint("let the command remove what it wrote, or write it below a mount"))
}

/// Gives an image the names that were asked for, and pushes it.
///
/// # Errors
/// The engine or the registry refuses.
pub(crate) async fn publish(
    parts: &Parts,
    environment: &Environment,
    image: &str,
    progress: &dyn Progress,
) -> Result<(), Problem> {
    let Some(wish) = &environment.spec.prebuild else { return Ok(()) };
    let engine = parts.machine.engine();
    for name in wish.tag.iter().chain(&wish.push) {
        engine.tag(image, name).await.map_err(|error| from_engine(&error))?;
    }
    let Some(name) = &wish.push else { return Ok(()) };
    let login =
        parts.registry.credential(engine::registry_of(name)).await.map(|credential| match credential {
            Credential::Basic { user, secret } => Login::User { user, secret },
            Credential::Identity(token) => Login::Identity(token),
            Credential::Registry(token) => Login::Registry(token),
        });
    engine.push(name, login, progress).await.map_err(|error| {
        let problem = from_engine(&error);
        Problem::new(ProblemCode::PrebuildFailed, format!("the prebuild could not be pushed to `{name}`"))
            .caused_by(&problem)
            .with_command("log in", format!("docker login {}", engine::registry_of(name)))
    })
}

/// Takes away what Cove itself keeps in the container for the time being: logs and outputs of tasks, which a person may
/// see and an image must not hold.
pub(crate) const CLEAN: &str = "rm -rf /tmp/cove-automations-*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_one_repository_are_one() {
        for url in [
            "https://git.example/Team/web.git",
            "git@git.example:team/web",
            "ssh://git@git.example/team/web.git/",
        ] {
            assert_eq!(normal(url), "git.example/team/web", "{url}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let parts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let inputs = Inputs { source: "s".into(), parts: parts(&[("image", "1"), ("features", "2")]) };
        assert!(inputs.differences(&parts(&[("image", "1"), ("features", "2")])).is_empty());
        assert_eq!(
            inputs.differences(&parts(&[("image", "9"), ("remoteUser", "x")])),
            ["features", "image", "remoteUser"]
        );
        assert_eq!(inputs.differences(&parts(&[])), ["features", "image"]);
        // The lockfile of the prebuild pins nothing where there is none.
        let locked = [("image", "1"), ("features", "2"), (LOCKFILE, "3")];
        assert!(inputs.differences(&parts(&locked)).is_empty());
        let pinned = Inputs { source: "s".into(), parts: parts(&locked) };
        assert_eq!(pinned.differences(&inputs.parts), [LOCKFILE]);
    }

    #[test]
    fn what_is_told_of_a_stale_one_can_be_done() {
        let told = |source: Source| {
            let problem = with_remedy(Problem::new(ProblemCode::PrebuildStale, "it is stale"), &source);
            let hint = problem.hints.into_iter().next().unwrap();
            hint.command.unwrap_or(hint.text)
        };
        assert_eq!(told(Source::Folder { path: "/srv/web".into() }), "cove prebuild /srv/web");
        let clone = Source::Clone {
            url: "https://git.example/team/web.git".into(),
            branch: None,
            folder: "/state/clones/1".into(),
            granted: None,
        };
        assert_eq!(
            told(clone),
            "make one that fits: check `https://git.example/team/web.git` out into a folder of this computer, and run \
             `cove prebuild` there"
        );
    }

    #[test]
    fn a_local_feature_is_what_its_files_are() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        fs_err::create_dir(folder.join("lib")).unwrap();
        let mut seen = BTreeSet::from([digest_of_files(folder)]);
        for (name, text) in [("install.sh", "a"), ("install.sh", "b"), ("lib/a", "c"), ("lib/b", "c")] {
            fs_err::write(folder.join(name), text).unwrap();
            assert!(seen.insert(digest_of_files(folder)), "{name} {text}");
        }
        assert!(!seen.insert(digest_of_files(folder)));
    }
}
