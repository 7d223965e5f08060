//! What happened on runners: their own logs are anchored in ours, and what ran is shown.

use api::control::{Draft, DraftMetadata, ExecutionSpec, ExecutionStatus, Kind};
use api::{AutomationPhase, Session};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Turn;
use crate::audit::{self, Told};
use crate::identity::RunnerIdentity;
use crate::resources::{self, ResourceError};
use crate::store::StoreError;

/// Something that happened on a runner. Fields that this version does not know are passed over.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Happened {
    /// A line of the runner's own log, whose hash is kept here: what is before it cannot be changed there unnoticed.
    Audit {
        /// Which line.
        sequence: u64,
        /// SHA-256 of it, in hex.
        hash: String,
    },
    /// A task or service ran.
    Execution {
        /// The id of its environment.
        environment: String,
        /// `tasks/NAME` or `services/NAME`.
        automation: String,
        /// Which run of it.
        session: Session,
        phase: AutomationPhase,
        #[serde(default)]
        started_at: Option<Timestamp>,
        #[serde(default)]
        ended_at: Option<Timestamp>,
        #[serde(default)]
        exit_code: Option<i32>,
    },
}

impl Turn<'_> {
    /// Carries out the events of a message. What cannot be read, or is of nothing that there is, is a note.
    pub(super) fn carry_out(&mut self, who: &RunnerIdentity) -> Result<(), ResourceError> {
        for (missing, batch) in std::mem::take(&mut self.books.events) {
            if missing > 0 {
                let note = format!("{missing} events of this runner are lost: it was away for too long");
                let told = Told { note: Some(note), ..self.line(who, "events_lost") };
                audit::append(self.books.transaction(), self.now, told)?;
            }
            for value in batch.values {
                let told = match Happened::deserialize(&value) {
                    Ok(Happened::Audit { sequence, hash }) if is_hash(&hash) => Some(Told {
                        note: Some(format!("line {sequence}: {hash}")),
                        ..self.line(who, "anchor")
                    }),
                    Ok(happened @ Happened::Execution { .. }) => {
                        (!self.ran(who, happened)?).then(|| self.note(who, &value))
                    }
                    Ok(Happened::Audit { .. }) | Err(_) => Some(self.note(who, &value)),
                };
                if let Some(told) = told {
                    audit::append(self.books.transaction(), self.now, told)?;
                }
            }
        }
        Ok(())
    }

    fn note(&self, who: &RunnerIdentity, value: &Value) -> Told {
        // The log keeps the beginning of it.
        Told { note: Some(value.to_string()), ..self.line(who, "event") }
    }

    /// Shows what ran. Whether it is of an environment that this runner has.
    fn ran(&mut self, who: &RunnerIdentity, happened: Happened) -> Result<bool, ResourceError> {
        let Happened::Execution { environment, automation, session, phase, started_at, ended_at, exit_code } =
            happened
        else {
            return Ok(false);
        };
        let Some(environment) = self.environment_of(who, &environment)? else { return Ok(false) };
        let (organization, now) = (self.organization.clone(), self.now);
        let transaction = self.books.transaction();
        // One that a person asked for has the name that they gave it.
        let known = resources::execution_of(transaction, &environment, &automation, &session)?;
        let is_new = known.is_none();
        let name = known.unwrap_or_else(|| {
            resources::execution_name(&environment.metadata.name, &automation, &session.0)
        });
        if is_new {
            if transaction.resource(Kind::Execution, &organization, &name)?.is_some() {
                // Another's, of a name that happens to be the same.
                return Ok(false);
            }
            resources::forget_old_executions(transaction, &environment)?;
            let spec = ExecutionSpec {
                environment: environment.metadata.name.clone(),
                automation,
                session,
                stop: false,
            };
            let metadata = DraftMetadata {
                name: name.clone(),
                organization: None,
                labels: [].into(),
                resource_version: None,
            };
            let spec = serde_json::to_value(spec).map_err(StoreError::from)?;
            let draft = Draft { kind: Kind::Execution, metadata, spec };
            match resources::apply(transaction, now, &organization, draft) {
                Ok(_) => {}
                // The environment is on its way out.
                Err(ResourceError::Invalid { .. } | ResourceError::TooLarge { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let status = ExecutionStatus { phase: Some(phase), started_at, ended_at, exit_code };
        let status = serde_json::to_value(status).map_err(StoreError::from)?;
        resources::report(transaction, now, Kind::Execution, &organization, &name, status)?;
        Ok(true)
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
