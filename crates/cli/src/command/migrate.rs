//! `cove migrate`: copies from another engine into the machine's.

mod display;
mod text;

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use api::{Machine, Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use engine::{Engine, EngineError, HostTools};
use migration::{
    FindError, Kind, Migration, MigrationError, Places, Plan, Product, Shortage, Variables, Wishes, find,
    plan,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::display::Display;
use crate::arguments::{MigrateArguments, MigrationKind, MigrationSource};
use crate::context::{Context, working_folder};
use crate::failure::Failure;
use crate::output::Output;
use crate::quantity;

/// How long what was made for a run may take to go after ctrl-c. The next run removes what is left.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// One that is carried out.
struct Session<'a> {
    context: &'a Context,
    migration: Migration,
    /// Where it copies from.
    socket: Utf8PathBuf,
    /// Listens all the time.
    interrupt: Signal,
}

pub(super) async fn run(context: &Context, arguments: MigrateArguments) -> Result<(), Failure> {
    let places = places(&arguments)?;
    let ours = context.home.docker_socket();
    if places.sockets.iter().any(|socket| is_same(socket, &ours)) {
        return Err(own_engine().into());
    }
    let (source, socket) = find(&places.sockets).await.map_err(|error| not_found(&error, &places))?;
    let _alone = alone(context)?;
    let machine = super::machine::bring_up(context).await?;
    let target = Engine::new(&ours, Arc::new(HostTools::default()));
    let interrupt = signal(SignalKind::interrupt()).map_err(|error| {
        Problem::new(ProblemCode::Internal, "could not listen for ctrl-c").caused_by(&error)
    })?;
    let mut session = Session { context, migration: Migration::new(source, target), socket, interrupt };
    let wishes = wishes(&arguments, &machine);
    session.carry_out(&arguments, &wishes).await
}

impl Session<'_> {
    async fn carry_out(&mut self, arguments: &MigrateArguments, wishes: &Wishes) -> Result<(), Failure> {
        let output = self.context.output;
        output.note(&format!("Looking at what is at {} and what is here", self.socket));
        let display = Display::for_output(output);
        let migration = self.migration.clone();
        let observed = self.unless_interrupted(migration.observe(wishes, &display)).await;
        display.clear();
        let observed = observed?;
        let plan = plan(&observed, wishes);
        if arguments.dry_run {
            return output.show(&plan, |paint| text::plan(&plan, paint));
        }
        if plan.is_work() {
            if let Some(shortage) = &plan.shortage {
                return Err(too_little_room(*shortage).into());
            }
            self.agree(arguments, &plan).await?;
        }
        let display = Display::for_output(output);
        let report = self.unless_interrupted(migration.run(&observed, &plan, &display)).await;
        display.clear();
        let report = report?;
        output.show(&report, |paint| text::report(&report, paint))?;
        if report.complete { Ok(()) } else { Err(Failure::Status(1)) }
    }

    /// Asks once.
    async fn agree(&mut self, arguments: &MigrateArguments, plan: &Plan) -> Result<(), Failure> {
        if arguments.yes {
            return Ok(());
        }
        let output = self.context.output;
        if !output.can_ask() {
            let problem = Failure::request("there is nobody to be asked whether to copy");
            return Err(problem
                .with_hint("say `--yes`; with `--dry-run` see first what would be copied")
                .into());
        }
        output.note(&text::plan(plan, output.note_paint()));
        // Reading keeps a thread; ctrl-c is heard meanwhile.
        let answer = tokio::task::spawn_blocking(|| Output::confirm("Copy?"));
        tokio::select! {
            answer = answer => if answer.unwrap_or(false) { Ok(()) } else { Err(Failure::Status(1)) },
            _ = self.interrupt.recv() => Err(Failure::Interrupted),
        }
    }

    async fn unless_interrupted<T>(
        &mut self,
        work: impl Future<Output = Result<T, MigrationError>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => done.map_err(|error| problem(&error, &self.socket).into()),
            _ = self.interrupt.recv() => {
                // What stays is removed by the next run.
                let _ = tokio::time::timeout(CLEAN_UP, self.migration.clean_up()).await;
                Err(Failure::Interrupted)
            }
        }
    }
}

