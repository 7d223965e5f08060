//! Copies of the whole state, and their way back.

use std::io::{self, IsTerminal as _};

use api::{Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::serve::{self, DATABASE, DATABASE_URL, failed, lock, private_folder};
use crate::store::Database;

/// The name that stands for standard output and standard input.
const STREAM: &str = "-";

/// Writes a copy as of one moment, while the server runs or not.
pub(super) async fn backup(home: &Utf8Path, file: &Utf8Path) -> Result<(), Problem> {
    if !home.join(DATABASE).exists() && std::env::var_os(DATABASE_URL).is_none() {
        return Err(Problem::new(
            ProblemCode::ResourceNotFound,
            format!("there is no server's state in {home}"),
        ));
    }
    if file == STREAM {
        return stream(home).await;
    }
    if file.exists() {
        return Err(Problem::new(ProblemCode::Conflict, format!("{file} is there already"))
            .with_hint("choose another name: a backup never replaces one"));
    }
    Ok(serve::open(home).await?.copy_to(file).await?)
}

/// Writes a copy to standard output. It is made in a file first, which nobody else can read: so it is of one moment however
/// slowly it is taken.
async fn stream(home: &Utf8Path) -> Result<(), Problem> {
    if io::stdout().is_terminal() {
        return Err(Problem::new(ProblemCode::InvalidRequest, "a backup is not for a terminal")
            .with_command("write it into a file", "cove-control backup - > control.backup"));
    }
    let unwritten = |error: io::Error| failed("the backup cannot be written", &error);
    let folder = tempfile::Builder::new().prefix("backup-").tempdir_in(home).map_err(unwritten)?;
    let file = Utf8Path::from_path(folder.path()).map(|folder| folder.join(DATABASE));
    let file = file.ok_or_else(|| unwritten(io::ErrorKind::InvalidFilename.into()))?;
    serve::open(home).await?.copy_to(&file).await?;
    let mut copy = fs_err::File::open(&file).map_err(unwritten)?;
    io::copy(&mut copy, &mut io::stdout().lock()).map(drop).map_err(unwritten)
}

/// Puts a copy in the place of the state, of which nothing is lost: it is kept beside. With `DATABASE_URL` it goes into that
/// PostgreSQL, which must be empty.
pub(super) async fn restore(home: &Utf8Path, file: &Utf8Path) -> Result<(), Problem> {
    if file != STREAM && !file.exists() {
        return Err(Problem::new(ProblemCode::ResourceNotFound, format!("there is no backup {file}")));
    }
    private_folder(home)?;
    let _lock = lock(home)?;
    let (to, beside) = (home.join(DATABASE), home.join("control.db.new"));
    let moved = |error: io::Error| failed("the backup cannot be put in place", &error);
    let copied = if file == STREAM {
        fs_err::File::create(&beside).and_then(|mut copy| io::copy(&mut io::stdin().lock(), &mut copy))
    } else {
        fs_err::copy(file, &beside)
    };
    let placed = match copied {
        Ok(_) => place(home, &beside, &to).await,
        Err(error) => Err(moved(error)),
    };
    // What is in its place by now is none of these any more.
    for name in ["control.db.new", "control.db.new-wal", "control.db.new-shm"] {
        forget(&home.join(name))?;
    }
    placed
}

/// Puts a copy of a backup where it belongs.
async fn place(home: &Utf8Path, copy: &Utf8Path, to: &Utf8Path) -> Result<(), Problem> {
    if !Database::is_state(copy).await? {
        return Err(Problem::new(ProblemCode::InvalidRequest, "it is no backup of a control plane")
            .with_command("write one, and look whether that succeeds", "cove-control backup FILE"));
    }
    Database::sqlite(copy)?.begin_anew(Timestamp::now()).await?;
    if std::env::var_os(DATABASE_URL).is_some_and(|address| !address.is_empty()) {
        return Ok(serve::open(home).await?.fill_from(copy).await?);
    }
    if to.exists() {
        Database::sqlite(to)?.copy_to(&unused(home, Timestamp::now())).await?;
    }
    for rest in ["control.db-wal", "control.db-shm", "control.db.new-wal", "control.db.new-shm"] {
        forget(&home.join(rest))?;
    }
    fs_err::rename(copy, to).map_err(|error| failed("the backup cannot be put in place", &error))
}

/// Where what there was is kept: another file for each that was restored, also within a second.
fn unused(home: &Utf8Path, now: Timestamp) -> Utf8PathBuf {
    let first = home.join(format!("control.db.before-{}", now.as_second()));
    let (mut file, mut count) = (first.clone(), 1);
    while file.exists() {
        count += 1;
        file = Utf8PathBuf::from(format!("{first}-{count}"));
    }
    file
}

/// Takes a file away that may be there.
fn forget(file: &Utf8Path) -> Result<(), Problem> {
    match fs_err::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("the backup cannot be put in place", &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
