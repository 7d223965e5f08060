//! One connection, and a transaction on it.

use std::collections::HashMap;
use std::error::Error;

use bytes::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Statement};

use super::Address;
use crate::store::StoreError;
use crate::store::statements::{Open, Row, Value};

/// What a connection is told first.
///
/// A replica that froze in the midst of a write would keep all others from writing: the server ends it. Who waits for longer
/// than any write takes is told so. And what was acknowledged is on the disk, whatever else the server's configuration says.
const FIRST: &str = "
    SET idle_in_transaction_session_timeout = '60s';
    SET lock_timeout = '30s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// A connection, and the statements that its server knows already.
pub(super) struct Session {
    pub(super) client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Session {
    pub(super) fn connect(address: &Address) -> Result<Self, StoreError> {
        let mut client = address.connect()?;
        client.batch_execute(FIRST)?;
        Ok(Self { client, statements: HashMap::new() })
    }

    fn prepared(&mut self, statement: &'static str) -> Result<Statement, postgres::Error> {
        if let Some(known) = self.statements.get(statement) {
            return Ok(known.clone());
        }
        let prepared = self.client.prepare(statement)?;
        self.statements.insert(statement, prepared.clone());
        Ok(prepared)
    }
}

impl Open for &mut Session {
    fn run(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let prepared = self.prepared(statement)?;
        Ok(self.client.execute(&prepared, &parameters(values))?)
    }

    fn rows(&mut self, query: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let prepared = self.prepared(query)?;
        let rows = self.client.query(&prepared, &parameters(values))?;
        rows.iter().map(|row| Ok(Row::new(columns(row)?))).collect()
    }
}

/// A transaction that writes.
pub(super) struct Writing<'a> {
    session: &'a mut Session,
    raised: bool,
}

impl<'a> Writing<'a> {
    pub(super) fn new(session: &'a mut Session) -> Self {
        Self { session, raised: false }
    }

    /// Whether others are to hear of it.
    pub(super) fn is_raised(&self) -> bool {
        self.raised
    }
}

impl Open for Writing<'_> {
    fn run(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        (&mut *self.session).run(statement, values)
    }

    fn rows(&mut self, query: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        (&mut *self.session).rows(query, values)
    }

    fn raised(&mut self) {
        self.raised = true;
    }
}

fn parameters<'a>(values: &'a [Value<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Text(text) if *ty == Type::TEXT => text.as_ref().to_sql(ty, out),
            Value::Number(number) if *ty == Type::INT8 => number.to_sql(ty, out),
            Value::Nothing => Ok(IsNull::Yes),
            Value::Text(_) | Value::Number(_) => Err(format!("the statement wants a value of {ty}").into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::TEXT | Type::INT8)
    }

    to_sql_checked!();
}

/// What is in a row.
pub(super) fn columns(row: &postgres::Row) -> Result<Vec<Value<'static>>, StoreError> {
    let value = |column: usize| -> Result<Value<'static>, postgres::Error> {
        let value = match *row.columns()[column].type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map(Value::Number),
            _ => row.try_get::<_, Option<String>>(column)?.map(|text| Value::Text(text.into())),
        };
        Ok(value.unwrap_or(Value::Nothing))
    };
    // It came, and is of another type.
    (0..row.len()).map(value).collect::<Result<_, _>>().map_err(|error| StoreError::Damaged(Box::new(error)))
}
