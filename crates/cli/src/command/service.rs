//! `cove daemon install|uninstall`: the daemon as a service of launchd or systemd.

use std::error::Error as _;
use std::time::Duration;

use api::{Problem, ProblemCode};
use camino::Utf8PathBuf;
use client::Client;
use host::account::is_root;
use host::service::{Change, Description, Found, Moment, Program, ServiceError, Services};
use serde::Serialize;

use super::daemon;
use crate::arguments::ServiceMoment;
use crate::context::Context;
use crate::failure::Failure;
use crate::owner::Owner;

/// How long a daemon that the system starts may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two looks at the socket.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How the daemon is started, for programs.
#[derive(Debug, Serialize)]
pub(super) struct ServiceStatus {
    /// `login` or `boot`.
    at: &'static str,
    /// The file that says so to the system.
    file: Utf8PathBuf,
    /// Whether the program it names is there.
    program_exists: bool,
    /// Whether the system knows of it already.
    loaded: bool,
}

impl ServiceStatus {
    fn of(found: &Found) -> Self {
        Self {
            at: word(found.moment),
            file: found.file.clone(),
            program_exists: found.program.as_ref().is_some_and(|program| program.exists()),
            loaded: found.is_loaded,
        }
    }

    /// For people.
    pub(super) fn sentence(&self) -> String {
        let when = if self.at == word(Moment::Boot) { "with this computer" } else { "at your login" };
        let doubt = match (self.program_exists, self.loaded) {
            (false, _) => {
                ", but the program it names is gone: run `cove daemon install` again to name this one"
            }
            (true, false) => ", from the next time on",
            (true, true) => "",
        };
        format!("{when}{doubt} ({})", self.file)
    }
}

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct Answer {
    at: Option<&'static str>,
    file: Option<Utf8PathBuf>,
    changed: bool,
}

/// The service of this person's state folder, whenever it is started.
pub(super) fn status(context: &Context) -> Result<Option<ServiceStatus>, Failure> {
    let Some(person) = Person::of(context) else { return Ok(None) };
    Ok(person.find()?.map(|found| ServiceStatus::of(&found)))
}

pub(super) async fn install(context: &Context, at: ServiceMoment) -> Result<(), Failure> {
    let person = Person::of(context).ok_or_else(nobody)?;
    let moment = match at {
        ServiceMoment::Login => Moment::Login,
        ServiceMoment::Boot => Moment::Boot,
    };
    person.may_change(moment, &format!("daemon install --at {}", word(moment)))?;
    // Before anything is ended for it.
    person.services.check(moment).map_err(|error| problem(&error))?;
    if let Some(other) = person.find()?.filter(|other| other.moment != moment) {
        let title = format!("the daemon is started {} already", ServiceStatus::of(&other).sentence());
        return Err(refused(title)
            .with_command("undo that first", person.command(other.moment, "daemon uninstall"))
            .into());
    }
    let description = person.description(Client::daemon_program()?, moment);
    if person.services.is_set_up(&description).map_err(|error| problem(&error))? {
        return show(context, &person, moment, false);
    }
    // One that runs is not the system's; as root it cannot be spoken to, and the system's gives way to it.
    if moment == Moment::Login {
        daemon::end(context).await?;
    }
    person.services.install(&description).map_err(|error| problem(&error))?;
    let is_started = person.find()?.is_some_and(|found| found.is_loaded);
    if moment == Moment::Login && is_started {
        wait_for_answer(context).await?;
    }
    show(context, &person, moment, true)
}

pub(super) fn uninstall(context: &Context) -> Result<(), Failure> {
    let person = Person::of(context).ok_or_else(nobody)?;
    let Some(found) = person.find()? else {
        let answer = Answer { at: None, file: None, changed: false };
        return context.output.show(&answer, |_| {
            "The daemon is started with the first command that needs it; there is nothing to undo.".to_owned()
        });
    };
    person.may_change(found.moment, "daemon uninstall")?;
    let change = person.services.remove(found.moment).map_err(|error| problem(&error))?;
    let answer = Answer { at: None, file: Some(found.file), changed: change == Change::Done };
    context.output.show(&answer, |_| {
        "The daemon is started with the first command that needs it from now on. Machines and environments run on."
            .to_owned()
    })
}

