use camino::Utf8Path;

use super::*;

#[test]
fn without_a_desktop_the_key_is_a_file_of_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temp.path()).unwrap().join("secrets");
    let keyring = Keyring::new(&folder, false);
    assert_eq!(keyring.find().unwrap(), Found::Nothing);
    keyring.keep(b"k").unwrap();
    assert_eq!(keyring.find().unwrap(), Found::Key(b"k".to_vec()));
    for (path, mode) in [(folder.clone(), 0o700), (folder.join("key"), 0o600)] {
        assert_eq!(fs_err::metadata(path).unwrap().permissions().mode() & 0o777, mode);
    }
}

/// A real keyring on a bus of its own: this test runs itself there.
#[test]
fn a_desktops_keyring_has_the_key_and_says_so_when_it_is_locked() {
    let folder = Utf8Path::new("/srv/state/secrets");
    if std::env::var_os("COVE_TEST_KEYRING").is_some() {
        let keyring = Keyring::new(folder, true);
        assert_eq!(keyring.find().unwrap(), Found::Nothing);
        assert_eq!(keyring.keep(b"AGE-SECRET-KEY-1").unwrap(), "the keyring of the desktop");
        assert_eq!(keyring.find().unwrap(), Found::Key(b"AGE-SECRET-KEY-1".to_vec()));
        assert_eq!(Keyring::new("/srv/other", true).find().unwrap(), Found::Nothing);
        lock();
        let Found::Unknown(reason) = keyring.find().unwrap() else { panic!("it is locked") };
        assert!(reason.contains("locked"), "{reason}");
        assert!(linux::keep(folder, b"x").unwrap_err().contains("locked"));
        return;
    }
    let programs = ["dbus-run-session", "gnome-keyring-daemon"];
    let is_there = |name: &&str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|it| it.join(name).exists())
    };
    if let Some(missing) = programs.iter().find(|name| !is_there(name)) {
        assert!(std::env::var_os("COVE_REQUIRE_KEYRING").is_none(), "`{missing}` is missing");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let name = "keyring::tests::a_desktops_keyring_has_the_key_and_says_so_when_it_is_locked";
    let line = "printf pass | gnome-keyring-daemon --unlock --components=secrets >/dev/null && exec \"$0\" --exact \"$1\" --nocapture";
    let ran = std::process::Command::new("dbus-run-session")
        .args(["--", "sh", "-c", line])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .envs([("HOME", temp.path()), ("XDG_RUNTIME_DIR", temp.path()), ("XDG_DATA_HOME", temp.path())])
        .env("COVE_TEST_KEYRING", "1")
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

/// As a screen saver or the person does.
fn lock() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service =
            secret_service::SecretService::connect(secret_service::EncryptionType::Dh).await.unwrap();
        service.get_default_collection().await.unwrap().lock().await.unwrap();
    });
}
