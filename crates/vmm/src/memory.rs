//! Memory: of this computer, and of processes.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

/// Memory that the system accounts to these processes, in bytes; pages they share are counted once. A process that
/// is gone, or whose memory the system does not tell, counts nothing.
pub fn of_processes(pids: &[u32]) -> u64 {
    pids.iter().filter_map(|pid| system::of_process(*pid)).sum()
}

/// Memory of this computer, in bytes; `None` where the system does not tell.
pub fn of_host() -> Option<u64> {
    system::of_host()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_for_the_living_and_nothing_for_the_dead() {
        let this = std::process::id();
        assert!(of_processes(&[this]) > 100 * 1024);
        assert_eq!(of_processes(&[u32::MAX]), 0);
    }

    #[test]
    fn the_host_has_more_memory_than_this_process() {
        assert!(of_host().unwrap() > of_processes(&[std::process::id()]));
    }
}
