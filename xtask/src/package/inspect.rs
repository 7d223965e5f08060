//! Looks at a packaged app as a stranger would: what is in it, what it says of itself, what it may do.
//!
//! Gives all faults at once. The signatures are read by our own readers, not by what signed.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use plist::{Dictionary, Value};

use super::contents::{GUEST_IMAGE, ICON, MACOS, PROGRAMS, Program, files, mode};
use super::info::{AGENT, IDENTIFIER};
use super::macho;
use super::seal;
use super::signature::Signature;
use super::{VERSION, icons};
use crate::macos::MACOS_VERSION;

/// The one entitlement that any of our programs has.
const VIRTUALIZATION: &str = "com.apple.security.virtualization";

/// The program that has it.
const SHIM: &str = "cove-shim";

/// Most bytes that an app may have, its programs unoptimised as the tests make it.
const MOST_BYTES: u64 = 250_000_000;

/// What is wrong with the app; nothing, when it can be given to people.
pub(super) fn app(repository: &Utf8Path, bundle: &Utf8Path) -> std::io::Result<Vec<String>> {
    let contents = bundle.join("Contents");
    let files = files(&contents)?;
    let mut faults = structure(&contents, &files)?;
    if !faults.is_empty() {
        // Without the files there is nothing to look into.
        return Ok(faults);
    }
    let info = fs_err::read(contents.join("Info.plist"))?;
    faults.extend(information(&info));
    faults.extend(agent(&fs_err::read(contents.join(format!("Library/LaunchAgents/{AGENT}.plist")))?));
    faults.extend(icons::faults(&fs_err::read(contents.join("Resources").join(ICON))?));
    faults.extend(guest_image(&fs_err::read(bundle.join(GUEST_IMAGE))?));
    let seal = fs_err::read(contents.join(seal::SEAL))?;
    for (index, known) in PROGRAMS.iter().enumerate() {
        let data = fs_err::read(bundle.join(MACOS).join(known.name))?;
        let around = (index == 0).then_some((&*info, &*seal));
        let wanted = match known.entitlements {
            Some(file) => Value::from_file(repository.join("package").join(file)).ok(),
            None => None,
        };
        faults.extend(program(known, &data, wanted.as_ref(), around));
    }
    let main = Utf8Path::new("MacOS").join(PROGRAMS[0].name);
    faults.extend(seal::faults(&contents, &main, &files)?);
    Ok(faults)
}

/// Paths below the home folder of whoever built the programs, which are in them and should not.
pub(super) fn build_paths(bundle: &Utf8Path, home: &str) -> std::io::Result<Vec<String>> {
    let needle = format!("{home}/");
    let mut faults = Vec::new();
    for program in PROGRAMS.iter().filter(|_| home.len() > 1) {
        let data = fs_err::read(bundle.join(MACOS).join(program.name))?;
        let text = String::from_utf8_lossy(&data);
        if let Some(at) = text.find(&needle) {
            let path: String = text[at..].chars().take_while(|c| *c != '\0').take(120).collect();
            faults.push(format!("{} holds a path of the computer it was built on: {path}", program.name));
        }
    }
    Ok(faults)
}

fn structure(contents: &Utf8Path, files: &[Utf8PathBuf]) -> std::io::Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut wanted: Vec<String> = PROGRAMS.iter().map(|program| format!("MacOS/{}", program.name)).collect();
    wanted.extend(["Info.plist", "PkgInfo", seal::SEAL].map(str::to_owned));
    wanted.push(format!("Library/LaunchAgents/{AGENT}.plist"));
    wanted.extend(
        [ICON, "guest-image.json", "LICENSE-APACHE", "LICENSE-MIT"].map(|name| format!("Resources/{name}")),
    );
    let there = |name: &String| files.iter().any(|file| file == name);
    faults.extend(wanted.iter().filter(|name| !there(name)).map(|name| format!("{name} is missing")));
    let ticket = "CodeResources";
    let stranger = |file: &&Utf8PathBuf| !wanted.iter().any(|name| *file == name) && file.as_str() != ticket;
    faults.extend(files.iter().filter(stranger).map(|file| format!("{file} does not belong there")));
    // Macs do not tell upper from lower case in names.
    let folded: BTreeSet<_> = files.iter().map(|file| file.as_str().to_lowercase()).collect();
    if folded.len() != files.len() {
        faults.push("two files differ in upper and lower case alone".to_owned());
    }
    let mut bytes = 0;
    for file in files {
        let metadata = fs_err::symlink_metadata(contents.join(file))?;
        bytes += metadata.len();
        let found = metadata.permissions().mode() & 0o7777;
        let expected = mode(file);
        if !metadata.is_file() || found != expected {
            faults.push(format!("{file} is not a plain file of mode {expected:o} but {found:o}"));
        }
    }
    if bytes > MOST_BYTES {
        faults.push(format!("the app has {bytes} bytes, more than {MOST_BYTES}"));
    }
    Ok(faults)
}

fn dictionary(bytes: &[u8]) -> Dictionary {
    Value::from_reader_xml(bytes).ok().and_then(Value::into_dictionary).unwrap_or_default()
}

