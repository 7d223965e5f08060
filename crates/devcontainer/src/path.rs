//! Paths as text: joined and compared without asking a disk.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

/// Joins and removes `.` and `..`, so that equal files have equal paths.
pub(crate) fn join(folder: &Utf8Path, path: &str) -> Utf8PathBuf {
    let mut joined = Utf8PathBuf::new();
    for component in folder.join(path).components() {
        match component {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir => {
                joined.pop();
            }
            other => joined.push(other),
        }
    }
    joined
}

/// The relative path that leads from a folder to another path, both absolute.
pub(crate) fn relative(from: &Utf8Path, to: &Utf8Path) -> String {
    let common = from.components().zip(to.components()).take_while(|(one, two)| one == two).count();
    let up = from.components().skip(common).map(|_| "..");
    let down = to.components().skip(common).map(|component| component.as_str());
    let steps: Vec<&str> = up.chain(down).collect();
    if steps.is_empty() { ".".to_owned() } else { steps.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_leads_back() {
        for (from, to, expected) in [
            ("/a/b", "/a/c/d", "../c/d"),
            ("/a", "/a/b", "b"),
            ("/a/b/c", "/", "../../.."),
            ("/a", "/a", "."),
        ] {
            assert_eq!(relative(from.into(), to.into()), expected);
            assert_eq!(join(from.into(), expected), to);
        }
        assert_eq!(join("/a".into(), "../../../b/./c"), "/b/c");
    }
}
