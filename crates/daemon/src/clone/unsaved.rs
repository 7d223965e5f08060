//! Work in a volume that is nowhere else: looked for before an environment goes, which takes the volume along.

use std::time::Duration;

use api::{Environment, MachinePhase, Problem, ProblemCode, Source};
use engine::{ContainerState, Engine, LogRange};
use futures::StreamExt;
use reconciler::SourceFacts;
use serde_json::json;

use super::{facts, volume_of};
use crate::observe;
use crate::problems::{from_container, from_engine};
use crate::reconcile::{Parts, Reconciler};

/// How long looking may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks at whether it has ended.
const PAUSE: Duration = Duration::from_millis(100);

/// Lines that are named before the rest is left out.
const NAMED: usize = 30;

/// Bytes of what it says that are read.
const MOST: usize = 256 << 10;

/// The label of the container that looks, with the environment.
const LOOKING_LABEL: &str = "dev.cove.looking";

/// Says what is not committed, what no remote has, and what was put aside: here, in each worktree, and in each submodule
/// that is checked out. What fails ends it with a status of its own, so that silence means that there is nothing. The
/// repository's own programs run in it at most: without a network, in a container that goes again.
const LOOK: &str = r#"
cd "$0" 2>/dev/null || exit 3
for program in git sed head cut; do command -v "$program" >/dev/null 2>&1 || exit 4; done
export GIT_OPTIONAL_LOCKS=0 GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
# $1 what it is, $2 lines of it
say() {
    [ -n "$2" ] || return 0
    printf '%s\n' "$2" | head -n 40 | cut -c -300 | while IFS= read -r line; do printf '%s: %s\n' "$1" "$line"; done
}
# What is checked out here, and the submodules in it. $1 where that is, $2 a mark for each repository around it
tree() {
    [ "$(git rev-parse --show-toplevel)" = "$(pwd -P)" ] || exit 5
    changed=$(git status --porcelain --untracked-files=all --ignore-submodules=none) || exit 5
    say "not committed$1" "$changed"
    files=$(git -c core.quotePath=false ls-files --stage) || exit 5
    printf '%s\n' "$files" | sed -n 's/^160000 [0-9a-f]* [0-3].//p' | while IFS= read -r path; do
        [ -e "$path/.git" ] || continue
        ( cd "$path" && repository " in $path" "x$2" ) || exit 5
    done || exit 5
}
# The repository here, with all its worktrees.
repository() {
    [ ${#2} -lt 9 ] || exit 5
    tree "$1" "$2"
    trees=$(git worktree list --porcelain) || exit 5
    printf '%s\n' "$trees" | sed -n 's/^worktree //p' | sed 1d | while IFS= read -r path; do
        if [ -d "$path" ]; then ( cd "$path" && tree " in $path" "x$2" ) || exit 5
        else printf 'not looked at: the worktree %s, which is not with the sources\n' "$path"
        fi
    done || exit 5
    heads=$(printf '%s\n' "$trees" | sed -n 's/^HEAD \([0-9a-f]*[1-9a-f][0-9a-f]*\)$/\1/p') || exit 5
    commits=$(git log --oneline --no-decorate -n 40 $heads --branches --not --remotes --) || exit 5
    say "not pushed$1" "$commits"
    aside=$(git stash list) || exit 5
    say "put aside$1" "$aside"
}
repository "" ""
exit 0
"#;

/// What would be lost with an environment; nothing if its sources are elsewhere too.
///
/// # Errors
/// It would lose work, or it cannot be told whether it would.
async fn unsaved(parts: &Parts, environment: &Environment) -> Result<(), Problem> {
    if !matches!(environment.spec.source, Source::Clone { .. }) {
        return Ok(());
    }
    let name = &environment.metadata.name;
    let machine = parts.machine.state();
    if machine.phase == MachinePhase::Paused {
        parts.machine.awake().await?;
    }
    if !parts.machine.state().is_ready() {
        if environment.status.started_at.is_none() && facts(environment) != SourceFacts::InVolume {
            // No container of it ever ran, and by all that is known none can have.
            return Ok(());
        }
        return Err(
            unknown(environment, "the machine is off").with_command("start it", format!("cove start {name}"))
        );
    }
    // What is known on this computer may be lost; the engine knows.
    let engine = parts.machine.engine();
    let found = engine.volume(&volume_of(&environment.id)).await.map_err(|error| from_engine(&error))?;
    if found.is_none() {
        return Ok(());
    }
    let Some(container) = observe::main_container(parts, environment).await? else {
        return match environment.status.started_at {
            // Nobody ever worked in it.
            None => Ok(()),
            Some(_) => Err(unknown(environment, "it has no container at present")
                .with_command("make one", format!("cove up {}", environment.spec.source.shown()))),
        };
    };
    // One that was cut off may have left its container.
    clear(&engine, environment).await?;
    // Who asked may leave, and what is made to look goes all the same.
    let looking = (engine, environment.clone());
    let looking = tokio::spawn(async move { look(&looking.0, &looking.1, &container).await });
    let looked = looking.await.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))?;
    let (status, lines) = looked?;
    match status {
        0 if lines.is_empty() => Ok(()),
        0 => Err(would_lose(environment, lines)),
        3 => Err(unknown(environment, "its container does not see its sources")),
        4 => Err(unknown(environment, "its image has no git to look with")),
        _ => Err(unknown(environment, "git could not look at it").with_log(lines)),
    }
}

