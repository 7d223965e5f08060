//! The image of a dev container: its base, then features on top, then the user's numbers.
//!
//! [`prepare`] takes the three steps in a row. Each gives the name of an image that the engine has; one that has
//! nothing to do gives the name that it got.

mod error;
mod named;
mod single;

use std::collections::BTreeMap;

use devcontainer::feature::{Delivery, InstallPlan, InstallUsers, plan_install};
use devcontainer::{Config, ContainerSource, METADATA_LABEL, Properties, Resolved};
use engine::{
    BuildContext, BuildError, BuildSpec, ContextFiles, Dockerfile, Engine, EngineError, ImageInfo, Login,
    Progress,
};
use oci::{Credential, Files, Registry};

pub use error::ImageError;
pub use named::named;
pub use single::{SingleBuild, base_of, base_of_service, build_single};

use crate::compose::{self, Project};
use crate::container;
use crate::features::{self, Features};

/// What images to make, and how.
#[derive(Clone)]
pub struct Request<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Its features.
    pub features: &'a Features,
    /// Where the features' files are fetched.
    pub registry: &'a Registry,
    /// Its compose project, if it has one.
    pub project: Option<&'a Project>,
    /// What images are called.
    pub names: Names,
    /// Labels for every image that is made.
    pub labels: BTreeMap<String, String>,
    /// How they are built.
    pub building: Building,
    /// The numbers that the user is to have.
    pub numbers: Numbers,
    /// What goes into the metadata label.
    pub label: LabelContent,
}

/// What the images are called that have to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The one of the person's Dockerfile.
    pub base: String,
    /// The one with features.
    pub features: String,
    /// The one with the user's numbers.
    pub user: String,
}

/// How images are built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Building {
    /// Every step again.
    pub no_cache: bool,
    /// Images to take layers from, beside those of the configuration.
    pub cache_from: Vec<String>,
    /// Caches to write layers to.
    pub cache_to: Vec<String>,
}

/// Whether the user gets other numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbers {
    /// The image's own stay.
    #[default]
    Keep,
    /// These, user and group, unless somebody says `"updateRemoteUserUID": false`.
    UnlessRefused(u32, u32),
    /// These, where somebody says `"updateRemoteUserUID": true`.
    IfWanted(u32, u32),
}

/// What becomes of the metadata label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelContent {
    /// It is left without the configuration's `remoteEnv`.
    pub without_remote_env: bool,
    /// It is left without the features' `customizations`.
    pub without_feature_customizations: bool,
    /// The image itself is to have it, and is built for it where there is no feature.
    pub on_image: bool,
}

/// An image to make the container of.
#[derive(Debug, Clone, Default)]
pub struct PreparedImage {
    /// Its name.
    pub image: String,
    /// What the engine says of it.
    pub info: ImageInfo,
    /// What the base image says about itself, then the features, as written: with all variables.
    pub metadata: Vec<Properties>,
    /// The metadata label for the container, the configuration's own part with it.
    pub label: String,
    /// The user that the image, or the compose service, runs as.
    pub user: String,
}

/// Makes the image ready: pulls or builds the base, installs the features, gives the user its numbers.
pub async fn prepare(
    engine: &Engine,
    request: &Request<'_>,
    progress: &dyn Progress,
) -> Result<PreparedImage, ImageError> {
    let base = provide_base(engine, request, progress).await?;
    let featured = install_features(engine, request, base, progress).await?;
    give_numbers(engine, request, featured, progress).await
}

/// Makes sure that the engine has an image, from its registry if it must be.
pub async fn provide(
    engine: &Engine,
    registry: &Registry,
    image: &str,
    progress: &dyn Progress,
) -> Result<ImageInfo, ImageError> {
    match engine.image(image).await? {
        Some(info) => Ok(info),
        None => fetch(engine, registry, image, progress).await,
    }
}

/// Fetches an image from its registry, also where the engine has one of that name.
pub async fn fetch(
    engine: &Engine,
    registry: &Registry,
    image: &str,
    progress: &dyn Progress,
) -> Result<ImageInfo, ImageError> {
    let login = registry.credential(engine::registry_of(image)).await.map(|credential| match credential {
        Credential::Basic { user, secret } => Login::User { user, secret },
        Credential::Identity(token) => Login::Identity(token),
        Credential::Registry(token) => Login::Registry(token),
    });
    Ok(engine.pull(image, login, progress).await?)
}

