//! Which inputs a stage last ran with, so that a stage without a change is not run again.

use camino::{Utf8Path, Utf8PathBuf};

use super::digest::{Digest, Hasher};
use super::packages::write_whole;
use super::pool::remove_if_present;

/// The record of one stage: its outputs are good when it names the present inputs.
pub(crate) struct Stamp {
    file: Utf8PathBuf,
    inputs: Digest,
    outputs: Vec<Utf8PathBuf>,
}

impl Stamp {
    /// The record of the stage `name` that writes `outputs`, kept in `folder`.
    pub(crate) fn new(folder: &Utf8Path, name: &str, inputs: Hasher, outputs: Vec<Utf8PathBuf>) -> Self {
        Self { file: folder.join(format!(".{name}.stamp")), inputs: inputs.finish(), outputs }
    }

    /// Whether the stage ran with these inputs and its outputs are still there.
    pub(crate) fn is_current(&self) -> bool {
        fs_err::read_to_string(&self.file).is_ok_and(|text| text == self.inputs.as_str())
            && self.outputs.iter().all(|path| path.exists())
    }

    /// Runs the stage unless it is current. A stage that fails or is stopped leaves no record.
    pub(crate) fn run<E: From<std::io::Error>>(
        &self,
        stage: impl FnOnce() -> Result<(), E>,
    ) -> Result<bool, E> {
        if self.is_current() {
            return Ok(false);
        }
        remove_if_present(&self.file)?;
        stage()?;
        write_whole(&self.file, self.inputs.as_str().as_bytes())?;
        Ok(true)
    }

    /// The digest of the inputs, as an input of a later stage.
    pub(crate) fn inputs(&self) -> &Digest {
        &self.inputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_runs_again_only_for_other_inputs_or_lost_outputs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let output = folder.join("output");
        let run = |input: &str, fails: bool| {
            let mut inputs = Hasher::default();
            inputs.add_part(input);
            let stage = || {
                fs_err::write(&output, input)?;
                if fails { Err(std::io::Error::other("stopped")) } else { Ok(()) }
            };
            Stamp::new(folder, "stage", inputs, vec![output.clone()]).run(stage)
        };
        assert!(run("a", false).unwrap());
        assert!(!run("a", false).unwrap());
        assert!(run("b", true).is_err());
        assert!(run("b", false).unwrap(), "a failed run leaves no record");
        fs_err::remove_file(&output).unwrap();
        assert!(run("b", false).unwrap());
    }
}
