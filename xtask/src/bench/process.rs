//! What Linux tells about the host and about QEMU's process.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use camino::Utf8Path;
use rustix::param::clock_ticks_per_second;

/// Words before a program that make it end with this process, however that ends.
pub(crate) fn launcher() -> Vec<OsString> {
    ["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from).to_vec()
}

/// A process, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// The QEMU among the children of this process.
    pub(crate) fn qemu_child() -> io::Result<Option<Self>> {
        let own = std::process::id();
        for entry in fs_err::read_dir("/proc")? {
            let Ok(id) = entry?.file_name().to_string_lossy().parse() else { continue };
            // A process may end between the listing and the look at it.
            let Ok(stat) = Stat::read(id) else { continue };
            if stat.parent == own && stat.name.starts_with("qemu-system") {
                return Ok(Some(Self(id)));
            }
        }
        Ok(None)
    }

    /// Time since it was started; exact to some 20 ms, as the kernel tells it.
    pub(crate) fn age(self) -> io::Result<Duration> {
        let stat = Stat::read(self.0)?;
        let uptime = first_number("/proc/uptime")?;
        Ok(Duration::from_secs_f64(uptime).saturating_sub(ticks(stat.started)))
    }

    /// Processor time it has used, for itself and for the kernel's work on its behalf.
    pub(crate) fn cpu(self) -> io::Result<Duration> {
        Ok(ticks(Stat::read(self.0)?.cpu))
    }

    /// Memory it occupies, in bytes.
    pub(crate) fn resident(self) -> io::Result<u64> {
        let path = format!("/proc/{}/status", self.0);
        let status = fs_err::read_to_string(&path)?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        kib.map(|kib: u64| kib * 1024).ok_or_else(|| unreadable(&path))
    }
}

/// The host's load average over the last minute.
pub(crate) fn load() -> io::Result<f64> {
    first_number("/proc/loadavg")
}

fn first_number(path: &str) -> io::Result<f64> {
    let text = fs_err::read_to_string(path)?;
    text.split_whitespace().next().and_then(|word| word.parse().ok()).ok_or_else(|| unreadable(path))
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 1000 / clock_ticks_per_second().max(1))
}

fn unreadable(path: &str) -> io::Error {
    io::Error::other(format!("{path} is not as Linux writes it"))
}

/// The fields of `/proc/PID/stat` that matter here; times in clock ticks.
struct Stat {
    name: String,
    parent: u32,
    cpu: u64,
    started: u64,
}

impl Stat {
    fn read(id: u32) -> io::Result<Self> {
        let path = format!("/proc/{id}/stat");
        let text = fs_err::read_to_string(Utf8Path::new(&path))?;
        Self::parse(&text).ok_or_else(|| unreadable(&path))
    }

    /// The name is in parentheses and may hold anything, other parentheses too.
    fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        // The first field after the name is the third of proc(5).
        Some(Self {
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            cpu: number(11)? + number(12)?,
            started: number(19)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "42 (a) b) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 9000 1 2 3";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.name.as_str(), stat.parent, stat.cpu, stat.started), ("a) b", 7, 200, 9000));
    }

    #[test]
    fn this_process_has_an_age_and_memory() {
        let own = Process(std::process::id());
        assert!(own.age().unwrap() < Duration::from_hours(1));
        assert!(own.resident().unwrap() > 1 << 20);
    }
}
