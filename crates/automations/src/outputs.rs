//! What a task leaves for others.

use std::collections::BTreeMap;

/// Longest file of outputs that is read, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// Reads `NAME=VALUE` lines. Other lines are left out; a name that is there twice has its last value.
///
/// # Errors
/// The declared name that is missing.
pub fn parse_outputs(text: &str, declared: &[String]) -> Result<BTreeMap<String, String>, String> {
    let said: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let found = declared.iter().map(|name| match said.get(name.as_str()) {
        Some(value) => Ok((name.clone(), (*value).to_owned())),
        None => Err(name.clone()),
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_declared_is_taken_and_all_of_it_is_needed() {
        let declared = ["url".to_owned(), "port".to_owned()];
        let text = "url=http://a=b\nnoise\nother=1\nport=1\nport=2\n";
        let outputs = parse_outputs(text, &declared).unwrap();
        assert_eq!(
            outputs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
            ["port=2", "url=http://a=b"]
        );
        assert_eq!(parse_outputs("url=x", &declared), Err("port".to_owned()));
    }
}
