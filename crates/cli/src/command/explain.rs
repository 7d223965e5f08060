//! `cove explain`

use api::ProblemCode;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::table::{self, Cell};

/// The page of a code.
#[derive(Debug, Serialize)]
struct Page {
    code: ProblemCode,
    summary: &'static str,
    explanation: &'static str,
}

pub(super) fn run(context: &Context, code: Option<String>) -> Result<(), Failure> {
    let Some(text) = code else {
        let pages: Vec<_> = ProblemCode::ALL.iter().copied().map(page).collect();
        return context.output.show(&pages, |paint| {
            let rows: Vec<_> = pages
                .iter()
                .map(|page| {
                    let code = page.code.as_str();
                    vec![Cell::painted(code, paint.bold(code)), Cell::plain(page.summary)]
                })
                .collect();
            table::render(&["CODE", "MEANING"], &rows, paint)
        });
    };
    let wanted = text.to_ascii_uppercase();
    let known = ProblemCode::ALL.iter().copied().find(|code| code.as_str() == wanted);
    let code = known.ok_or_else(|| {
        Failure::request(format!("there is no code `{text}`"))
            .with_command("see which there are", "cove explain")
    })?;
    let page = page(code);
    context.output.show(&page, |paint| {
        format!("{}: {}\n\n{}", paint.bold(code.as_str()), page.summary, page.explanation)
    })
}

fn page(code: ProblemCode) -> Page {
    Page { code, summary: code.summary(), explanation: code.explain() }
}
