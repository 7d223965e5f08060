//! What signals mean to this process.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

/// Whether a signal, by its number, is ignored: `nohup` and `&` in a script have their command begin so. Who listens for
/// such a signal hears it all the same, and the programs that it starts are ended by it. False where that is not known.
pub fn is_ignored(signal: i32) -> bool {
    system::is_ignored(signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// This test runs itself as what a shell starts.
    #[test]
    fn what_a_shell_ignores_its_command_ignores() {
        const INSIDE: &str = "COVE_TEST_SIGNALS";
        let (hangup, quit) = (1, 3);
        if std::env::var_os(INSIDE).is_some() {
            println!("hangup {}, quit {}", is_ignored(hangup), is_ignored(quit));
            return;
        }
        for (ignored, expected) in [("HUP", "hangup true, quit false"), ("QUIT", "hangup false, quit true")] {
            let script = format!("trap '' {ignored}; exec \"$0\" \"$@\"");
            let name = "signals::tests::what_a_shell_ignores_its_command_ignores";
            let output = Command::new("env")
                .args(["--default-signal=HUP,QUIT", "sh", "-c", &script])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture"])
                .env(INSIDE, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains(expected), "{said}");
        }
    }
}
