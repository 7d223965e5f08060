//! Paths as ssh's configuration takes them: each place has rules of its own.

use api::{Problem, ProblemCode};
use camino::Utf8Path;

/// A file that options name: `%` and `${` begin what ssh puts values in for.
pub(super) fn file(path: &Utf8Path) -> Result<String, Problem> {
    plain(path.as_str(), &['"', '\\', '$'])?;
    Ok(format!("\"{}\"", path.as_str().replace('%', "%%")))
}

/// A file that `Include` names, which is a pattern.
pub(super) fn included(path: &Utf8Path) -> Result<String, Problem> {
    plain(path.as_str(), &['"', '\\', '$', '*', '?', '[', '%'])?;
    Ok(format!("\"{path}\""))
}

/// A word of a command that ssh gives to the person's shell.
pub(super) fn for_shell(word: &str) -> Result<String, Problem> {
    plain(word, &[])?;
    let usual = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@".contains(c);
    if word.chars().all(usual) {
        return Ok(word.to_owned());
    }
    Ok(format!("'{}'", word.replace('\'', r"'\''").replace('%', "%%")))
}

fn plain(text: &str, refused: &[char]) -> Result<(), Problem> {
    match text.chars().find(|c| c.is_control() || refused.contains(c)) {
        None => Ok(()),
        Some(found) => {
            let title = format!(
                "the path `{}` has `{}`, which ssh takes for something else",
                text.escape_debug(),
                found.escape_debug()
            );
            Err(Problem::new(ProblemCode::SshConfig, title).with_hint(
                "let COVE_HOME name a folder whose path has letters, digits, spaces, dots and dashes only",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_own_rules() {
        assert_eq!(file("/a b/50%".into()).unwrap(), "\"/a b/50%%\"");
        assert_eq!(included("/a b/c".into()).unwrap(), "\"/a b/c\"");
        assert_eq!(for_shell("/usr/bin/cove").unwrap(), "/usr/bin/cove");
        assert_eq!(for_shell("/My App's/co%ve").unwrap(), r"'/My App'\''s/co%%ve'");
        for path in ["/a\"b", "/a\nb", "/a$b", "/a\\b"] {
            assert!(file(path.into()).is_err() && included(path.into()).is_err(), "{path:?}");
        }
        assert!(included("/a*".into()).is_err());
    }
}
