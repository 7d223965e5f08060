//! Clocks that do not agree.

use jiff::Timestamp;

use crate::{Problem, ProblemCode};

/// What a server shows does not count at this time: most likely one of the two clocks is wrong, or nobody renewed its
/// certificate. Whose it is was not looked at then.
pub fn not_its_time(address: &str, now: Timestamp) -> Problem {
    let now = now.strftime("%Y-%m-%d %H:%M UTC");
    let title = format!(
        "the certificate that {address} shows does not count at {now}, which it is by this computer's clock"
    );
    Problem::new(ProblemCode::CertificateRefused, title)
        .with_hint("if that is not the time, set the clock of this computer")
        .with_hint(
            "if it is, look at the clock of the server; it renews its certificate by itself while it runs",
        )
}
