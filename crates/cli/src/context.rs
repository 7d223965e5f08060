//! What every command needs: where the state is, whom to ask, and where to write.

use api::{HomeLayout, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use client::Client;

use crate::failure::Failure;
use crate::output::Output;

/// The surroundings of one run of the program.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) home: HomeLayout,
}

impl Context {
    pub(crate) fn new(output: Output) -> Result<Self, Failure> {
        let home = home_from_environment().map_err(|error| Failure::request(error.to_string()))?;
        Ok(Self { output, home })
    }

    /// The runtime of this process. Two threads: one may be held up by a slow reader of standard output while
    /// the other goes on handing signals and input over.
    pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|error| {
            api::Problem::new(ProblemCode::Internal, "could not start threads").caused_by(&error).into()
        })
    }

    /// The daemon, started if need be.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect_or_start(&self.home).await?)
    }
}

/// The state folder that `COVE_HOME` and `HOME` choose.
pub(crate) fn home_from_environment() -> Result<HomeLayout, api::HomeError> {
    let (cove_home, home) = (std::env::var("COVE_HOME").ok(), std::env::var("HOME").ok());
    HomeLayout::from_variables(cove_home.as_deref(), home.as_deref())
}

/// The working folder.
pub(crate) fn working_folder() -> Result<Utf8PathBuf, Failure> {
    let unusable = |title: String| Failure::from(api::Problem::new(ProblemCode::FolderNotFound, title));
    let folder = std::env::current_dir()
        .map_err(|error| unusable(format!("the working folder cannot be used: {error}")))?;
    Utf8PathBuf::from_path_buf(folder)
        .map_err(|folder| unusable(format!("the path `{}` is not UTF-8", folder.display())))
}

/// A folder that a person typed, as an absolute path without links.
pub(crate) fn existing_folder(path: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    let absolute = working_folder()?.join(path);
    let problem = |title: String| api::Problem::new(ProblemCode::FolderNotFound, title);
    let resolved = absolute
        .canonicalize_utf8()
        .map_err(|error| problem(format!("the folder `{path}` cannot be opened")).caused_by(&error))?;
    if resolved.is_dir() { Ok(resolved) } else { Err(problem(format!("`{path}` is not a folder")).into()) }
}
