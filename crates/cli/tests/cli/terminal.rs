//! `cove shell` and `cove up` on a real terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use api::{EventKind, StepKind};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::fake::{Act, Fake, running};

/// How long anything on the screen may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Both ends of a pseudo-terminal, and what was shown on it.
struct Screen {
    person: File,
    program: OwnedFd,
    shown: Receiver<Vec<u8>>,
    text: String,
}

impl Screen {
    fn new() -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let program = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let person = File::from(person);
        let mut reader = person.try_clone().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = Self { person, program, shown, text: String::new() };
        screen.resize(30, 100);
        screen
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.program, size).unwrap();
    }

    /// Runs `cove` on it.
    fn run(&self, fake: &Fake, arguments: &[&str]) -> Child {
        let end = || Stdio::from(self.program.try_clone().unwrap());
        let mut command = fake.cove(arguments);
        command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    fn press(&mut self, keys: &[u8]) {
        self.person.write_all(keys).unwrap();
    }

    /// Waits until a text is shown.
    fn wait_for(&mut self, text: &str) {
        while !self.text.contains(text) {
            match self.shown.recv_timeout(PATIENCE) {
                Ok(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("`{text}` was not shown ({error}), only {:?}", self.text),
            }
        }
    }

    /// Whether keys are shown and gathered into lines, as a shell expects it.
    fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.program).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }
}

fn fake() -> Fake {
    Fake::start(vec![running("web", "/srv/web")], Vec::new())
}

