//! What no file of the project holds.

/// Pieces are put together here so that this file does not find itself.
fn forbidden() -> Vec<(String, &'static str)> {
    let host = |parts: &[&str]| parts.join(".");
    vec![
        (host(&["deb", "debian", "org"]), "read the mirror from the machine's apt configuration"),
        (host(&["security", "debian", "org"]), "read the mirror from the machine's apt configuration"),
        (host(&["registry", "npmjs", "org"]), "name no registry's host"),
        (host(&["index", "crates", "io"]), "name no registry's host"),
        (host(&["static", "crates", "io"]), "name no registry's host"),
        (host(&["files", "pythonhosted", "org"]), "name no registry's host"),
        (["todo", "!("].concat(), "finish it, or leave it out and say so in the documentation"),
        (["unimplemented", "!("].concat(), "finish it, or leave it out and say so in the documentation"),
        (["FIX", "ME"].concat(), "mend it"),
        (["#[", "ignore"].concat(), "a test that does not run proves nothing"),
    ]
}

#[test]
fn nothing_forbidden_is_written_anywhere() {
    let mut faults = Vec::new();
    for file in crate::tracked_files() {
        if file.file_name().is_some_and(|name| name == "Cargo.lock") {
            continue;
        }
        let Some(text) = crate::read(&file) else { continue };
        for (word, advice) in forbidden() {
            for (number, line) in text.lines().enumerate().filter(|(_, line)| line.contains(&word)) {
                faults.push(format!("{}:{}: `{}`: {advice}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
