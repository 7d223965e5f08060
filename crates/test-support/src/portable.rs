//! Programs of this computer in a container that has other libraries, or none.

use std::path::Path;
use std::process::Command;

use camino::Utf8Path;

use crate::put_program;

/// Puts a program and all it needs of this computer into a folder of its own, where a script of its name starts it; one
/// that is static comes alone.
///
/// # Panics
/// The program is not there, or the folder cannot be written.
pub fn portable(program: &str, folder: impl AsRef<Path>) {
    let folder = folder.as_ref();
    std::fs::create_dir_all(folder).expect("the folder is the test's own");
    let name = |path: &str| Utf8Path::new(path).file_name().expect("it is a file").to_owned();
    let copy = |from: &str, to: &str| {
        std::fs::copy(from, folder.join(to)).unwrap_or_else(|error| panic!("{from}: {error}"));
    };
    let listed = Command::new("ldd").arg(program).output().expect("`ldd` belongs to every libc");
    if !listed.status.success() {
        return copy(program, &name(program));
    }
    let listed = String::from_utf8_lossy(&listed.stdout);
    for library in listed.split_ascii_whitespace().filter(|word| word.starts_with('/')) {
        copy(library, &name(library));
    }
    copy(program, "program");
    let loader = format!("ld-linux-{}.so.2", std::env::consts::ARCH.replace('_', "-"));
    let script = format!(
        "#!/bin/sh\nhere=$(dirname \"$0\")\nexec \"$here/{loader}\" --library-path \"$here\" \"$here/program\" \"$@\"\n"
    );
    put_program(folder.join(name(program)), &script);
}
