//! The reconciler as stories one can read: a file of commands, and what came of them.
//!
//! `stories/NAME.txt` holds the commands, `stories/NAME.out` what they print. With `COVE_UPDATE_STORIES=1` the
//! outputs are written anew; read the difference before committing it.

mod convergence;
mod story;

use std::path::PathBuf;

#[test]
fn every_story_goes_as_told() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios/stories");
    let update = std::env::var_os("COVE_UPDATE_STORIES").is_some();
    let mut told = 0;
    for entry in std::fs::read_dir(&folder).expect("the stories are in the checkout") {
        let path = entry.expect("a folder of files").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let commands = std::fs::read_to_string(&path).expect("stories are text");
        let output = story::tell(&commands);
        let expected = path.with_extension("out");
        if update {
            std::fs::write(&expected, &output).expect("the checkout can be written");
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(output, wanted, "{}", path.display());
        told += 1;
    }
    assert!(told >= 5, "only {told} stories were found");
}
