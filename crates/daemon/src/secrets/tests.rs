use std::process::{Command, Stdio};

use api::{ProblemCode, SecretScope, SecretValue};
use camino::Utf8Path;

use super::*;

fn folder(temp: &tempfile::TempDir) -> Utf8PathBuf {
    Utf8Path::from_path(temp.path()).unwrap().join("secrets")
}

fn set(kept: &KeptSecrets, name: &str, value: &str) -> Result<Option<SecretStatus>, Problem> {
    let value = Some(SecretValue(value.to_owned()));
    kept.carry_out(&SecretWish { name: name.into(), scope: SecretScope::User, value, target: None })
}

fn names(kept: &KeptSecrets) -> Vec<String> {
    kept.list(None).unwrap().into_iter().map(|it| it.name).collect()
}

/// The bytes of every file of a folder.
fn on_disk(folder: &Utf8Path) -> Vec<u8> {
    folder.read_dir_utf8().unwrap().flat_map(|entry| fs_err::read(entry.unwrap().path()).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn secrets_lie_encrypted_and_the_next_daemon_reads_them() {
    let temp = tempfile::tempdir().unwrap();
    let folder = folder(&temp);
    let kept = KeptSecrets::new(&folder, false);
    assert_eq!(names(&kept), [""; 0]);
    assert!(!folder.exists(), "nothing is made before there is something");
    set(&kept, "TOKEN", "s3cret-value").unwrap();
    let bytes = on_disk(&folder);
    assert!(holds(&bytes, "age-encryption.org"));
    assert!(!holds(&bytes, "s3cret-value") && !holds(&bytes, "TOKEN"), "not even names");
    let next = KeptSecrets::new(&folder, false);
    assert_eq!(names(&next), ["TOKEN"]);
    assert_eq!(
        next.read(PATIENCE, |book| book.resolve(&EnvironmentId("x".into()), Utf8Path::new("/")))
            .unwrap()
            .values["TOKEN"],
        "s3cret-value"
    );
}

#[test]
fn what_cannot_be_read_is_told_and_never_overwritten() {
    let temp = tempfile::tempdir().unwrap();
    let folder = folder(&temp);
    set(&KeptSecrets::new(&folder, false), "TOKEN", "s3cret-value").unwrap();
    let (store, key) = (folder.join("store.age"), folder.join("key"));
    let (good_store, good_key) = (fs_err::read(&store).unwrap(), fs_err::read(&key).unwrap());
    let other = tempfile::tempdir().unwrap();
    set(&KeptSecrets::new(self::folder(&other), false), "X", "y").unwrap();
    let other_key = fs_err::read(self::folder(&other).join("key")).unwrap();
    let mut flipped = good_store.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut last = None;
    let half = &good_store[..good_store.len() / 2];
    for (bytes, key_bytes, expected) in [
        (&good_store[..], Some(&other_key[..]), "another key"),
        (&good_store, None, "their key is not there"),
        (&good_store, Some(b"nonsense"), "their key is damaged"),
        (&flipped, Some(&good_key), "the file is damaged"),
        (half, Some(&good_key), "the file is damaged"),
        (b"", Some(&good_key), "the file is damaged"),
    ] {
        fs_err::write(&store, bytes).unwrap();
        match key_bytes {
            Some(bytes) => fs_err::write(&key, bytes).unwrap(),
            None => fs_err::remove_file(&key).unwrap(),
        }
        let kept = KeptSecrets::new(&folder, false);
        for problem in [set(&kept, "MORE", "value").unwrap_err(), kept.list(None).unwrap_err()] {
            assert_eq!(problem.code, ProblemCode::SecretsUnreadable);
            assert!(problem.title.contains(expected), "{problem}");
        }
        assert_eq!(fs_err::read(&store).unwrap(), bytes);
        fs_err::write(&store, &good_store).unwrap();
        fs_err::write(&key, &good_key).unwrap();
        last = Some(kept);
    }
    // Put back, it is read without a restart.
    let last = last.unwrap();
    if let State::Failed(at, _) = &mut *last.lock() {
        *at -= AGAIN;
    }
    assert_eq!(names(&last), ["TOKEN"]);
}

/// As when two set secrets while a keyring asks its person, and the disk is full for the first of them.
#[test]
fn who_waits_while_a_change_fails_finds_all_that_is_there() {
    let temp = tempfile::tempdir().unwrap();
    let folder = folder(&temp);
    set(&KeptSecrets::new(&folder, false), "TOKEN", "s3cret-value").unwrap();
    let kept = KeptSecrets::new(&folder, false);
    *kept.lock() = State::Opening(Instant::now());
    let (reader, writer) = (kept.clone(), kept.clone());
    let reading = std::thread::spawn(move || names(&reader));
    let writing = std::thread::spawn(move || set(&writer, "MORE", "value").map(drop));
    // Both wait by then.
    std::thread::sleep(Duration::from_millis(300));
    kept.end(&mut kept.lock(), State::Unread);
    writing.join().unwrap().unwrap();
    assert!(reading.join().unwrap().contains(&"TOKEN".to_owned()));
    assert_eq!(names(&KeptSecrets::new(&folder, false)), ["MORE", "TOKEN"]);
}

#[test]
fn what_earlier_versions_kept_in_the_clear_is_taken_over() {
    let temp = tempfile::tempdir().unwrap();
    let folder = folder(&temp);
    let environment: Environment = serde_json::from_value(serde_json::json!({
        "id": "aa11",
        "metadata": {
            "name": "web", "created_at": "2026-01-01T00:00:00Z", "generation": 1, "resource_version": 1
        },
        "spec": {
            "desired_phase": "running", "source": {"type": "folder", "path": "/srv/web"}, "machine": "default"
        },
        "status": {},
    }))
    .unwrap();
    Vault::new(&folder).keep("aa11.json", br#"{"TOKEN": "s3cret-value"}"#).unwrap();
    let kept = KeptSecrets::new(&folder, false);
    kept.adopt(|| Ok(vec![environment.clone()])).unwrap();
    assert_eq!(kept.of(&environment).unwrap().secrets.variables()["TOKEN"], "s3cret-value");
    assert!(!holds(&on_disk(&folder), "s3cret-value"));
    // What was an environment's own goes with it, also when it went while nobody could write.
    kept.adopt(|| Ok(Vec::new())).unwrap();
    assert_eq!(names(&kept), [""; 0]);
}

/// One that sets secrets until it is killed: this test runs itself for that.
#[test]
fn a_kill_in_the_middle_of_a_change_leaves_the_old_or_the_new() {
    const PLACE: &str = "COVE_TEST_SECRETS_PLACE";
    if let Some(folder) = std::env::var_os(PLACE) {
        let kept = KeptSecrets::new(Utf8PathBuf::try_from(std::path::PathBuf::from(folder)).unwrap(), false);
        for round in 0.. {
            // As long as several pages, so that a write can be cut.
            set(&kept, "LONG", &format!("{round} {}", "v".repeat(40_000))).unwrap();
            println!("{round} is kept");
        }
    }
    let name = "secrets::tests::a_kill_in_the_middle_of_a_change_leaves_the_old_or_the_new";
    for try_number in 0..12_u64 {
        let temp = tempfile::tempdir().unwrap();
        let folder = folder(&temp);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(PLACE, &folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // From before the key is there to many changes later.
        std::thread::sleep(std::time::Duration::from_millis(try_number * try_number * 3));
        child.kill().unwrap();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let told = said
            .lines()
            .filter_map(|line| line.strip_suffix(" is kept")?.split(' ').next_back()?.parse::<u64>().ok());
        let last = told.max();
        let kept = KeptSecrets::new(&folder, false);
        let given =
            kept.read(PATIENCE, |book| book.resolve(&EnvironmentId("x".into()), Utf8Path::new("/"))).unwrap();
        let value =
            given.values.get("LONG").map(|value| value.split(' ').next().unwrap().parse::<u64>().unwrap());
        // What was told to be kept is; at most the next one is there, of which nobody was told.
        assert!(value >= last && value <= Some(last.map_or(0, |last| last + 1)), "{value:?} after {last:?}");
        set(&kept, "MORE", "works on").unwrap();
    }
}

/// A pipe that nobody has written to is read as slowly as a keyring that asks its person.
#[test]
fn nobody_is_held_up_by_an_attempt_that_takes_its_time() {
    let temp = tempfile::tempdir().unwrap();
    let folder = folder(&temp);
    let kept = KeptSecrets::new(&folder, false);
    set(&kept, "TOKEN", "s3cret-value").unwrap();
    let store = folder.join("store.age");
    let good = fs_err::read(&store).unwrap();
    fs_err::remove_file(&store).unwrap();
    assert!(Command::new("mkfifo").arg(&store).status().unwrap().success());

    let kept = KeptSecrets::new(&folder, false);
    let attempts = kept.attempts();
    let look = || kept.read(MOMENT, |book| book.list(None).len());
    assert!(look().unwrap_err().title.contains("not open yet"));
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(look().is_err());
    }
    assert!(begun.elapsed() < MOMENT * 60, "only the first ones wait, and all of them together no longer");
    assert!(!attempts.has_changed().unwrap());
    let waiting = std::thread::spawn({
        let kept = kept.clone();
        move || names(&kept)
    });
    fs_err::write(&store, &good).unwrap();
    assert_eq!(waiting.join().unwrap(), ["TOKEN"], "who may wait gets it");
    assert!(attempts.has_changed().unwrap());
}

/// A disk of 64 KiB over a folder, for as long as this lives.
struct SmallDisk<'a>(&'a Utf8Path);

impl<'a> SmallDisk<'a> {
    /// `None` where nobody may mount, which needs root.
    fn over(folder: &'a Utf8Path) -> Option<Self> {
        fs_err::create_dir_all(folder).unwrap();
        let argv = ["-t", "tmpfs", "-o", "size=64k,mode=700", "none", folder.as_str()];
        let mounted = Command::new("mount").args(argv).status().is_ok_and(|status| status.success());
        let needed = std::env::var_os("COVE_REQUIRE_ENGINE").is_some_and(|value| value == "1");
        assert!(mounted || !needed, "a small disk cannot be mounted; that needs root");
        mounted.then_some(Self(folder))
    }

    /// Takes all that is left of it.
    fn fill(&self) -> Utf8PathBuf {
        let filler = self.0.join("filler");
        let mut file = fs_err::File::create(&filler).unwrap();
        let full = std::io::Write::write_all(&mut file, &vec![b'x'; 65 << 10]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        filler
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", self.0.as_str()]).status();
    }
}

#[test]
fn a_full_disk_is_told_and_what_was_kept_is_kept() {
    let temp = tempfile::tempdir().unwrap();
    let folder = folder(&temp);
    let Some(disk) = SmallDisk::over(&folder) else { return };
    let value = |kept: &KeptSecrets| {
        let given = kept.read(PATIENCE, |book| book.resolve(&EnvironmentId("x".into()), Utf8Path::new("/")));
        given.unwrap().values.remove("TOKEN")
    };
    let told = |problem: Problem| {
        assert_eq!(problem.code, ProblemCode::HostDiskFull, "{problem:?}");
        assert!(problem.causes.iter().any(|cause| cause.contains("No space left")), "{problem:?}");
        problem.title
    };

    // Not even the key has a place.
    let kept = KeptSecrets::new(&folder, false);
    let filler = disk.fill();
    assert_eq!(
        told(set(&kept, "TOKEN", "nowhere").unwrap_err()),
        "the secrets could not be written; there is no place for their key"
    );
    assert_eq!(value(&kept), None);
    fs_err::remove_file(&filler).unwrap();
    set(&kept, "TOKEN", "first").unwrap();

    let filler = disk.fill();
    let long = "second".repeat(4000);
    let title = "the secrets could not be written; those before are still there";
    assert_eq!(told(set(&kept, "TOKEN", &long).unwrap_err()), title);
    for kept in [&kept, &KeptSecrets::new(&folder, false)] {
        assert_eq!(value(kept).as_deref(), Some("first"), "for this daemon and the next");
    }
    assert!(!folder.join("store.age.new").exists(), "no half of it takes room");

    fs_err::remove_file(&filler).unwrap();
    set(&kept, "TOKEN", &long).unwrap();
    assert_eq!(value(&KeptSecrets::new(&folder, false)), Some(long));
}
