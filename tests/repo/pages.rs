//! What is written from code is written from the code as it is.

/// Says to bring the file up to date instead of comparing it.
const UPDATE: &str = "COVE_UPDATE_DOCS";

#[test]
fn the_page_of_errors_is_up_to_date() {
    let path = crate::root().join("docs/errors.md");
    let wanted = test_support::error_page();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &wanted).expect("docs/ can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "run the tests once with {UPDATE}=1");
}
