//! A Dockerfile: its base image, user and images are found or it is refused; arguments come from the same text.
#![no_main]

use std::collections::BTreeMap;

use devcontainer::dockerfile::Dockerfile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(file) = Dockerfile::parse(text) else { return };
    let variables: BTreeMap<String, String> = text
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .take(20)
        .collect();
    let target = text.split_whitespace().last();
    for target in [None, target] {
        let _ = file.base_image(target, &variables);
        let _ = file.user(target, &variables, &variables);
    }
    let _ = file.images(&variables);
});
