//! What a control plane of many runners costs: `crates/control-plane/benches/fleet` measures, this builds what it needs and
//! writes down what it says.

use camino::Utf8Path;

use crate::output::say;
use crate::steps::{StepError, capture, cargo, run, step, target_folder};

/// The control plane was not measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error("what was measured has not the form of a table and a line of numbers")]
    Form,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Measures an optimised server, and writes `control.md` and `control.json` into the folder.
pub(crate) fn bench(folder: &Utf8Path) -> Result<(), ControlError> {
    let program = ["build", "--locked", "--release", "-p", "control-plane", "--bins"];
    step("Building", || run(cargo().args(program)))?;
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let program = target_folder(&root).join("release/cove-control");
    // What plays the runners is built as tests are: optimised it would need a second build of most that there is.
    let fleet = ["bench", "--locked", "-p", "control-plane", "--bench", "fleet", "--profile", "dev"];
    let said = step("Measuring", || capture(cargo().args(fleet).env("COVE_CONTROL", &program)))?;
    let (table, numbers) = said.trim_end().rsplit_once('\n').ok_or(ControlError::Form)?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let text = format!(
        "# What a control plane of many runners costs\n\nLinux, {cpus} processors, other work beside it, which the times and rates \
         show and processor times hardly do; how it is measured: [README](README.md#the-control-plane). What it means \
         for 100,000 runners: [docs/scale.md](../docs/scale.md).\n\n{}\n",
        table.trim_end()
    );
    fs_err::write(folder.join("control.md"), &text)?;
    fs_err::write(folder.join("control.json"), format!("{numbers}\n"))?;
    say(text);
    Ok(())
}
