//! Spans of time as people write them in the file.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A span of time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span(pub u64);

/// The units, longest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The longest one that makes sense: a month.
const MOST: u64 = 31 * 24 * 3_600_000;

impl Span {
    /// Whole seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(count * 1000)
    }

    /// Reads `90s`, `1h30m`, `500ms`: numbers with units, the longer units first. `None` for anything else, for
    /// nothing at all, and for more than 31 days.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut rest, mut total, mut next_unit) = (text, 0_u64, 0);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let index = UNITS.iter().position(|(unit, _)| *unit == &rest[..end])?;
            if index < next_unit {
                return None;
            }
            next_unit = index + 1;
            total = total.checked_add(number.checked_mul(UNITS[index].1)?)?;
            rest = &rest[end..];
        }
        (1..=MOST).contains(&total).then_some(Self(total))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_millis(span.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, millis) in UNITS {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        if self.0 == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_they_are_written() {
        for (text, millis) in [
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("1m500ms", Some(60_500)),
            ("30", None),
            ("30m1h", None),
            ("1s1s", None),
            ("0s", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1 s", None),
            ("9999999999h", None),
            ("99999999999999999999s", None),
            ("1µs", None),
        ] {
            assert_eq!(Span::parse(text).map(|span| span.0), millis, "{text}");
            if let Some(span) = Span::parse(text) {
                assert_eq!(span.to_string(), text);
            }
        }
    }
}
