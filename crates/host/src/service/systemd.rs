//! systemd: a unit of a person's own manager, or one of the computer's that runs as that person.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::{ARGUMENTS, Description, Manager, Moment, Program, ServiceError, Tool};
use crate::account::Account;

/// Where systemd is found to run, as sd_booted(3) has it.
const RUNNING: &str = "/run/systemd/system";

/// The file that tells systemd of the daemon.
pub fn systemd_unit(description: &Description) -> String {
    let program = match &description.program {
        Program::At(path) | Program::InBundle(path) => path,
    };
    let mut unit = String::from("[Unit]\nDescription=Cove's daemon\n");
    // A daemon that cannot run is not tried for ever.
    unit.push_str("StartLimitIntervalSec=60\nStartLimitBurst=5\n\n[Service]\nType=exec\n");
    let arguments = ARGUMENTS.join(" ");
    // Writing to memory cannot fail.
    let _ = writeln!(unit, "ExecStart={} {arguments}", quoted(program.as_str()));
    if let Some(folder) = &description.state_folder {
        let _ = writeln!(unit, "Environment={}", quoted(&format!("COVE_HOME={folder}")));
    }
    if let Some(account) = &description.at_boot_for {
        let _ = writeln!(unit, "User={}", account.name);
    }
    // Started again after a crash, and not after `cove daemon stop`. The machine runs on when the daemon ends, and a
    // machine that ran out of memory is no end of the daemon.
    unit.push_str("Restart=on-failure\nRestartSec=2\nKillMode=process\nOOMPolicy=continue\nUMask=0077\n");
    let target = match description.moment() {
        Moment::Login => "default.target",
        Moment::Boot => "multi-user.target",
    };
    let _ = write!(unit, "\n[Install]\nWantedBy={target}\n");
    unit
}

/// A word in a unit's command or assignment: `%` means itself there, as `$` does in both.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for letter in word.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '%' => text.push_str("%%"),
            '\n' => text.push_str("\\n"),
            letter => text.push(letter),
        }
    }
    text.push('"');
    text
}

/// The word that [`quoted`] wrote at the beginning of a text.
fn unquoted(text: &str) -> Option<String> {
    let mut letters = text.strip_prefix('"')?.chars();
    let mut word = String::new();
    loop {
        match letters.next()? {
            '"' => return Some(word),
            '\\' => match letters.next()? {
                'n' => word.push('\n'),
                letter => word.push(letter),
            },
            '%' => word.push(letters.next().filter(|second| *second == '%')?),
            letter => word.push(letter),
        }
    }
}

/// The services of a person, as systemd has them.
#[derive(Debug)]
pub(super) struct Systemd {
    account: Account,
    pub(super) of_the_person: Utf8PathBuf,
    pub(super) of_the_computer: Utf8PathBuf,
    pub(super) running: Utf8PathBuf,
    pub(super) tool: Tool,
}

impl Systemd {
    #[cfg_attr(all(target_os = "macos", not(test)), expect(dead_code, reason = "systemd is Linux's"))]
    pub(super) fn new(account: &Account, home: &Utf8Path) -> Self {
        let settings = std::env::var("XDG_CONFIG_HOME").ok().filter(|folder| folder.starts_with('/'));
        let settings = settings.map_or_else(|| home.join(".config"), Utf8PathBuf::from);
        Self {
            account: account.clone(),
            of_the_person: settings.join("systemd/user"),
            of_the_computer: "/etc/systemd/system".into(),
            running: RUNNING.into(),
            tool: Tool("systemctl".into()),
        }
    }

    fn name(&self, moment: Moment) -> String {
        match moment {
            Moment::Login => "cove.service".to_owned(),
            Moment::Boot => format!("cove-{}.service", self.account.name),
        }
    }

    fn run(&self, moment: Moment, arguments: &[&str]) -> Result<(), ServiceError> {
        match moment {
            Moment::Login => self.tool.run(&[&["--user"], arguments].concat()),
            Moment::Boot => self.tool.run(arguments),
        }
    }
}

impl Manager for Systemd {
    fn file(&self, moment: Moment) -> Utf8PathBuf {
        let folder = match moment {
            Moment::Login => &self.of_the_person,
            Moment::Boot => &self.of_the_computer,
        };
        folder.join(self.name(moment))
    }

    fn text(&self, description: &Description) -> Vec<u8> {
        systemd_unit(description).into_bytes()
    }

    fn read(&self, text: &[u8]) -> Option<(Utf8PathBuf, Option<Utf8PathBuf>)> {
        let text = std::str::from_utf8(text).ok()?;
        let value = |key: &str| text.lines().find_map(|line| unquoted(line.strip_prefix(key)?));
        let folder = value("Environment=").and_then(|text| Some(text.strip_prefix("COVE_HOME=")?.into()));
        Some((value("ExecStart=")?.into(), folder))
    }

    fn check(&self, _: Moment) -> Result<(), ServiceError> {
        if self.running.exists() {
            Ok(())
        } else {
            Err(ServiceError::NoSystem { reason: "systemd does not run" })
        }
    }

    fn is_loaded(&self, moment: Moment) -> bool {
        self.run(moment, &["is-enabled", "--quiet", &self.name(moment)]).is_ok()
    }

    fn load(&self, moment: Moment) -> Result<(), ServiceError> {
        let name = self.name(moment);
        self.run(moment, &["daemon-reload"])?;
        self.run(moment, &["enable", &name])?;
        self.run(moment, &["restart", &name])
    }

    fn unload(&self, moment: Moment) -> Result<(), ServiceError> {
        self.run(moment, &["disable", "--now", &self.name(moment)])
    }

    fn forget(&self, moment: Moment) {
        // It is off and its file is gone: what the manager remembers of it has no effect.
        let _ = self.run(moment, &["daemon-reload"]);
    }
}
