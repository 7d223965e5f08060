//! Takes secrets out of what is told: lines of output, problems, details of steps.

use api::{EventKind, Problem};
use bytes::Bytes;
use engine::{Channel, OutputStream};
use futures::StreamExt as _;
use provision::Masks;

/// A problem without secrets.
pub(crate) fn problem(masks: &Masks, problem: Problem) -> Problem {
    problem.map_texts(|text| masks.apply(text).into_owned())
}

/// An event without secrets.
pub(crate) fn event(masks: &Masks, kind: EventKind) -> EventKind {
    let text = |text: String| masks.apply(&text).into_owned();
    match kind {
        EventKind::StepStarted { step, detail } => EventKind::StepStarted { step, detail: text(detail) },
        EventKind::Progress { step, item, current, total, unit } => {
            EventKind::Progress { step, item: text(item), current, total, unit }
        }
        EventKind::Log { step, stream, line } => EventKind::Log { step, stream, line: text(line) },
        EventKind::StepFailed { step, problem: told } => {
            EventKind::StepFailed { step, problem: problem(masks, told) }
        }
        EventKind::Warning { problem: told } => EventKind::Warning { problem: problem(masks, told) },
        // A port has no text of a program in it but its name.
        same @ (EventKind::Changed
        | EventKind::Removed
        | EventKind::StepFinished { .. }
        | EventKind::PortListens { .. }) => same,
    }
}

/// What is written in pieces, without secrets, also those that begin in one piece and end in another.
pub(crate) fn pieces(masks: &Masks, output: OutputStream) -> OutputStream {
    let mut streams = [masks.stream(), masks.stream()];
    let pieces = output.map(Some).chain(futures::stream::iter([None]));
    let told = pieces.flat_map(move |piece| {
        let told: Vec<Result<(Channel, Bytes), _>> = match piece {
            Some(Ok((channel, bytes))) => {
                let stream = &mut streams[usize::from(channel == Channel::Err)];
                vec![Ok((channel, stream.push(&bytes).into()))]
            }
            Some(Err(error)) => vec![Err(error)],
            None => {
                let [out, err] = [0, 1].map(|index| streams[index].finish().into());
                vec![Ok((Channel::Out, out)), Ok((Channel::Err, err))]
            }
        };
        let is_something =
            |piece: &Result<(Channel, Bytes), _>| !matches!(piece, Ok((_, bytes)) if bytes.is_empty());
        futures::stream::iter(told.into_iter().filter(is_something).collect::<Vec<_>>())
    });
    told.boxed()
}

#[cfg(test)]
mod tests {
    use api::{ProblemCode, StepKind};

    use super::*;

    #[test]
    fn no_text_of_an_event_holds_a_secret() {
        let masks = Masks::new(["s3cret"]);
        let problem = Problem::new(ProblemCode::HookFailed, "a s3cret")
            .caused_by(&std::io::Error::other("b s3cret"))
            .with_log(vec!["c s3cret".to_owned()])
            .with_command("d s3cret", "cove up");
        let step = StepKind::PrepareImage;
        for kind in [
            EventKind::StepStarted { step, detail: "s3cret".to_owned() },
            EventKind::StepFailed { step, problem: problem.clone() },
            EventKind::Warning { problem },
        ] {
            let told = event(&masks, kind);
            let json = serde_json::to_string(&told).unwrap();
            assert!(!json.contains("s3cret") && json.contains("********"), "{json}");
        }
    }
}
