use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use api::{
    DesiredPhase, EnvironmentSpec, EnvironmentStatus, EventKind, HookStage, LogStream, ObjectReference,
    Phase, Problem, ProblemCode, Session, StepKind, UpRequest,
};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::{Store, StoreError};
use crate::settings::Settings;

struct Place {
    _temp: tempfile::TempDir,
    file: Utf8PathBuf,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(temp.path()).unwrap().join("state.db");
        Self { _temp: temp, file }
    }

    fn open(&self) -> Store {
        Store::open(&self.file).unwrap()
    }
}

fn request(folder: &str) -> UpRequest {
    UpRequest { folder: folder.into(), ..UpRequest::default() }
}

fn up(store: &Store, request: &UpRequest) -> (api::Environment, bool) {
    store.up(request, Session::fresh(), Timestamp::now()).unwrap()
}

fn running() -> EnvironmentStatus {
    EnvironmentStatus { phase: Phase::Running, ..EnvironmentStatus::default() }
}

#[test]
fn who_has_none_of_a_persons_variables_keeps_those_there_are() {
    let place = Place::new();
    let store = place.open();
    let given = |value: &str| [("TOKEN".to_owned(), value.to_owned())].into();
    let made = up(&store, &UpRequest { variables: given("first"), ..request("/a") }).0;
    up(&store, &UpRequest { keep_variables: true, ..request("/a") });
    assert_eq!(store.variables(&made.id).unwrap(), given("first"));
    up(&store, &request("/a"));
    assert!(store.variables(&made.id).unwrap().is_empty());
}

#[test]
fn a_folder_has_one_environment_and_asking_again_repairs_and_changes_nothing_else() {
    let place = Place::new();
    let store = place.open();
    let (first, is_new) = up(&store, &request("/src/My App"));
    assert!(is_new);
    assert_eq!(first.metadata.name.as_str(), "my-app");

    let (retried, is_new) = up(&store, &request("/src/My App"));
    assert!(!is_new);
    assert_eq!(retried.id, first.id);
    assert_ne!(retried.spec.retry, first.spec.retry, "it does not run yet: try again");
    assert_eq!(retried.metadata.generation, 2);

    store.write_status(&first.id, running()).unwrap();
    let (undisturbed, _) = up(&store, &request("/src/My App"));
    let read_again = EnvironmentSpec { retry: undisturbed.spec.retry.clone(), ..retried.spec.clone() };
    assert_eq!(undisturbed.spec, read_again, "its files are read again, and nothing else is asked for");

    let problem = Some(Problem::new(ProblemCode::HookFailed, "the hook failed"));
    store.write_status(&first.id, EnvironmentStatus { problem, ..running() }).unwrap();
    let (healed, _) = up(&store, &request("/src/My App"));
    assert_ne!(healed.spec.retry, retried.spec.retry, "up with a problem: try again");

    let asked =
        UpRequest { rebuild: true, consents: vec!["d1".into(), "d1".into()], ..request("/src/My App") };
    let (rebuilt, _) = up(&store, &asked);
    assert_ne!(rebuilt.spec.rebuild, healed.spec.rebuild);
    assert_eq!(rebuilt.spec.consents, ["d1"]);
}

#[test]
fn names_are_unique_and_a_taken_one_is_refused_only_when_asked_for() {
    let place = Place::new();
    let store = place.open();
    up(&store, &request("/a/app"));
    assert_eq!(up(&store, &request("/b/app")).0.metadata.name.as_str(), "app-2");
    let other = UpRequest { config: Some(".devcontainer/x.json".into()), ..request("/a/app") };
    assert_eq!(up(&store, &other).0.metadata.name.as_str(), "app-3", "another configuration is another one");
    let named = UpRequest { name: Some(api::Name::parse("app").unwrap()), ..request("/c/app") };
    let refused = store.up(&named, Session::fresh(), Timestamp::now()).unwrap_err();
    assert!(matches!(&refused, StoreError::NameTaken { folder, .. } if folder == "/a/app"), "{refused}");
    assert_eq!(store.environments().unwrap().len(), 3);
    // What a worktree is called nobody typed: two parts of one repository both come up.
    for (folder, name) in [("/w/fix/api", "app-fix"), ("/w/fix/web", "app-fix-2"), ("/w/fix/api", "app-fix")]
    {
        let suggested_name = Some(api::Name::parse("app-fix").unwrap());
        let made = up(&store, &UpRequest { suggested_name, ..request(folder) }).0;
        assert_eq!(made.metadata.name.as_str(), name, "{folder}");
    }
}

