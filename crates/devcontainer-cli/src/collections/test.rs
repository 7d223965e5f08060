//! `features test`: brings up a container for each project of the plan, runs the tests in it, and reports.

mod bench;
mod options;
mod plan;
mod project;
mod report;

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;

use camino::Utf8Path;
use provision::Masks;

use self::bench::Bench;
use self::report::{Report, Tone};
use super::arguments::TestArguments;
use super::{Call, Done, Failed};
use crate::arguments::LogFormat;
use crate::log::{Level, Log};
use crate::outcome;

pub(super) async fn run(call: Call<'_>, arguments: &TestArguments) -> Result<Done, Failed> {
    outcome::print(&report::banner());
    let named = match arguments.project_folder.as_path() {
        here if here == Utf8Path::new(".") => &arguments.target,
        named => named,
    };
    let folder = call.path(named);
    let randomly = arguments.permit_randomization;
    let mut pick = |count: usize| if randomly { random() % count } else { 0 };
    let plan = plan::plan(&folder, arguments, &mut pick)?;
    let report = Report::new();
    report.line(Tone::Plain, "> ", &format!("baseImage:         {}", arguments.base_image));
    report.line(Tone::Plain, "> ", &format!("Target Folder:     {folder}"));
    for note in &plan.notes {
        report.line(Tone::Plain, "⚠️ ", note);
    }
    let quiet = Log::new(Level::Error, LogFormat::Text, Masks::default(), false);
    let log = if arguments.quiet { &quiet } else { call.log };
    let mut bench = Bench::new(call.surroundings, log, report).await?;
    let ended = bench.run(&plan).await;
    let cleaned = if arguments.preserve_test_containers { Ok(()) } else { bench.clean().await };
    let tested = ended?;
    report.summary(&tested);
    cleaned?;
    let all_passed = tested.iter().all(|test| test.passed);
    Ok(Done { status: (!all_passed).then_some(ExitCode::FAILURE), ..Done::default() })
}

/// A number that nobody foresees, from what the standard library protects its tables with.
fn random() -> usize {
    usize::try_from(RandomState::new().hash_one(()) >> 33).unwrap_or_default()
}