/// The first step: pulls or builds what the configuration names.
pub async fn provide_base(
    engine: &Engine,
    request: &Request<'_>,
    progress: &dyn Progress,
) -> Result<PreparedImage, ImageError> {
    let (image, service_user) = match (&request.config.container, request.project) {
        (ContainerSource::Image { image }, _) => (image.clone(), None),
        (ContainerSource::Build(build), _) => {
            let mut spec = BuildSpec {
                context: BuildContext::Folder(build.context.clone()),
                dockerfile: Dockerfile::File(build.dockerfile.clone()),
                target: build.target.clone(),
                args: build.args.clone(),
                options: build.options.clone(),
                tags: vec![request.names.base.clone()],
                pull: request.building.no_cache,
                ..request.spec()
            };
            spec.cache_from.extend(build.cache_from.iter().cloned());
            engine.build(&spec, progress).await?;
            (request.names.base.clone(), None)
        }
        (ContainerSource::Compose(_), Some(project)) => {
            (compose::build(engine, project, progress).await?, project.user().map(str::to_owned))
        }
        (ContainerSource::Compose(compose), None) => {
            let operation = format!("build the service `{}` without its compose project", compose.service);
            return Err(
                EngineError::Refused { operation, status: None, message: "it was not read".into() }.into()
            );
        }
    };
    let info = provide(engine, request.registry, &image, progress).await?;
    Ok(request.described(image, info, service_user))
}

/// The second step: installs the features on top.
pub async fn install_features(
    engine: &Engine,
    request: &Request<'_>,
    base: PreparedImage,
    progress: &dyn Progress,
) -> Result<PreparedImage, ImageError> {
    if request.features.is_empty() && !request.label.on_image {
        return Ok(base);
    }
    let contents = features::download(request.registry, request.features).await?;
    let plan = request.install_plan(&base.image, &base, None, '\\');
    let spec = BuildSpec {
        context: BuildContext::Files(context_files(&plan, &contents)),
        dockerfile: Dockerfile::Text(plan.dockerfile.clone()),
        target: Some(plan.stage.to_owned()),
        // An image for another processor stays one, and is not asked of a registry for this one.
        platforms: base.info.platform().into_iter().collect(),
        tags: vec![request.names.features.clone()],
        ..request.labelled_spec(&base)
    };
    let built = engine.build(&spec, progress).await;
    built.map_err(|error| request.blamed(error, &plan))?;
    let info = facts(engine, &request.names.features).await?;
    Ok(PreparedImage { image: request.names.features.clone(), info, ..base })
}

/// The last step: gives the user the numbers that this computer's files have.
pub async fn give_numbers(
    engine: &Engine,
    request: &Request<'_>,
    image: PreparedImage,
    progress: &dyn Progress,
) -> Result<PreparedImage, ImageError> {
    let resolved = devcontainer::merge(&image.metadata, request.config);
    let wanted = image.metadata.iter().chain([&request.config.properties]);
    let said = wanted.filter_map(|entry| entry.update_remote_user_uid).next_back();
    let numbers = match (request.numbers, said) {
        (Numbers::UnlessRefused(uid, gid), None | Some(true)) | (Numbers::IfWanted(uid, gid), Some(true)) => {
            (uid, gid)
        }
        _ => return Ok(image),
    };
    let user = user_of(&resolved, request.config, &image.user);
    let moved =
        engine.move_user(&image.image, &user, numbers, &request.names.user, &request.labels, progress);
    let (name, _) = moved.await?;
    let info = if name == image.image { image.info.clone() } else { facts(engine, &name).await? };
    Ok(PreparedImage { image: name, info, ..image })
}

/// The user that tools and commands will run as; `image_user` is the one of the image or service.
pub fn user_of(resolved: &Resolved, config: &Config, image_user: &str) -> String {
    let of_arguments = || user_argument(&config.run_args);
    let user = resolved.remote_user.clone().or_else(of_arguments);
    user.unwrap_or_else(|| resolved.effective_user(image_user).to_owned())
}

/// The user that `runArgs` name; the last one counts.
fn user_argument(run_args: &[String]) -> Option<String> {
    let pairs = run_args.iter().enumerate().rev();
    pairs.into_iter().find_map(|(at, argument)| match argument.as_str() {
        "-u" | "--user" => run_args.get(at + 1).cloned(),
        other => ["-u=", "--user="].iter().find_map(|flag| other.strip_prefix(flag)).map(str::to_owned),
    })
}

async fn facts(engine: &Engine, image: &str) -> Result<ImageInfo, ImageError> {
    let gone = || EngineError::Refused {
        operation: format!("look at the image `{image}`"),
        status: Some(404),
        message: "it is gone".into(),
    };
    Ok(engine.image(image).await?.ok_or_else(gone)?)
}

/// The files that a build of features sees: each feature's in a folder of its own, with what is generated for it.
fn context_files(plan: &InstallPlan, contents: &[Files]) -> ContextFiles {
    let mut context = ContextFiles::new();
    for (folder, files) in plan.folders.iter().zip(contents) {
        for (path, file) in files {
            context.insert(camino::Utf8Path::new(folder).join(path), (file.mode, file.bytes.clone()));
        }
    }
    let generated = plan.generated.iter().map(|(path, bytes)| (path.clone(), (0o755, bytes.clone())));
    context.extend(generated);
    context
}

