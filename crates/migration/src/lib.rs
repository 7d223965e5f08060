//! Copies images, volumes and containers' definitions, with the networks these need, from another engine into ours.
//!
//! One direction of flow: look at both sides ([`Migration::observe`]), decide for each thing whether it is copied, is
//! there already or is left out and why ([`plan()`], a pure function), do it ([`Migration::run`]), and tell what was
//! verified ([`Report`]). Nothing that exists at the source is changed: it is read through containers that are created
//! and never started. A cut at any instant loses nothing, and the next run goes on from what it finds.

mod definition;
mod error;
mod images;
mod inventory;
mod leftovers;
mod networks;
mod observe;
mod plan;
mod report;
mod run;
mod source;
mod volumes;

pub use definition::{Names, body, same_definition};
pub use error::MigrationError;
pub use images::same_image;
pub use inventory::{ArchiveError, Inventory, InventoryReader};
pub use observe::{Comparison, Observed, Side};
pub use plan::{Action, Item, Kind, Plan, Reason, Shortage, Wishes, plan};
pub use report::{Done, Outcome, Report};
pub use run::Migration;
pub use source::{FindError, Places, Product, Variables, find};
