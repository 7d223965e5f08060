//! What images are called: by the workspace folder, as the reference calls them, so that either finds the other's.

use camino::Utf8Path;
use provision::image::Names;
use sha2::{Digest, Sha256};

/// `vsc-<folder>-<digest of its path>`.
pub(crate) fn of_folder(folder: &Utf8Path) -> String {
    let digest = Sha256::digest(folder.as_str());
    let digest = digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    image_name(&format!("vsc-{}-{digest}", folder.file_name().unwrap_or_default()))
}

/// The names of the images that a container of this folder is made of.
pub(crate) fn for_container(folder: &Utf8Path) -> Names {
    let base = of_folder(folder);
    Names { features: format!("{base}-features"), user: format!("{base}-uid"), base }
}

/// A name that engines take: lower-case letters, digits, and single separators between them.
fn image_name(text: &str) -> String {
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let mut name = String::new();
    let mut separators = String::new();
    for character in text.to_lowercase().chars().filter(allowed) {
        if character.is_ascii_alphanumeric() {
            name.push_str(&first_separator(&separators));
            separators.clear();
            name.push(character);
        } else {
            separators.push(character);
        }
    }
    name + &first_separator(&separators)
}

/// Of what stands between two words only what may stand there: a dot, one or two underscores, or dashes.
fn first_separator(separators: &str) -> String {
    let Some(first) = separators.chars().next() else { return String::new() };
    let most = match first {
        '.' => 1,
        '_' => 2,
        _ => separators.len(),
    };
    separators.chars().take_while(|character| *character == first).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_references() {
        // Recorded from @devcontainers/cli 0.89, `build` in a folder of that path.
        let name = of_folder("/tmp/e/w".into());
        assert!(name.starts_with("vsc-w-") && name.len() == "vsc-w-".len() + 64, "{name}");
        for (text, expected) in [
            ("vsc-My App-1", "vsc-myapp-1"),
            ("vsc-a._-b-1", "vsc-a.b-1"),
            ("vsc-a__b___c-1", "vsc-a__b__c-1"),
            ("vsc-.github-1", "vsc-github-1"),
        ] {
            assert_eq!(image_name(text), expected);
        }
    }
}
