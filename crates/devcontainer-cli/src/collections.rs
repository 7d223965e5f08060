//! `features …`, `templates …`, `outdated` and `upgrade`: commands about collections, which need no engine (but
//! `features test`, which brings containers up).
//!
//! What was asked for goes to standard output, everything else to the log. A command that fails prints nothing but
//! where programs expect an empty object, and ends with status 1.

mod apply;
mod arguments;
mod configured;
mod docs;
mod folder;
mod frame;
mod info;
mod json;
mod kind;
mod order;
mod outdated;
mod package;
mod publish;
mod readme;
mod tags;
mod template_facts;
mod test;
mod upgrade;

use std::io::IsTerminal;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Subcommand;
use devcontainer::feature::Lockfile;
use oci::{Reference, Registry};
use provision::{Disk, Masks};
use serde_json::Value;

use self::arguments::{
    ApplyArguments, FeaturesCommand, InfoArguments, InfoMode, MetadataArguments, OutdatedArguments,
    PackageArguments, PublishArguments, ResolveDependenciesArguments, TemplateDocsArguments,
    TemplatesCommand, UpgradeArguments,
};
use self::configured::{Configured, Edited};
use self::info::Known;
use self::kind::Kind;
use crate::Surroundings;
use crate::arguments::LogFormat;
use crate::collecting;
use crate::log::{Level, Log};
use crate::outcome::{self, with_causes};
use crate::target::absolute;

/// The commands of this module.
#[derive(Debug, Subcommand)]
pub(crate) enum Collections {
    /// Test, package and publish features, and ask about them
    #[command(subcommand)]
    Features(FeaturesCommand),
    /// Apply and publish templates, and ask about them
    #[command(subcommand)]
    Templates(TemplatesCommand),
    /// Print which versions of its features a configuration uses, and which there are
    Outdated(OutdatedArguments),
    /// Write the lockfile anew
    Upgrade(UpgradeArguments),
}

/// A command that did what it could.
#[derive(Debug, Default)]
struct Done {
    printed: String,
    status: Option<ExitCode>,
}

/// A command that failed.
#[derive(Debug)]
struct Failed {
    printed: &'static str,
    why: String,
}

impl<E: std::error::Error + 'static> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { printed: "", why: with_causes(&error) }
    }
}

impl Failed {
    /// Programs get an object without anything in it.
    fn with_empty_object(self) -> Self {
        Self { printed: "{}\n", ..self }
    }
}

impl Done {
    fn printing(printed: String) -> Self {
        Self { printed, status: None }
    }
}

/// Runs one of them. Gives the exit status of the process.
pub(crate) async fn run(command: Collections, surroundings: &Surroundings<'_>) -> ExitCode {
    let log = command.log();
    match (Call { surroundings, log: &log }).run(command).await {
        Ok(done) => {
            outcome::print(&done.printed);
            done.status.unwrap_or(ExitCode::SUCCESS)
        }
        Err(failed) => {
            log.error(&failed.why);
            outcome::print(failed.printed);
            ExitCode::FAILURE
        }
    }
}

impl Collections {
    fn log(&self) -> Log {
        let (level, format, header): (Level, _, _) = match self {
            Self::Features(FeaturesCommand::Test(arguments)) => {
                (arguments.log_level.into(), LogFormat::Text, true)
            }
            Self::Features(FeaturesCommand::Package(arguments)) => {
                (arguments.log_level.into(), LogFormat::Text, true)
            }
            Self::Features(FeaturesCommand::Info(arguments)) => {
                (arguments.log_level.into(), LogFormat::Text, false)
            }
            Self::Features(FeaturesCommand::ResolveDependencies(arguments)) => {
                (arguments.log_level.into(), LogFormat::Text, false)
            }
            Self::Features(FeaturesCommand::GenerateDocs(arguments)) => {
                (arguments.docs.log_level.into(), LogFormat::Text, true)
            }
            Self::Features(FeaturesCommand::Publish(arguments))
            | Self::Templates(TemplatesCommand::Publish(arguments)) => {
                (arguments.log_level.into(), LogFormat::Text, true)
            }
            Self::Templates(TemplatesCommand::Apply(arguments)) => {
                (arguments.log_level.into(), LogFormat::Text, true)
            }
            Self::Templates(TemplatesCommand::Metadata(arguments)) => {
                (arguments.log_level.into(), LogFormat::Text, true)
            }
            Self::Templates(TemplatesCommand::GenerateDocs(arguments)) => {
                (arguments.log_level.into(), LogFormat::Text, true)
            }
            Self::Outdated(arguments) => (arguments.log.log_level.into(), arguments.log.log_format, true),
            Self::Upgrade(arguments) => (arguments.log_level.into(), LogFormat::Text, true),
        };
        Log::new(level, format, Masks::default(), header)
    }
}

