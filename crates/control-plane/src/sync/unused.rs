//! What nobody used for as long as a policy lets it be goes by itself.

use api::control::{Kind, Principal, PrincipalKind};
use jiff::Timestamp;

use super::Fleet;
use crate::audit::{self, Told};
use crate::resources::{self, Deleted, ResourceError, Unused};
use crate::store::Transaction;

impl Fleet {
    /// Wishes those environments away that are [`resources::unused`], with a line of the audit log each. As often as one
    /// likes: what is on its way out is not found again. They go once their runners have removed them. How many these are.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn delete_unused(
        &self,
        transaction: &mut dyn Transaction,
        now: Timestamp,
    ) -> Result<usize, ResourceError> {
        let unused = resources::unused(transaction, now)?;
        for Unused { organization, name, policies } in &unused {
            let deleted = resources::delete(transaction, now, Kind::Environment, organization, name, None)?;
            if let Deleted::Going(document) = deleted {
                self.turn(transaction, organization, now)?.delete(&document)?;
            }
            let told = Told {
                organization: Some(organization.clone()),
                principal: Principal { kind: PrincipalKind::Server, name: "server".to_owned() },
                action: "delete".to_owned(),
                object: Some((Kind::Environment, name.to_string())),
                resource_version: Some(transaction.version()?),
                allowed: true,
                because: policies.iter().map(|policy| format!("policy {policy}")).collect(),
                note: Some("nobody used it for as long as the policy lets it be".to_owned()),
            };
            audit::append(transaction, now, told)?;
        }
        Ok(unused.len())
    }
}
