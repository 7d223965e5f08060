//! Worlds that need not be made again for each request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::Name;
use api::control::Kind;

use super::World;
use crate::store::{Listing, StoreError, Transaction};

/// Of that many changes since a world was made none may be of people, or it is made again without a look.
const MOST_CHANGES: u32 = 1000;

/// The world of each organization of one database, as it was read last. A later version that changed neither users, groups
/// nor roles has the same. After a backup was put in the database's place these are to be made anew.
#[derive(Debug, Default)]
pub struct Worlds {
    known: Mutex<HashMap<Name, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    /// It is of this version, and may be of later ones.
    version: u64,
    world: Arc<World>,
}

impl Worlds {
    /// The world as a transaction that reads sees it, kept for the next.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn for_read(
        &self,
        transaction: &mut dyn Transaction,
        organization: &Name,
    ) -> Result<Arc<World>, StoreError> {
        let version = transaction.version()?;
        let world = self.for_write(transaction, organization)?;
        let known = Known { version, world: Arc::clone(&world) };
        self.lock().insert(organization.clone(), known);
        Ok(world)
    }

    /// The world as a transaction that writes sees it, with what it wrote itself. It is not kept: the transaction may yet
    /// be given up, and then another one has its version.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn for_write(
        &self,
        transaction: &mut dyn Transaction,
        organization: &Name,
    ) -> Result<Arc<World>, StoreError> {
        let known = self.lock().get(organization).cloned();
        if let Some(known) = known
            && still(transaction, organization, known.version)?
        {
            return Ok(known.world);
        }
        let mut documents = Vec::new();
        for kind in [Kind::User, Kind::Group, Kind::Role] {
            documents.extend(transaction.resources(&Listing::of(kind, organization))?);
        }
        Ok(Arc::new(World::of_documents(organization, &documents)?))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Known>> {
        // Each entry is put there whole: whoever panicked left nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether no user, group or role changed after a version.
fn still(transaction: &mut dyn Transaction, organization: &Name, version: u64) -> Result<bool, StoreError> {
    if transaction.version()? == version {
        return Ok(true);
    }
    let Some(changes) = transaction.changes(Some(organization), version, MOST_CHANGES)? else {
        return Ok(false);
    };
    let of_people = |kind| matches!(kind, Kind::User | Kind::Group | Kind::Role);
    Ok(changes.len() < MOST_CHANGES as usize && !changes.iter().any(|change| of_people(change.kind)))
}