/// What macOS is told.
fn information(info: &[u8]) -> Vec<String> {
    let info = dictionary(info);
    let mut faults = Vec::new();
    let texts = [
        ("CFBundleIdentifier", IDENTIFIER),
        ("CFBundleExecutable", PROGRAMS[0].name),
        ("CFBundleShortVersionString", VERSION),
        ("CFBundleVersion", VERSION),
        ("LSMinimumSystemVersion", MACOS_VERSION),
        ("CFBundlePackageType", "APPL"),
        ("CFBundleIconFile", ICON),
    ];
    for (key, wanted) in texts {
        let found = info.get(key).and_then(Value::as_string).unwrap_or_default();
        if found != wanted {
            faults.push(format!("Info.plist: {key} is `{found}`, not `{wanted}`"));
        }
    }
    let mut claim = |what: &str, holds: bool| {
        if !holds {
            faults.push(format!("Info.plist: {what}"));
        }
    };
    claim("LSUIElement is not true", info.get("LSUIElement") == Some(&true.into()));
    let entries = |key: &str| -> Vec<&Dictionary> {
        let array = info.get(key).and_then(Value::as_array);
        array.into_iter().flatten().filter_map(Value::as_dictionary).collect()
    };
    let list = |entry: &Dictionary, key: &str| -> Vec<String> {
        let array = entry.get(key).and_then(Value::as_array);
        array.into_iter().flatten().filter_map(Value::as_string).map(str::to_owned).collect()
    };
    let text = |entry: &Dictionary, key: &str| entry.get(key).and_then(Value::as_string).map(str::to_owned);
    let documents = entries("CFBundleDocumentTypes");
    let opens =
        |kind: &str| documents.iter().copied().find(|entry| list(entry, "LSItemContentTypes") == [kind]);
    claim(
        "folders do not open with it, or it comes before Finder",
        opens("public.folder")
            .is_some_and(|entry| text(entry, "LSHandlerRank").as_deref() == Some("Alternate")),
    );
    let own = text(
        entries("UTExportedTypeDeclarations").first().unwrap_or(&&Dictionary::new()),
        "UTTypeIdentifier",
    );
    claim("workspaces do not open with it", own.as_deref().is_some_and(|kind| opens(kind).is_some()));
    let schemes = entries("CFBundleURLTypes")
        .iter()
        .flat_map(|entry| list(entry, "CFBundleURLSchemes"))
        .collect::<Vec<_>>();
    claim("links to `cove:` do not open with it, or others do", schemes == ["cove"]);
    faults
}

/// What launchd is told: a program that is there, and the app whose name people see.
fn agent(agent: &[u8]) -> Option<String> {
    let agent = dictionary(agent);
    let text = |key: &str| agent.get(key).and_then(Value::as_string);
    let owners = agent.get("AssociatedBundleIdentifiers").and_then(Value::as_array);
    let program = text("BundleProgram").and_then(|path| path.strip_prefix(MACOS)?.strip_prefix('/'));
    let right = text("Label") == Some(AGENT)
        && program.is_some_and(|name| PROGRAMS.iter().any(|program| program.name == name))
        && owners.is_some_and(|owners| owners.contains(&IDENTIFIER.into()));
    (!right).then(|| format!("{AGENT}.plist does not start a program of this app in its name"))
}

/// The image is named by the digest of each of its files.
fn guest_image(manifest: &[u8]) -> Option<String> {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap_or_default();
    let digest = |name: &str| manifest.pointer(&format!("/files/{name}/sha256"))?.as_str().map(str::len);
    let whole = ["kernel", "initramfs", "root.erofs"].iter().all(|name| digest(name) == Some(64));
    (!whole || manifest["arch"] != "arm64")
        .then(|| "guest-image.json does not name an arm64 image".to_owned())
}

/// One program. `around` is what the main one is signed together with.
fn program(
    known: &Program,
    data: &[u8],
    wanted: Option<&Value>,
    around: Option<(&[u8], &[u8])>,
) -> Vec<String> {
    let fault = |what: String| vec![format!("{}: {what}", known.name)];
    let Some(program) = macho::Program::read(data) else {
        return fault("it is not a Mach-O program for arm64".to_owned());
    };
    let Some((code, signature)) = program.signed else {
        return fault("it is not signed".to_owned());
    };
    let signature = match Signature::verified(code, signature) {
        Ok(signature) => signature,
        Err(error) => return fault(error.to_string()),
    };
    let mut faults = Vec::new();
    let mut claim = |holds: bool, what: String| {
        if !holds {
            faults.extend(fault(what));
        }
    };
    let oldest = &program.oldest_macos;
    claim(oldest == MACOS_VERSION, format!("it wants macOS {oldest}, not {MACOS_VERSION}"));
    claim(signature.hardened, "it is signed without the hardened runtime".to_owned());
    claim(
        signature.identifier == known.identifier,
        format!("it is signed as `{}`, not `{}`", signature.identifier, known.identifier),
    );
    let may = signature.entitlements.as_deref().map(dictionary).unwrap_or_default();
    let allowed = wanted.and_then(Value::as_dictionary).cloned().unwrap_or_default();
    claim(may == allowed, format!("it may do {may:?}, not {allowed:?}"));
    claim(
        may.contains_key(VIRTUALIZATION) == (known.name == SHIM),
        format!("`{SHIM}`, and nothing else, must be able to make machines"),
    );
    if let Some((info, seal)) = around {
        claim(signature.has_info(info), "Info.plist is not the one it was signed with".to_owned());
        claim(signature.has_seal(seal), "the list of files is not the one it was signed with".to_owned());
    }
    faults
}
