use std::io::Read as _;

use api::{EnvironmentId, EventKind, ObjectReference, ProblemCode, SecretScope, SecretWish};
use camino::Utf8Path;
use serde_json::json;

use super::*;
use crate::machine::testing::Fixture;
use crate::store::EventQuery;

fn unpacked(archive: &[u8]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        assert_eq!((entry.header().uid().unwrap(), entry.header().username().unwrap()), (0, Some("")));
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name.strip_prefix("cove-diagnostics/").unwrap().to_owned(), text);
    }
    files
}

fn diagnostics(fixture: &Fixture, secrets: &Utf8Path) -> Diagnostics {
    let examined = Examined {
        paths: fixture.paths.clone(),
        machine: fixture.machine.clone(),
        store: fixture.store.clone(),
    };
    Diagnostics::new(examined, KeptSecrets::new(secrets, false))
}

fn keep(diagnostics: &Diagnostics, value: &str) {
    let wish: SecretWish = serde_json::from_value(json!({
        "name": "API_KEY", "scope": SecretScope::User, "value": value,
    }))
    .unwrap();
    diagnostics.inner.secrets.carry_out(&wish).unwrap();
}

#[tokio::test]
async fn a_bundle_says_what_is_needed_and_holds_no_secret() {
    let fixture = Fixture::new();
    let diagnostics = diagnostics(&fixture, &fixture.paths.secrets_dir());
    keep(&diagnostics, "kept-very-secret");
    let id = EnvironmentId("e1".to_owned());
    let problem =
        api::Problem::new(ProblemCode::HookFailed, "kept-very-secret did not work for ada@example.org");
    fixture.store.emit(ObjectReference::environment(&id), EventKind::Warning { problem });
    let filler = "a line of the daemon\n".repeat(40_000);
    let log = format!("{filler}with kept-very-secret and 192.168.7.9\nAuthorization: Bearer abcdef123456\n");
    fs_err::write(fixture.paths.daemon_log(), log).unwrap();
    fs_err::write(fixture.paths.settings_file(), "shares = [\"~/src\"]\n").unwrap();

    let preview = diagnostics.preview().await.unwrap();
    let archive = diagnostics.bundle(Some(&preview.id)).await.unwrap();
    let files = unpacked(&archive);
    let shown: BTreeMap<_, _> =
        preview.files.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
    assert_eq!(files, shown, "what is sent is what was read");
    for (name, text) in &files {
        for planted in ["kept-very-secret", "ada@example.org", "192.168.7.9", "abcdef123456"] {
            assert!(!text.contains(planted), "{name} has {planted}");
        }
    }
    let log = &files["logs/coved.log"];
    assert!(log.ends_with("with <secret> and <ip>\nAuthorization: <token>\n"), "{}", &log[log.len() - 80..]);
    assert!(log.len() <= collect::KEPT_OF_LOG && log.starts_with("a line of the daemon\n"));
    assert!(files["events.ndjson"].contains("<secret> did not work for <e-mail>"));
    assert!(files["config.toml"].contains("~/src") && files["doctor.txt"].contains("state folder"));
    assert!(files["version.txt"].contains(env!("CARGO_PKG_VERSION")));
    let manifest = &files["MANIFEST.txt"];
    for words in ["logs/coved.log", "values of secrets, now <secret>", "the audit log"] {
        assert!(manifest.contains(words), "{manifest}");
    }
    let counted = |kind| preview.removed.iter().find(|it| it.kind == kind).unwrap().count;
    assert!(counted(RemovedKind::Secret) >= 2 && counted(RemovedKind::PrivateKey) == 0);
    assert!(!files.keys().any(|name| name.contains("audit")));
    let gone = diagnostics.bundle(Some("another")).await.unwrap_err();
    assert_eq!(gone.code, ProblemCode::Conflict);
}

#[tokio::test]
async fn what_cannot_be_looked_through_is_left_out() {
    let fixture = Fixture::new();
    let folder = fixture.paths.secrets_dir();
    keep(&diagnostics(&fixture, &folder), "kept-very-secret");
    // The key is gone, as with a keyring that stays locked.
    for file in fs_err::read_dir(&folder).unwrap() {
        fs_err::write(file.unwrap().path(), "damaged").unwrap();
    }
    fs_err::write(fixture.paths.daemon_log(), "with kept-very-secret\n").unwrap();
    let preview = diagnostics(&fixture, &folder).preview().await.unwrap();
    let names: Vec<_> = preview.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["MANIFEST.txt", "version.txt", "doctor.txt", "config.toml", "machine.json"]);
    assert_eq!(preview.left_out.len(), 1);
    assert!(preview.files[0].text.contains("secrets cannot be read"), "{}", preview.files[0].text);
    assert!(fixture.store.history(&EventQuery { before: None, object: None, limit: 1 }).is_ok());
}
