//! `cove doctor`

use api::{CheckOutcome, Diagnosis};

use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::table::{self, Cell};
use crate::text::harmless;

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let diagnosis = context.client().await?.doctor().await?;
    context.output.show(&diagnosis, |paint| text(&diagnosis, paint))?;
    let bad = diagnosis.checks.iter().any(|check| check.outcome == CheckOutcome::Bad);
    if bad { Err(Failure::Status(1)) } else { Ok(()) }
}

fn text(diagnosis: &Diagnosis, paint: Paint) -> String {
    let rows: Vec<_> = diagnosis
        .checks
        .iter()
        .map(|check| {
            let (mark, painted) = match check.outcome {
                CheckOutcome::Good => ("✓", paint.green("✓")),
                CheckOutcome::Warning => ("!", paint.yellow("!")),
                CheckOutcome::Bad => ("✗", paint.red("✗")),
            };
            vec![
                Cell::painted(mark, painted),
                Cell::plain(&check.name),
                Cell::plain(harmless(&check.finding)),
            ]
        })
        .collect();
    let mut out = table::render(&["", "CHECK", "FINDING"], &rows, paint);
    for problem in diagnosis.checks.iter().filter_map(|check| check.problem.as_ref()) {
        let weight = crate::problem_text::Weight::Warning;
        out.push('\n');
        out.push_str(&crate::problem_text::render(problem, weight, paint));
        out.push('\n');
    }
    out
}