#[test]
fn a_shell_owns_the_terminal_and_gives_it_back() {
    let (fake, mut screen) = (fake(), Screen::new());
    let mut child = screen.run(&fake, &["shell", "web"]);
    screen.wait_for("ready 30x100");
    assert!(!screen.is_as_before(), "keys go inside as they are pressed");
    screen.press(b"l");
    screen.wait_for(r#"got "l""#);
    screen.press(&[3]);
    screen.wait_for(r#"got "\u{3}""#);
    screen.resize(50, 120);
    kill_process(Pid::from_child(&child), Signal::WINCH).unwrap();
    screen.wait_for("size 50x120");
    screen.press(b"q");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert!(screen.is_as_before());
}

#[test]
fn a_shell_that_is_killed_or_cut_gives_the_terminal_back() {
    let (fake, mut screen) = (fake(), Screen::new());
    let mut child = screen.run(&fake, &["shell", "web"]);
    screen.wait_for("ready");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    assert!(screen.is_as_before());

    let mut child = screen.run(&fake, &["exec", "web", "--", "cut"]);
    screen.wait_for("error[E0007]");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(screen.is_as_before());
}

#[test]
fn the_process_learns_what_terminal_it_has() {
    let (fake, mut screen) = (fake(), Screen::new());
    let mut child = screen.run(&fake, &["machine", "shell", "--", "describe"]);
    screen.wait_for(r#""TERM":"xterm""#);
    screen.wait_for(r#""terminal":{"rows":30,"columns":100}"#);
    assert!(child.wait().unwrap().success());
}

#[test]
fn steps_are_drawn_while_they_run_and_stay_when_they_end() {
    fn is_up(environment: &mut api::Environment) {
        environment.status = running("web", "/srv/web").status;
    }
    let step = StepKind::PrepareImage;
    let line = |line: &str| {
        let (stream, line) = (api::LogStream::Output, line.to_owned());
        Act::Tell(EventKind::Log { step, stream, line })
    };
    let fake = Fake::start(
        Vec::new(),
        vec![
            Act::Tell(EventKind::StepStarted { step, detail: "python:3.13".to_owned() }),
            line("Step 1/2"),
            Act::Tell(EventKind::StepFinished { step, millis: 12_345 }),
            Act::Change(is_up),
        ],
    );
    let mut screen = Screen::new();
    let mut child = screen.run(&fake, &["up"]);
    screen.wait_for("✓\u{1b}[0m Preparing the image  \u{1b}[2m12.3 s");
    screen.wait_for("http://localhost:5000");
    assert!(child.wait().unwrap().success());
}

#[test]
fn rm_asks_and_takes_no_for_an_answer() {
    let (fake, mut screen) = (fake(), Screen::new());
    let mut child = screen.run(&fake, &["rm", "web"]);
    screen.wait_for("/srv/web stays as it is.");
    screen.wait_for("Remove? [y/N]");
    screen.press(b"\n");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(fake.requests().is_empty());
}

#[test]
fn what_changed_is_shown_and_a_new_container_is_made_only_if_wanted() {
    fn is_up(environment: &mut api::Environment) {
        environment.status = running("web", "/srv/web").status;
    }
    for (answer, rebuild) in [("y\n", r#""rebuild":true"#), ("\n", r#""rebuild":false"#)] {
        // The fake tells of a change for every folder that has an environment.
        let home = Fake::start(Vec::new(), Vec::new());
        let folder = std::fs::canonicalize(home.folder("web")).unwrap();
        let fake = Fake::start(vec![running("web", folder.to_str().unwrap())], vec![Act::Change(is_up)]);
        let mut screen = Screen::new();
        let mut child = screen.run(&fake, &["up", folder.to_str().unwrap()]);
        screen.wait_for(r#""a" -> "b", needs a new container"#);
        screen.wait_for("A new container loses what was installed by hand.");
        screen.wait_for("Make the container anew? [y/N]");
        screen.press(answer.as_bytes());
        screen.wait_for("a shell in it");
        assert!(child.wait().unwrap().success());
        let request = fake.requests().join("\n");
        assert!(request.contains(rebuild) && request.contains(r#""unasked":"wait""#), "{request}");
    }
}

#[test]
fn an_answer_of_no_brings_the_rest_up() {
    fn waits_or_runs(environment: &mut api::Environment) {
        environment.status.observed_generation = 1;
        if environment.spec.unasked == api::Unasked::LeaveOut {
            environment.status = running("web", "/srv/web").status;
            return;
        }
        let consent = api::Consent {
            kind: api::ConsentKind::HostMount,
            text: "/etc:/outside".to_owned(),
            digest: "d1".to_owned(),
        };
        let problem = api::Problem::new(api::ProblemCode::ConsentNeeded, "something waits");
        environment.status.problem = Some(problem.asking_consent(vec![consent]));
    }
    let fake = Fake::start(Vec::new(), vec![Act::Change(waits_or_runs)]);
    let mut screen = Screen::new();
    let mut child = screen.run(&fake, &["up"]);
    screen.wait_for("show files to the container: /etc:/outside");
    screen.wait_for("Agree to all of it, now and until it changes? [y/N]");
    screen.press(b"n\n");
    screen.wait_for("a shell in it");
    assert!(child.wait().unwrap().success());
    let requests = fake.requests();
    assert!(requests[0].contains(r#""unasked":"wait""#) && requests[1].contains(r#""unasked":"leave_out""#));
}

#[test]
fn a_secret_is_asked_for_and_never_shown() {
    let (fake, mut screen) = (fake(), Screen::new());
    let mut child = screen.run(&fake, &["secret", "set", "TOKEN"]);
    screen.wait_for("Value of TOKEN (it is not shown): ");
    screen.press("s3crüt\u{7f}\u{7f}et\r".as_bytes());
    screen.wait_for("is kept for all environments, as $TOKEN");
    assert!(child.wait().unwrap().success() && screen.is_as_before());
    assert!(!screen.text.contains("s3cr"), "{}", screen.text);
    assert!(fake.requests()[0].contains(r#""value":"s3cret""#), "{:?}", fake.requests());

    // Broken off, nothing is kept.
    let mut child = screen.run(&fake, &["secret", "set", "OTHER"]);
    screen.wait_for("Value of OTHER");
    screen.press(b"half\x03");
    assert!(!child.wait().unwrap().success() && screen.is_as_before());
    assert_eq!(fake.requests().len(), 1);
}
