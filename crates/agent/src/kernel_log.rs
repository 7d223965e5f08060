//! What the kernel warns of, as lines of the journal.

use protocol::agent::Level;
use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncReadExt as _;

use crate::device::Device;
use crate::journal::Journal;

const LOG: &str = "/dev/kmsg";
/// The kernel gives one record a read, never longer than this.
const LONGEST_RECORD: usize = 8192;

/// Follows the kernel's log from its beginning. Its warnings and worse become lines.
pub(crate) async fn follow(journal: Journal) {
    let opened = rustix::fs::open(LOG, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    let mut device = match opened.map_err(std::io::Error::from).and_then(Device::new) {
        Ok(device) => device,
        Err(error) => return journal.warn(format!("{LOG}: {error}")),
    };
    let mut record = vec![0; LONGEST_RECORD];
    loop {
        match device.read(&mut record).await {
            Ok(0) => return,
            Ok(count) => {
                if let Some((level, message)) = parse(&String::from_utf8_lossy(&record[..count])) {
                    journal.write(level, "kernel", message);
                }
            }
            // Records were overwritten before they were read; the next read goes on after them.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) => return journal.warn(format!("{LOG}: {error}")),
        }
    }
}

/// A record is `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];MESSAGE`, and lines of details after it.
fn parse(record: &str) -> Option<(Level, &str)> {
    let (head, body) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let message = body.lines().next()?;
    // The lower three bits are the level, the others the facility; 0 is the kernel's.
    if priority >> 3 != 0 || message.is_empty() {
        return None;
    }
    match priority & 7 {
        // Not `Error`: that goes to the console, where the kernel has written it already.
        0..=4 => Some((Level::Warn, message)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_taken_and_the_rest_is_not() {
        let record = "4,870,5110193,-;TCP: request_sock_TCP: Possible SYN flooding\n SUBSYSTEM=net\n";
        assert_eq!(parse(record), Some((Level::Warn, "TCP: request_sock_TCP: Possible SYN flooding")));
        assert_eq!(parse("6,1,2,-;eth0: link up\n"), None);
        assert_eq!(parse("12,1,2,-;from a program\n"), None);
        assert_eq!(parse("nonsense"), None);
    }
}
