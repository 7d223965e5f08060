//! `cargo xtask fuzz`: every fuzz target for a while, from the seeds in `fuzz/seeds`.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::output::say;
use crate::setup::{SetupError, tools_folder};
use crate::steps::{StepError, run, step};

const VERSION: &str = "0.13.2";

/// What `cargo xtask fuzz` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Only these targets
    targets: Vec<String>,
}

/// A target found something, or could not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FuzzError {
    #[error("no place for the fuzzer")]
    Setup(#[from] SetupError),
    #[error("a target failed; what it failed on is in fuzz/artifacts")]
    Step(#[from] StepError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs the targets one after the other.
pub(crate) fn fuzz(options: &Options) -> Result<(), FuzzError> {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout");
    let program = cargo_fuzz()?;
    for target in targets(root)? {
        if !options.targets.is_empty() && !options.targets.contains(&target) {
            continue;
        }
        let corpus = root.join("fuzz/corpus").join(&target);
        fs_err::create_dir_all(&corpus)?;
        let mut fuzz = Command::new(&program);
        fuzz.args(["fuzz", "run", &target]).args([corpus, root.join("fuzz/seeds").join(&target)]);
        fuzz.args(["--", &format!("-max_total_time={}", options.seconds), "-print_final_stats=1"]);
        // Sanitizers are options of the compiler that only this opens on a stable one.
        fuzz.current_dir(root).env("RUSTC_BOOTSTRAP", "1");
        step(&format!("Fuzzing {target}"), || run(&mut fuzz))?;
    }
    Ok(())
}

/// The targets, by the files they are in.
fn targets(root: &Utf8Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(root.join("fuzz/fuzz_targets"))? {
        let name = entry?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".rs")).map(ToOwned::to_owned));
    }
    names.sort();
    Ok(names)
}

/// cargo-fuzz, built from its source once.
fn cargo_fuzz() -> Result<Utf8PathBuf, FuzzError> {
    let tools = tools_folder()?;
    let program = tools.join("bin/cargo-fuzz");
    if !program.exists() {
        say(format!("    cargo-fuzz {VERSION} is built from its source, once"));
        let mut install = Command::new("cargo");
        install
            .args(["install", "--quiet", "--locked", "cargo-fuzz", "--version", VERSION, "--root"])
            .arg(&tools);
        install.current_dir("/").env("CARGO_TARGET_DIR", tools.join("build"));
        run(&mut install)?;
        fs_err::remove_dir_all(tools.join("build"))?;
    }
    Ok(program)
}
