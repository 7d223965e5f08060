//! What is in `Cove.app`, and where.

use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};

use super::{icons, info};
use crate::image::{Places, empty};

/// A program of the app.
pub(super) struct Program {
    /// Its file. Macs do not tell upper from lower case in names: no two may differ in that alone.
    pub(super) name: &'static str,
    /// Its name in signatures; the main program's is that of the app.
    pub(super) identifier: &'static str,
    /// The file below `package/` that says what it may do beyond what every program may.
    pub(super) entitlements: Option<&'static str>,
}

/// All programs, side by side, where they look for each other. The first is what opens with the app.
pub(super) const PROGRAMS: [Program; 4] = [
    Program { name: "cove-app", identifier: info::IDENTIFIER, entitlements: None },
    Program { name: "cove", identifier: "dev.cove.cove", entitlements: None },
    Program { name: "coved", identifier: "dev.cove.coved", entitlements: None },
    Program {
        name: "cove-shim",
        identifier: "dev.cove.cove-shim",
        entitlements: Some("cove-shim.entitlements"),
    },
];

/// Where programs lie.
pub(super) const MACOS: &str = "Contents/MacOS";

/// The app's icon, in the folder of resources.
pub(super) const ICON: &str = "Cove.icns";

/// Which guest image this version was made with: its files by digest, not the files.
pub(super) const GUEST_IMAGE: &str = "Contents/Resources/guest-image.json";

/// The app could not be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentsError {
    #[error("there is no program `{name}` in {folder}")]
    NoProgram { name: &'static str, folder: Utf8PathBuf },
    #[error("there is no arm64 guest image in {0}; build it with `cargo xtask image --arch arm64`")]
    NoImage(Utf8PathBuf),
    #[error(transparent)]
    Info(#[from] info::InfoError),
    #[error(transparent)]
    Icons(#[from] icons::IconsError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Puts the app together, unsigned, in the place of one that was there.
pub(super) fn assemble(places: &Places, programs: &Utf8Path, bundle: &Utf8Path) -> Result<(), ContentsError> {
    let sources = places.repository.join("package");
    empty(bundle)?;
    let contents = bundle.join("Contents");
    for folder in ["MacOS", "Resources", "Library/LaunchAgents"] {
        fs_err::create_dir_all(contents.join(folder))?;
    }
    for program in &PROGRAMS {
        let from = programs.join(program.name);
        if !from.is_file() {
            return Err(ContentsError::NoProgram { name: program.name, folder: programs.to_owned() });
        }
        fs_err::copy(from, bundle.join(MACOS).join(program.name))?;
    }
    fs_err::write(contents.join("Info.plist"), info::info(&fs_err::read(sources.join("Info.plist"))?)?)?;
    fs_err::write(contents.join("PkgInfo"), "APPL????")?;
    let agent = contents.join("Library/LaunchAgents").join(format!("{}.plist", info::AGENT));
    fs_err::write(agent, info::launch_agent())?;
    fs_err::write(contents.join("Resources").join(ICON), icons::icns(&sources.join("icons/cove.svg"))?)?;
    let manifest = places.out.join("manifest.json");
    if !manifest.is_file() {
        return Err(ContentsError::NoImage(places.out.clone()));
    }
    fs_err::copy(manifest, bundle.join(GUEST_IMAGE))?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs_err::copy(places.repository.join(licence), contents.join("Resources").join(licence))?;
    }
    Ok(())
}

/// Who may do what with each file, below `Contents`: everybody may read, and programs run.
pub(super) fn mode(file: &Utf8Path) -> u32 {
    if file.starts_with("MacOS") { 0o755 } else { 0o644 }
}

/// Lets everybody read the app, however private the files of the person who makes it are.
pub(super) fn open_to_all(bundle: &Utf8Path) -> std::io::Result<()> {
    let contents = bundle.join("Contents");
    for file in files(&contents)? {
        fs_err::set_permissions(contents.join(&file), PermissionsExt::from_mode(mode(&file)))?;
        for folder in contents.join(&file).ancestors().skip(1).take_while(|folder| folder.starts_with(bundle))
        {
            fs_err::set_permissions(folder, PermissionsExt::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Every file and link below a folder, by its path from there, sorted.
pub(super) fn files(folder: &Utf8Path) -> std::io::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir_utf8()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path().to_owned());
            } else {
                found.push(entry.path().strip_prefix(folder).unwrap_or(entry.path()).to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes of all files.
pub(super) fn size(folder: &Utf8Path) -> std::io::Result<u64> {
    files(folder)?.iter().map(|file| Ok(fs_err::symlink_metadata(folder.join(file))?.len())).sum()
}
