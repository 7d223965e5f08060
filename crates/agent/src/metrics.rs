//! Memory, disk and load, as the kernel counts them.

use fs_err as fs;
use protocol::agent::{Metrics, Pressure, Stall};

use crate::{data_disk, journal};

/// Processor time in `/proc/stat` is in hundredths of a second on every Linux architecture.
const TICK_MS: u64 = 10;

/// The numbers now. What cannot be read is zero.
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
    }
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
    fn nonsense_is_zero() {
        assert_eq!(stall("some avg60=x avg300\nsome"), Stall::default());
        assert_eq!(
            (load_centi(""), load_centi("x"), busy_ms("cpu"), kib("MemTotal", "MemTotal")),
            (0, 0, 0, 0)
        );
    }
}
