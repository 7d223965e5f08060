//! What the files say, and how the system is told of them. The systems' own commands are stand-ins: launchd exists on
//! Macs alone, and a machine that builds programs seldom runs under systemd.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;

fn account() -> Account {
    Account { name: "mia".into(), uid: 501, home: "/Users/mia".into() }
}

fn at_login(program: &str) -> Description {
    Description { program: Program::At(program.into()), at_boot_for: None, state_folder: None }
}

fn at_boot(program: &str) -> Description {
    Description {
        at_boot_for: Some(account()),
        state_folder: Some("/Users/mia/a % $b".into()),
        ..at_login(program)
    }
}

#[test]
fn a_launch_agent_is_this() {
    insta::assert_snapshot!(String::from_utf8(launchd_plist(&at_login("/opt/homebrew/bin/coved"))).unwrap());
}

#[test]
fn a_launch_daemon_says_who_it_is_for() {
    insta::assert_snapshot!(String::from_utf8(launchd_plist(&at_boot("/usr/local/bin/coved"))).unwrap());
}

#[test]
fn the_file_in_the_bundle_names_nobodys_folder() {
    let program = Program::InBundle("Contents/MacOS/coved".into());
    let text = launchd_plist(&Description { program, ..at_login("") });
    insta::assert_snapshot!(String::from_utf8(text).unwrap());
}

#[test]
fn units_are_these() {
    insta::assert_snapshot!(systemd_unit(&at_login("/opt/my % tools/coved")));
    insta::assert_snapshot!(systemd_unit(&at_boot("/usr/bin/coved")));
}

/// systemd's own reader says whether it understands a unit. It takes no quotes in a program's name at all.
#[cfg(target_os = "linux")]
#[test]
fn systemd_accepts_the_units() {
    let temp = tempfile::tempdir().unwrap();
    let program = temp.path().join("a $b %h coved");
    fs_err::write(&program, "#!/bin/sh\n").unwrap();
    fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let root = Account { name: "root".into(), uid: 0, home: "/root".into() };
    for at_boot_for in [None, Some(root)] {
        let description = Description { at_boot_for, ..at_boot(program.to_str().unwrap()) };
        let file = temp.path().join("cove.service");
        fs_err::write(&file, systemd_unit(&description)).unwrap();
        let checked = Command::new("systemd-analyze").arg("verify").arg(&file).output();
        let checked = checked.expect("systemd-analyze comes with systemd, which Linux hosts have");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && !said.contains("cove.service"), "{said}");
    }
}

/// A stand-in for a system's command: it notes what it is told, and does what the script says.
struct StandIn {
    folder: tempfile::TempDir,
}

impl StandIn {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho \"$*\" >> told\n{script}\n");
        // Written by another process: a file that this one has open for writing, if only in a child that another
        // test's thread is just starting, cannot be run.
        let write = "printf %s \"$0\" > tool && chmod 755 tool";
        let done = Command::new("sh").args(["-c", write, &text]).current_dir(folder.path()).status().unwrap();
        assert!(done.success());
        Self { folder }
    }

    fn path(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.folder.path().to_owned()).unwrap()
    }

    /// What it was told since the last time it was asked.
    fn told(&self) -> Vec<String> {
        let file = self.path().join("told");
        let text = whole_file::read(&file).unwrap().unwrap_or_default();
        whole_file::remove(&file).unwrap();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    fn launchd(&self) -> Services {
        let mut launchd = launchd::Launchd::new(&account(), &self.path());
        launchd.daemons = self.path().join("LaunchDaemons");
        launchd.tool = Tool(self.path().join("tool"));
        Services { manager: Box::new(launchd) }
    }

    fn systemd(&self) -> Services {
        let mut systemd = systemd::Systemd::new(&account(), &self.path());
        systemd.of_the_person = self.path().join("user");
        systemd.of_the_computer = self.path().join("system");
        systemd.running = self.path();
        systemd.tool = Tool(self.path().join("tool"));
        Services { manager: Box::new(systemd) }
    }
}

/// launchd, as far as it matters: a service is loaded or not, and it takes a moment to let go of one.
const LAUNCHD: &str = r#"
case "$*" in
  "print gui/501") test ! -e logged-out ;;
  print*) test -e loaded ;;
  bootout*) rm loaded; touch busy ;;
  bootstrap*) test ! -e refusing || { echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; }
    if [ -e busy ]; then rm busy; echo "Bootstrap failed: 37: Operation already in progress" >&2; exit 37; fi
    cp "$3" loaded ;;
esac"#;

#[test]
fn launchd_is_told_once_and_again_only_of_changes() {
    let stand_in = StandIn::new(LAUNCHD);
    let services = stand_in.launchd();
    let file = stand_in.path().join("Library/LaunchAgents/dev.cove.coved.plist");
    assert_eq!(services.find(Moment::Login).unwrap(), None);
    assert_eq!(services.install(&at_login("/a/coved")).unwrap(), Change::Done);
    let bootstrap = format!("bootstrap gui/501 {file}");
    assert!(stand_in.told().ends_with(&["enable gui/501/dev.cove.coved".to_owned(), bootstrap.clone()]));
    assert_eq!(services.install(&at_login("/a/coved")).unwrap(), Change::Nothing);
    assert_eq!(stand_in.told(), ["print gui/501/dev.cove.coved"]);
    // Another program: launchd lets go of the old one, in its own time, before it takes the new one.
    assert_eq!(services.install(&at_login("/b/coved")).unwrap(), Change::Done);
    let told = stand_in.told();
    assert_eq!(told.iter().filter(|line| **line == bootstrap).count(), 2, "{told:?}");
    let found = services.find(Moment::Login).unwrap().unwrap();
    assert_eq!((found.program, found.state_folder, found.is_loaded), (Some("/b/coved".into()), None, true));
    assert_eq!(services.remove(Moment::Login).unwrap(), Change::Done);
    assert_eq!(services.remove(Moment::Login).unwrap(), Change::Nothing);
    assert!(!file.exists() && !stand_in.path().join("loaded").exists());
}

