//! How long a key that is typed in `cove shell` takes to be seen, while everything in the machine computes: with the
//! groups that give sessions a share of their own, and without, in turns in one session.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::time::Timespec;
use serde::Serialize;

use crate::output::say;
use crate::steps::{StepError, cargo, run};

/// Loops that compute, as so many jobs of `make -j` do.
const JOBS: usize = 64;
/// Keys of one turn.
const KEYS: usize = 60;
/// Longest wait for one key.
const LATE: Duration = Duration::from_mins(1);
/// The machine has one processor: with emulated ones that wait for each other, more would measure that.
const SETTINGS: &str = "[machine]\ncpus = 1\nidle = \"never\"\n";

/// Puts every session of the container into the group of all else, and takes the weights of those that carry its output
/// away; prints where each process was.
const FLATTEN: &str = "cd /sys/fs/cgroup
for group in docker/*/interactive/*/; do for pid in $(cat $group/cgroup.procs); do
echo $pid > ${group%%/interactive*}/main/cgroup.procs && echo $pid $group; done; done
for part in agent containerd dockerd; do echo 100 > $part/cpu.weight; done";

/// Undoes it, with those lines as its input.
const RAISE: &str = "cd /sys/fs/cgroup
while read pid group; do echo $pid > $group/cgroup.procs; done
echo 1000 > agent/cpu.weight; for part in containerd dockerd; do echo 500 > $part/cpu.weight; done";

/// The echo of keys was not measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LatencyError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("could not build")]
    Step(#[from] StepError),
    #[error("`cove {command}` failed: {said}")]
    Cove { command: String, said: String },
    #[error("a key was not seen within {} s", LATE.as_secs())]
    Late,
}

/// What one turn measured, in microseconds, in the order of the keys.
#[derive(Debug, Serialize)]
struct Turn {
    state: &'static str,
    micros: Vec<u64>,
}

/// Measures, and writes `latency.json` and the part of `RESULTS.md` about it.
pub(crate) fn bench(out: &Utf8Path, image: Option<&Utf8Path>, turns: u32) -> Result<(), LatencyError> {
    run(cargo().args(["build", "--locked", "-p", "cli", "-p", "daemon", "-p", "shim"]))?;
    let cove = Cove::new(image)?;
    cove.cove(&["up"], "")?;
    let mut shell = Shell::open(&cove)?;
    let mut measured = vec![shell.turn("idle")?];
    let load = format!("for job in $(seq {JOBS}); do (while :; do :; done) & done; wait");
    let mut load = cove.command(&["exec", "-T", "--", "sh", "-c", &load]).stdin(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_secs(5));
    for turn in 1..=turns {
        measured.push(shell.turn("with")?);
        let moved = cove.cove(&["machine", "shell", "-i", "--", "sh", "-c", FLATTEN], "")?;
        measured.push(shell.turn("without")?);
        cove.cove(&["machine", "shell", "-i", "--", "sh", "-c", RAISE], &moved)?;
        say(format!("turn {turn} of {turns} is done"));
    }
    // The daemon ends it with its client.
    load.kill()?;
    load.wait()?;
    drop(shell);
    fs_err::write(
        out.join("latency.json"),
        serde_json::to_string_pretty(&measured).map_err(io::Error::other)?,
    )?;
    report(&out.join("RESULTS.md"), &measured, turns)?;
    Ok(())
}

/// A state folder with a machine of its own, which ends with it.
struct Cove {
    home: Utf8PathBuf,
    source: Utf8PathBuf,
    program: PathBuf,
    image: Option<Utf8PathBuf>,
}

impl Cove {
    fn new(image: Option<&Utf8Path>) -> io::Result<Self> {
        // Short: paths of unix sockets are limited to 107 bytes.
        let home = Utf8PathBuf::from(format!("/tmp/cvb{}", std::process::id()));
        let source = home.with_extension("src");
        fs_err::create_dir(&home)?;
        fs_err::create_dir(&source)?;
        fs_err::write(home.join("config.toml"), format!("shares = [\"{source}\"]\n{SETTINGS}"))?;
        // Beside this program.
        let program = std::env::current_exe()?.with_file_name("cove");
        let cove = Self { home, source, program, image: image.map(Utf8Path::to_owned) };
        Ok(cove)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.source).env("COVE_HOME", &self.home).env("NO_COLOR", "1");
        command.envs(self.image.iter().map(|image| ("COVE_IMAGE_DIR", image)));
        command
    }

    /// Runs a command with an input, and gives what it prints.
    fn cove(&self, arguments: &[&str], input: &str) -> Result<String, LatencyError> {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut to) = child.stdin.take() {
            // One that reads nothing may be gone.
            let _ = to.write_all(input.as_bytes());
        }
        let ended = child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if ended.status.success() {
            return Ok(text(&ended.stdout));
        }
        Err(LatencyError::Cove { command: arguments.join(" "), said: text(&ended.stderr) })
    }
}

