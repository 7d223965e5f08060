//! The program as the daemon uses it, with real processes, and everything killed that can be.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use automations::{Exit, Item, Order, Phase, Report, ServiceWish, Status, TaskWish, Wish, read};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take, on a computer that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

const PROGRAM: &str = env!("CARGO_BIN_EXE_cove-inside");

/// A folder of states, and a connection as the daemon has it.
struct Place {
    temp: tempfile::TempDir,
    order: Order,
    ctl: Option<Ctl>,
    last: Report,
}

struct Ctl {
    child: Child,
    reports: Receiver<Report>,
}

fn item(text: &str) -> Item {
    Item::parse(text).expect("the tests name things right")
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().expect("ids are small")).expect("an id is not zero");
    let _ = kill_process(pid, Signal::KILL);
}

impl Place {
    /// `$D` in the text is a folder of the test.
    fn new(text: &str) -> Self {
        let temp = tempfile::tempdir().expect("a folder for the test");
        let folder = temp.path().to_str().expect("its path is UTF-8").to_owned();
        let text = text.replace("$D", &folder);
        let automations = read("x".into(), text.as_bytes()).expect("the tests' files are good").automations;
        let order = Order { run: "run1".into(), folder, automations, ..Order::default() };
        Self { temp, order, ctl: None, last: Report::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn states(&self) -> String {
        self.path("states").to_str().expect("its path is UTF-8").to_owned()
    }

    fn want(&mut self, text: &str, run: bool, session: &str) -> &mut Self {
        let (wish, session): (&mut Wish, _) = (&mut self.order.wish, session.to_owned());
        match item(text) {
            Item::Service(name) => drop(wish.services.insert(name, ServiceWish { run, session })),
            Item::Task(name) => drop(wish.tasks.insert(name, TaskWish { run, session, ended: None })),
        }
        self
    }

    fn connect(&mut self) {
        let mut child = Command::new(PROGRAM)
            .args(["automations", "ctl", "--folder", &self.states()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (tell, reports) = channel();
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let report = serde_json::from_str(&line).expect("it speaks as agreed");
                if tell.send(report).is_err() {
                    return;
                }
            }
        });
        self.ctl = Some(Ctl { child, reports });
    }

    /// Tells what is wanted, over a connection that is there or a new one.
    fn say(&mut self) {
        for _ in 0..2 {
            if self.ctl.is_none() {
                self.connect();
            }
            let ctl = self.ctl.as_mut().expect("connected just now");
            let line = serde_json::to_string(&self.order).expect("an order is plain data") + "\n";
            let input = ctl.child.stdin.as_mut().expect("it was asked for");
            if input.write_all(line.as_bytes()).is_ok() {
                return;
            }
            self.leave();
        }
    }

    /// What the daemon does when it is killed.
    fn leave(&mut self) {
        if let Some(mut ctl) = self.ctl.take() {
            let _ = ctl.child.kill();
            let _ = ctl.child.wait();
        }
    }

    /// Waits until the report is like this. A connection that ends is made again, as the daemon does.
    fn until(&mut self, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:#?}", self.last);
            let Some(ctl) = &self.ctl else {
                self.say();
                continue;
            };
            match ctl.reports.recv_timeout(Duration::from_millis(200)) {
                Ok(report) => {
                    self.last = report;
                    if is(&self.last) {
                        return self.last.clone();
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => self.leave(),
            }
        }
    }

    fn until_phase(&mut self, text: &str, phase: Phase) -> Status {
        let one = item(text);
        let report = self.until(&format!("{text} {phase:?}"), |report| {
            report.items.get(&one).is_some_and(|status| status.phase == phase)
        });
        report.items[&one].clone()
    }

    fn until_running_as_other(&mut self, text: &str, pid: u32) -> Status {
        let one = item(text);
        let report = self.until(&format!("{text} runs anew"), |report| {
            let status = &report.items[&one];
            status.phase == Phase::Running && status.pid.is_some_and(|other| other != pid)
        });
        report.items[&one].clone()
    }

    /// Processes whose command line has a word of this test.
    fn count(word: &str) -> usize {
        let all = fs::read_dir("/proc").expect("there are processes").flatten();
        let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| line.split(|byte| *byte == 0).any(|it| it == word.as_bytes())).count()
    }

    /// Waits until the last command of a service is there, and only once.
    fn is_one(&self, word: &str) {
        let begun = Instant::now();
        while Self::count(word) == 0 {
            assert!(begun.elapsed() < PATIENCE, "{word} is not there: {:#?}", self.last);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((Self::count(word), self.lines("twice").len()), (1, 0));
    }

    fn keeper(&self, job: &str) -> u32 {
        let record = fs::read(self.path("states/jobs").join(format!("{job}.json"))).expect("it was started");
        let record: serde_json::Value = serde_json::from_slice(&record).expect("it is JSON");
        u32::try_from(record["keeper"].as_u64().expect("a number")).expect("ids are small")
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn until_lines(&self, name: &str, count: usize) {
        let begun = Instant::now();
        while self.lines(name).len() < count {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.lines(name));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn logs(&self, words: &[&str]) -> Vec<u8> {
        let logs = Command::new(PROGRAM)
            .args(["automations", "logs"])
            .args(words)
            .args(["--folder", &self.states()])
            .output();
        logs.expect("the program starts").stdout
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
        let all = fs::read_dir(self.path("states/jobs")).into_iter().flatten().flatten();
        let jobs: Vec<String> = all
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
            .collect();
        if self.last.pid != 0 {
            kill(self.last.pid);
        }
        for job in jobs {
            let Ok(record) = fs::read(self.path("states/jobs").join(format!("{job}.json"))) else { continue };
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
            for pid in [&record["keeper"], &record["child"]] {
                if record["exit"].is_null()
                    && let Some(pid) = pid.as_u64()
                {
                    kill(u32::try_from(pid).unwrap_or(u32::MAX));
                }
            }
        }
    }
}

/// Something that runs, and would say so if it were there twice.
const WEB: &str = "
services:
  web:
    commands:
      start: |
        exec 9>>$D/once
        flock -n 9 || { echo twice >> $D/twice; exit 1; }
        echo start >> $D/starts
        echo serving
        sleep 86401.5
    restart: {policy: on-failure, delay: 100ms, maxDelay: 400ms}
";

#[test]
fn a_service_that_is_killed_comes_back() {
    let mut place = Place::new(WEB);
    place.want("services/web", true, "1").say();
    let mut status = place.until_phase("services/web", Phase::Running);
    for restarts in 1..=2 {
        let pid = status.pid.unwrap();
        place.is_one("86401.5");
        kill(pid);
        status = place.until_running_as_other("services/web", pid);
        assert_eq!((status.restarts, status.exit), (restarts, None), "each time after a longer pause");
    }
    place.is_one("86401.5");
    assert_eq!(place.lines("starts").len(), 3);
    place.want("services/web", false, "2").say();
    let status = place.until_phase("services/web", Phase::Stopped);
    assert_eq!((status.exit, status.pid), (Some(Exit::Signal(15)), None));
    assert_eq!(Place::count("86401.5"), 0);
}

#[test]
fn readiness_gates_dependents_and_outputs_reach_them() {
    let mut place = Place::new(
        "
services:
  db:
    commands: {start: 'echo db >> $D/order; sleep 1000', ready: 'test -e $D/open', stop: 'echo stop >> $D/order'}
  web:
    commands: {start: 'echo web $URL $PASSWORD >> $D/order; sleep 1000'}
    dependsOn: [seed]
    env: {URL: {output: seed.url}, PASSWORD: {secret: WEB}}
tasks:
  seed:
    command: 'echo seed >> $D/order; echo url=http://x >> $COVE_OUTPUT'
    dependsOn: [db]
    outputs: [url]
",
    );
    place.order.secrets.insert("WEB".into(), "open sesame".into());
    place.want("services/web", true, "1").say();
    let report = place.until("all wait for db", |report| {
        report.items[&item("services/web")].phase == Phase::Waiting
            && report.items[&item("services/db")].phase == Phase::Starting
    });
    assert_eq!(report.items[&item("tasks/seed")].message.as_deref(), Some("waits for services/db"));
    fs::write(place.path("open"), "").unwrap();
    place.until_phase("services/web", Phase::Running);
    place.until_lines("order", 3);
    assert_eq!(place.lines("order"), ["db", "seed", "web http://x open sesame"]);
    let seed = place.last.items[&item("tasks/seed")].clone();
    assert_eq!(seed.outputs, BTreeMap::from([("url".to_owned(), "http://x".to_owned())]));
    // Stopped by its own command; what is left then goes.
    place.want("services/db", false, "2").say();
    place.until_phase("services/db", Phase::Stopped);
    assert_eq!(place.lines("order").last().map(String::as_str), Some("stop"));
}

#[test]
fn a_time_limit_ends_the_whole_tree() {
    let mut place = Place::new(
        "
tasks:
  slow:
    command: |
      setsid sh -c 'setsid sleep 86402.5 & sleep 86402.5' &
      (trap '' TERM; sleep 86402.5) &
      echo begun; sleep 86402.5
    timeout: 5s
",
    );
    place.want("tasks/slow", true, "1").say();
    let status = place.until_phase("tasks/slow", Phase::Failed);
    assert_eq!(status.message.as_deref(), Some("it took longer than 5s"));
    assert_eq!(status.log_tail, ["begun"]);
    assert_eq!(Place::count("86402.5"), 0);
}

#[test]
fn a_task_ends_with_all_it_started_and_says_how() {
    let mut place = Place::new(
        "tasks: {t: {command: 'sleep 86403.5 & echo no; exit 3'}, u: {command: 'true', outputs: [x]}}",
    );
    place.want("tasks/t", true, "1").want("tasks/u", true, "1").say();
    let (t, u) = (item("tasks/t"), item("tasks/u"));
    let both = [&t, &u];
    let report = place.until("both", |report| both.iter().all(|it| report.items[it].phase == Phase::Failed));
    let status = report.items[&t].clone();
    assert_eq!((status.exit, status.log_tail), (Some(Exit::Code(3)), vec!["no".to_owned()]));
    assert_eq!(Place::count("86403.5"), 0);
    let status = report.items[&u].clone();
    assert_eq!(status.message.as_deref(), Some("it did not write its output `x` to the file $COVE_OUTPUT"));
}

#[test]
fn services_outlive_the_daemon_and_the_supervisor() {
    let mut place = Place::new(&WEB.replace("86401.5", "86404.5"));
    place.want("services/web", true, "1").say();
    let pid = place.until_phase("services/web", Phase::Running).pid.unwrap();
    place.is_one("86404.5");
    place.leave();
    place.say();
    assert_eq!(place.until_phase("services/web", Phase::Running).pid, Some(pid), "the daemon was killed");
    let supervisor = place.last.pid;
    kill(supervisor);
    let report = place.until("another supervisor", |report| report.pid != supervisor);
    assert_eq!(report.items[&item("services/web")].pid, Some(pid), "the supervisor was killed");
    // Its end is seen though another started it, and it heals.
    kill(pid);
    place.until_running_as_other("services/web", pid);
    place.is_one("86404.5");
    assert_eq!(place.lines("starts").len(), 2);
}

#[test]
fn whoever_is_killed_nothing_is_there_twice() {
    let mut place = Place::new(&WEB.replace("86401.5", "86405.5"));
    place.want("services/web", true, "1").say();
    let mut pid = place.until_phase("services/web", Phase::Running).pid.unwrap();
    place.is_one("86405.5");
    for round in 0..6 {
        let (supervisor, keeper) = (place.last.pid, place.keeper("service.web"));
        // First who stands over it, then also who decides, then in the other order.
        match round % 3 {
            0 => kill(keeper),
            1 => [supervisor, keeper].into_iter().for_each(kill),
            _ => [keeper, supervisor].into_iter().for_each(kill),
        }
        pid = place.until_running_as_other("services/web", pid).pid.unwrap();
        place.is_one("86405.5");
    }
}

#[test]
fn a_supervisor_that_is_killed_while_it_starts_things_starts_them_once() {
    let mut place = Place::new(&WEB.replace("86401.5", "86406.5"));
    for round in 0..10_u32 {
        place.want("services/web", true, &round.to_string()).say();
        place.until("it is under way", |report| report.pid != 0);
        std::thread::sleep(Duration::from_millis(u64::from(round) * 3));
        kill(place.last.pid);
    }
    place.until("it runs for the last wish", |report| {
        let status = &report.items[&item("services/web")];
        status.phase == Phase::Running && status.session == "9" && status.pid.is_some()
    });
    place.is_one("86406.5");
}

#[test]
fn all_commands_of_a_service_may_end_as_they_like() {
    let text = "
services:
  both:
    commands:
      start: |
        (trap 'sleep 1; echo one >> $D/ended; exit' TERM; echo >> $D/up; while :; do sleep 0.1; done) &
        (trap 'sleep 1; echo two >> $D/ended; exit' TERM; echo >> $D/up; while :; do sleep 0.1; done) &
        wait
    timeouts: {stop: 30s}
";
    for also_the_supervisor in [false, true] {
        let mut place = Place::new(text);
        place.want("services/both", true, "1").say();
        place.until_phase("services/both", Phase::Running);
        place.until_lines("up", 2);
        place.want("services/both", false, "2").say();
        if also_the_supervisor {
            place.until_phase("services/both", Phase::Stopping);
            kill(place.last.pid);
        }
        place.until_phase("services/both", Phase::Stopped);
        let mut ended = place.lines("ended");
        ended.sort();
        assert_eq!(ended, ["one", "two"], "also the supervisor: {also_the_supervisor}");
    }
}

#[test]
fn a_folder_that_is_removed_is_made_anew_and_nothing_runs_twice() {
    let mut place = Place::new(&WEB.replace("86401.5", "86408.5"));
    place.want("services/web", true, "1").say();
    let pid = place.until_phase("services/web", Phase::Running).pid.unwrap();
    let supervisor = place.last.pid;
    fs::remove_dir_all(place.states()).unwrap();
    place.until("another supervisor", |report| report.pid != supervisor && report.pid != 0);
    place.until_running_as_other("services/web", pid);
    place.is_one("86408.5");
}

#[test]
fn a_new_run_of_the_container_starts_what_is_wanted_in_it() {
    let mut place = Place::new(&WEB.replace("86401.5", "86407.5"));
    place.want("services/web", true, "run1").say();
    let status = place.until_phase("services/web", Phase::Running);
    let supervisor = place.last.pid;
    // What the end of a container does.
    place.leave();
    [supervisor, place.keeper("service.web"), status.pid.unwrap()].into_iter().for_each(kill);
    place.order.run = "run2".into();
    place.want("services/web", true, "run2").say();
    let again = place.until("it runs again", |report| {
        let status = &report.items[&item("services/web")];
        status.phase == Phase::Running && status.session == "run2" && status.pid.is_some()
    });
    assert_ne!(again.items[&item("services/web")].pid, status.pid);
    place.is_one("86407.5");
}

#[test]
fn logs_are_bounded_and_followed() {
    let mut place = Place::new(
        "tasks: {loud: {command: 'i=0; while [ $i -lt 60000 ]; do echo a line of some length that says that it is number $i; i=$((i+1)); done; echo last'}}",
    );
    place.want("tasks/loud", true, "1").say();
    // Followed from before there is anything to follow.
    let follower = Command::new(PROGRAM)
        .args(["automations", "logs", "tasks/loud", "--follow", "--folder", &place.states()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut follower = follower;
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| line != "last");
    assert_eq!(lines.next().as_deref(), Some("last"));
    let _ = follower.kill();
    let _ = follower.wait();
    place.until_phase("tasks/loud", Phase::Succeeded);
    let all: u64 = fs::read_dir(place.path("states/logs"))
        .unwrap()
        .map(|it| it.unwrap().metadata().unwrap().len())
        .sum();
    assert!((1 << 20..=2 << 20).contains(&all), "{all}");
    assert_eq!(place.logs(&["tasks/loud", "--tail", "1"]), b"last\n");
    assert_eq!(place.logs(&["tasks/loud"]).len() as u64, all);
}

#[test]
fn a_folder_of_somebody_else_is_not_used() {
    let temp = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(temp.path(), temp.path().join("link")).unwrap();
    let said = Command::new(PROGRAM)
        .args(["automations", "ctl", "--folder"])
        .arg(temp.path().join("link"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("belongs to somebody else"), "{said}");
}
