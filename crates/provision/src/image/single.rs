//! One build from one text: the person's Dockerfile with the features' stage behind it.
//!
//! For an image that does not go into the engine, where nothing could be built upon it.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use devcontainer::dockerfile::{self, NamedStage};
use devcontainer::{Build, ContainerSource};
use engine::{BuildContext, BuildOutput, BuildSpec, Dockerfile, Engine, ImageInfo, Progress};

use oci::Registry;

use super::{ImageError, PreparedImage, Request, context_files, provide};
use crate::compose::Project;
use crate::features;

/// The name of the last stage of a Dockerfile that gives it none.
const LAST_STAGE: &str = "dev_container_auto_added_stage_label";
/// The name of the context with the features' files, where the build has one of its own.
const FEATURES_CONTEXT: &str = "dev_containers_feature_content_source";

/// Where the image goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SingleBuild {
    /// The processors to build for; the engine's own when there are none.
    pub platforms: Vec<String>,
    /// Where the image goes.
    pub output: BuildOutput,
    /// The image's names.
    pub tags: Vec<String>,
    /// Whether `# syntax` lines are left out.
    pub without_syntax: bool,
}

/// Builds the whole image at once. The base images are looked at in the engine, and pulled where it has them not.
pub async fn build_single(
    engine: &Engine,
    request: &Request<'_>,
    single: &SingleBuild,
    progress: &dyn Progress,
) -> Result<(), ImageError> {
    let (text, stage, escape, base, build) = match &request.config.container {
        ContainerSource::Build(build) => {
            let (whole, base) = whole_text(engine, request, build, single, progress).await?;
            (whole.text.into_owned(), whole.name, whole.escape, base, Some(build))
        }
        ContainerSource::Image { image } => {
            let info = provide(engine, request.registry, image, progress).await?;
            (String::new(), image.clone(), '\\', request.described(image.clone(), info, None), None)
        }
        // Compose builds into the engine only; whoever asks for more is told before.
        ContainerSource::Compose(_) => return Ok(()),
    };
    let contents = features::download(request.registry, request.features).await?;
    let plan = request.install_plan(&stage, &base, build.map(|_| FEATURES_CONTEXT), escape);
    let files = BuildContext::Files(context_files(&plan, &contents));
    let mut spec = BuildSpec {
        dockerfile: Dockerfile::Text(format!("{text}{}", plan.dockerfile)),
        target: Some(plan.stage.to_owned()),
        platforms: single.platforms.clone(),
        output: single.output.clone(),
        tags: single.tags.clone(),
        pull: request.building.no_cache,
        ..request.labelled_spec(&base)
    };
    if let Some(build) = build {
        spec.context = BuildContext::Folder(build.context.clone());
        spec.contexts = BTreeMap::from([(FEATURES_CONTEXT.to_owned(), files)]);
        spec.args = build.args.clone();
        spec.cache_from.extend(build.cache_from.iter().cloned());
        spec.options = build.options.clone();
    } else {
        spec.context = files;
    }
    engine.build(&spec, progress).await.map_err(|error| request.blamed(error, &plan))?;
    Ok(())
}

/// What the target of a Dockerfile is built on in the end: its text, the image's name, and what the engine says of
/// the image, with the user that the target leaves behind. The image is pulled where the engine has it not.
pub async fn base_of(
    engine: &Engine,
    registry: &Registry,
    build: &Build,
    progress: &dyn Progress,
) -> Result<(String, String, ImageInfo), ImageError> {
    let path = &build.dockerfile;
    let text =
        std::fs::read_to_string(path).map_err(|source| ImageError::Read { path: path.clone(), source })?;
    let (image, info) = base_of_text(engine, registry, &text, build, progress).await?;
    Ok((text, image, info))
}

/// As [`base_of`], for the service that is the dev container.
pub async fn base_of_service(
    engine: &Engine,
    registry: &Registry,
    project: &Project,
    progress: &dyn Progress,
) -> Result<ImageInfo, ImageError> {
    let service = project.model.service(&project.service)?;
    let Some(said) = &service.build else {
        let image = project.model.image_of(project.name(), &project.service)?;
        return provide(engine, registry, &image, progress).await;
    };
    let text = |name: &str| said.get(name).and_then(serde_json::Value::as_str);
    let context = Utf8PathBuf::from(text("context").or(said.as_str()).unwrap_or("."));
    let args = said.get("args").and_then(serde_json::Value::as_object).into_iter().flatten();
    let build = Build {
        dockerfile: context.join(text("dockerfile").unwrap_or("Dockerfile")),
        context,
        args: args.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        target: text("target").map(str::to_owned),
        cache_from: Vec::new(),
        options: Vec::new(),
    };
    match text("dockerfile_inline") {
        Some(inline) => Ok(base_of_text(engine, registry, inline, &build, progress).await?.1),
        None => Ok(base_of(engine, registry, &build, progress).await?.2),
    }
}

async fn base_of_text(
    engine: &Engine,
    registry: &Registry,
    text: &str,
    build: &Build,
    progress: &dyn Progress,
) -> Result<(String, ImageInfo), ImageError> {
    let wrong = |source| ImageError::Dockerfile { file: build.dockerfile.clone(), source };
    let parsed = dockerfile::Dockerfile::parse(text).map_err(wrong)?;
    let target = build.target.as_deref();
    let image = parsed.base_image(target, &build.args).map_err(wrong)?;
    let info = match image.as_str() {
        "scratch" => ImageInfo::default(),
        image => provide(engine, registry, image, progress).await?,
    };
    let user = parsed.user(target, &build.args, &info.env).map_err(wrong)?;
    Ok((image, ImageInfo { user: user.or(info.user.clone()), ..info }))
}

/// The person's Dockerfile with the stage to go on from, and what is known of what that will leave behind.
async fn whole_text(
    engine: &Engine,
    request: &Request<'_>,
    build: &Build,
    single: &SingleBuild,
    progress: &dyn Progress,
) -> Result<(NamedStage<'static>, PreparedImage), ImageError> {
    let path = &build.dockerfile;
    let wrong = |source| ImageError::Dockerfile { file: path.clone(), source };
    let (text, image, info) = base_of(engine, request.registry, build, progress).await?;
    let named = dockerfile::name_stage(&text, build.target.as_deref(), LAST_STAGE).map_err(wrong)?;
    let (name, escape) = (named.name, named.escape);
    let mut text = named.text.into_owned();
    if single.without_syntax {
        text = without_syntax(&text);
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let whole = NamedStage { text: text.into(), name, escape };
    Ok((whole, request.described(image, info, None)))
}

fn without_syntax(text: &str) -> String {
    let is_syntax = |line: &str| {
        let comment = line.trim_start().strip_prefix('#').map(str::trim_start);
        let rest = comment.and_then(|comment| comment.strip_prefix("syntax"));
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let mut at_top = true;
    let kept = text.lines().filter(|line| {
        at_top &= line.trim_start().starts_with('#');
        !(at_top && is_syntax(line))
    });
    kept.collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_syntax_line_at_the_top_is_one() {
        let text = "# escape=\\\n# syntax = docker/dockerfile:1\nFROM a\n# syntax=b\n";
        assert_eq!(without_syntax(text), "# escape=\\\nFROM a\n# syntax=b\n");
    }
}
