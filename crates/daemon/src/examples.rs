//! Small projects that come with Cove, to see something run.
//!
//! They need nothing that the machine does not bring: their image is the base image, so neither a registry nor a network is
//! asked. The files are those of `examples/` in the sources.

use std::io::Write;

use api::{Example, ExampleMade, Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::OpenOptionsExt;

use crate::paths::user_home;
use crate::problems;
use crate::settings::expanded;

/// One of them.
struct Project {
    name: &'static str,
    description: &'static str,
    files: &'static [File],
}

struct File {
    path: &'static str,
    content: &'static str,
    is_program: bool,
}

/// The end of the name of a file that is being written.
const BESIDE: &str = ".cove-new";

/// Files of `examples/hello`.
macro_rules! hello {
    ($path:literal, $is_program:literal) => {
        File {
            path: $path,
            content: include_str!(concat!("../../../examples/hello/", $path)),
            is_program: $is_program,
        }
    };
}

const PROJECTS: &[Project] = &[Project {
    name: "hello",
    description: "A page that a container serves, a task that prepares it, and a service that is kept running",
    files: &[
        hello!("README.md", false),
        hello!(".devcontainer/devcontainer.json", false),
        hello!(".cove/automations.yaml", false),
        hello!("scripts/facts.sh", true),
        hello!("scripts/serve.sh", true),
        hello!("scripts/serve.pl", true),
        hello!("site/index.html", false),
    ],
}];

/// All there are, for a machine with these shares.
pub(crate) fn list(shares: &[Utf8PathBuf]) -> Vec<Example> {
    let of = |project: &Project| {
        let folder = usual_folder(project, shares);
        Example {
            name: project.name.to_owned(),
            description: project.description.to_owned(),
            is_there: folder.as_deref().is_some_and(|folder| project.is_whole(folder)),
            folder,
            files: project.files.iter().map(|file| file.path.to_owned()).collect(),
        }
    };
    PROJECTS.iter().map(of).collect()
}

/// Puts one into a folder; where it lies there already, all of it and unchanged, nothing is done. One that was cut off in
/// the middle is completed.
///
/// # Errors
/// There is no such project, the machine does not see the folder, something else is in it, or it cannot be written.
pub(crate) fn make(
    name: &str,
    folder: Option<&Utf8Path>,
    shares: &[Utf8PathBuf],
) -> Result<ExampleMade, Problem> {
    let project = PROJECTS.iter().find(|project| project.name == name).ok_or_else(|| {
        Problem::new(ProblemCode::InvalidRequest, format!("there is no example `{name}`")).with_hint(format!(
            "there is {}",
            PROJECTS.iter().map(|project| project.name).collect::<String>()
        ))
    })?;
    let folder = match folder {
        None => usual_folder(project, shares).ok_or_else(|| {
            Problem::new(ProblemCode::FolderNotShared, "the machine sees no folder of this computer")
                .with_command("share one", "cove machine share ~")
        })?,
        Some(folder) => expanded(folder.as_str()).ok_or_else(|| {
            let title = format!("the folder `{folder}` is not an absolute path");
            Problem::new(ProblemCode::InvalidRequest, title)
        })?,
    };
    // `..` and links are followed before anything is made, as far as the path is there.
    let folder = real(&folder).ok_or_else(|| {
        Problem::new(ProblemCode::FolderNotFound, format!("no folder can be made at `{folder}`"))
    })?;
    if !sees(shares, &folder) {
        return Err(problems::folder_not_shared(&folder));
    }
    project.put(&folder)
}

/// `~/Cove/NAME`, or the same in the first folder that the machine sees.
fn usual_folder(project: &Project, shares: &[Utf8PathBuf]) -> Option<Utf8PathBuf> {
    let of_home = user_home().map(|home| home.join("Cove").join(project.name));
    let seen = of_home.filter(|folder| real(folder).is_some_and(|real| sees(shares, &real)));
    seen.or_else(|| {
        let share = shares.iter().find(|share| share.is_dir())?;
        Some(share.join("Cove").join(project.name))
    })
}

fn sees(shares: &[Utf8PathBuf], folder: &Utf8Path) -> bool {
    shares.iter().filter_map(|share| share.canonicalize_utf8().ok()).any(|share| folder.starts_with(share))
}

/// A path without links, of which the end need not be there. `None` where `..` follows what is not there, or something
/// on the way is no folder.
fn real(path: &Utf8Path) -> Option<Utf8PathBuf> {
    if let Ok(real) = path.canonicalize_utf8() {
        return Some(real);
    }
    // A link that leads nowhere is there.
    if path.is_symlink() {
        return None;
    }
    let (parent, name) = (path.parent()?, path.file_name()?);
    let parent = real(parent)?;
    (!parent.exists() || parent.is_dir()).then(|| parent.join(name))
}

impl Project {
    /// Whether all of it lies in a folder, unchanged. There may be more.
    fn is_whole(&self, folder: &Utf8Path) -> bool {
        self.files.iter().all(|file| file.is_at(folder))
    }

    fn put(&self, folder: &Utf8Path) -> Result<ExampleMade, Problem> {
        if self.is_whole(folder) {
            return Ok(ExampleMade { folder: folder.to_owned(), written: 0 });
        }
        if let Some(other) = self.something_else(folder).map_err(|error| unwritable(folder, &error))? {
            let title = format!("`{folder}` has something else in it: `{other}`");
            return Err(Problem::new(ProblemCode::InvalidRequest, title)
                .with_hint("nothing was written; choose a folder that is empty or not there yet"));
        }
        let mut written = 0;
        for file in self.files.iter().filter(|file| !file.is_at(folder)) {
            file.write(folder).map_err(|error| unwritable(folder, &error))?;
            written += 1;
        }
        Ok(ExampleMade { folder: folder.to_owned(), written })
    }

    /// The first thing in a folder that this project would not have put there.
    fn something_else(&self, folder: &Utf8Path) -> std::io::Result<Option<Utf8PathBuf>> {
        let mut open = vec![Utf8PathBuf::new()];
        while let Some(inner) = open.pop() {
            let place = folder.join(&inner);
            let entries = match fs_err::read_dir(&place) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let path = inner.join(name.to_string_lossy().as_ref());
                let is_ours = if entry.file_type()?.is_dir() {
                    open.push(path.clone());
                    self.files.iter().any(|file| Utf8Path::new(file.path).starts_with(&path))
                } else {
                    self.files.iter().any(|file| file.path == path && file.is_at(folder))
                };
                let half = path.as_str().strip_suffix(BESIDE);
                let half = half.is_some_and(|whole| self.files.iter().any(|file| file.path == whole));
                // Finder leaves files of its own wherever it looked.
                if !is_ours && !half && path.file_name() != Some(".DS_Store") {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }
}

impl File {
    fn is_at(&self, folder: &Utf8Path) -> bool {
        let path = folder.join(self.path);
        !path.is_symlink() && fs_err::read(path).is_ok_and(|found| found == self.content.as_bytes())
    }

    /// Never in place of another: whole beside it first, then under its name if that is free.
    fn write(&self, folder: &Utf8Path) -> std::io::Result<()> {
        let path = folder.join(self.path);
        fs_err::create_dir_all(path.parent().unwrap_or(folder))?;
        let beside = Utf8PathBuf::from(format!("{path}{BESIDE}"));
        // Of one that was cut off.
        let _ = fs_err::remove_file(&beside);
        let mode = if self.is_program { 0o755 } else { 0o644 };
        let mut options = fs_err::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(self.content.as_bytes())?;
        match fs_err::hard_link(&beside, &path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(error),
            // Some file systems have no such links.
            Err(_) if !path.is_symlink() && !path.exists() => fs_err::rename(&beside, &path),
            linked => linked.and_then(|()| fs_err::remove_file(&beside)),
        }
    }
}

fn unwritable(folder: &Utf8Path, error: &std::io::Error) -> Problem {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ProblemCode::HostDiskFull,
        _ => ProblemCode::FolderNotFound,
    };
    Problem::new(code, format!("the example could not be put into `{folder}`"))
        .caused_by(error)
        .with_hint("choose another folder; what was written can be removed, or completed by the same again")
}

#[cfg(test)]
mod tests;