impl Reconciler {
    /// See [`unsaved`].
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn unsaved(&self, environment: &Environment) -> Result<(), Problem> {
        unsaved(self.parts(), environment).await
    }
}

fn would_lose(environment: &Environment, mut lines: Vec<String>) -> Problem {
    let name = &environment.metadata.name;
    let more = lines.len().saturating_sub(NAMED);
    lines.truncate(NAMED);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let title = format!("`{name}` holds work that is nowhere else");
    hinted(Problem::new(ProblemCode::UnsavedWork, title).with_log(lines), environment)
}

fn unknown(environment: &Environment, why: &str) -> Problem {
    let name = &environment.metadata.name;
    let title = format!("whether `{name}` holds work that is nowhere else cannot be told: {why}");
    hinted(Problem::new(ProblemCode::UnsavedWork, title), environment)
}

fn hinted(problem: Problem, environment: &Environment) -> Problem {
    let name = &environment.metadata.name;
    problem
        .with_command("look, commit and push from within", format!("cove shell {name}"))
        .with_command("or remove it, and lose what is in it alone", format!("cove rm --force {name}"))
}

/// Removes the containers that looked, and were left by who was cut off.
pub(super) async fn clear(engine: &Engine, environment: &Environment) -> Result<(), Problem> {
    let label = format!("{LOOKING_LABEL}={}", environment.id);
    let left = engine.find_containers(&[label]).await.map_err(|error| from_engine(&error))?;
    for container in left {
        engine.remove_container(&container.id).await.map_err(|error| from_engine(&error))?;
    }
    Ok(())
}

/// Where sources are looked at that the container has a part of alone.
const APART: &str = "/cove-source";

/// Looks from a container of the same image, so that it does not matter whether the environment runs.
async fn look(
    engine: &Engine,
    environment: &Environment,
    container: &ContainerState,
) -> Result<(i64, Vec<String>), Problem> {
    let volume = volume_of(&environment.id);
    let target = container.mounts.iter().find(|mount| mount.is_all_of(&volume));
    let target = target.map_or(APART, |mount| &mount.target);
    let seen = environment.status.container.as_ref().map(|seen| seen.remote_user.as_str());
    let user = seen.filter(|user| !user.is_empty()).unwrap_or(&container.user);
    let body = json!({
        "Image": container.image_id,
        "Entrypoint": ["/bin/sh", "-c", LOOK, target],
        "Cmd": [],
        "User": user,
        "WorkingDir": "/",
        "Labels": { LOOKING_LABEL: environment.id.as_str() },
        "HostConfig": { "NetworkMode": "none", "Mounts": [
            { "Type": "volume", "Source": volume, "Target": target },
        ]},
    });
    let id = engine.create_from(None, &body).await.map_err(|error| from_engine(&error))?;
    let looked = tokio::time::timeout(PATIENCE, run(engine, &id)).await;
    engine.remove_container(&id).await.map_err(|error| from_engine(&error))?;
    looked.unwrap_or_else(|_| Err(unknown(environment, "looking took too long")))
}

/// Runs a container to its end, and gives its status and what it said.
pub(super) async fn run(engine: &Engine, id: &str) -> Result<(i64, Vec<String>), Problem> {
    engine.start_container(id).await.map_err(|error| from_container(&error))?;
    let status = loop {
        let state = engine.container(id).await.map_err(|error| from_engine(&error))?;
        match state {
            Some(state) if state.running => tokio::time::sleep(PAUSE).await,
            state => break state.and_then(|state| state.exit_code).unwrap_or(5),
        }
    };
    let range = LogRange { tail: None, since: None, follow: false };
    let mut said = engine.logs(id, range).map_err(|error| from_engine(&error))?;
    let mut text = Vec::new();
    while let Some(piece) = said.next().await {
        text.extend_from_slice(&piece.map_err(|error| from_engine(&error))?.1);
        if text.len() > MOST {
            // More than anybody reads; and what says it is the image's.
            text.truncate(MOST);
            break;
        }
    }
    Ok((status, String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()))
}
