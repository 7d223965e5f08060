//! The two kinds of things that are published in collections.

/// What a collection consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Folders that install something into an image.
    Feature,
    /// Folders that a workspace is begun from.
    Template,
}

impl Kind {
    /// The word for one of them.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Feature => "feature",
            Self::Template => "template",
        }
    }

    /// The file that says what a folder holds.
    pub(super) fn metadata_file(self) -> &'static str {
        match self {
            Self::Feature => "devcontainer-feature.json",
            Self::Template => "devcontainer-template.json",
        }
    }

    /// The name of a packaged folder. The specification has it end in `.tgz`, though it is not compressed.
    pub(super) fn archive(self, id: &str) -> String {
        format!("devcontainer-{}-{id}.tgz", self.word())
    }
}
