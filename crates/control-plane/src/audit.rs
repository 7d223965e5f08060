//! The audit log: every change, every decision, every sign-in, line by line, each bound to the one before by its hash.
//!
//! A line is written in the transaction of what it tells of, so neither is there without the other. A decision that refused
//! something is written by itself. No secret, token or part of a spec is in any line.

use api::Name;
use api::control::{AuditEntry, AuditVerdict, BrokenLine, Kind, Principal};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::identity::hex;
use crate::store::{StoreError, Transaction};

/// The hash before the first line.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Lines that are read at a time.
const PAGE: u32 = 1000;

/// Longest text from outside, in characters.
const MOST_TEXT: usize = 200;

/// What a line is to tell.
#[derive(Debug, Clone)]
pub struct Told {
    /// Which organization; absent for what concerns the whole server.
    pub organization: Option<Name>,
    /// Who.
    pub principal: Principal,
    /// What: a verb, or `sign_in`, `enrol`, `export`, ….
    pub action: String,
    /// With a resource of this kind and name.
    pub object: Option<(Kind, String)>,
    /// Its version after that.
    pub resource_version: Option<u64>,
    /// Whether it was let.
    pub allowed: bool,
    /// Rules that decided.
    pub because: Vec<String>,
    /// What else is to be known.
    pub note: Option<String>,
}

/// Appends a line.
///
/// # Errors
/// It cannot be written; what it tells of must not happen then.
pub fn append(transaction: &mut dyn Transaction, now: Timestamp, told: Told) -> Result<(), StoreError> {
    let (sequence, previous) = match transaction.audit_head()? {
        Some((sequence, line)) => (sequence + 1, hash(&line)),
        None => (1, NOTHING.to_owned()),
    };
    let (kind, name) = told.object.unzip();
    let entry = AuditEntry {
        sequence,
        time: now,
        previous,
        organization: told.organization,
        principal: Principal { kind: told.principal.kind, name: plain(&told.principal.name) },
        action: told.action,
        kind,
        name: name.map(|name| plain(&name)),
        resource_version: told.resource_version,
        allowed: told.allowed,
        because: told.because,
        note: told.note.map(|note| plain(&note)),
    };
    let line = serde_json::to_string(&entry)?;
    transaction.append_audit(&entry, &line)
}

/// Looks at the whole chain, from the first line to the last.
///
/// # Errors
/// The database cannot be read.
pub fn verify(transaction: &mut dyn Transaction) -> Result<AuditVerdict, StoreError> {
    let (mut entries, mut previous, mut last) = (0, NOTHING.to_owned(), 0);
    let broken = 'chain: loop {
        let lines = transaction.audit(None, last, PAGE)?;
        if lines.is_empty() {
            break None;
        }
        for (sequence, line) in lines {
            let why = match serde_json::from_str::<AuditEntry>(&line) {
                Err(error) => Some(format!("it cannot be read: {error}")),
                Ok(entry) if sequence != last + 1 || entry.sequence != sequence => {
                    Some(format!("line {} is missing", last + 1))
                }
                Ok(entry) if entry.previous != previous => {
                    Some("the line before it is not the one it was written after".to_owned())
                }
                Ok(_) => None,
            };
            if let Some(why) = why {
                break 'chain Some(BrokenLine { sequence, why });
            }
            previous = hash(&line);
            last = sequence;
            entries += 1;
        }
    };
    Ok(AuditVerdict { entries, head: previous, broken })
}

fn hash(line: &str) -> String {
    hex(&Sha256::digest(line.as_bytes()))
}

/// What came from outside, in one line that no terminal takes for more.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(MOST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use api::control::PrincipalKind;

    use super::*;
    use crate::store::Database;

    fn told(name: &str) -> Told {
        Told {
            organization: None,
            principal: Principal { kind: PrincipalKind::User, name: name.to_owned() },
            action: "create".to_owned(),
            object: Some((Kind::Project, "shop".to_owned())),
            resource_version: Some(1),
            allowed: true,
            because: vec!["role member".to_owned()],
            note: None,
        }
    }

    async fn three_lines() -> (tempfile::TempDir, Database, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let database = Database::sqlite(camino::Utf8Path::from_path(&path).unwrap()).unwrap();
        for name in ["ann", "bob\u{1b}[2J", "eve"] {
            let written =
                database.write(move |transaction| append(transaction, Timestamp::UNIX_EPOCH, told(name)));
            written.await.unwrap();
        }
        (folder, database, path)
    }

    async fn verdict(database: &Database) -> AuditVerdict {
        database.read(|transaction| verify(transaction)).await.unwrap()
    }

    #[tokio::test]
    async fn whatever_is_done_to_a_line_is_found_at_the_line_after_it() {
        let (_folder, database, _) = three_lines().await;
        let whole = verdict(&database).await;
        assert_eq!((whole.entries, whole.broken), (3, None));
        for (statement, at) in [
            ("UPDATE audit SET line = replace(line, 'ann', 'amy') WHERE sequence = 1", 2),
            ("UPDATE audit SET line = line || 'x' WHERE sequence = 2", 2),
            ("DELETE FROM audit WHERE sequence = 2", 3),
            ("DELETE FROM audit WHERE sequence = 1", 2),
        ] {
            let (_folder, database, path) = three_lines().await;
            rusqlite::Connection::open(path).unwrap().execute(statement, []).unwrap();
            assert_eq!(
                verdict(&database).await.broken.map(|broken| broken.sequence),
                Some(at),
                "{statement}"
            );
        }
    }

    #[tokio::test]
    async fn names_from_outside_move_no_cursor() {
        let (_folder, database, _) = three_lines().await;
        let lines: Vec<_> = database.read(|transaction| transaction.audit(None, 0, 9)).await.unwrap();
        let entry: AuditEntry = serde_json::from_str(&lines[1].1).unwrap();
        assert_eq!(entry.principal.name, "bob\u{fffd}[2J");
    }
}
