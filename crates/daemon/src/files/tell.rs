//! The stream that tells a guest of changes.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use protocol::files::{FileBatch, FileChange, FileReceipt, MAX_CHANGES};

use crate::agent_client::{AgentClient, AgentError, FilesStream};

/// Batches without changes before one with them, when none was sent for a while: they tell the guest how far the
/// clocks are apart.
const GREETINGS: usize = 4;

/// After how long they are due.
const CLOCK_AGE: Duration = Duration::from_secs(10);

/// Longest part of the changes that goes into one batch: half of what a frame may carry.
const MAX_PART_BYTES: usize = protocol::MAX_PAYLOAD_BYTES / 2;

/// Changes at most that are told one by one. Watchers' queues hold far fewer.
const MAX_TOLD: usize = 65_536;

/// Tells the guest of a machine, over as many streams as it takes.
#[derive(Default)]
pub(super) struct Teller {
    stream: Option<FilesStream>,
    generation: u64,
    greeted: Option<Instant>,
}

impl Teller {
    /// Tells of changes in a folder, or, of too many, that there were. What became of them is the sum of the receipts.
    /// Without changes the guest is only asked to listen: from then on it notes what it does itself.
    ///
    /// # Errors
    /// The guest cannot be reached, or cannot tell. Told once more, some changes may then be told twice.
    pub(super) async fn tell(
        &mut self,
        agent: &AgentClient,
        root: &str,
        changes: &[FileChange],
    ) -> Result<FileReceipt, AgentError> {
        if changes.len() > MAX_TOLD {
            return self.send(agent, &[overflow(root)]).await;
        }
        if changes.is_empty() {
            return self.send(agent, &[]).await;
        }
        let mut sum = FileReceipt::default();
        for part in parts(changes) {
            let receipt = self.send(agent, part).await?;
            sum.told += receipt.told;
            sum.own += receipt.own;
            sum.unwatched += receipt.unwatched;
            sum.gone += receipt.gone;
            sum.failed += receipt.failed;
            sum.reason = receipt.reason.or(sum.reason);
        }
        Ok(sum)
    }

    async fn send(&mut self, agent: &AgentClient, changes: &[FileChange]) -> Result<FileReceipt, AgentError> {
        let mut stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            self.greeted = None;
            agent.files().await?
        };
        if self.greeted.is_none_or(|greeted| greeted.elapsed() > CLOCK_AGE) {
            for _ in 0..GREETINGS {
                stream.tell(&self.batch(&[])).await?;
            }
        }
        let receipt = stream.tell(&self.batch(changes)).await?;
        self.greeted = Some(Instant::now());
        // Kept only now: one that broke, or that was left in the middle, is of no use.
        self.stream = Some(stream);
        Ok(receipt)
    }

    fn batch(&mut self, changes: &[FileChange]) -> FileBatch {
        self.generation += 1;
        let sent = Timestamp::now().as_nanosecond();
        FileBatch {
            generation: self.generation,
            sent_unix_nanos: i64::try_from(sent).unwrap_or(i64::MAX),
            changes: changes.to_vec(),
        }
    }
}

/// Cuts changes so that each part fits into a frame, whatever is in the names.
fn parts(changes: &[FileChange]) -> Vec<&[FileChange]> {
    // JSON may write a byte as six.
    let size =
        |change: &FileChange| 6 * (change.path.len() + change.to.as_ref().map_or(0, String::len)) + 256;
    let mut parts = Vec::new();
    let mut rest = changes;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(MAX_CHANGES).take_while(|change| {
            bytes += size(change);
            bytes <= MAX_PART_BYTES
        });
        let (part, after) = rest.split_at(fits.count().max(1));
        parts.push(part);
        rest = after;
    }
    parts
}

fn overflow(root: &str) -> FileChange {
    FileChange {
        kind: protocol::files::FileChangeKind::Overflow,
        path: root.to_owned(),
        to: None,
        folder: true,
        last_link: false,
        inode: 0,
        changed_unix_nanos: 0,
        parent_inode: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_fits_into_a_frame() {
        let long = FileChange { path: "\u{1}".repeat(4000), ..overflow("") };
        let changes = vec![long; 600];
        let parts = parts(&changes);
        assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), 600);
        for part in parts {
            let batch = FileBatch { generation: 1, sent_unix_nanos: 1, changes: part.to_vec() };
            assert!(serde_json::to_vec(&batch).unwrap().len() < protocol::MAX_PAYLOAD_BYTES);
        }
    }
}
