//! What a transaction says to its database: the statements, once for SQLite and PostgreSQL.
//!
//! They number their values in the order in which they come, for to SQLite `$1` is but a name. A value that may be nothing is
//! cast where it is compared with nothing: PostgreSQL does not guess its type.

use std::borrow::Cow;

use api::Name;
use api::control::{AuditEntry, Change, Document, Kind};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::{CHANGES_KEPT, Concern, Listing, Record, Space, StoreError, Synced, Transaction};

/// A transaction that is open.
pub(super) trait Open {
    /// Runs a statement; how many rows it wrote.
    fn run(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError>;
    /// Runs a query.
    fn rows(&mut self, query: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError>;
    /// The version was raised in it.
    fn raised(&mut self) {}
}

/// What goes into a database and comes out of it.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(i64),
    Nothing,
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Versions and sequences begin at one and never come near the end.
impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number.cast_signed())
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

impl<'a> From<Option<&'a Name>> for Value<'a> {
    fn from(name: Option<&'a Name>) -> Self {
        name.map(Name::as_str).into()
    }
}

/// A row; its values are taken out from the left.
pub(super) struct Row(std::vec::IntoIter<Value<'static>>);

impl Row {
    pub(super) fn new(values: Vec<Value<'static>>) -> Self {
        Self(values.into_iter())
    }

    fn text(&mut self) -> Result<String, StoreError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text.into_owned()),
            other => Err(strange(other.as_ref())),
        }
    }

    fn number(&mut self) -> Result<i64, StoreError> {
        match self.0.next() {
            Some(Value::Number(number)) => Ok(number),
            other => Err(strange(other.as_ref())),
        }
    }

    fn document<T: DeserializeOwned>(mut self) -> Result<T, StoreError> {
        Ok(serde_json::from_str(&self.text()?)?)
    }

    fn line(mut self) -> Result<(u64, String), StoreError> {
        Ok((self.number()?.unsigned_abs(), self.text()?))
    }

    fn name(&mut self) -> Result<Name, StoreError> {
        let text = self.text()?;
        Name::parse(&text).map_err(|error| StoreError::Damaged(Box::new(error)))
    }

    fn concern(mut self) -> Result<Concern, StoreError> {
        let (version, organization) = (self.number()?.unsigned_abs(), self.name()?);
        Ok(Concern { version, organization, runner: self.text()?, key: self.text()? })
    }

    fn record(mut self) -> Result<Record, StoreError> {
        let (key, value) = (self.text()?, serde_json::from_str(&self.text()?)?);
        let expires_at = match self.0.next() {
            Some(Value::Nothing) => None,
            Some(Value::Number(millis)) => Timestamp::from_millisecond(millis).ok(),
            other => return Err(strange(other.as_ref())),
        };
        Ok(Record { key, value, expires_at })
    }
}

fn strange(value: Option<&Value<'_>>) -> StoreError {
    let what = match value {
        Some(Value::Text(_)) => "text",
        Some(Value::Number(_)) => "a number",
        Some(Value::Nothing) => "nothing",
        None => "no value",
    };
    StoreError::Damaged(format!("a row has {what} where something else belongs").into())
}

/// What no key can be: PostgreSQL cannot hold it, and nobody wrote it.
fn impossible(key: &str) -> bool {
    key.contains('\0')
}

/// What is decided is written over [`Transaction`], and that over these few statements.
pub(super) struct Statements<O>(pub(super) O);

impl<O: Open> Statements<O> {
    fn one(&mut self, query: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(self.0.rows(query, values)?.into_iter().next())
    }

    fn meta(&mut self, key: &str) -> Result<u64, StoreError> {
        let row = self.one("SELECT value FROM meta WHERE key = $1", &[key.into()])?;
        let value = row.map(|mut row| row.number()).transpose()?;
        Ok(value.unwrap_or_default().unsigned_abs())
    }

    fn set_meta(&mut self, key: &str, value: u64) -> Result<(), StoreError> {
        self.0.run("UPDATE meta SET value = $1 WHERE key = $2", &[value.into(), key.into()]).map(drop)
    }
}

