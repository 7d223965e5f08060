//! Reads what goes into a bundle, as it is.

use std::fmt::Write as _;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use api::{
    API_VERSION, Check, CheckOutcome, Diagnosis, Event, LogLevel, MachineLogLine, Problem, ProblemCode,
};
use camino::Utf8Path;
use host::account::Account;
use provision::Masks;
use serde::Serialize;
use serde_json::Value;

use super::redact::{Known, Redactor};
use super::{Content, Document, Material};
use crate::doctor::{self, Examined};
use crate::paths::user_home;
use crate::secrets::KeptSecrets;
use crate::store::{EventQuery, Store, StoreError};

/// Bytes of the end of each log that are kept.
pub(super) const KEPT_OF_LOG: usize = 256 << 10;

/// Bytes before them that are looked at as well: a secret may begin there, and has up to 64 KiB.
const LOOKED_AT_BEFORE: usize = 192 << 10;

/// Events that are told.
const EVENTS: u32 = 200;

/// Reads everything. What cannot be read says so in its place.
pub(super) async fn collect(examined: &Examined, secrets: &KeptSecrets) -> Material {
    let diagnosis = doctor::diagnose(examined.clone()).await;
    let lines = examined.machine.logs().0;
    let (examined, secrets) = (examined.clone(), secrets.clone());
    // Files, and a keyring that may ask its person.
    let read = tokio::task::spawn_blocking(move || read(&examined, &secrets, &diagnosis, &lines));
    read.await.unwrap_or_else(|error| Material {
        redactor: Redactor::new(Known::default()),
        documents: Vec::new(),
        left_out: vec![Problem::new(ProblemCode::Internal, "nothing could be collected").caused_by(&error)],
    })
}

fn read(
    examined: &Examined,
    secrets: &KeptSecrets,
    diagnosis: &Diagnosis,
    lines: &[MachineLogLine],
) -> Material {
    let Examined { paths, machine: _, store } = examined;
    let mut documents = vec![
        text("version.txt", "versions of Cove and of this computer's system", versions()),
        text("doctor.txt", "what `cove doctor` found", told(diagnosis)),
        text("config.toml", "the settings", all_of(&paths.settings_file())),
    ];
    documents.push(json("machine.json", "the machine: what is wanted and how it stands", store.machine()));
    let (masks, left_out) = match secrets.all_masks() {
        Ok(masks) => {
            documents.extend(with_words_of_programs(examined, lines));
            (masks, Vec::new())
        }
        Err(problem) => {
            let mut told = Problem::new(
                problem.code,
                "environments, events and logs: secrets cannot be read, so they could not be looked for in these",
            )
            .caused_by(&problem);
            told.hints = problem.hints;
            (Masks::default(), vec![told])
        }
    };
    let account = Account::of_the_person();
    // The same folder may have several names: a link, and what the list of accounts says.
    let mut homes: Vec<_> = user_home().into_iter().chain(account.iter().map(|it| it.home.clone())).collect();
    homes.extend(homes.clone().iter().filter_map(|home| home.canonicalize_utf8().ok()));
    let redactor = Redactor::new(Known {
        secrets: masks,
        variables: variables(store),
        homes: homes.iter().map(camino::Utf8PathBuf::as_path).collect(),
        user: account.map(|account| account.name),
        host: Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
    });
    Material { redactor, documents, left_out }
}

/// What holds words of programs that were given secrets.
fn with_words_of_programs(examined: &Examined, lines: &[MachineLogLine]) -> Vec<Document> {
    let Examined { paths, machine: _, store } = examined;
    let machine = paths.default_machine();
    let log = |name, about, path: &Utf8Path| Document { name, about, content: Content::End(end_of(path)) };
    vec![
        json("environments.json", "environments: what is wanted and how they stand", store.environments()),
        text("events.ndjson", "what happened last, the newest first", events(store)),
        log("logs/coved.log", "the end of the daemon's log", &paths.daemon_log()),
        log("logs/app.log", "the end of the app's log", &paths.app_log()),
        log("logs/shim.log", "the end of the log of the machine's process", &machine.shim_log()),
        log("logs/console.log", "the end of what the machine's console showed", &machine.console_log()),
        Document {
            name: "logs/guest.log",
            about: "the end of what the parts of the machine wrote",
            content: Content::End(guest(lines)),
        },
    ]
}

fn text(name: &'static str, about: &'static str, text: String) -> Document {
    Document { name, about, content: Content::Text(text) }
}

fn json<T: Serialize>(name: &'static str, about: &'static str, read: Result<T, StoreError>) -> Document {
    let value = match read {
        Ok(read) => serde_json::to_value(read).expect("resources are plain data that JSON can hold"),
        Err(error) => Value::String(format!("could not be read: {error}")),
    };
    Document { name, about, content: Content::Json(value) }
}

fn versions() -> String {
    let system = rustix::system::uname();
    let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    format!(
        "cove {} (API {API_VERSION})\nsystem {} {} {}\n",
        env!("CARGO_PKG_VERSION"),
        part(system.sysname()),
        part(system.release()),
        part(system.machine()),
    )
}

fn told(diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    for Check { name, outcome, finding, problem } in &diagnosis.checks {
        let mark = match outcome {
            CheckOutcome::Good => "good   ",
            CheckOutcome::Warning => "warning",
            CheckOutcome::Bad => "BAD    ",
        };
        let _ = writeln!(out, "{mark}  {name}: {finding}");
        let Some(problem) = problem else { continue };
        let _ = writeln!(out, "         {problem}");
        for cause in problem.causes.iter().chain(&problem.log_tail) {
            let _ = writeln!(out, "         {cause}");
        }
    }
    out
}

fn events(store: &Store) -> String {
    let query = EventQuery { before: None, object: None, limit: EVENTS };
    let line =
        |event: &Event| serde_json::to_string(event).expect("events are plain data that JSON can hold");
    match store.history(&query) {
        Ok(page) => page.events.iter().map(|event| line(event) + "\n").collect(),
        Err(error) => format!("could not be read: {error}\n"),
    }
}

fn guest(lines: &[MachineLogLine]) -> String {
    let level = |level| match level {
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warn => "WARN",
        LogLevel::Error => "ERROR",
    };
    let line = |line: &MachineLogLine| {
        format!("{:>10} {:<5} {}: {}\n", line.uptime_ms, level(line.level), line.source, line.message)
    };
    lines.iter().map(line).collect()
}

/// Values of the person's variables that the store keeps for environments.
fn variables(store: &Store) -> Vec<String> {
    let environments = store.environments().unwrap_or_default();
    let all = environments.iter().filter_map(|environment| store.variables(&environment.id).ok());
    all.flat_map(std::collections::BTreeMap::into_values).collect()
}

fn all_of(path: &Utf8Path) -> String {
    match fs_err::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "(there is none)\n".to_owned(),
        Err(error) => format!("could not be read: {error}\n"),
    }
}

/// The end of a log, and what is before it as far as it must be known.
fn end_of(path: &Utf8Path) -> String {
    let most = (KEPT_OF_LOG + LOOKED_AT_BEFORE) as u64;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = fs_err::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "(there is none)\n".to_owned(),
        Err(error) => format!("could not be read: {error}\n"),
    }
}
