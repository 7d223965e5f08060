//! Environments whose sources are a clone of a git repository, in a volume on the machine's own disk.
//!
//! ```text
//! this computer's git --> clones/<key>/part-*  --(renamed)-->  clones/<key>/tree
//! clones/<key>/tree --(a tar stream)--> the volume --(read back and counted)--> its mark, and tree goes
//! the volume --(at each up)--> clones/<key>/config/<name>: the configuration alone
//! ```
//!
//! Credentials serve git on this computer and nothing else. Each state above is whole or not there, so whoever is killed
//! finds on the next pass what is left to do. That a volume is whole says a mark *in* it, written last: no loss of what
//! is known here can lead to a volume being filled anew that somebody worked in.

mod archive;
mod building;
mod copy;
mod git;
mod mounts;
mod progress;
mod unsaved;
mod volume;

use std::collections::BTreeMap;
use std::time::Duration;

use api::{
    AuditEvent, Environment, EnvironmentId, EventKind, GrantKind, Problem, ProblemCode, RepositoryUrl,
    Source, StepKind, Unit, UpRequest,
};
use camino::{Utf8Path, Utf8PathBuf};
use engine::ContainerState;
use reconciler::SourceFacts;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::execute::Turn;
use crate::properties::hex;
use crate::reconcile::{Parts, Report};
use copy::Origin;
use git::Git;
use progress::News;

pub(crate) use building::with_sources;
pub(crate) use mounts::{mount_volume, mount_volume_in, parts_of};
pub(crate) use volume::{fill, give, remove};

/// Hexadecimal digits of the key that an environment's clone is kept under.
const KEY_DIGITS: usize = 16;

/// How long git may take for a question about a folder.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The most files that may be checked out.
const MOST_FILES: usize = 1_000_000;

/// How often removing is tried of what another process may still write to.
const REMOVALS: usize = 8;

/// Where a clone is while it is on this computer.
struct Paths {
    key: Utf8PathBuf,
}

impl Paths {
    fn of(folder: &Utf8Path) -> Self {
        // `clones/<key>/config/<name>`
        let key = folder.parent().and_then(Utf8Path::parent).unwrap_or(folder);
        Self { key: key.to_owned() }
    }

    fn tree(&self) -> Utf8PathBuf {
        self.key.join("tree")
    }

    /// What is not whole: removed when the next clone is made.
    fn fresh_part(&self) -> Utf8PathBuf {
        self.key.join(format!("part-{}", EnvironmentId::random()))
    }

    fn known(&self) -> Utf8PathBuf {
        self.key.join("volume.json")
    }

    /// There from before the volume is made until it is known to be whole.
    fn filling(&self) -> Utf8PathBuf {
        self.key.join("filling")
    }
}

/// What is known of a volume that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    environment: EnvironmentId,
    volume: String,
}

/// The folder of the copy of a repository's configuration, below the folder of all clones. Each environment has its own:
/// all that tells apart those of one repository is in it.
pub(crate) fn folder_of(clones: &Utf8Path, repository: &RepositoryUrl, request: &UpRequest) -> Utf8PathBuf {
    let mut key = hex(&Sha256::digest(format!("{repository}\n{}", crate::store::key_of(request))));
    key.truncate(KEY_DIGITS);
    clones.join(key).join("config").join(repository.name())
}

/// The volume of an environment.
fn volume_of(id: &EnvironmentId) -> String {
    format!("cove-src-{id}")
}

/// Where the sources of an environment are, as far as this computer knows.
pub(crate) fn facts(environment: &Environment) -> SourceFacts {
    let Source::Clone { folder, .. } = &environment.spec.source else { return SourceFacts::Folder };
    let paths = Paths::of(folder);
    let known = fs_err::read(paths.known()).ok();
    let known: Option<Known> = known.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if known.is_some_and(|known| known.environment == environment.id) {
        return SourceFacts::InVolume;
    }
    match paths.tree().is_dir() && folder.is_dir() {
        true if paths.filling().exists() => SourceFacts::Filling,
        true => SourceFacts::Fetched,
        false => SourceFacts::Nowhere,
    }
}

