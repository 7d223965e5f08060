//! Who may do what, and within which limits.
//!
//! Everything here is pure: a [`World`] is what an organization's users, groups and roles say, an [`Asked`] is a question,
//! and the answer is a [`Decision`](api::control::Decision) that names what decided. The rules are few, are Cedar, and lie
//! beside this file: `policies.cedar` decides, `reasons.cedar` explains, `schema.cedarschema` says what both speak of. Roles
//! are data. What no rule permits is denied.
//!
//! ```text
//! documents -> World (cached by Worlds) + Asked -> Decision        may they?
//! PolicySpecs of a project -> Limits -> admit(before, after)       and is it within what holds for all?
//! ```

mod admit;
mod asked;
mod limits;
mod rules;
mod target;
#[cfg(test)]
mod tests;
mod world;
mod worlds;

pub use admit::{Beyond, Counts, Forbidden, admit, fit};
pub use asked::{Asked, Asker};
pub use limits::{limits_of, narrowest};
pub use target::{Target, runners_in_scope};
pub use world::World;
pub use worlds::Worlds;
