//! `cove doctor`

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use api::{CheckOutcome, Diagnosis};
use camino::Utf8Path;
use serde::Serialize;

use crate::arguments::DoctorArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::table::{self, Cell};
use crate::text::harmless;

/// What was written.
#[derive(Serialize)]
struct Written<'a> {
    bundle: &'a Utf8Path,
    bytes: usize,
}

pub(super) async fn run(context: &Context, arguments: DoctorArguments) -> Result<(), Failure> {
    if let Some(file) = arguments.bundle {
        return bundle(context, &file, arguments.shown.as_deref()).await;
    }
    let diagnosis = context.client().await?.doctor().await?;
    context.output.show(&diagnosis, |paint| text(&diagnosis, paint))?;
    let bad = diagnosis.checks.iter().any(|check| check.outcome == CheckOutcome::Bad);
    if bad { Err(Failure::Status(1)) } else { Ok(()) }
}

/// Writes a bundle for whoever helps, for its owner alone.
async fn bundle(context: &Context, file: &Utf8Path, shown: Option<&str>) -> Result<(), Failure> {
    // Said before the work is done; what counts is that the file is made anew.
    if file.exists() {
        return Err(taken(file).into());
    }
    let archive = context.client().await?.diagnostics_bundle(shown).await?;
    let written = || -> io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut opened = options.write(true).create_new(true).mode(0o600).open(file)?;
        opened.write_all(&archive)?;
        opened.sync_all()
    };
    written().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(file),
        _ => Failure::request(format!("`{file}` was not written")).caused_by(&error),
    })?;
    context.output.show(&Written { bundle: file, bytes: archive.len() }, |_| {
        format!(
            "Wrote {file}. Secrets, tokens, addresses and your names were taken out; MANIFEST.txt in it says what and how \
             often. Read it before you send it: nothing was sent."
        )
    })
}

fn taken(file: &Utf8Path) -> api::Problem {
    Failure::request(format!("`{file}` is there already")).with_hint("name another file, or move it away")
}

fn text(diagnosis: &Diagnosis, paint: Paint) -> String {
    let rows: Vec<_> = diagnosis
        .checks
        .iter()
        .map(|check| {
            let (mark, painted) = match check.outcome {
                CheckOutcome::Good => ("✓", paint.green("✓")),
                CheckOutcome::Warning => ("!", paint.yellow("!")),
                CheckOutcome::Bad => ("✗", paint.red("✗")),
            };
            vec![
                Cell::painted(mark, painted),
                Cell::plain(&check.name),
                Cell::plain(harmless(&check.finding)),
            ]
        })
        .collect();
    let mut out = table::render(&["", "CHECK", "FINDING"], &rows, paint);
    for problem in diagnosis.checks.iter().filter_map(|check| check.problem.as_ref()) {
        let weight = crate::problem_text::Weight::Warning;
        out.push('\n');
        out.push_str(&crate::problem_text::render(problem, weight, paint));
        out.push('\n');
    }
    out
}
