//! Faults that a packaged app can have, and whether they are seen.
//!
//! The app is the one that the rehearsal made, in `COVE_TEST_APP`. Without it these tests say so and prove nothing;
//! under `COVE_REQUIRE_VM=1`, as in `make test`, that is a failure.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::contents::MACOS;
use super::disk_image::DiskImageError;
use super::{disk_image, inspect, signing};

fn repository() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn packaged() -> Option<Utf8PathBuf> {
    let app = std::env::var("COVE_TEST_APP").ok().map(Utf8PathBuf::from);
    if app.is_none() {
        assert!(std::env::var_os("COVE_REQUIRE_VM").is_none(), "COVE_TEST_APP does not name a packaged app");
        eprintln!("skipped: COVE_TEST_APP does not name a packaged app (`cargo xtask package`)");
    }
    app
}

/// A copy of the app that may be spoilt. Its files are shared with the original until they are written anew.
struct Copy {
    _folder: tempfile::TempDir,
    bundle: Utf8PathBuf,
}

impl Copy {
    fn of(app: &Utf8Path) -> Self {
        let folder = tempfile::tempdir_in(app.parent().unwrap()).unwrap();
        let bundle = Utf8PathBuf::from_path_buf(folder.path().join("Cove.app")).unwrap();
        assert!(Command::new("cp").args(["-al", app.as_str(), bundle.as_str()]).status().unwrap().success());
        Self { _folder: folder, bundle }
    }

