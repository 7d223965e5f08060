//! As much of an SDK as a link needs: the list of what macOS's system library has, and the other libraries and the
//! frameworks by name.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::image::write_whole;

/// The system library by its other names.
const SYSTEM_NAMES: [&str; 4] = ["c", "dl", "m", "pthread"];

/// Other libraries that come with macOS, by the name they are linked by.
const LIBRARIES: [(&str, &str); 5] = [
    ("c++", "libc++.1"),
    ("iconv", "libiconv.2"),
    ("objc", "libobjc.A"),
    ("resolv", "libresolv.9"),
    ("z", "libz.1"),
];

/// Frameworks, with the letter of their version.
const FRAMEWORKS: [(&str, char); 16] = [
    ("AppKit", 'C'),
    ("ApplicationServices", 'A'),
    ("Carbon", 'A'),
    ("Cocoa", 'A'),
    ("CoreFoundation", 'A'),
    ("CoreGraphics", 'A'),
    ("CoreServices", 'A'),
    ("CoreVideo", 'A'),
    ("Foundation", 'C'),
    ("IOKit", 'A'),
    ("QuartzCore", 'A'),
    ("Security", 'A'),
    ("ServiceManagement", 'A'),
    ("SystemConfiguration", 'A'),
    ("Virtualization", 'A'),
    ("WebKit", 'A'),
];

const SETTINGS: &str = r#"{"CanonicalName":"macosx15.0","Version":"15.0","MinimalDisplayName":"15.0","DefaultDeploymentTarget":"15.0"}"#;

/// Writes it into the cache and returns its folder.
pub(super) fn write(cache: &Utf8Path, system_library: &Utf8Path) -> io::Result<Utf8PathBuf> {
    let sdk = cache.join("macos-sdk");
    let libraries = sdk.join("usr/lib");
    fs_err::create_dir_all(&libraries)?;
    let system = for_arm64(&fs_err::read_to_string(system_library)?);
    for name in ["System"].iter().chain(&SYSTEM_NAMES) {
        write_whole(&libraries.join(format!("lib{name}.tbd")), system.as_bytes())?;
    }
    for (name, file) in LIBRARIES {
        let text = by_name(&format!("/usr/lib/{file}.dylib"));
        write_whole(&libraries.join(format!("lib{name}.tbd")), text.as_bytes())?;
    }
    for (name, version) in FRAMEWORKS {
        let path = format!("System/Library/Frameworks/{name}.framework");
        let text = by_name(&format!("/{path}/Versions/{version}/{name}"));
        fs_err::create_dir_all(sdk.join(&path))?;
        write_whole(&sdk.join(path).join(format!("{name}.tbd")), text.as_bytes())?;
    }
    write_whole(&sdk.join("SDKSettings.json"), SETTINGS.as_bytes())?;
    Ok(sdk)
}

/// A library of which only the place on a Mac is known.
fn by_name(install_name: &str) -> String {
    format!(
        "--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\ninstall-name: '{install_name}'\ncurrent-version: 1\n...\n"
    )
}

/// The list with `arm64-macos` wherever it names a target of that family: Rust's linker crashes at some of them.
fn for_arm64(list: &str) -> String {
    let mut text = String::with_capacity(list.len());
    let mut rest = list;
    while let Some((before, targets, after)) = next_targets(rest) {
        let arm = targets.split(',').any(|target| ["arm64-macos", "arm64e-macos"].contains(&target.trim()));
        text += before;
        text += if arm { " arm64-macos " } else { " x86_64-macos " };
        rest = after;
    }
    text + rest
}

/// The text up to the inside of the next list of targets, that inside, and the rest from the bracket on.
fn next_targets(text: &str) -> Option<(&str, &str, &str)> {
    let key = text.find("targets:")?;
    let start = key + text[key..].find('[')? + 1;
    let end = start + text[start..].find(']')?;
    Some((&text[..start], &text[start..end], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_that_the_linker_knows() {
        let list = "targets: [ x86_64-macos, arm64e-macos,\n  arm64e.x1-macos ]\nexports:\n - targets: [ x86_64-macos ]\n   symbols: [ _a ]\n";
        let expected =
            "targets: [ arm64-macos ]\nexports:\n - targets: [ x86_64-macos ]\n   symbols: [ _a ]\n";
        assert_eq!(for_arm64(list), expected);
    }
}
