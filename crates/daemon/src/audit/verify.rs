//! Whether every line of the log is bound to the one before.

use std::io;

use api::{AuditBreak, AuditCheck, AuditRecord};
use camino::Utf8Path;

use super::files::{NOTHING, hash, lines, paths};

/// Looks at all files, from the oldest on, up to the first break.
///
/// The oldest file may be gone because there were too many; then the chain begins with the first line that is kept.
pub(super) fn chain(folder: &Utf8Path) -> io::Result<AuditCheck> {
    let mut check = AuditCheck { records: 0, first: 0, last: 0, head: NOTHING.to_owned(), broken: None };
    for path in paths(folder)? {
        for (number, line) in lines(&path)?.enumerate() {
            let line = line?;
            let record = serde_json::from_slice::<AuditRecord>(&line).ok();
            let fault = match &record {
                None => Some("it cannot be read".to_owned()),
                Some(record) => fault(&check, record),
            };
            if let Some(reason) = fault {
                let file = path.file_name().unwrap_or_default().to_owned();
                check.broken = Some(AuditBreak { file, line: number as u64 + 1, reason });
                return Ok(check);
            }
            let sequence = record.map_or(0, |record| record.sequence);
            if check.records == 0 {
                check.first = sequence;
            }
            check.records += 1;
            check.last = sequence;
            check.head = hash(&line);
        }
    }
    Ok(check)
}

fn fault(before: &AuditCheck, record: &AuditRecord) -> Option<String> {
    if before.records == 0 {
        let is_start = record.sequence != 1 || record.previous == NOTHING;
        return (!is_start).then(|| "the first line names one before it".to_owned());
    }
    if record.sequence != before.last + 1 {
        return Some(format!("line {} follows line {}", record.sequence, before.last));
    }
    (record.previous != before.head)
        .then(|| "the line before it is not the one that was there when it was written".to_owned())
}