/// The same, once more than this computer can be asked: a volume that somebody removed is not there.
///
/// # Errors
/// The engine does not answer.
pub(crate) async fn facts_with_engine(
    parts: &Parts,
    environment: &Environment,
    container: Option<&ContainerState>,
) -> Result<SourceFacts, Problem> {
    let mut facts = facts(environment);
    let volume = volume_of(&environment.id);
    let has_it = |state: &ContainerState| state.mounts.iter().any(|it| it.is_volume() && it.source == volume);
    if facts != SourceFacts::Folder && facts != SourceFacts::InVolume && container.is_some_and(has_it) {
        // Nobody makes a container before its sources are whole. What was known here is lost.
        note_known(&Paths::of(environment.spec.source.folder()), environment)?;
        facts = SourceFacts::InVolume;
    }
    if facts != SourceFacts::InVolume || container.is_some() || !parts.machine.state().is_ready() {
        return Ok(facts);
    }
    let found = parts.machine.engine().volume(&volume_of(&environment.id)).await;
    if found.map_err(|error| crate::problems::from_engine(&error))?.is_some() {
        return Ok(facts);
    }
    let paths = Paths::of(environment.spec.source.folder());
    fs_err::remove_file(paths.known()).map_err(|error| unwritable(&paths.key, &error))?;
    Ok(SourceFacts::Nowhere)
}

/// Notes that the volume of an environment is whole. The clone on this computer is of no use any more.
fn note_known(paths: &Paths, environment: &Environment) -> Result<(), Problem> {
    let known = Known { environment: environment.id.clone(), volume: volume_of(&environment.id) };
    let written = serde_json::to_vec(&known).map_err(std::io::Error::other).and_then(|text| {
        fs_err::create_dir_all(&paths.key)?;
        let new = paths.key.join("volume.json.new");
        fs_err::write(&new, text)?;
        // Known first: while neither is there, nobody would look for the volume.
        fs_err::rename(new, paths.known())?;
        if paths.filling().exists() {
            fs_err::remove_file(paths.filling())?;
        }
        if !paths.tree().is_dir() {
            return Ok(());
        }
        // Half a tree must not pass for a whole one.
        let gone = paths.fresh_part();
        fs_err::rename(paths.tree(), &gone)?;
        fs_err::remove_dir_all(gone)
    });
    written.map_err(|error| unwritable(&paths.key, &error))
}

/// The step that clones the repository to this computer.
pub(crate) async fn fetch(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let Source::Clone { url, branch, folder, granted } = &turn.environment.spec.source else { return Ok(()) };
    let repository = repository(url, branch.as_deref())?;
    let paths = Paths::of(folder);
    if !paths.tree().is_dir() {
        let retry = &turn.environment.spec.retry;
        let granted = granted.as_ref() == Some(retry);
        if granted {
            // The one use of the grant, which reaches no container.
            let (kind, host) = (GrantKind::Git, Some(repository.host().to_owned()));
            let event = AuditEvent::Used { kind, host, purpose: "clone".to_owned() };
            turn.parts.audit.record(Some(turn.environment), None, event).await?;
            turn.report.line(format!(
                "git uses this computer's credentials for `{}`, as granted",
                repository.host()
            ));
        }
        let part = fresh_part(&paths)?;
        let home = part.join("home");
        fs_err::create_dir(&home).map_err(|error| unwritable(&part, &error))?;
        let git = Git { caller: &turn.parts.callers.of(retry), granted, home: &home };
        let cloned = part.join("clone");
        git.clone(&repository, &cloned, &mut Told { report: turn.report }).await?;
        git::settle(&cloned).await?;
        if !listing(&cloned).await?.is_empty() {
            // So that git in the container knows which files it has.
            git::run_local(&cloned, &["read-tree", "HEAD"]).await?;
        }
        fs_err::rename(&cloned, paths.tree()).map_err(|error| unwritable(&part, &error))?;
        fs_err::remove_dir_all(&part).map_err(|error| unwritable(&part, &error))?;
    }
    let listing = listing(&paths.tree()).await?;
    tell_what_is_left_out(&paths.tree(), &listing, turn.report).await;
    let origin = Origin::Clone { folder: &paths.tree(), listing: &listing };
    origin.copy(folder, turn.environment.spec.config.as_deref()).await
}

/// A folder to clone into. What was cut off before is removed. A git that a killed daemon left may go on in it, and make
/// files as they are removed: it is moved out of its way first, and stays for the next time if it cannot be removed.
fn fresh_part(paths: &Paths) -> Result<Utf8PathBuf, Problem> {
    let failed = |error: std::io::Error| unwritable(&paths.key, &error);
    fs_err::create_dir_all(&paths.key).map_err(failed)?;
    let found = paths.key.read_dir_utf8().and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    for entry in found.map_err(failed)? {
        let mut path = entry.path().to_owned();
        if !path.file_name().is_some_and(|name| name.starts_with("part-")) {
            continue;
        }
        let aside = paths.fresh_part();
        if fs_err::rename(&path, &aside).is_ok() {
            path = aside;
        }
        let removed = (0..REMOVALS).any(|_| fs_err::remove_dir_all(&path).is_ok());
        if !removed {
            tracing::warn!(%path, "a clone that was cut off cannot be removed yet");
        }
    }
    let part = paths.fresh_part();
    fs_err::create_dir(&part).map_err(failed)?;
    Ok(part)
}