    fn rewrite(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.bundle.join("Contents").join(file);
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        let mut bytes = fs_err::read(&path).unwrap();
        change(&mut bytes);
        fs_err::remove_file(&path).unwrap();
        fs_err::write(&path, bytes).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn faults(&self) -> String {
        inspect::app(repository(), &self.bundle).unwrap().join("\n")
    }
}

#[test]
fn the_packaged_app_is_as_it_should_be() {
    let Some(app) = packaged() else { return };
    assert_eq!(Copy::of(&app).faults(), "");
}

/// A file, what is done to it, and what is told.
type Spoilt = (&'static str, fn(&mut Vec<u8>), &'static str);

#[test]
fn what_was_changed_after_signing_is_found() {
    let Some(app) = packaged() else { return };
    let spoilt: [Spoilt; 5] = [
        ("MacOS/cove-shim", |bytes| bytes[70_000] ^= 1, "cove-shim: page"),
        ("MacOS/coved", |bytes| bytes.truncate(200_000), "coved: it is not"),
        ("Info.plist", |bytes| bytes.push(b'\n'), "Info.plist is not the one it was signed with"),
        ("Resources/guest-image.json", |bytes| bytes.push(b' '), "guest-image.json is not as it was sealed"),
        ("_CodeSignature/CodeResources", |bytes| bytes.push(b'\n'), "the list of files is not the one"),
    ];
    for (file, change, told) in spoilt {
        let copy = Copy::of(&app);
        copy.rewrite(file, change);
        let faults = copy.faults();
        assert!(faults.contains(told), "{file}: {faults}");
    }
}

#[test]
fn what_is_missing_or_too_much_is_found() {
    let Some(app) = packaged() else { return };
    let copy = Copy::of(&app);
    fs_err::remove_file(copy.bundle.join(MACOS).join("coved")).unwrap();
    fs_err::write(copy.bundle.join("Contents/Resources/notes.txt"), "").unwrap();
    let faults = copy.faults();
    assert!(faults.contains("MacOS/coved is missing"), "{faults}");
    assert!(faults.contains("Resources/notes.txt does not belong there"), "{faults}");
}

#[test]
fn a_path_of_the_builder_is_found() {
    let Some(app) = packaged() else { return };
    let copy = Copy::of(&app);
    let home = "/home/who-builds";
    assert!(inspect::build_paths(&copy.bundle, home).unwrap().is_empty());
    copy.rewrite("MacOS/coved", |bytes| bytes.extend(b"\0/home/who-builds/src/lib.rs\0more"));
    let faults = inspect::build_paths(&copy.bundle, home).unwrap();
    assert!(faults.len() == 1 && faults[0].ends_with(": /home/who-builds/src/lib.rs"), "{faults:?}");
}

/// The right to make machines on the wrong program, and a program without the hardened runtime.
#[test]
fn who_may_make_machines_is_held() {
    let Some(app) = packaged() else { return };
    signing::provide().unwrap();
    let copy = Copy::of(&app);
    for name in ["coved", "cove-shim"] {
        copy.rewrite(&format!("MacOS/{name}"), |_| ());
    }
    let rcodesign = crate::setup::tools_folder().unwrap().join("bin/rcodesign");
    let entitlements = repository().join("package/cove-shim.entitlements");
    let sign = |name: &str, words: &[&str]| {
        let program = copy.bundle.join(MACOS).join(name);
        let output = Command::new(&rcodesign).arg("sign").args(words).arg(program).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    sign("coved", &["--code-signature-flags", "runtime", "--entitlements-xml-file", entitlements.as_str()]);
    fs_err::remove_file(copy.bundle.join(MACOS).join("cove-shim")).unwrap();
    let plain = copy.bundle.join(MACOS).join("cove-shim");
    // The linker's own signature: whole, but soft and without entitlements.
    fs_err::copy(linked("cove-shim"), plain).unwrap();
    let faults = copy.faults();
    assert!(
        faults.contains("coved: `cove-shim`, and nothing else, must be able to make machines"),
        "{faults}"
    );
    assert!(faults.contains("cove-shim: it is signed without the hardened runtime"), "{faults}");
    assert!(faults.contains("cove-shim: `cove-shim`, and nothing else, must be able"), "{faults}");
}

/// A program as it was linked.
fn linked(name: &str) -> Utf8PathBuf {
    let folder = std::env::var("COVE_TEST_PROGRAMS").expect("goes with COVE_TEST_APP");
    Utf8Path::new(&folder).join(name)
}

/// Read back by another program: disk image, partition map, file system of Apple's, files.
#[test]
fn the_disk_image_holds_the_app_byte_for_byte() {
    let Some(app) = packaged() else { return };
    let folder = tempfile::tempdir_in(app.parent().unwrap()).unwrap();
    let out = Utf8Path::from_path(folder.path()).unwrap();
    let dmg = app.with_file_name(format!("Cove-{}-arm64.dmg", super::VERSION));
    let parts = disk_image::parts(dmg.as_std_path()).unwrap();
    fs_err::write(out.join("disk"), &parts[0]).unwrap();
    let unpack = |kind: &str, from: &str| {
        let mut seven = Command::new("7z");
        seven.current_dir(out).args(["x", "-y", &format!("-t{kind}"), &format!("-o{kind}"), from]);
        // It calls the end of the disk an error, since the partitions do not reach it: what counts is what came out.
        seven.output().expect("`make test` installs 7z")
    };
    unpack("apm", "disk");
    let output = unpack("hfs", "apm/HFSPLUS_Hybrid.hfs");
    let unpacked = out.join("hfs/Cove");
    assert!(unpacked.join("Cove.app").is_dir(), "{}", String::from_utf8_lossy(&output.stdout));
    let mut diff = Command::new("diff");
    let output = diff.arg("-r").args([&app, &unpacked.join("Cove.app")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(fs_err::symlink_metadata(unpacked.join("Applications")).unwrap().is_symlink());

    let mut bytes = fs_err::read(&dmg).unwrap();
    bytes[70_000] ^= 1;
    fs_err::write(out.join("spoilt.dmg"), bytes).unwrap();
    let error = disk_image::look_at(&out.join("spoilt.dmg")).unwrap_err();
    assert!(matches!(error, DiskImageError::Damaged(_)), "{error}");
}