impl<O: Open> Transaction for Statements<O> {
    fn version(&mut self) -> Result<u64, StoreError> {
        self.meta("version")
    }

    fn set_version(&mut self, version: u64) -> Result<(), StoreError> {
        self.set_meta("version", version)?;
        self.0.raised();
        Ok(())
    }

    fn resource(
        &mut self,
        kind: Kind,
        organization: &Name,
        name: &Name,
    ) -> Result<Option<Document>, StoreError> {
        let query = "SELECT document FROM resources WHERE kind = $1 AND organization = $2 AND name = $3";
        let values = [kind.as_str().into(), organization.as_str().into(), name.as_str().into()];
        self.one(query, &values)?.map(Row::document).transpose()
    }

    fn resource_by_id(&mut self, id: &str) -> Result<Option<Document>, StoreError> {
        if impossible(id) {
            return Ok(None);
        }
        let row = self.one("SELECT document FROM resources WHERE id = $1", &[id.into()])?;
        row.map(Row::document).transpose()
    }

    fn resources(&mut self, wanted: &Listing) -> Result<Vec<Document>, StoreError> {
        let query = "SELECT document FROM resources
            WHERE kind = $1 AND (CAST($2 AS TEXT) IS NULL OR organization = $2)
                AND (organization, name) > ($3, $4)
            ORDER BY organization, name LIMIT $5";
        let (after, name) = wanted
            .after
            .as_ref()
            .map_or(("", ""), |(organization, name)| (organization.as_str(), name.as_str()));
        let values = [
            wanted.kind.as_str().into(),
            wanted.organization.as_ref().into(),
            after.into(),
            name.into(),
            i64::from(wanted.most).into(),
        ];
        self.0.rows(query, &values)?.into_iter().map(Row::document).collect()
    }

    fn count(&mut self, kind: Kind, organization: &Name) -> Result<u64, StoreError> {
        let query = "SELECT count(*) FROM resources WHERE kind = $1 AND organization = $2";
        let row = self.one(query, &[kind.as_str().into(), organization.as_str().into()])?;
        let count = row.map(|mut row| row.number()).transpose()?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }

