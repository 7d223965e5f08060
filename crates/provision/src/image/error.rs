//! Why an image could not be made ready.

use engine::{BuildError, ComposeError, EngineError, PullError};

use crate::features::FeaturesError;

/// An image could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It could not be pulled.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// It could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The script of a feature failed.
    #[error("the feature `{written}` could not be installed{}", status_words(failed))]
    Feature {
        /// The feature as written.
        written: String,
        /// The step that failed, of a Dockerfile that nobody but us has seen: no source to show.
        failed: Box<BuildError>,
    },
    /// Compose could not build it.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The features could not be had.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// The Dockerfile cannot be understood.
    #[error("`{file}` cannot be understood: {source}")]
    Dockerfile {
        /// The file.
        file: camino::Utf8PathBuf,
        /// Why not.
        source: devcontainer::dockerfile::DockerfileError,
    },
    /// A file that a build needs cannot be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: camino::Utf8PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn status_words(failed: &BuildError) -> String {
    match failed {
        BuildError::StepFailed { exit_code: Some(code), .. } => {
            format!(": its script ended with status {code}")
        }
        _ => String::new(),
    }
}