/// Where to look for the source.
fn places(arguments: &MigrateArguments) -> Result<Places, Failure> {
    let product = arguments.source.map(|source| match source {
        MigrationSource::DockerDesktop => Product::DockerDesktop,
        MigrationSource::Orbstack => Product::OrbStack,
        MigrationSource::Colima => Product::Colima,
    });
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(socket) = &arguments.socket {
        let advice = match product {
            Some(product) => format!("start {}", product.title()),
            None => "start the engine that belongs to it".to_owned(),
        };
        return Ok(Places { sockets: vec![working_folder()?.join(socket)], advice });
    }
    let (Some(product), Some(home)) = (product, variable("HOME")) else {
        return Err(
            Failure::request("HOME is not set; say where the engine's socket is with `--socket`").into()
        );
    };
    let variables = Variables {
        home: home.into(),
        colima_home: variable("COLIMA_HOME").map(Into::into),
        config_home: variable("XDG_CONFIG_HOME").map(Into::into),
    };
    Ok(product.places(arguments.profile.as_deref(), &variables))
}

fn wishes(arguments: &MigrateArguments, machine: &Machine) -> Wishes {
    let kinds = arguments.only.iter().map(|kind| match kind {
        MigrationKind::Images => Kind::Image,
        MigrationKind::Volumes => Kind::Volume,
        MigrationKind::Containers => Kind::Container,
    });
    let usage = machine.status.usage.as_ref();
    Wishes {
        only: kinds.collect(),
        running: arguments.running,
        shares: Some(machine.spec.shares.iter().map(ToString::to_string).collect()),
        free: usage.map(|usage| usage.disk_total.saturating_sub(usage.disk_used)).filter(|free| *free > 0),
    }
}

fn is_same(one: &Utf8Path, other: &Utf8Path) -> bool {
    let resolved = |path: &Utf8Path| path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
    resolved(one) == resolved(other)
}

/// One at a time: another would take what this one is filling for what a killed one has left.
fn alone(context: &Context) -> Result<File, Failure> {
    let path = context.home.run_dir().join("migrate.lock");
    let unusable = |error: &dyn std::error::Error| {
        Problem::new(ProblemCode::Internal, format!("could not use `{path}`")).caused_by(error)
    };
    std::fs::create_dir_all(context.home.run_dir()).map_err(|error| unusable(&error))?;
    let file = File::options().create(true).append(true).open(&path).map_err(|error| unusable(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let problem = Problem::new(ProblemCode::Conflict, "another `cove migrate` is at work");
            Err(problem.with_hint("wait for its end").into())
        }
        Err(TryLockError::Error(error)) => Err(unusable(&error).into()),
    }
}

fn own_engine() -> Problem {
    Failure::request("the source is Cove's own engine").with_hint("name another with `--socket`")
}

fn not_found(error: &FindError, places: &Places) -> Problem {
    let problem = Problem::new(ProblemCode::MigrationSource, error.to_string());
    let problem = match error {
        FindError::NoSocket { .. } => problem,
        FindError::NoAnswer { source, .. } => problem.caused_by(source),
    };
    problem.with_hint(&places.advice).with_hint("or say where its socket is: `--socket PATH`")
}

fn too_little_room(shortage: Shortage) -> Problem {
    let title = format!(
        "up to {} would be copied, and the machine has {} left",
        quantity::bytes(shortage.needed),
        quantity::bytes(shortage.free)
    );
    let grown = shortage.needed.saturating_sub(shortage.free).div_ceil(1 << 30);
    Problem::new(ProblemCode::MachineDiskFull, title)
        .with_command(
            format!("make its disk {grown} GiB larger; it can only grow"),
            "cove machine set --disk GIB",
        )
        .with_hint("or copy less: `--only images`, `--only volumes`, `--only containers`")
}

/// Why all of it ended.
fn problem(error: &MigrationError, socket: &Utf8Path) -> Problem {
    let again = "run the same command again: it goes on where it was";
    match error {
        MigrationError::SameEngine => own_engine(),
        MigrationError::Target(EngineError::NoSpace { .. }) => {
            Problem::new(ProblemCode::MachineDiskFull, "the machine's disk is full")
                .caused_by(error)
                .with_command("grow it", "cove machine set --disk GIB")
        }
        MigrationError::Target(EngineError::Unreachable { .. } | EngineError::TooSlow { .. }) => {
            Problem::new(ProblemCode::EngineDown, "the Docker Engine in the machine does not answer")
                .caused_by(error)
                .with_hint(again)
        }
        MigrationError::CutOff { volume, .. } => Problem::new(ProblemCode::Conflict, error.to_string())
            .caused_by(error)
            .with_command(
                "see which container uses it",
                format!("docker --context cove ps -a --filter volume={volume}"),
            )
            .with_hint("remove that container and run this again"),
        MigrationError::Target(_) => {
            Problem::new(ProblemCode::ContainerFailed, "Cove's engine would not take part").caused_by(error)
        }
        MigrationError::Source(_) | MigrationError::Archive { .. } | MigrationError::Differs { .. } => {
            Problem::new(ProblemCode::MigrationSource, format!("could not copy from `{socket}`"))
                .caused_by(error)
                .with_hint(again)
        }
    }
}