    fn put(&mut self, document: &Document) -> Result<(), StoreError> {
        // A name that is taken is no error to the database: PostgreSQL would end the transaction with it, and whoever asked
        // may want to go on. The writer is alone, so what it sees stays so.
        let statement = "INSERT INTO resources (id, kind, organization, name, document)
            SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM resources
                WHERE kind = $2 AND organization = $3 AND name = $4 AND id <> $1)
            ON CONFLICT (id) DO UPDATE SET name = excluded.name, document = excluded.document";
        let metadata = &document.metadata;
        let json = serde_json::to_string(document)?;
        let values = [
            metadata.id.as_str().into(),
            document.kind.as_str().into(),
            metadata.organization.as_str().into(),
            metadata.name.as_str().into(),
            json.as_str().into(),
        ];
        match self.0.run(statement, &values) {
            Ok(0) | Err(StoreError::Taken { .. }) => {
                Err(StoreError::Taken { name: metadata.name.to_string() })
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn remove(&mut self, id: &str) -> Result<(), StoreError> {
        if impossible(id) {
            return Ok(());
        }
        self.0.run("DELETE FROM resources WHERE id = $1", &[id.into()]).map(drop)
    }

    fn announce(&mut self, organization: &Name, change: &Change) -> Result<(), StoreError> {
        let (version, json) = (change.resource_version, serde_json::to_string(change)?);
        let statement = "INSERT INTO changes (version, organization, change) VALUES ($1, $2, $3)";
        self.0.run(statement, &[version.into(), organization.as_str().into(), json.as_str().into()])?;
        // Now and then, so that a write is not two.
        if version % 1024 == 0 && version > CHANGES_KEPT {
            let from = version - CHANGES_KEPT;
            self.0.run("DELETE FROM changes WHERE version <= $1", &[from.into()])?;
            self.set_meta("changes_from", from)?;
        }
        Ok(())
    }

    fn changes(
        &mut self,
        organization: Option<&Name>,
        after: u64,
        most: u32,
    ) -> Result<Option<Vec<Change>>, StoreError> {
        if after < self.meta("changes_from")? || after > self.version()? {
            return Ok(None);
        }
        let query = "SELECT change FROM changes
            WHERE version > $1 AND (CAST($2 AS TEXT) IS NULL OR organization = $2)
            ORDER BY version LIMIT $3";
        let values = [after.into(), organization.into(), i64::from(most).into()];
        self.0.rows(query, &values)?.into_iter().map(Row::document).collect::<Result<_, _>>().map(Some)
    }

    fn forget_changes(&mut self) -> Result<(), StoreError> {
        self.0.run("DELETE FROM changes", &[])?;
        let version = self.version()?;
        self.set_meta("changes_from", version)
    }

    fn audit_head(&mut self) -> Result<Option<(u64, String)>, StoreError> {
        let row = self.one("SELECT sequence, line FROM audit ORDER BY sequence DESC LIMIT 1", &[])?;
        row.map(Row::line).transpose()
    }

    fn append_audit(&mut self, entry: &AuditEntry, line: &str) -> Result<(), StoreError> {
        let organization = entry.organization.as_ref().map_or("", Name::as_str);
        let statement = "INSERT INTO audit (sequence, organization, line) VALUES ($1, $2, $3)";
        self.0.run(statement, &[entry.sequence.into(), organization.into(), line.into()]).map(drop)
    }

    fn audit(
        &mut self,
        organization: Option<&Name>,
        after: u64,
        most: u32,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        let query = "SELECT sequence, line FROM audit
            WHERE sequence > $1 AND (CAST($2 AS TEXT) IS NULL OR organization = $2)
            ORDER BY sequence LIMIT $3";
        let values = [after.into(), organization.into(), i64::from(most).into()];
        self.0.rows(query, &values)?.into_iter().map(Row::line).collect()
    }

    fn record(&mut self, space: Space, key: &str, now: Timestamp) -> Result<Option<Record>, StoreError> {
        if impossible(key) {
            return Ok(None);
        }
        let query = "SELECT key, value, expires_at FROM records
            WHERE space = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";
        let values = [space.as_str().into(), key.into(), now.as_millisecond().into()];
        self.one(query, &values)?.map(Row::record).transpose()
    }

    fn records(&mut self, space: Space, now: Timestamp) -> Result<Vec<Record>, StoreError> {
        let query = "SELECT key, value, expires_at FROM records
            WHERE space = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY key";
        let values = [space.as_str().into(), now.as_millisecond().into()];
        self.0.rows(query, &values)?.into_iter().map(Row::record).collect()
    }

    fn put_record(&mut self, space: Space, record: &Record) -> Result<(), StoreError> {
        let statement = "INSERT INTO records (space, key, value, expires_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at";
        let json = serde_json::to_string(&record.value)?;
        let values = [
            space.as_str().into(),
            record.key.as_str().into(),
            json.as_str().into(),
            record.expires_at.map(Timestamp::as_millisecond).into(),
        ];
        self.0.run(statement, &values).map(drop)
    }

    fn remove_record(&mut self, space: Space, key: &str) -> Result<bool, StoreError> {
        if impossible(key) {
            return Ok(false);
        }
        let statement = "DELETE FROM records WHERE space = $1 AND key = $2";
        Ok(self.0.run(statement, &[space.as_str().into(), key.into()])? > 0)
    }

    fn forget_expired(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.0.run("DELETE FROM records WHERE expires_at <= $1", &[now.as_millisecond().into()])
    }

    fn synced(&mut self, organization: &Name, key: &str) -> Result<Option<serde_json::Value>, StoreError> {
        if impossible(key) {
            return Ok(None);
        }
        let query = "SELECT stored FROM synced WHERE organization = $1 AND key = $2";
        let row = self.one(query, &[organization.as_str().into(), key.into()])?;
        row.map(Row::document).transpose()
    }

    fn put_synced(&mut self, synced: &Synced, concerned: &[&str]) -> Result<(), StoreError> {
        let statement = "INSERT INTO synced (organization, key, version, gone_at, sealed, stored)
            VALUES ($1, $2, $3, $4, '', $5)
            ON CONFLICT (organization, key) DO UPDATE SET version = excluded.version, stored = excluded.stored,
                gone_at = CASE WHEN excluded.gone_at IS NULL THEN NULL
                    ELSE COALESCE(synced.gone_at, excluded.gone_at) END";
        let (organization, key) = (synced.organization.as_str(), synced.key.as_str());
        let json = serde_json::to_string(&synced.stored)?;
        let values = [
            organization.into(),
            key.into(),
            synced.version.into(),
            synced.gone_at.map(Timestamp::as_millisecond).into(),
            json.as_str().into(),
        ];
        self.0.run(statement, &values)?;
        let query = "SELECT runner FROM concerned WHERE organization = $1 AND key = $2";
        let rows = self.0.rows(query, &[organization.into(), key.into()])?;
        let former: Vec<String> = rows.into_iter().map(|mut row| row.text()).collect::<Result<_, _>>()?;
        for runner in former.iter().filter(|runner| !concerned.contains(&runner.as_str())) {
            let statement = "DELETE FROM concerned WHERE organization = $1 AND runner = $2 AND key = $3";
            self.0.run(statement, &[organization.into(), runner.as_str().into(), key.into()])?;
        }
        for runner in concerned.iter().filter(|runner| !former.iter().any(|known| known == *runner)) {
            let statement = "INSERT INTO concerned (organization, runner, key) VALUES ($1, $2, $3)";
            self.0.run(statement, &[organization.into(), (*runner).into(), key.into()])?;
        }
        Ok(())
    }

    fn drop_synced(&mut self, organization: &Name, key: &str) -> Result<(), StoreError> {
        let values = [organization.as_str().into(), key.into()];
        self.0.run("DELETE FROM concerned WHERE organization = $1 AND key = $2", &values)?;
        self.0.run("DELETE FROM synced WHERE organization = $1 AND key = $2", &values).map(drop)
    }

    fn synced_of(&mut self, organization: &Name, runner: &str) -> Result<Vec<String>, StoreError> {
        let query = "SELECT key FROM concerned WHERE organization = $1 AND runner = $2 ORDER BY key";
        let rows = self.0.rows(query, &[organization.as_str().into(), runner.into()])?;
        rows.into_iter().map(|mut row| row.text()).collect()
    }

    fn synced_after(&mut self, version: u64, most: u32) -> Result<Vec<Concern>, StoreError> {
        let query = "SELECT synced.version, synced.organization, concerned.runner, synced.key
            FROM synced JOIN concerned
                ON concerned.organization = synced.organization AND concerned.key = synced.key
            WHERE synced.version > $1 ORDER BY synced.version LIMIT $2";
        let rows = self.0.rows(query, &[version.into(), i64::from(most).into()])?;
        rows.into_iter().map(Row::concern).collect()
    }

    fn synced_gone_before(&mut self, time: Timestamp, most: u32) -> Result<Vec<(Name, String)>, StoreError> {
        let query = "SELECT organization, key FROM synced WHERE gone_at < $1 ORDER BY gone_at LIMIT $2";
        let rows = self.0.rows(query, &[time.as_millisecond().into(), i64::from(most).into()])?;
        rows.into_iter().map(|mut row| Ok((row.name()?, row.text()?))).collect()
    }

    fn sealed_for(&mut self, organization: &Name, key: &str) -> Result<String, StoreError> {
        let query = "SELECT sealed FROM synced WHERE organization = $1 AND key = $2";
        let row = self.one(query, &[organization.as_str().into(), key.into()])?;
        Ok(row.map(|mut row| row.text()).transpose()?.unwrap_or_default())
    }

    fn set_sealed_for(&mut self, organization: &Name, key: &str, sealed: &str) -> Result<(), StoreError> {
        let statement = "UPDATE synced SET sealed = $1 WHERE organization = $2 AND key = $3";
        self.0.run(statement, &[sealed.into(), organization.as_str().into(), key.into()]).map(drop)
    }
}
