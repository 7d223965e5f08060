//! `cargo xtask conformance`: Cove held against the Dev Container specification and its reference implementation, and
//! `docs/conformance.md` brought up to date.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::check::{CheckError, test_parts};
use crate::image::{self, NoCache, cache_folder, find_program};
use crate::setup::setup;
use crate::steps::{StepError, cargo, run, step};

/// The reference and the version whose answers are recorded.
const REFERENCE: &str = "@devcontainers/cli@0.89.0";

/// Configurations of other people's repositories, beside the checkout.
const CORPUS: &str = "../shared/corpus/real";

/// What `cargo xtask conformance` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Ask the reference again and write down what it answers, instead of asking Cove
    #[arg(long)]
    record: bool,
    /// Run only cases whose `section/row/case` contains this; the page is then left alone
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Conformance could not be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConformanceError {
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("a step failed")]
    Step(#[from] StepError),
    #[error(transparent)]
    Cache(#[from] NoCache),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(
        "the reference is not at hand: name its program in DEVCONTAINER_REFERENCE, or install Node.js and npm, so that \
         it can be fetched"
    )]
    NoReference,
}

/// Runs the cases, or records the reference's answers to them.
pub(crate) fn conformance(options: &Options) -> Result<(), ConformanceError> {
    setup().map_err(CheckError::from)?;
    image::build(&image::Options::default()).map_err(CheckError::from)?;
    let parts = test_parts()?;
    let corpus = corpus().filter(|_| !options.record && options.only.is_none());
    let reference = if options.record || corpus.is_some() { Some(reference()?) } else { None };
    step("Building", || run(cargo().args(["build", "--locked", "-p", "cli"])))?;
    let mut test = cargo();
    test.args(["test", "--locked", "-p", "tests", "--test", "conformance", "--", "--nocapture"]);
    test.envs(parts);
    if options.record {
        test.arg("the_rows_hold").env("COVE_CONFORMANCE_RECORD", "1");
    } else {
        test.env("COVE_UPDATE_DOCS", "1");
    }
    if let Some(only) = &options.only {
        test.env("COVE_CONFORMANCE_ONLY", only);
    }
    if let Some(corpus) = corpus {
        test.env("COVE_CORPUS", corpus);
    }
    if let Some(reference) = reference {
        test.env("DEVCONTAINER_REFERENCE", reference);
    }
    Ok(step("Holding Cove against the specification", || run(&mut test))?)
}

/// Times the drop-in beside the reference and writes the results into a folder.
pub(crate) fn bench(out: &Utf8Path) -> Result<(), ConformanceError> {
    setup().map_err(CheckError::from)?;
    image::build(&image::Options::default()).map_err(CheckError::from)?;
    let parts = test_parts()?;
    let reference = reference()?;
    step("Building", || run(cargo().args(["build", "--release", "--locked", "-p", "cli"])))?;
    let target = std::env::current_exe()?;
    // target/debug/xtask
    let release = target.ancestors().nth(2).unwrap_or(target.as_path()).join("release/cove");
    let mut test = cargo();
    test.args([
        "test",
        "--locked",
        "-p",
        "tests",
        "--test",
        "conformance",
        "the_drop_in",
        "--",
        "--nocapture",
    ]);
    test.envs(parts)
        .env("DEVCONTAINER_REFERENCE", reference)
        .env("COVE_PROGRAM", release)
        .env("COVE_BENCH", out);
    Ok(step("Timing the drop-in beside the reference", || run(&mut test))?)
}

/// The folder of foreign configurations, where there is one.
fn corpus() -> Option<Utf8PathBuf> {
    let named = std::env::var("COVE_CORPUS").ok().map(Utf8PathBuf::from);
    let beside = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(CORPUS);
    named.or(Some(beside)).filter(|folder| folder.is_dir())
}

/// The reference's program: the one that is named, or one fetched into the cache folder.
pub(crate) fn reference() -> Result<Utf8PathBuf, ConformanceError> {
    if let Ok(named) = std::env::var("DEVCONTAINER_REFERENCE") {
        return Ok(named.into());
    }
    let folder = cache_folder()?.join("reference").join(REFERENCE.replace('/', "-"));
    let program = folder.join("node_modules/.bin/devcontainer");
    if program.exists() {
        return Ok(program);
    }
    let npm = find_program("npm").ok_or(ConformanceError::NoReference)?;
    step("Fetching the reference", || {
        run(Command::new(npm)
            .args(["install", "--no-save", "--no-fund", "--no-audit", "--prefix"])
            .args([folder.as_str(), REFERENCE]))
    })?;
    Ok(program)
}
