//! Faults of folders and configurations.

use api::{Place, Problem, ProblemCode};
use camino::Utf8Path;
use devcontainer::{LocateError, Mistake, ReadError, SyntaxError};

/// The folder of an environment is not there.
pub(crate) fn folder_missing(folder: &Utf8Path) -> Problem {
    Problem::new(ProblemCode::FolderNotFound, format!("the folder `{folder}` does not exist"))
        .with_hint("bring it back, or remove the environment with `cove rm`")
}

/// The machine cannot see the folder.
pub(crate) fn folder_not_shared(folder: &Utf8Path) -> Problem {
    Problem::new(ProblemCode::FolderNotShared, format!("the machine cannot see the folder `{folder}`"))
        .with_command("share it; the machine restarts for that", format!("cove machine share {folder}"))
}

/// The machine cannot see what a configuration mounts.
pub(crate) fn mount_not_shared(source: &Utf8Path) -> Problem {
    // A file is shared with its folder.
    let folder = if source.is_dir() { source } else { source.parent().unwrap_or(source) };
    let title = format!("the configuration mounts `{source}`, which the machine cannot see");
    Problem::new(ProblemCode::FolderNotShared, title)
        .with_command("share it; the machine restarts for that", format!("cove machine share {folder}"))
}

/// No configuration could be chosen.
pub(crate) fn from_locate(error: &LocateError) -> Problem {
    let hint = |problem: Problem| problem.with_hint("choose one with `cove up --config PATH`");
    match error {
        LocateError::Missing { .. } => hint(Problem::new(ProblemCode::ConfigNotFound, error.to_string())),
        LocateError::Ambiguous { .. } => hint(Problem::new(ProblemCode::ConfigAmbiguous, error.to_string())),
        LocateError::Source(_) => {
            Problem::new(ProblemCode::ConfigInvalid, error.to_string()).caused_by(error)
        }
    }
}

/// The configuration cannot be understood.
pub(crate) fn from_read(error: &ReadError) -> Problem {
    let problem = |title: String| Problem::new(ProblemCode::ConfigInvalid, title);
    match error {
        ReadError::Gone { .. } => Problem::new(ProblemCode::ConfigNotFound, error.to_string()),
        ReadError::Source(_) => problem(error.to_string()).caused_by(error),
        ReadError::Syntax { file, error: syntax } => {
            let problem = problem(error.to_string());
            match syntax {
                SyntaxError::NotUtf8 { position } | SyntaxError::Grammar { position, .. } => {
                    problem.at(place(file, *position))
                }
                SyntaxError::TooLarge { .. } | SyntaxError::Empty => problem,
            }
        }
        ReadError::Invalid { file, mistakes } => {
            let file_of = |mistake: &Mistake| mistake.file.clone().unwrap_or_else(|| file.clone());
            let line = |mistake: &Mistake| format!("{}:{mistake}", file_of(mistake));
            let lines: Vec<String> = mistakes.iter().map(line).collect();
            let mut problem = problem(match lines.len() {
                1 => format!("`{file}` has a mistake"),
                count => format!("`{file}` has {count} mistakes"),
            });
            problem.causes = lines;
            match mistakes.first() {
                Some(first) => problem.at(place(&file_of(first), first.position)),
                None => problem,
            }
        }
    }
}

fn place(file: &Utf8Path, position: devcontainer::Position) -> Place {
    Place { file: file.to_string(), line: Some(position.line), column: Some(position.column) }
}

/// Nobody knows the environment.
pub(crate) fn environment_missing(name_or_id: &str) -> Problem {
    Problem::new(ProblemCode::EnvironmentNotFound, format!("there is no environment `{name_or_id}`"))
        .with_command("list those there are", "cove ls")
}
