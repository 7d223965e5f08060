//! What the app weighs: `tests/app/weight.rs` measures, this builds what it needs and writes down what it says.

use camino::Utf8Path;

use crate::output::say;
use crate::setup::{SetupError, install_missing, setup_for_the_app};
use crate::steps::{StepError, capture, cargo, run, step};
use crate::ui::{self, UiError};

/// The app was not weighed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WeightError {
    #[error("could not prepare this machine")]
    Setup(#[from] SetupError),
    #[error("could not build the page")]
    Ui(#[from] UiError),
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Weighs an optimised build, or with `quick` the build for tests, and writes `app.md` into the folder.
pub(crate) fn bench(folder: &Utf8Path, quick: bool) -> Result<(), WeightError> {
    setup_for_the_app()?;
    step("Installing a browser", || install_missing(ui::PACKAGES.iter().copied()))?;
    ui::build()?;
    let [build, bench] = if quick { ["dev"; 2] } else { ["release", "bench"] };
    // What measures is built with the rest: for itself alone, all that it uses would be built a second time.
    let weight = ["--workspace", "--bench", "app-weight", "--locked", "--profile"];
    step("Building", || run(cargo().arg("build").args(weight).args([build, "--bins"])))?;
    let table = step("Weighing the app", || capture(cargo().arg("bench").args(weight).arg(bench)))?;
    let build = if quick { "a build for tests, not optimised" } else { "an optimised build" };
    let text = format!(
        "# What the app weighs\n\nLinux, {build}; how it is measured: [README](README.md#the-app).\n\n{table}"
    );
    fs_err::write(folder.join("app.md"), &text)?;
    say(text);
    Ok(())
}