fn show(context: &Context, person: &Person, moment: Moment, changed: bool) -> Result<(), Failure> {
    let found = person.find()?;
    let answer =
        Answer { at: Some(word(moment)), file: found.as_ref().map(|found| found.file.clone()), changed };
    context.output.show(&answer, |_| {
        let started = found.as_ref().map(|found| ServiceStatus::of(found).sentence()).unwrap_or_default();
        let mut text = format!("The daemon is started {started}.");
        if moment == Moment::Boot && changed {
            text.push_str("\nOne that runs now goes on; the system's own takes over when it has ended.");
        }
        text
    })
}

/// Whose daemon it is.
struct Person {
    who: Owner,
    services: Services,
}

impl Person {
    /// `None` where the system knows no account of this number.
    fn of(context: &Context) -> Option<Self> {
        let who = Owner::of(&context.home)?;
        let services = Services::of(&who.account, &who.folder);
        Some(Self { who, services })
    }

    fn find(&self) -> Result<Option<Found>, Failure> {
        for moment in [Moment::Login, Moment::Boot] {
            let found = self.services.find(moment).map_err(|error| problem(&error))?;
            let is_for_us = |found: &Found| found.state_folder == self.who.named_folder();
            if let Some(found) = found.filter(is_for_us) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn description(&self, program: Utf8PathBuf, moment: Moment) -> Description {
        Description {
            program: Program::At(program),
            at_boot_for: (moment == Moment::Boot).then(|| self.who.account.clone()),
            state_folder: self.who.named_folder(),
        }
    }

    /// A command line of this program with the rights that a service of this kind needs.
    fn command(&self, moment: Moment, words: &str) -> String {
        match moment {
            Moment::Login => format!("cove {words}"),
            Moment::Boot => self.who.as_root(words),
        }
    }

    fn may_change(&self, moment: Moment, words: &str) -> Result<(), Problem> {
        match moment {
            Moment::Boot if !is_root() => {
                let title = "a service that starts with the computer is set up by root alone";
                Err(refused(title.to_owned()).with_command("let sudo do it", self.command(moment, words)))
            }
            Moment::Login if self.who.by_sudo => {
                let title = format!(
                    "a service that starts at the login of `{}` is set up by that person, without sudo",
                    self.who.account.name
                );
                Err(refused(title).with_command("run", self.command(moment, words)))
            }
            Moment::Login | Moment::Boot => Ok(()),
        }
    }
}

fn word(moment: Moment) -> &'static str {
    match moment {
        Moment::Login => "login",
        Moment::Boot => "boot",
    }
}

async fn wait_for_answer(context: &Context) -> Result<(), Failure> {
    let client = Client::new(&context.home);
    let answered = tokio::time::timeout(PATIENCE, async {
        while client.version().await.is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    answered.await.map_err(|_| {
        let title =
            format!("the service was set up, and the daemon does not answer after {} s", PATIENCE.as_secs());
        Problem::new(ProblemCode::DaemonUnreachable, title)
            .with_hint(format!("its log is `{}`", context.home.daemon_log()))
            .into()
    })
}

fn refused(title: String) -> Problem {
    Problem::new(ProblemCode::ServiceRefused, title)
}

fn nobody() -> Failure {
    refused("this computer knows no account for the user of this process".to_owned()).into()
}

fn problem(error: &ServiceError) -> Problem {
    let problem = refused(error.to_string());
    let problem = match error.source() {
        Some(cause) => problem.caused_by(cause),
        None => problem,
    };
    match error {
        ServiceError::NoSystem { .. } => problem
            .with_hint("the daemon is started with the first command that needs it, which needs no service"),
        ServiceError::File { .. } | ServiceError::NotRunnable { .. } | ServiceError::Refused { .. } => {
            problem
        }
    }
}