fn unwritable(folder: &Utf8Path, error: &std::io::Error) -> Problem {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull => ProblemCode::HostDiskFull,
        _ => ProblemCode::CloneFailed,
    };
    Problem::new(code, format!("the clone could not be kept in `{folder}`")).caused_by(error)
}

fn repository(url: &str, branch: Option<&str>) -> Result<RepositoryUrl, Problem> {
    let read = RepositoryUrl::parse(url).and_then(|it| match branch {
        Some(branch) => it.with_branch(branch),
        None => Ok(it),
    });
    read.map_err(|error| Problem::new(ProblemCode::InvalidRequest, error.to_string()))
}

/// Asks this computer's git something about a person's own folder, without anything of it being run; `None` where git has
/// no answer, or none soon.
pub(crate) async fn ask_git(folder: &Utf8Path, arguments: &[&str]) -> Option<String> {
    let said = tokio::time::timeout(ANSWER_TIME, git::run_local(folder, arguments)).await.ok()?.ok()?;
    let text = String::from_utf8(said).ok()?.trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// What is checked out, within bounds; nothing of an empty repository.
async fn listing(clone: &Utf8Path) -> Result<Vec<u8>, Problem> {
    if !git::has_head(clone).await? {
        return Ok(Vec::new());
    }
    let listing = git::run_local(clone, &["ls-tree", "-r", "-z", "--full-tree", "HEAD"]).await?;
    if listing.split(|byte| *byte == 0).skip(1).count() > MOST_FILES {
        let title = format!("the clone cannot be used: it has more than {MOST_FILES} files");
        return Err(Problem::new(ProblemCode::CloneFailed, title));
    }
    Ok(listing)
}

async fn tell_what_is_left_out(tree: &Utf8Path, listing: &[u8], report: &Report) {
    let Ok(entries) = archive::entries(listing) else { return };
    let submodules = entries.iter().filter(|entry| entry.mode == archive::Mode::Submodule).count();
    if submodules > 0 {
        report.line(format!(
            "{submodules} submodules are not cloned: `git submodule update --init` in the environment does that"
        ));
    }
    let in_lfs = ["grep", "--quiet", "filter=lfs", "HEAD", "--", "*.gitattributes"];
    if !entries.is_empty() && git::run_local(tree, &in_lfs).await.is_ok() {
        report.line("files kept by Git LFS are not fetched: `git lfs pull` in the environment does that");
    }
}

/// Brings the copy of the configuration up to date with what is in the container, which may have been edited there.
pub(crate) async fn refresh(parts: &Parts, environment: &Environment) -> Result<(), Problem> {
    let Source::Clone { folder, .. } = &environment.spec.source else { return Ok(()) };
    if !parts.machine.state().is_ready() || facts(environment) != SourceFacts::InVolume {
        return Ok(());
    }
    let Some(container) = crate::observe::main_container(parts, environment).await? else { return Ok(()) };
    let volume = volume_of(&environment.id);
    let mount = container.mounts.iter().find(|mount| mount.is_all_of(&volume));
    // Who sees a part of it alone cannot have edited its configuration.
    let Some(mount) = mount else { return Ok(()) };
    let engine = parts.machine.engine();
    let origin = Origin::Container { engine: &engine, container: &container.id, folder: &mount.target };
    origin.copy(folder, environment.spec.config.as_deref()).await
}

/// The variables that a configuration names, out of those of who asked: the command line cannot read a configuration
/// that is not there yet.
pub(crate) fn named_variables(
    environment: &Environment,
    caller: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let folder = environment.spec.source.folder();
    let sources = Naming { caller, named: std::cell::RefCell::default() };
    let config = environment.spec.config.as_deref();
    if let Ok(located) = devcontainer::locate(&sources, folder, config) {
        // One with mistakes names none, and is told of elsewhere.
        let _ = devcontainer::read(&sources, folder, &located, "unused");
    }
    sources.named.into_inner()
}

struct Naming<'a> {
    caller: &'a BTreeMap<String, String>,
    named: std::cell::RefCell<BTreeMap<String, String>>,
}

