//! Memory, disk and load, as the kernel counts them.

use fs_err as fs;
use protocol::agent::{Metrics, Pressure, Stall, Traffic};

use crate::{data_disk, journal};

/// Processor time in `/proc/stat` is in hundredths of a second on every Linux architecture.
const TICK_MS: u64 = 10;

/// Sectors in `/proc/diskstats` have this many bytes, whatever the disk's own have.
const SECTOR: u64 = 512;

/// The numbers now. What cannot be read is zero, or absent where that can be said.
pub(crate) fn now() -> Metrics {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let disk = rustix::fs::statvfs(data_disk::PLACE).ok();
    let (disk_total, disk_used) = disk.map_or((0, 0), |disk| {
        let block = disk.f_frsize;
        (disk.f_blocks * block, disk.f_blocks.saturating_sub(disk.f_bfree) * block)
    });
    Metrics {
        uptime_ms: journal::uptime_ms(),
        memory_total: kib(&memory, "MemTotal"),
        memory_available: kib(&memory, "MemAvailable"),
        memory_cached: kib(&memory, "Cached"),
        swap_used: kib(&memory, "SwapTotal").saturating_sub(kib(&memory, "SwapFree")),
        disk_total,
        disk_used,
        load_centi: load_centi(&read("/proc/loadavg")),
        busy_ms: busy_ms(&read("/proc/stat")),
        pressure: pressure(),
        processors: processors(&read("/proc/stat")),
        network: network(&read("/proc/net/dev"), is_hardware),
        disks: disks(&read("/proc/diskstats")),
    }
}

/// Processors that work: a line each.
fn processors(stat: &str) -> Option<u32> {
    let is_one = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    u32::try_from(stat.lines().filter(is_one).count()).ok().filter(|count| *count > 0)
}

/// Whether a network device is one of the machine's, and not a bridge or a container's end of a pair: traffic between
/// containers goes nowhere, and what leaves would be counted twice.
fn is_hardware(name: &str) -> bool {
    !name.contains('/') && fs::exists(format!("/sys/class/net/{name}/device")).unwrap_or(false)
}

/// What went over these devices. `None` where none of them is counted.
fn network(text: &str, counts: impl Fn(&str) -> bool) -> Option<Traffic> {
    let of_line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        if !counts(name.trim()) {
            return None;
        }
        let numbers: Vec<u64> =
            numbers.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        Some(Traffic { came: *numbers.first()?, went: *numbers.get(8)? })
    };
    text.lines().filter_map(of_line).reduce(sum)
}

/// What went to and from the virtual disks as a whole. `None` where there is none.
fn disks(text: &str) -> Option<Traffic> {
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let letters = words.get(2)?.strip_prefix("vd")?;
        let is_whole = !letters.is_empty() && letters.chars().all(|letter| letter.is_ascii_lowercase());
        let bytes = |at: usize| Some(words.get(at)?.parse::<u64>().ok()?.saturating_mul(SECTOR));
        is_whole.then_some(Traffic { came: bytes(5)?, went: bytes(9)? })
    };
    text.lines().filter_map(of_line).reduce(sum)
}

fn sum(one: Traffic, other: Traffic) -> Traffic {
    Traffic { came: one.came.saturating_add(other.came), went: one.went.saturating_add(other.went) }
}

/// `None` where the kernel does not count it.
fn pressure() -> Option<Pressure> {
    let of = |name| Some(stall(&fs::read_to_string(format!("/proc/pressure/{name}")).ok()?));
    Some(Pressure { cpu: of("cpu")?, io: of("io")?, memory: of("memory")? })
}

/// The line of those for whom at least one process waited: `some avg10=0.00 avg60=1.23 avg300=4.56 total=789`.
fn stall(text: &str) -> Stall {
    let line = text.lines().find_map(|line| line.strip_prefix("some ")).unwrap_or_default();
    let value = |key: &str| {
        let number = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        number.and_then(hundredths).and_then(|value| u32::try_from(value).ok()).unwrap_or(0)
    };
    Stall { minute: value("avg60"), five_minutes: value("avg300") }
}

/// A value of `/proc/meminfo`, in bytes.
pub(crate) fn kib(text: &str, key: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
    number.unwrap_or(0).saturating_mul(1024)
}

fn load_centi(text: &str) -> u64 {
    text.split(' ').next().and_then(hundredths).unwrap_or(0)
}

/// A number with two digits behind the point, in hundredths.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, rest) = text.split_once('.')?;
    let digits = |text: &str| text.parse::<u64>().ok();
    Some(digits(whole)?.saturating_mul(100).saturating_add(digits(rest)?))
}

/// Time of all processors outside of idling and waiting for disks, which are the fourth and fifth number.
fn busy_ms(text: &str) -> u64 {
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("cpu ")) else { return 0 };
    let ticks = line.split_ascii_whitespace().take(8).enumerate();
    let busy = ticks.filter(|(index, _)| *index != 3 && *index != 4);
    busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok())
        .fold(0, u64::saturating_add)
        .saturating_mul(TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_kernel_writes_them() {
        let memory = "MemTotal:        2014500 kB\nCached:           10 kB\nSwapCached: 5 kB\n";
        assert_eq!(kib(memory, "MemTotal"), 2_014_500 * 1024);
        assert_eq!(kib(memory, "Cached"), 10 * 1024);
        assert_eq!(kib(memory, "SwapFree"), 0);
        assert_eq!(load_centi("1.07 0.50 0.20 1/100 999\n"), 107);
        assert_eq!(busy_ms("cpu  10 20 30 4000 500 1 2 3 0 0\ncpu0 1\n"), 660);
        let pressure = "some avg10=9.00 avg60=1.23 avg300=100.00 total=789\nfull avg10=0.00 avg60=5.00 avg300=6.00 total=1\n";
        assert_eq!(stall(pressure), Stall { minute: 123, five_minutes: 10_000 });
    }

    #[test]
    fn traffic_is_that_of_the_machines_own_devices() {
        let network_text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n    \
            lo:  100       1    0    0    0     0          0         0      100       1    0\n  \
            eth0: 5000      10    0    0    0     0          0         0     7000      20    0\n  \
            eth1:1         10    0    0    0     0          0         0     2      20    0\ndocker0: 9 9 9 9 9 9 9 9 9\n";
        let counts = |name: &str| name.starts_with("eth");
        assert_eq!(network(network_text, counts), Some(Traffic { came: 5001, went: 7002 }));
        assert_eq!(network(network_text, |_| false), None);
        let disks_text = " 254       0 vda 100 0 8 5 0 0 0 0 0 0 0\n 254 16 vdb 10 1 2 5 3 4 16 0 0 0 0\n \
            254 17 vdb1 10 1 2 5 3 4 16 0 0 0 0\n 7 0 loop0 1 1 9 1 1 1 9 1\n 253 0 zram0 1 1 9 1 1 1 9 1\n";
        assert_eq!(disks(disks_text), Some(Traffic { came: 10 * 512, went: 16 * 512 }));
        assert_eq!(processors("cpu  1 2\ncpu0 1\ncpu1 1\nintr 5\n"), Some(2));
    }

    #[test]
    fn nonsense_is_zero() {
        assert_eq!(stall("some avg60=x avg300\nsome"), Stall::default());
        assert_eq!(
            (load_centi(""), load_centi("x"), busy_ms("cpu"), kib("MemTotal", "MemTotal")),
            (0, 0, 0, 0)
        );
        assert_eq!(
            (processors("cpu"), network("eth0: x", |_| true), disks("1 2 vda 3 4 x")),
            (None, None, None)
        );
    }
}
