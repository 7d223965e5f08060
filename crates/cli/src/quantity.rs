//! Durations and sizes, as people read and type them.

use std::time::Duration;

pub(crate) use api::bytes_in_words as bytes;

/// A duration: `0.4 s`, `12.3 s`, `2 min 05 s`, `3 h 12 min`, `5 d 3 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A duration in milliseconds.
pub(crate) fn millis(millis: u64) -> String {
    duration(Duration::from_millis(millis))
}

/// A size in MiB.
pub(crate) fn mib(mib: u64) -> String {
    bytes(mib.saturating_mul(1 << 20))
}

/// Reads a duration: `90s`, `30m`, `8h`, `2d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number with s, m, h or d, for instance 8h".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

/// Reads a size into MiB: `6G`, `1500M`, `6` (GiB).
pub(crate) fn parse_mib(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 =
        digits.trim().parse().map_err(|_| "give a whole number, for instance 6G or 1500M".to_owned())?;
    let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "m" | "mb" | "mib" => 1,
        "" | "g" | "gb" | "gib" => 1 << 10,
        "t" | "tb" | "tib" => 1 << 20,
        unit => return Err(format!("`{unit}` is not a unit: use M, G or T")),
    };
    number.checked_mul(factor).filter(|mib| *mib > 0).ok_or_else(|| "that is no possible size".to_owned())
}

/// Reads a size into GiB: `100G`, `1T`, `100` (GiB).
pub(crate) fn parse_gib(text: &str) -> Result<u64, String> {
    let mib = parse_mib(text)?;
    if mib % 1024 == 0 { Ok(mib / 1024) } else { Err("give whole GiB, for instance 100G".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_grow_their_units() {
        for (ms, text) in [
            (40, "0.0 s"),
            (12_345, "12.3 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min 00 s"),
            (3_725_000, "1 h 02 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(millis(ms), text);
        }
    }

    #[test]
    fn typed_durations_are_read() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("8h", 28_800), ("2d", 172_800)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "8", "h", "0h", "-1h", "8 h", "1.5h", "8é", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn typed_sizes_are_read() {
        assert_eq!(parse_mib("6G"), Ok(6144));
        assert_eq!(parse_mib("6"), Ok(6144));
        assert_eq!(parse_mib("1500mib"), Ok(1500));
        assert_eq!(parse_gib("1t"), Ok(1024));
        for text in ["", "G", "-1", "6X", "0", "99999999999999999999", "18446744073709551615T"] {
            assert!(parse_mib(text).is_err(), "{text}");
        }
        assert!(parse_gib("1500M").is_err());
    }
}