impl devcontainer::Sources for Naming<'_> {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, devcontainer::SourceError> {
        provision::Disk.read(path)
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        provision::Disk.exists(path)
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, devcontainer::SourceError> {
        provision::Disk.list_dirs(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        let value = self.caller.get(name)?.clone();
        self.named.borrow_mut().insert(name.to_owned(), value.clone());
        Some(value)
    }
}

/// Tells the watchers of an environment how its clone goes.
struct Told<'a> {
    report: &'a Report,
}

impl News for Told<'_> {
    fn count(&mut self, what: &str, done: u64, total: u64) {
        let (step, item) = (StepKind::CloneRepository, what.to_owned());
        self.report.emit(EventKind::Progress {
            step,
            item,
            current: done,
            total: Some(total),
            unit: Unit::Items,
        });
    }

    fn line(&mut self, line: &str) {
        self.report.line(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tree_without_an_end_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        let script = r#"set -e
            git init -q -b main .
            it="100644 blob $(echo x | git hash-object -w --stdin)"
            for depth in 1 2 3 4 5 6; do
                it="040000 tree $(for name in $(seq 40); do printf '%s\t%s\n' "$it" $name; done | git mktree)"
            done
            git update-ref refs/heads/main \
                $(git -c user.name=a -c user.email=a@b commit-tree -m bomb ${it##* })"#;
        let made =
            std::process::Command::new("sh").args(["-c", script]).current_dir(folder).status().unwrap();
        assert!(made.success());
        let problem = listing(folder).await.unwrap_err();
        assert!(problem.title.contains("says too much"), "{problem:?}");
        assert!(ask_git(folder, &["rev-parse", "HEAD"]).await.is_some());
        // No commit is nothing to list, and no repository is a failure.
        let empty = tempfile::tempdir_in(folder).unwrap();
        let empty = Utf8Path::from_path(empty.path()).unwrap();
        ask_git(folder, &["init", "--quiet", empty.as_str()]).await;
        assert_eq!(listing(empty).await.unwrap(), b"");
        fs_err::remove_dir_all(folder.join(".git")).unwrap();
        fs_err::remove_dir_all(empty.join(".git")).unwrap();
        assert!(listing(empty).await.is_err());
    }

    #[test]
    fn a_git_that_goes_on_keeps_nobody_from_cloning_anew() {
        let temp = tempfile::tempdir().unwrap();
        let paths = Paths { key: Utf8Path::from_path(temp.path()).unwrap().join("k") };
        for _ in 0..20 {
            let before = fresh_part(&paths).unwrap();
            // As git does: into folders that it made, until they are gone.
            let objects = before.join("clone/objects");
            fs_err::create_dir_all(&objects).unwrap();
            let (begun, begins) = std::sync::mpsc::channel();
            let writing = std::thread::spawn(move || {
                for number in 0.. {
                    let folder = objects.join(number.to_string());
                    let made = fs_err::create_dir(&folder).and_then(|()| fs_err::write(folder.join("a"), ""));
                    if made.is_err() {
                        return;
                    }
                    if number == 50 {
                        begun.send(()).unwrap();
                    }
                }
            });
            begins.recv().unwrap();
            let part = fresh_part(&paths).unwrap();
            assert!(part != before && part.read_dir_utf8().unwrap().next().is_none());
            writing.join().unwrap();
        }
        // Nothing of it stays for long.
        fresh_part(&paths).unwrap();
        assert_eq!(paths.key.read_dir_utf8().unwrap().count(), 1);
    }

    #[test]
    fn environments_of_one_repository_share_no_folder() {
        let url = RepositoryUrl::parse("https://git.example/team/web.git").unwrap();
        let branch = url.clone().with_branch("next").unwrap();
        let plain = UpRequest::default();
        let config = UpRequest { config: Some(".devcontainer/b/devcontainer.json".into()), ..plain.clone() };
        let prebuild = UpRequest { prebuild: Some(api::PrebuildWish::default()), ..plain.clone() };
        let all = [(&url, &plain), (&branch, &plain), (&url, &config), (&url, &prebuild)];
        let folders: std::collections::BTreeSet<Utf8PathBuf> =
            all.iter().map(|(url, request)| folder_of(Utf8Path::new("/c"), url, request)).collect();
        assert_eq!(folders.len(), all.len(), "{folders:?}");
        assert!(folders.iter().all(|folder| folder.file_name() == Some("web")), "{folders:?}");
    }
}
