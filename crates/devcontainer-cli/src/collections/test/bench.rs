//! The containers in which tests run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::plan::{Plan, Planned};
use super::project::Project;
use super::report::{Report, Tested, Tone};
use crate::Surroundings;
use crate::arguments::{self, Command, DockerPath};
use crate::collections::folder::{self, FolderError};
use crate::engines::Said;
use crate::existing;
use crate::log::Log;
use crate::outcome::Failure;
use crate::stop::{self, Ending};
use crate::up;

/// The mark of containers that are there for a test. Tools that look for dev containers can pass them over.
const TEST_LABEL: &str = "devcontainer.is_test_run=true";

/// A test could not be run. One that was run and failed is none of these.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// Files cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A folder for the projects cannot be made.
    #[error("could not make a folder in `{place}`")]
    Place {
        /// Where it would be.
        place: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The engine cannot see the projects.
    #[error(
        "the projects of the tests are put in `{place}`, which Cove's machine does not see; it sees {}. Let it see that \
         one with `cove machine share {place}` and start it again, or set COVE_HOME to a folder that it sees",
        listed(shares)
    )]
    NotShared {
        /// Where they would be.
        place: Utf8PathBuf,
        /// What it sees.
        shares: Vec<Utf8PathBuf>,
    },
    /// No container came up, or something in it cannot be run.
    #[error("{what}: {why}")]
    Container {
        /// What was tried.
        what: String,
        /// Why it failed.
        why: String,
    },
}

/// Containers that were brought up, to be removed in the end.
pub(crate) struct Bench<'a> {
    surroundings: &'a Surroundings<'a>,
    log: &'a Log,
    report: Report,
    /// The folder that has a folder for each project.
    place: Utf8PathBuf,
    /// Folder and container of each project that was needed so far.
    up: BTreeMap<usize, (Utf8PathBuf, String)>,
}

