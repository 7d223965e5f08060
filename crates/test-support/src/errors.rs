//! The page of errors, written from their codes.

use std::fmt::Write;

use api::{ProblemCode, Retry};

/// The text of `docs/errors.md`.
pub fn error_page() -> String {
    let mut page = String::from(
        "# Errors\n\nEvery error has a stable code. `cove explain CODE` prints the same text. This page is written from the \
         code.\n",
    );
    for code in ProblemCode::ALL {
        let retry = match code.retry() {
            Retry::ByItself => "Cove tries again by itself a few times before it asks you.",
            Retry::OnRequest => "Cove waits for you: `cove up` tries again.",
        };
        write!(page, "\n## {code}\n\n**{}** {}\n\n{retry}\n", code.summary(), code.explain())
            .expect("a String can always grow");
    }
    page
}
