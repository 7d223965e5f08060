//! Files of automations as they lie there, without a daemon.

use api::{Place, Problem, ProblemCode};
use automations::{CANDIDATES, MAX_BYTES, Reading};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::context::{Context, working_folder};
use crate::failure::Failure;

/// What is said of a file that is good.
#[derive(Serialize)]
struct Checked {
    file: Utf8PathBuf,
    automations: Vec<String>,
    warnings: Vec<String>,
}

pub(super) fn validate(context: &Context, path: Option<Utf8PathBuf>) -> Result<(), Failure> {
    let (file, reading) = read(path.as_deref().unwrap_or(Utf8Path::new(".")))?;
    let told = |it: &automations::Warning| format!("{file}:{}: `{}`: {}", it.position, it.item, it.message);
    let checked = Checked {
        automations: reading.automations.items().map(|item| item.to_string()).collect(),
        warnings: reading.warnings.iter().map(told).collect(),
        file: file.clone(),
    };
    context.output.show(&checked, |paint| {
        let (services, tasks) = (reading.automations.services.len(), reading.automations.tasks.len());
        let mut out =
            format!("{} is good; services: {services}, tasks: {tasks}\n", paint.bold(file.as_str()));
        for warning in &checked.warnings {
            out = format!("{out}{} {warning}\n", paint.yellow("warning:"));
        }
        out
    })
}

/// Reads a file, or the one of a folder that counts.
pub(super) fn read(path: &Utf8Path) -> Result<(Utf8PathBuf, Reading), Failure> {
    let invalid = |title: String| Problem::new(ProblemCode::AutomationsInvalid, title);
    let found = working_folder()?.join(path);
    let file = if found.is_dir() {
        let there = CANDIDATES.into_iter().find(|candidate| found.join(candidate).exists());
        let Some(there) = there else {
            let title = format!("`{path}` has none of {}", CANDIDATES.join(", "));
            return Err(invalid(title).into());
        };
        if path == Utf8Path::new(".") { there.into() } else { path.join(there) }
    } else {
        path.to_owned()
    };
    let at = working_folder()?.join(&file);
    let unreadable = |error: &std::io::Error| invalid(format!("`{file}` cannot be read")).caused_by(error);
    let about = std::fs::metadata(&at).map_err(|error| unreadable(&error))?;
    if !about.is_file() {
        return Err(invalid(format!("`{file}` is no file")).into());
    }
    if about.len() > MAX_BYTES as u64 {
        return Err(invalid(format!("`{file}` is far too long for such a file")).into());
    }
    let bytes = std::fs::read(&at).map_err(|error| unreadable(&error))?;
    match automations::read(&file, &bytes) {
        Ok(reading) => Ok((file, reading)),
        Err(error) => {
            let title = match error.mistakes.as_slice() {
                [_] => format!("`{file}` has a mistake"),
                mistakes => format!("`{file}` has {} mistakes", mistakes.len()),
            };
            let first = error.mistakes.first().map(|mistake| mistake.position);
            let place = Place {
                file: file.to_string(),
                line: first.map(|at| at.line),
                column: first.map(|at| at.column),
            };
            let lines = error.to_string().lines().map(str::to_owned).collect();
            Err(invalid(title).at(place).with_log(lines).into())
        }
    }
}