#[test]
fn a_write_on_an_old_version_is_refused_and_an_equal_one_is_nothing() {
    let place = Place::new();
    let store = place.open();
    let (made, _) = up(&store, &request("/a"));
    let version = made.metadata.resource_version;
    let stop = |spec: &mut api::EnvironmentSpec| spec.desired_phase = DesiredPhase::Stopped;
    let stopped = store.change_spec(&made.id, Some(version), stop).unwrap();
    assert_eq!(stopped.metadata.generation, 2);
    assert!(stopped.metadata.resource_version > version);

    let refused = store.change_spec(&made.id, Some(version), stop).unwrap_err();
    assert!(matches!(refused, StoreError::Stale { expected, .. } if expected == version), "{refused}");
    let before = store.last_sequence();
    let same = store.change_spec(&made.id, None, stop).unwrap();
    store.write_status(&made.id, EnvironmentStatus::default()).unwrap();
    assert_eq!((same.metadata, store.last_sequence()), (stopped.metadata, before));
}

#[test]
fn a_deletion_cannot_be_turned_back_and_makes_room_when_it_is_done() {
    let place = Place::new();
    let store = place.open();
    let (made, _) = up(&store, &request("/a"));
    let delete = |spec: &mut api::EnvironmentSpec| spec.desired_phase = DesiredPhase::Deleted;
    store.change_spec(&made.id, None, delete).unwrap();
    store.change_spec(&made.id, None, delete).unwrap();
    let revived = store.change_spec(&made.id, None, |spec| spec.desired_phase = DesiredPhase::Running);
    assert!(matches!(revived, Err(StoreError::BeingDeleted { .. })));
    let refused = store.up(&request("/a"), Session::fresh(), Timestamp::now());
    assert!(matches!(refused, Err(StoreError::BeingDeleted { id, .. }) if id == made.id));

    let before = store.last_sequence();
    store.forget(&made.id).unwrap();
    store.forget(&made.id).unwrap();
    let events = store.events_since(before).unwrap();
    assert_eq!(events.iter().map(|event| &event.kind).collect::<Vec<_>>(), [&EventKind::Removed]);
    let (next, is_new) = up(&store, &request("/a"));
    assert!(is_new && next.id != made.id);
}

#[test]
fn a_restart_keeps_everything_and_goes_on_counting() {
    let place = Place::new();
    let store = place.open();
    let (made, _) = up(&store, &request("/a"));
    store.write_status(&made.id, running()).unwrap();
    store.hook_succeeded(&made.id, "c1", "", HookStage::PostCreate, 70).unwrap();
    store.hook_succeeded(&made.id, "c1", "", HookStage::OnCreate, 5).unwrap();
    store.hook_succeeded(&made.id, "c2", "", HookStage::OnCreate, 6).unwrap();
    let settings = Settings {
        machine: crate::settings::MachineSize { cpus: Some(3), ..Default::default() },
        ..Settings::default()
    };
    store.apply_settings(&settings).unwrap();
    let before = (store.environments().unwrap(), store.machine().unwrap());
    let last = store.last_sequence();
    drop(store);

    let store = place.open();
    assert_eq!((store.environments().unwrap(), store.machine().unwrap()), before);
    assert_eq!(before.1.spec.cpus, 3);
    let hooks = [(HookStage::OnCreate, String::new(), 5), (HookStage::PostCreate, String::new(), 70)];
    assert_eq!(store.hooks_of(&made.id, "c1").unwrap(), hooks);
    let again = store.events_since(made.metadata.resource_version).unwrap();
    assert_eq!(again.len(), 2, "the status and the settings, told by the daemon before");
    let event = store.emit(ObjectReference::environment(&made.id), EventKind::Changed);
    assert!(event.sequence > last);
}

fn log_line(line: &str) -> EventKind {
    EventKind::Log { step: StepKind::PrepareImage, stream: LogStream::Output, line: line.into() }
}