#[test]
fn a_person_who_is_not_at_the_screen_has_the_service_at_the_next_login() {
    let stand_in = StandIn::new(LAUNCHD);
    fs_err::write(stand_in.path().join("logged-out"), "").unwrap();
    let services = stand_in.launchd();
    assert_eq!(services.install(&at_login("/a/coved")).unwrap(), Change::Done);
    assert!(!services.find(Moment::Login).unwrap().unwrap().is_loaded);
}

#[test]
fn a_service_for_boot_is_the_computers_and_runs_as_its_person() {
    let stand_in = StandIn::new(LAUNCHD);
    let services = stand_in.launchd();
    services.install(&at_boot("/a/coved")).unwrap();
    let file = stand_in.path().join("LaunchDaemons/dev.cove.coved.mia.plist");
    assert!(stand_in.told().contains(&format!("bootstrap system {file}")));
    let found = services.find(Moment::Boot).unwrap().unwrap();
    assert_eq!(found.state_folder.unwrap(), "/Users/mia/a % $b");
    assert_eq!(fs_err::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
}

/// systemd, as far as it matters.
const SYSTEMD: &str = r#"
test ! -e refusing || { echo "Failed to connect to bus: No medium found" >&2; exit 1; }
case "$*" in
  *is-enabled*) test -e enabled ;;
  *enable*) touch enabled ;;
  *disable*) rm enabled ;;
esac"#;

#[test]
fn systemd_is_told_once_and_again_only_of_changes() {
    let stand_in = StandIn::new(SYSTEMD);
    let services = stand_in.systemd();
    assert_eq!(services.install(&at_login("/a/coved")).unwrap(), Change::Done);
    assert_eq!(
        stand_in.told(),
        ["--user daemon-reload", "--user enable cove.service", "--user restart cove.service"]
    );
    assert_eq!(services.install(&at_login("/a/coved")).unwrap(), Change::Nothing);
    let found = services.find(Moment::Login).unwrap().unwrap();
    assert_eq!((found.program, found.is_loaded), (Some("/a/coved".into()), true));
    stand_in.told();
    assert_eq!(services.install(&at_boot("/a/coved")).unwrap(), Change::Done);
    assert!(stand_in.told().contains(&"restart cove-mia.service".to_owned()));
    let folder = services.find(Moment::Boot).unwrap().unwrap().state_folder;
    assert_eq!(folder.unwrap(), "/Users/mia/a % $b");
    assert_eq!(services.remove(Moment::Boot).unwrap(), Change::Done);
    assert_eq!(services.find(Moment::Boot).unwrap(), None);
}

#[test]
fn what_the_system_refuses_leaves_all_as_it_was() {
    let stand_in = StandIn::new(SYSTEMD);
    let services = stand_in.systemd();
    let refusing = stand_in.path().join("refusing");
    fs_err::write(&refusing, "").unwrap();
    let error = services.install(&at_login("/a/coved")).unwrap_err().to_string();
    assert_eq!(error, "`tool --user daemon-reload` failed: Failed to connect to bus: No medium found");
    assert_eq!(services.find(Moment::Login).unwrap(), None);
    fs_err::remove_file(&refusing).unwrap();
    services.install(&at_login("/a/coved")).unwrap();
    fs_err::write(&refusing, "").unwrap();
    assert!(services.install(&at_login("/b/coved")).is_err());
    let found = services.find(Moment::Login).unwrap().unwrap();
    assert_eq!(found.program.unwrap(), "/a/coved");
    assert!(services.remove(Moment::Login).is_err());
    assert!(services.find(Moment::Login).unwrap().is_some());
}

#[test]
fn nothing_is_written_where_nothing_would_read_it() {
    let stand_in = StandIn::new(SYSTEMD);
    let mut systemd = systemd::Systemd::new(&account(), &stand_in.path());
    systemd.of_the_person = stand_in.path().join("user");
    systemd.running = stand_in.path().join("absent");
    let services = Services { manager: Box::new(systemd) };
    let error = services.install(&at_login("/a/coved")).unwrap_err().to_string();
    assert_eq!(error, "nothing on this computer starts services: systemd does not run");
    assert!(!stand_in.path().join("user").exists());
}

#[test]
fn a_program_that_is_gone_is_replaced_and_no_other() {
    let stand_in = StandIn::new(LAUNCHD);
    let services = stand_in.launchd();
    assert_eq!(services.heal(&at_login("/new/coved")).unwrap(), Change::Nothing);
    let program = |services: &Services| services.find(Moment::Login).unwrap().unwrap().program.unwrap();
    services.install(&at_login("/gone/coved")).unwrap();
    let elsewhere = Description { state_folder: Some("/other".into()), ..at_login("/new/coved") };
    assert_eq!(services.heal(&elsewhere).unwrap(), Change::Nothing);
    assert_eq!(services.heal(&at_login("/bin/sh")).unwrap(), Change::Done);
    assert_eq!(program(&services), "/bin/sh");
    assert_eq!(services.heal(&at_login("/new/coved")).unwrap(), Change::Nothing);
    assert_eq!(program(&services), "/bin/sh");
}