impl<'a> Bench<'a> {
    /// Makes a folder for the projects. It is below the cache: other than the system's folder for temporary files, that
    /// is a folder which engines see, or it is an error.
    pub(crate) async fn new(
        surroundings: &'a Surroundings<'a>,
        log: &'a Log,
        report: Report,
    ) -> Result<Self, BenchError> {
        let parent = surroundings.host.cache().join("features-test");
        let said = Said { docker: &DockerPath::default(), compose: None };
        let no_engine =
            |failure| BenchError::told(&failure, "there is no engine for the containers of the tests");
        let engine = match surroundings.engine(said, false).await.map_err(no_engine)? {
            Some(engine) => engine,
            None => surroundings.awake(said).await.map_err(no_engine)?,
        };
        if let Some(shares) = engine.shares
            && !shares.iter().any(|share| parent.starts_with(share))
        {
            return Err(BenchError::NotShared { place: parent, shares });
        }
        folder::make(&parent)?;
        let place = (0..).map(|number| parent.join(format!("{}-{number}", std::process::id())));
        for place in place {
            match std::fs::create_dir(&place) {
                Ok(()) => return Ok(Self { surroundings, log, report, place, up: BTreeMap::new() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(BenchError::Place { place, source }),
            }
        }
        unreachable!("the numbers do not end")
    }

    /// Runs every test, in the order of the plan.
    pub(crate) async fn run(&mut self, plan: &Plan) -> Result<Vec<Tested>, BenchError> {
        let mut tested = Vec::new();
        for test in &plan.tests {
            self.report.line(Tone::Plain, "🧪", &format!("Testing '{}'...", test.name));
            let (folder, container) = match self.up.get(&test.project) {
                Some(up) => up.clone(),
                None => self.bring_up(test.project, &plan.projects[test.project]).await?,
            };
            let passed = self.run_one(test, &folder, &container).await?;
            tested.push(Tested { name: test.name.clone(), passed });
        }
        Ok(tested)
    }

    async fn bring_up(
        &mut self,
        index: usize,
        project: &Project,
    ) -> Result<(Utf8PathBuf, String), BenchError> {
        let folder = self.place.join(format!("project-{index}"));
        put(&folder, project)?;
        let config = String::from_utf8_lossy(project.config());
        self.report.line(Tone::Stage, "\n📝", &format!("The container of this test:\n{config}"));
        self.report.line(Tone::Stage, "\n⏳", "Building test container...\n");
        let label = format!("devcontainer.local_folder={folder}");
        let words = [
            "up",
            "--workspace-folder",
            folder.as_str(),
            "--mount-workspace-git-root=false",
            "--id-label",
            &label,
            "--id-label",
            TEST_LABEL,
        ];
        let Some(Command::Up(arguments)) = parsed(&words) else {
            return Err(BenchError::of("could not bring up the container", "its folder has an odd name"));
        };
        let secrets = provision::Secrets::default();
        let up = up::up(&arguments, self.surroundings, &secrets, self.log).await;
        let up = up.map_err(|failure| {
            if let Some(container) = &failure.container_id {
                self.up.insert(index, (folder.clone(), container.clone()));
            }
            BenchError::told(&failure, "could not bring up the container")
        })?;
        self.report.line(Tone::Stage, "\n🚀", "Launched container.");
        self.report.line(Tone::Plain, "> ", &format!("containerId:          {}", up.container_id));
        let brought = (folder, up.container_id);
        self.up.insert(index, brought.clone());
        Ok(brought)
    }

    /// Puts the scripts beside each other and runs the one. Whether it ended well.
    async fn run_one(&self, test: &Planned, folder: &Utf8Path, container: &str) -> Result<bool, BenchError> {
        put(folder, &test.scripts)?;
        let script = format!("./{}", test.script);
        let variables: Vec<String> =
            test.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut words = vec![
            "exec",
            "--container-id",
            container,
            "--workspace-folder",
            folder.as_str(),
            "--mount-workspace-git-root=false",
        ];
        words.extend(variables.iter().flat_map(|variable| ["--remote-env", variable]));
        words.push(&script);
        let Some(Command::Exec(arguments)) = parsed(&words) else {
            return Err(BenchError::of(
                &format!("could not run `{script}`"),
                "one of its variables cannot be given",
            ));
        };
        let status = existing::exec_in(&arguments, self.surroundings, self.log).await;
        Ok(status.map_err(|failure| BenchError::told(&failure, &format!("could not run `{script}`")))? == 0)
    }

    /// Removes the containers and the projects.
    pub(crate) async fn clean(&mut self) -> Result<(), BenchError> {
        let up = std::mem::take(&mut self.up);
        self.report.line(Tone::Stage, "🧹", &format!("Cleaning up {} test containers...", up.len()));
        for (_folder, container) in up.values() {
            let Some(Command::Down(arguments)) = parsed(&["down", "--container-id", container]) else {
                continue;
            };
            let ended = stop::end(&arguments, self.surroundings, Ending::Down, self.log).await;
            ended.map_err(|failure| {
                BenchError::told(&failure, &format!("could not remove the container {container}"))
            })?;
        }
        Ok(folder::remove(&self.place)?)
    }
}

impl BenchError {
    fn told(failure: &Failure, what: &str) -> Self {
        let why = std::iter::once(&failure.message).chain(&failure.details);
        Self::of(what, &why.map(String::as_str).collect::<Vec<_>>().join("\n"))
    }

    fn of(what: &str, why: &str) -> Self {
        Self::Container { what: what.to_owned(), why: why.to_owned() }
    }
}

fn listed(shares: &[Utf8PathBuf]) -> String {
    match shares {
        [] => "no folder of this computer".to_owned(),
        shares => shares.iter().map(|share| format!("`{share}`")).collect::<Vec<_>>().join(", "),
    }
}

/// Reads words as the command line would be read.
fn parsed(words: &[&str]) -> Option<Command> {
    let parsed = arguments::parse(words.iter().map(OsString::from));
    parsed.ok().map(|(command, _registries)| command)
}

/// Writes the files of a project. Everybody may do everything in its folders, whichever user the tests run as.
fn put(folder: &Utf8Path, project: &Project) -> Result<(), FolderError> {
    for (name, file) in &project.files {
        folder::write(&folder.join(name), file)?;
        for parent in name.ancestors().skip(1) {
            folder::open(&folder.join(parent))?;
        }
    }
    Ok(())
}