#[test]
fn a_watch_resumes_from_memory_and_from_disk_or_is_told_to_list_again() {
    let place = Place::new();
    let store = place.open();
    let object = ObjectReference::machine("default");
    let start = store.last_sequence();
    let mut receiver = store.subscribe();
    store.emit(object.clone(), log_line(&"x".repeat(10_000)));
    store.emit(object.clone(), EventKind::Changed);
    let events = store.events_since(start).unwrap();
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [start + 1, start + 2]);
    assert!(matches!(&events[0].kind, EventKind::Log { line, .. } if line.len() < 5000));
    assert_eq!([receiver.try_recv().unwrap(), receiver.try_recv().unwrap()].as_slice(), events);
    assert!(store.events_since(start + 3).is_none(), "a sequence of another store");
    assert!(store.events_since(start - 1).is_none(), "before the beginning");

    drop(store);
    let store = place.open();
    let kinds: Vec<_> = store.events_since(start).unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Changed], "output is not kept over a restart");

    for _ in 0..4300 {
        store.emit(object.clone(), EventKind::Changed);
    }
    let last = store.last_sequence();
    drop(store);
    let store = place.open();
    assert!(store.events_since(start).is_none(), "only the latest are kept");
    assert_eq!(store.events_since(last - 3000).unwrap().len(), 3000);
}

#[test]
fn threads_do_not_undo_each_other() {
    let place = Place::new();
    let store = place.open();
    let new = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8).map(|_| scope.spawn(|| up(&store, &request("/same")).1)).collect();
        tasks.into_iter().map(|task| task.join().unwrap()).filter(|is_new| *is_new).count()
    });
    assert_eq!(new, 1);
    let environment = store.environments().unwrap().remove(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, id) = (&store, &environment.id);
            scope.spawn(move || {
                for number in 0..10 {
                    let digest = format!("{thread}-{number}");
                    store.change_spec(id, None, |spec| spec.consents.push(digest)).unwrap();
                }
            });
        }
    });
    let after = store.environment(&environment.id).unwrap().unwrap();
    assert_eq!(after.spec.consents.len(), 40);
    assert_eq!(after.metadata.generation, environment.metadata.generation + 40);
}

/// Runs itself as a second process that writes and says what is written, and kills that at some instant.
#[test]
fn a_killed_writer_loses_nothing_that_it_said_is_written() {
    const FILE: &str = "COVE_TEST_STORE";
    if let Ok(file) = std::env::var(FILE) {
        let store = Store::open(Utf8Path::new(&file)).unwrap();
        for number in 0.. {
            let (made, _) = up(&store, &request(&format!("/{}/{number}", std::process::id())));
            store.write_status(&made.id, running()).unwrap();
            println!("wrote {} {}", made.id, made.metadata.resource_version);
        }
    }
    let place = Place::new();
    let mut written = Vec::new();
    for round in 0..6 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "store::tests::a_killed_writer_loses_nothing_that_it_said_is_written",
            ])
            .env(FILE, &place.file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(writer.stdout.take().unwrap());
        let mut told = |limit: usize| {
            let lines = output.by_ref().lines().map_while(Result::ok);
            let lines = lines.filter_map(|line| {
                let (_, rest) = line.split_once("wrote ")?;
                let (id, version) = rest.split_once(' ')?;
                Some((id.to_owned(), version.parse::<u64>().ok()?))
            });
            lines.take(limit).collect::<Vec<_>>()
        };
        let first = told(1 + 3 * round);
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(first.len(), 1 + 3 * round, "the writer ended by itself");
        written.extend(first);
        // What it said before the kill and was not read yet counts as well; a torn last line does not parse.
        written.extend(told(usize::MAX));

        let store = place.open();
        for (id, version) in &written {
            assert!(store.environment(&api::EnvironmentId(id.clone())).unwrap().is_some(), "{id} is lost");
            assert!(store.last_sequence() >= *version);
        }
        let statuses = store.environments().unwrap();
        assert!(statuses.len() >= written.len());
    }
}

#[test]
fn a_damaged_or_newer_file_is_named_and_left_alone() {
    let place = Place::new();
    let garbage = vec![b'?'; 8192];
    fs_err::write(&place.file, &garbage).unwrap();
    let error = Store::open(&place.file).err().unwrap();
    assert!(matches!(&error, StoreError::Corrupt { path, .. } if *path == place.file), "{error}");
    let problem = Problem::from(error);
    assert!(problem.hints.iter().any(|hint| hint.command.as_deref().is_some_and(|it| it.starts_with("mv "))));
    assert_eq!(fs_err::read(&place.file).unwrap(), garbage);

    let place = Place::new();
    drop(place.open());
    let connection = rusqlite::Connection::open(&place.file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    assert!(matches!(Store::open(&place.file), Err(StoreError::TooNew { found: 99, .. })));
}
