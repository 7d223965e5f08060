//! Networks: made anew as they are defined, with their addresses where these are free.

use engine::{EngineError, NetworkRecord};
use serde_json::{Map, Value, json};

use crate::definition::pruned;
use crate::error::{MigrationError, OnSide};
use crate::run::Migration;

/// Labels that say which version of compose made it and when, not what it is.
const OF_THE_TOOL: [&str; 2] = ["com.docker.compose.version", "com.docker.compose.config-hash"];

/// The body that makes a network like this one.
fn body(record: &NetworkRecord) -> Value {
    let mut body = Map::new();
    for key in
        ["Name", "Driver", "Internal", "Attachable", "EnableIPv4", "EnableIPv6", "IPAM", "Options", "Labels"]
    {
        if let Some(value) = record.inspect.get(key) {
            body.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(body)
}

/// Whether two networks are alike in all but their addresses.
pub(crate) fn alike(one: &NetworkRecord, other: &NetworkRecord) -> bool {
    let comparable = |record: &NetworkRecord| {
        let mut body = body(record);
        body["IPAM"] = json!(null);
        // Older engines do not say it, and it is the rule.
        body["EnableIPv4"] = json!(null);
        if let Some(labels) = body["Labels"].as_object_mut() {
            labels.retain(|name, _| !OF_THE_TOOL.contains(&name.as_str()));
        }
        pruned(&body)
    };
    comparable(one) == comparable(other)
}

impl Migration {
    /// Makes a network here. Gives what a person should know.
    pub(crate) async fn copy_network(&self, record: &NetworkRecord) -> Result<Vec<String>, MigrationError> {
        let mut notes = Vec::new();
        let mut body = body(record);
        match self.target.create_network(&body).await {
            Err(EngineError::Refused { message, .. }) if message.contains("overlaps") => {
                let subnets = record.inspect["IPAM"]["Config"].as_array().into_iter().flatten();
                let subnets: Vec<_> = subnets.filter_map(|config| config["Subnet"].as_str()).collect();
                notes.push(format!("its addresses are others here: {} is taken", subnets.join(", ")));
                body["IPAM"]["Config"] = json!([]);
                self.target.create_network(&body).await.at_target()?;
            }
            made => made.at_target()?,
        }
        let records = self.target.network_records().await.at_target()?;
        let here = records.iter().find(|network| network.name == record.name);
        if here.is_some_and(|here| alike(record, here)) {
            return Ok(notes);
        }
        Err(MigrationError::Differs { what: "the network's options are others here".to_owned() })
    }
}