/// One command with what it needs.
#[derive(Clone, Copy)]
struct Call<'a> {
    surroundings: &'a Surroundings<'a>,
    log: &'a Log,
}

impl Call<'_> {
    async fn run(self, command: Collections) -> Result<Done, Failed> {
        match command {
            Collections::Features(FeaturesCommand::Test(arguments)) => test::run(self, &arguments).await,
            Collections::Features(FeaturesCommand::Package(arguments)) => self.package(&arguments),
            Collections::Features(FeaturesCommand::Publish(arguments)) => {
                self.publish(Kind::Feature, &arguments).await
            }
            Collections::Features(FeaturesCommand::Info(arguments)) => self.info(&arguments).await,
            Collections::Features(FeaturesCommand::ResolveDependencies(arguments)) => {
                self.order(&arguments).await
            }
            Collections::Features(FeaturesCommand::GenerateDocs(arguments)) => {
                let published = (arguments.registry.as_str(), arguments.namespace.as_str());
                self.docs(Kind::Feature, &arguments.docs, Some(published))
            }
            Collections::Templates(TemplatesCommand::Apply(arguments)) => self.apply(&arguments).await,
            Collections::Templates(TemplatesCommand::Publish(arguments)) => {
                self.publish(Kind::Template, &arguments).await
            }
            Collections::Templates(TemplatesCommand::Metadata(arguments)) => self.metadata(&arguments).await,
            Collections::Templates(TemplatesCommand::GenerateDocs(arguments)) => {
                self.docs(Kind::Template, &arguments, None)
            }
            Collections::Outdated(arguments) => self.outdated(&arguments).await,
            Collections::Upgrade(arguments) => self.upgrade(&arguments).await,
        }
    }

    /// A path of the command line, absolute.
    fn path(self, written: &Utf8Path) -> Utf8PathBuf {
        absolute(&self.surroundings.folder, written)
    }

    /// The folder that was asked for, or the working folder.
    fn folder(self, written: Option<&Utf8PathBuf>) -> Utf8PathBuf {
        written.map_or_else(|| self.surroundings.folder.clone(), |written| self.path(written))
    }

    fn registry(self) -> Result<Registry, Failed> {
        collecting::registry(self.surroundings)
            .map_err(|failure| Failed { printed: "", why: failure.message })
    }

    fn configured(
        self,
        folder: Option<&Utf8PathBuf>,
        config: Option<&Utf8PathBuf>,
    ) -> Result<Configured, Failed> {
        let named = config.map(|config| self.path(config));
        Ok(configured::read(&Disk, &self.folder(folder), named.as_deref())?)
    }

    fn package(self, arguments: &PackageArguments) -> Result<Done, Failed> {
        let (target, output) = (self.path(&arguments.target), self.path(&arguments.output_folder));
        package::to_folder(Kind::Feature, &target, &output, arguments.force_clean_output_folder, self.log)?;
        Ok(Done::default())
    }

    async fn publish(self, kind: Kind, arguments: &PublishArguments) -> Result<Done, Failed> {
        let collection = package::collect(kind, &self.path(&arguments.target), None, self.log)?;
        let registry = self.registry()?;
        let PublishArguments { registry: host, namespace, .. } = arguments;
        let published = publish::publish(&registry, host, namespace, &collection, self.log).await?;
        Ok(Done::printing(format!("{}\n", Value::Object(published))))
    }

    fn docs(
        self,
        kind: Kind,
        arguments: &TemplateDocsArguments,
        published: Option<(&str, &str)>,
    ) -> Result<Done, Failed> {
        let folder = self.path(&arguments.project_folder);
        let all_used = docs::generate(kind, &folder, arguments, published, self.log)?;
        Ok(Done { status: (!all_used).then_some(ExitCode::FAILURE), ..Done::default() })
    }

    async fn info(self, arguments: &InfoArguments) -> Result<Done, Failed> {
        let known = self.known(arguments).await;
        match arguments.output_format {
            LogFormat::Text => Ok(Done::printing(known?.text())),
            LogFormat::Json => Ok(Done::printing(known.map_err(Failed::with_empty_object)?.json())),
        }
    }

    async fn known(self, arguments: &InfoArguments) -> Result<Known, Failed> {
        let InfoArguments { mode, feature, output_format, .. } = arguments;
        let name: Reference = feature.parse()?;
        let registry = self.registry()?;
        let mut known = Known::default();
        let manifest = info::manifest(&registry, &name).await?;
        if mode.includes(InfoMode::Manifest) {
            let canonical = format!("{}@{}", name.name(), manifest.digest);
            known.manifest = Some((serde_json::from_slice(&manifest.bytes)?, canonical));
        }
        if mode.includes(InfoMode::Tags) {
            known.tags = Some(registry.tags(&name).await?);
        }
        if mode.includes(InfoMode::Dependencies) && *output_format == LogFormat::Text {
            self.log.write(Level::Info, &format!("Finding out what `{feature}` depends on..."));
            known.diagram = Some(order::diagram(&registry, feature, &self.log.steps()).await?);
        }
        Ok(known)
    }

    async fn order(self, arguments: &ResolveDependenciesArguments) -> Result<Done, Failed> {
        let configured = self.configured(arguments.workspace_folder.as_ref(), None)?;
        if configured.config.features.is_empty() {
            return Err(Failed { printed: "", why: format!("`{}` has no \"features\"", configured.file) });
        }
        let lockfile = configured.lockfile()?;
        let registry = self.registry()?;
        let text = order::text(&registry, &configured, lockfile.as_ref(), &self.log.steps()).await?;
        Ok(Done::printing(text))
    }

    async fn metadata(self, arguments: &MetadataArguments) -> Result<Done, Failed> {
        let found = async {
            let name: Reference = arguments.template_id.parse()?;
            Ok(info::metadata(&self.registry()?, &name).await?)
        };
        let metadata = found.await.map_err(Failed::with_empty_object)?;
        Ok(Done::printing(format!("{}\n", Value::Object(metadata))))
    }

    async fn apply(self, arguments: &ApplyArguments) -> Result<Done, Failed> {
        let workspace = self.folder(arguments.workspace_folder.as_ref());
        let local = |written: &Utf8Path| self.path(written);
        let files = apply::apply(&self.registry()?, arguments, &workspace, local, self.log).await?;
        Ok(Done::printing(format!("{}\n", serde_json::json!({ "files": files }))))
    }

    async fn outdated(self, arguments: &OutdatedArguments) -> Result<Done, Failed> {
        let configured = self.configured(arguments.workspace_folder.as_ref(), arguments.config.as_ref())?;
        let lockfile = configured.lockfile()?;
        let registry = self.registry()?;
        let rows = outdated::rows(&registry, &configured.config.features, lockfile.as_ref(), self.log).await;
        Ok(Done::printing(match arguments.output_format {
            LogFormat::Text => outdated::text(&rows),
            LogFormat::Json if std::io::stdout().is_terminal() => {
                json::pretty(&outdated::json(&rows), 2) + "\n"
            }
            LogFormat::Json => format!("{}\n", outdated::json(&rows)),
        }))
    }

    async fn upgrade(self, arguments: &UpgradeArguments) -> Result<Done, Failed> {
        let named = arguments.config.as_ref();
        let mut configured = self.configured(arguments.workspace_folder.as_ref(), named)?;
        let mut moved = None;
        if let (Some(feature), Some(version)) = (&arguments.feature, &arguments.target_version)
            && let Some(text) = upgrade::with_version(&configured, feature, version, self.log)?
        {
            let file = configured.file.clone();
            let edited = Edited { sources: &Disk, file: &file, text: text.as_bytes() };
            configured =
                configured::read(&edited, &self.folder(arguments.workspace_folder.as_ref()), Some(&file))?;
            moved = Some((format!("Setting `{feature}` to {version} in `{file}`"), text));
        }
        if configured.config.features.is_empty() {
            let why = format!("`{}` has no \"features\": there is nothing to lock", configured.file);
            return Err(Failed { printed: "", why });
        }
        let registry = self.registry()?;
        let lockfile = upgrade::lockfile(&registry, &configured, &self.log.steps()).await?;
        // Only now is it known that there is such a version. A dry run spares only the lockfile, as in the reference:
        // tools that update versions read both then.
        if let Some((says, text)) = moved {
            self.log.write(Level::Info, &says);
            folder::replace(&configured.file, text.as_bytes())?;
        }
        if arguments.dry_run {
            return Ok(Done::printing(lockfile.to_text()));
        }
        let path = Lockfile::path_beside(&configured.file);
        folder::replace(&path, lockfile.to_text().as_bytes())?;
        self.log.write(Level::Info, &format!("Wrote `{path}`"));
        Ok(Done::default())
    }
}
