//! Trying again, when trying again can help.

use std::time::Duration;

use crate::error::OciError;

/// Pauses between attempts. A person waits for this: a registry that restarts is back within them, and an outage is
/// told after seconds.
const PAUSES: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];
/// The longest pause a registry may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: OciError,
    pub(crate) again: Again,
}

/// Whether another attempt makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The answer will be the same.
    No,
    /// Nobody is there, which is soon known for sure.
    Once,
    /// It may pass, after this time if the other side named one.
    Later(Option<Duration>),
}

impl From<OciError> for Failure {
    fn from(error: OciError) -> Self {
        Self { error, again: Again::No }
    }
}

/// Attempts something until it succeeds, fails for good, or has been tried four times.
///
/// Dropping the future ends it at once.
pub(crate) async fn retry<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, OciError>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut pauses = PAUSES.into_iter().enumerate();
    loop {
        let Failure { error, again } = match attempt().await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let pause = match (again, pauses.next()) {
            (Again::No, _) | (_, None) | (Again::Once, Some((1.., _))) => return Err(error),
            (Again::Once | Again::Later(None), Some((_, pause))) => pause,
            (Again::Later(Some(asked)), Some(_)) if asked <= LONGEST_PAUSE => asked,
            (Again::Later(Some(_)), Some(_)) => return Err(error),
        };
        tracing::debug!(%error, ?pause, "trying again");
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_tried_again() {
        let long = Again::Later(Some(Duration::from_hours(1)));
        let short = Again::Later(Some(Duration::from_secs(5)));
        for (again, attempts) in
            [(Again::No, 1), (Again::Once, 2), (Again::Later(None), 4), (short, 4), (long, 1)]
        {
            let mut made = 0;
            let failed: Result<(), _> = retry(|| {
                made += 1;
                let error = OciError::Unreachable { host: "x".into(), reason: "y".into() };
                async move { Err(Failure { error, again }) }
            })
            .await;
            assert!(failed.is_err());
            assert_eq!(made, attempts, "{again:?}");
        }
    }
}
