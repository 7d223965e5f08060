//! Whether something is in use, in words.

use api::{Activity, InUse};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What uses it, or since when nothing does and when it stops.
pub(crate) fn text(activity: &Activity) -> String {
    if !activity.uses.is_empty() {
        let uses: Vec<String> = activity.uses.iter().map(of).collect();
        return uses.join("; ");
    }
    match (activity.idle_since, activity.stops_at) {
        (Some(since), Some(at)) => format!("not since {}; it stops at {}", clock(since), clock(at)),
        _ => "not now".to_owned(),
    }
}

fn of(what: &InUse) -> String {
    let detail = if what.detail.is_empty() { String::new() } else { format!(" ({})", what.detail) };
    let since = what.since.map(|since| format!(" since {}", clock(since))).unwrap_or_default();
    format!("{}{detail}{since}", what.kind.as_str())
}

/// The time on this computer's clock, with the day where that is not today: `14:05`, `Nov 3 14:05`.
pub(crate) fn clock(at: Timestamp) -> String {
    let zone = TimeZone::system();
    let (at, today) = (at.to_zoned(zone.clone()), Timestamp::now().to_zoned(zone));
    let form = if at.date() == today.date() { "%H:%M" } else { "%b %-d %H:%M" };
    at.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use api::UseKind;

    use super::*;

    #[test]
    fn uses_are_told_with_what_is_known_of_them() {
        let mut activity = Activity {
            uses: vec![
                InUse { kind: UseKind::Shell, detail: String::new(), since: Some(Timestamp::now()) },
                InUse { kind: UseKind::Processor, detail: "37 % of a processor".to_owned(), since: None },
            ],
            ..Activity::default()
        };
        let now = clock(Timestamp::now());
        assert_eq!(
            text(&activity),
            format!("a shell since {now}; its programs compute (37 % of a processor)")
        );
        activity = Activity::default();
        assert_eq!(text(&activity), "not now");
        activity.idle_since = Some(Timestamp::now());
        activity.stops_at = activity.idle_since;
        assert_eq!(text(&activity), format!("not since {now}; it stops at {now}"));
        assert_eq!(clock("2001-02-03T12:00:00Z".parse().unwrap()).split(' ').next(), Some("Feb"));
    }
}