impl Drop for Cove {
    fn drop(&mut self) {
        for end in [["machine", "stop"], ["daemon", "stop"]] {
            if let Err(error) = self.cove(&end, "") {
                crate::output::failure(&error);
            }
        }
        for folder in [&self.home, &self.source] {
            if let Err(error) = fs_err::remove_dir_all(folder) {
                crate::output::failure(&error);
            }
        }
    }
}

/// `cove shell` on a terminal of ours.
struct Shell {
    child: Child,
    terminal: File,
    /// What was read and not looked for yet.
    seen: Vec<u8>,
}

impl Shell {
    fn open(cove: &Cove) -> Result<Self, LatencyError> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).map_err(io::Error::from)?;
        fcntl_setfd(&ours, FdFlags::CLOEXEC).map_err(io::Error::from)?;
        grantpt(&ours).and_then(|()| unlockpt(&ours)).map_err(io::Error::from)?;
        let name = ptsname(&ours, Vec::new()).map_err(io::Error::from)?;
        let theirs = File::options().read(true).write(true).open(name.to_string_lossy().as_ref())?;
        let mut command = cove.command(&["shell"]);
        command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs).process_group(0);
        let mut shell = Self { child: command.spawn()?, terminal: File::from(ours), seen: Vec::new() };
        shell.until(b"$ ")?;
        Ok(shell)
    }

    /// Reads until something was written; how long that took.
    fn until(&mut self, what: &[u8]) -> Result<Duration, LatencyError> {
        let begun = Instant::now();
        let mut piece = [0; 4096];
        let end = loop {
            if let Some(at) = self.seen.windows(what.len()).position(|window| window == what) {
                break at + what.len();
            }
            let left = LATE.saturating_sub(begun.elapsed());
            let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            let count = poll(&mut [PollFd::new(&self.terminal, PollFlags::IN)], Some(&left));
            if count.map_err(io::Error::from)? == 0 {
                return Err(LatencyError::Late);
            }
            let count = self.terminal.read(&mut piece)?;
            self.seen.extend_from_slice(&piece[..count]);
        };
        // A prompt may come with what is before it.
        self.seen.drain(..end);
        Ok(begun.elapsed())
    }

    /// Types keys, as slowly as people do.
    fn turn(&mut self, state: &'static str) -> Result<Turn, LatencyError> {
        let mut micros = Vec::new();
        for key in 0..KEYS {
            let letter = [b'a' + (key % 16) as u8];
            self.seen.clear();
            self.terminal.write_all(&letter)?;
            micros.push(u64::try_from(self.until(&letter)?.as_micros()).unwrap_or(u64::MAX));
            std::thread::sleep(Duration::from_millis(20 + (key as u64 * 7) % 80));
        }
        // The line is taken back; a word that only an empty line gives tells that it was.
        self.terminal.write_all(b"\x15echo $((40+2))z\n")?;
        self.until(b"42z")?;
        self.until(b"$ ")?;
        Ok(Turn { state, micros })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value below which this share of the values lies.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

const TITLE: &str = "# A key in `cove shell`, while everything computes\n";

fn report(file: &Utf8Path, turns: &[Turn], rounds: u32) -> io::Result<()> {
    let of = |state: &str| {
        let mut all: Vec<u64> = turns
            .iter()
            .filter(|turn| turn.state == state)
            .flat_map(|turn| turn.micros.iter().copied())
            .collect();
        all.sort_unstable();
        all
    };
    let (idle, with, without) = (of("idle"), of("with"), of("without"));
    let mut text = format!(
        "{TITLE}\nOne session, one emulated processor, {JOBS} loops that compute in the same environment; {rounds} turns of \
         {KEYS} keys each way. From the key to its echo on the terminal of this computer. What is measured and how: \
         [README](README.md); every number: [latency.json](latency.json). To take them again: `cargo xtask bench \
         --latency`.\n\n| | idle machine | with the groups | without | without / with |\n|---|--:|--:|--:|--:|\n"
    );
    for (name, percent) in [("median", 50), ("p90", 90), ("p99", 99)] {
        let [idle, with, without] = [&idle, &with, &without].map(|all| percentile(all, percent));
        let millis = |micros: u64| format!("{:.1} ms", micros as f64 / 1000.0);
        let ratio = without as f64 / with.max(1) as f64;
        writeln!(
            text,
            "| {name} | {} | {} | {} | {ratio:.1}x |",
            millis(idle),
            millis(with),
            millis(without)
        )
        .expect("writing to a string cannot fail");
    }
    let before = fs_err::read_to_string(file).unwrap_or_default();
    // The other parts of the page are other measurements'.
    let kept = before.split_once(TITLE).map_or(before.as_str(), |(kept, _)| kept);
    fs_err::write(file, format!("{}\n\n{text}", kept.trim_end()))?;
    print_table(&text);
    Ok(())
}

fn print_table(text: &str) {
    text.lines().filter(|line| line.starts_with('|')).for_each(say);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (101, 199));
        assert_eq!((percentile(&[7], 99), percentile(&[], 50)), (7, 0));
    }
}
