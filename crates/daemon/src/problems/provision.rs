//! Faults of making a dev container: features, images, starts, commands in it.

use api::{Place, Problem, ProblemCode};
use devcontainer::feature::{FeatureError, FeatureWarning};
use engine::CommandError;
use oci::OciError;
use provision::container::StartError;
use provision::features::FeaturesError;
use provision::image::ImageError;

use super::{from_build, from_compose, from_container, from_engine, from_exec, from_pull};

/// Features could not be had.
pub(crate) fn from_features(error: &FeaturesError) -> Problem {
    let problem = |code| Problem::new(code, error.to_string()).caused_by(error);
    match error {
        FeaturesError::At { place, error } => from_features(error).at(place_of(place)),
        FeaturesError::Feature(error) => from_feature(error),
        FeaturesError::Fetch { source, .. } => problem(code_of(source)),
        FeaturesError::Archive { .. }
        | FeaturesError::File(_)
        | FeaturesError::NoFile { .. }
        | FeaturesError::FirstVersion { .. }
        | FeaturesError::Local { .. }
        | FeaturesError::Lockfile(_)
        | FeaturesError::Frozen { .. }
        | FeaturesError::NoLockfile { .. }
        | FeaturesError::LockfileAccess { .. } => problem(ProblemCode::FeatureFailed),
    }
}

/// What works about features, and a person should know of.
pub(crate) fn from_feature_warnings(warnings: &[FeatureWarning]) -> Vec<Problem> {
    warnings.iter().map(from_feature_warning).collect()
}

fn from_feature_warning(warning: &FeatureWarning) -> Problem {
    let said = &warning.place;
    let title = format!("\"{}\": {}", said.property, warning.kind);
    let problem = Problem::new(ProblemCode::FeatureDoubtful, title);
    if said.file.is_empty() { problem } else { problem.at(place_of(said)) }
}

fn place_of(place: &devcontainer::feature::Place) -> Place {
    Place {
        file: place.file.clone(),
        line: place.position.map(|position| position.line),
        column: place.position.map(|position| position.column),
    }
}

/// Something is wrong with what is said about features, or with what they say of each other.
pub(crate) fn from_feature(error: &FeatureError) -> Problem {
    let FeatureError::Invalid(mistakes) = error else {
        return Problem::new(ProblemCode::FeatureFailed, error.to_string());
    };
    let title = match mistakes.as_slice() {
        [_] => "the features of the configuration have a mistake".to_owned(),
        several => format!("the features of the configuration have {} mistakes", several.len()),
    };
    let mut problem = Problem::new(ProblemCode::ConfigInvalid, title);
    problem.causes = mistakes.iter().map(ToString::to_string).collect();
    let first = mistakes.first().map(|mistake| &mistake.place).filter(|place| !place.file.is_empty());
    match first {
        Some(place) => problem.at(place_of(place)),
        None => problem,
    }
}

/// Whose fault it is that a registry did not give something.
fn code_of(error: &OciError) -> ProblemCode {
    match error {
        OciError::Unauthorized { .. } => ProblemCode::RegistryDenied,
        OciError::Unreachable { .. } => ProblemCode::RegistryUnreachable,
        _ => ProblemCode::FeatureFailed,
    }
}

/// An image could not be made ready.
pub(crate) fn from_image(error: &ImageError) -> Problem {
    match error {
        ImageError::Pull(error) => from_pull(error),
        ImageError::Build(error) => from_build(error),
        // The Dockerfile with the features is ours: a line of it is no place for a person.
        ImageError::Feature { failed, .. } => {
            Problem { title: error.to_string(), place: None, ..from_build(failed) }
        }
        ImageError::Compose(error) => from_compose(error),
        ImageError::Features(error) => from_features(error),
        ImageError::Engine(error) => from_engine(error),
        ImageError::Dockerfile { file, .. } => Problem::new(ProblemCode::BuildFailed, error.to_string())
            .at(Place { file: file.to_string(), line: None, column: None }),
        ImageError::Read { path, .. } => Problem::new(ProblemCode::BuildFailed, error.to_string())
            .caused_by(error)
            .at(Place { file: path.to_string(), line: None, column: None }),
    }
}

/// A container was not brought to run.
pub(crate) fn from_start(error: &StartError) -> Problem {
    match error {
        StartError::Container(error) => from_container(error),
        StartError::Ended { log_tail, .. } => {
            Problem::new(ProblemCode::ContainerFailed, error.to_string()).with_log(log_tail.clone())
        }
        StartError::Gone => Problem::new(ProblemCode::ContainerFailed, error.to_string()),
    }
}

/// A command in a container did not end well.
pub(crate) fn from_command(error: &CommandError, code: ProblemCode, title: String) -> Problem {
    match error {
        CommandError::Exec { source, .. } => from_exec(source),
        CommandError::Failed { exit_code, log_tail, .. } => {
            Problem::new(code, title).caused_by(error).with_log(log_tail.clone()).with_exit_code(*exit_code)
        }
    }
}
