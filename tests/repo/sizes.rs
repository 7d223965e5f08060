//! Files that can be read in one sitting. (Functions are held by clippy's `too_many_lines`.)

/// Most lines a source file may have.
const MOST_LINES: usize = 600;

#[test]
fn source_files_can_be_read_in_one_sitting() {
    let mut faults = Vec::new();
    for file in crate::tracked_files() {
        let source = file
            .extension()
            .is_some_and(|extension| ["rs", "ts", "svelte", "sh"].iter().any(|e| extension == *e));
        if !source {
            continue;
        }
        let lines = crate::read(&file).unwrap_or_default().lines().count();
        if lines > MOST_LINES {
            faults.push(format!("{} has {lines} lines; split it by meaning", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_crate_says_what_it_is() {
    let mut faults = Vec::new();
    for file in crate::tracked_files() {
        let path = file.to_string_lossy();
        let top = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        if top && !crate::read(&file).unwrap_or_default().starts_with("//! ") {
            faults.push(format!("{path} does not begin with what the crate is"));
        }
        if path.ends_with("/mod.rs") && path.contains("/src/") {
            faults.push(format!("{path}: modules are named after their file, without mod.rs"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
