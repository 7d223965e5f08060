//! Whether every line of the log is bound to the one before.

use std::io;

use api::{AuditBreak, AuditCheck, AuditRecord};
use camino::Utf8Path;

use super::files::{NOTHING, hash, lines, paths};

/// Looks at all files, from the oldest on, up to the first break. The last line must be the one that was written last,
/// whose hash is `head`.
///
/// The oldest file may be gone because there were too many; then the chain begins with the first line that is kept.
pub(super) fn chain(folder: &Utf8Path, head: &str) -> io::Result<AuditCheck> {
    let mut check = AuditCheck { records: 0, first: 0, last: 0, head: NOTHING.to_owned(), broken: None };
    let (mut file, mut number) = (format!("{}.jsonl", named(1)), 0);
    for path in paths(folder)? {
        path.file_name().unwrap_or_default().clone_into(&mut file);
        let mut bytes = 0;
        number = 0;
        for line in lines(&path)? {
            let line = line?;
            number += 1;
            bytes += line.len() as u64 + 1;
            let record = serde_json::from_slice::<AuditRecord>(&line).ok();
            let fault = match &record {
                None => Some("it cannot be read".to_owned()),
                Some(record) if number == 1 && path.file_stem() != Some(&named(record.sequence)) => {
                    Some("the file is not called by the number of its first line".to_owned())
                }
                Some(record) => fault(&check, record),
            };
            if let Some(reason) = fault {
                check.broken = Some(AuditBreak { file, line: number, reason });
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
        if fs_err::metadata(&path)?.len() != bytes {
            let reason = "it is no whole line of the log".to_owned();
            check.broken = Some(AuditBreak { file, line: number + 1, reason });
            return Ok(check);
        }
    }
    if check.head != head {
        let reason = "the log does not end with the line that was written last".to_owned();
        check.broken = Some(AuditBreak { file, line: number.max(1), reason });
    }
    Ok(check)
}

/// The name of a file, without its end.
pub(super) fn named(first: u64) -> String {
    format!("{first:020}")
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
