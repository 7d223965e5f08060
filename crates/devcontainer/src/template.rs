//! Dev Container Templates without I/O: what one says about itself, and what becomes of its files when it is
//! applied. Fetching it and writing the files are somebody else's.

mod apply;
mod metadata;

pub use apply::{Applied, Selection, TemplateError, Undeclared, apply};
pub use metadata::TemplateMetadata;

/// The name of the file that describes a template, in the template's own folder.
pub const TEMPLATE_FILE: &str = "devcontainer-template.json";
