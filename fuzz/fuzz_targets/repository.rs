//! The URL of a repository, as a link or a person hands it over: read the same again, or refused in one line.
#![no_main]

use api::RepositoryUrl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match RepositoryUrl::parse(text) {
        Ok(repository) => {
            let shown = repository.to_string();
            assert_eq!(RepositoryUrl::parse(&shown).as_ref(), Ok(&repository));
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            // What git and ssh would take for an option.
            assert!(!shown.starts_with('-') && !repository.host().starts_with('-'), "{shown:?}");
            let name = repository.name();
            assert!(!name.is_empty() && !name.starts_with(['-', '.']) && !name.contains('/'), "{name:?}");
        }
        Err(refused) => assert!(!refused.to_string().contains('\n'), "{refused}"),
    }
});