impl Request<'_> {
    /// What is the same for all builds.
    fn spec(&self) -> BuildSpec {
        BuildSpec {
            cache_from: self.building.cache_from.clone(),
            cache_to: self.building.cache_to.clone(),
            no_cache: self.building.no_cache,
            labels: self.labels.clone(),
            ..BuildSpec::default()
        }
    }

    /// As [`spec`](Self::spec), with the metadata label.
    fn labelled_spec(&self, base: &PreparedImage) -> BuildSpec {
        let mut spec = self.spec();
        spec.labels.insert(METADATA_LABEL.to_owned(), base.label.clone());
        spec
    }

    /// What is known of a base image.
    fn described(&self, image: String, info: ImageInfo, service_user: Option<String>) -> PreparedImage {
        let of_image = container::metadata(&info.labels);
        let user = service_user.or_else(|| info.user.clone()).unwrap_or_else(|| "root".to_owned());
        let (metadata, label) = self.metadata(of_image);
        PreparedImage { image, info, metadata, label, user }
    }

    /// The entries to merge, and the label with the configuration's own at its end.
    fn metadata(&self, mut entries: Vec<Properties>) -> (Vec<Properties>, String) {
        let mut of_features = self.features.properties();
        let omitted: &[&str] = if self.label.without_remote_env { &["remoteEnv"] } else { &[] };
        let mut in_label = of_features.clone();
        if self.label.without_feature_customizations {
            for entry in &mut in_label {
                entry.customizations.clear();
                entry.written.remove("customizations");
            }
        }
        let label = devcontainer::metadata_label(&entries, &in_label, self.config, omitted);
        entries.append(&mut of_features);
        (entries, label)
    }

    /// A failed build, by the feature's name where it was the step of a feature.
    fn blamed(&self, error: BuildError, plan: &InstallPlan) -> ImageError {
        let folder = match &error {
            BuildError::StepFailed { step, .. } => plan.folder_of_step(step),
            _ => None,
        };
        match folder.and_then(|at| self.features.resolved.get(at)) {
            Some(feature) => {
                ImageError::Feature { written: feature.written.clone(), failed: Box::new(error) }
            }
            None => error.into(),
        }
    }

    /// How the features are installed on an image or stage.
    fn install_plan(
        &self,
        on: &str,
        base: &PreparedImage,
        context: Option<&str>,
        escape: char,
    ) -> InstallPlan {
        let resolved = devcontainer::merge(&base.metadata, self.config);
        let container = resolved.container_user.clone().unwrap_or_else(|| base.user.clone());
        let remote = resolved.remote_user.clone().unwrap_or_else(|| container.clone());
        let users = InstallUsers {
            container: &container,
            remote: &remote,
            image: base.info.user.as_deref().unwrap_or_default(),
        };
        let mut plan =
            plan_install(on, &self.features.resolved, users, Delivery::Mounted { context }, escape);
        if !self.features.is_empty() {
            plan.dockerfile.push_str(&environment(&self.config.properties.container_env, escape));
        }
        plan
    }
}

/// The configuration's variables for an image with features, which may set the same ones: the configuration has the
/// last word also where the image is run by hand. A Dockerfile has no way to write a value of several lines, which
/// only the container then gets.
fn environment(variables: &BTreeMap<String, String>, escape: char) -> String {
    let is_name =
        |name: &str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
    let mut text = String::new();
    for (name, value) in variables {
        if name.is_empty() || !is_name(name) || value.contains(['\n', '\r']) {
            continue;
        }
        text.push_str("ENV ");
        text.push_str(name);
        text.push_str("=\"");
        for letter in value.chars() {
            if matches!(letter, '"' | '$') || letter == escape {
                text.push(escape);
            }
            text.push(letter);
        }
        text.push_str("\"\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_reach_a_dockerfile_as_they_are() {
        let variables = [("A", r#"say "$x" \o/"#), ("B", "two\nlines"), ("C=D\nRUN evil", "x"), ("E", "")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(environment(&variables, '\\'), "ENV A=\"say \\\"\\$x\\\" \\\\o/\"\nENV E=\"\"\n");
    }

    #[test]
    fn the_last_user_of_the_arguments_counts() {
        for (arguments, user) in [
            (&["--user", "a", "-u=b"][..], Some("b")),
            (&["-u", "a", "--init"], Some("a")),
            (&["--user"], None),
            (&["--userns=host"], None),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
            assert_eq!(user_argument(&arguments).as_deref(), user);
        }
    }
}
