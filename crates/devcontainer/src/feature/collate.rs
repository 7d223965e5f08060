//! Compares texts as people's dictionaries do, because the reference orders the entries of a lockfile and
//! features of equal rank with JavaScript's `localeCompare`, and both must come out alike.
//!
//! Identifiers are ASCII, so this is the root collation for ASCII; everything else follows by code point.

use std::cmp::Ordering;

/// Printable ASCII that is neither letter nor digit, in the order of the root collation. Digits follow,
/// then letters.
const PUNCTUATION: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

/// First by the characters without case; among equals lower case comes first.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let primary = left.chars().filter_map(primary).cmp(right.chars().filter_map(self::primary));
    let case = || {
        let upper = |text: &str| text.chars().map(char::is_uppercase).collect::<Vec<_>>();
        upper(left).cmp(&upper(right))
    };
    // Control characters weigh nothing; the code points make the order total.
    primary.then_with(case).then_with(|| left.cmp(right))
}

/// The weight of a character; `None` for one that counts for nothing.
fn primary(character: char) -> Option<u32> {
    match character {
        control if control.is_ascii_control() => None,
        letter if letter.is_ascii_alphabetic() => Some(200 + u32::from(letter.to_ascii_lowercase())),
        digit if digit.is_ascii_digit() => Some(100 + u32::from(digit)),
        other if other.is_ascii() => {
            PUNCTUATION.chars().position(|candidate| candidate == other).map(|index| index as u32)
        }
        foreign => Some(1000 + u32::from(foreign)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_as_javascript_does() {
        // Recorded from `localeCompare` of Node 20.
        let single = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUvVwWxXyYzZ";
        let sorted: Vec<String> = single.chars().map(String::from).collect();
        let words =
            ["a b", "a_b", "a-b", "a:1", "a:b", "a.b", "a/b", "a1", "a10", "a2", "ab", "aB", "Ab", "AB"];
        for expected in [sorted, words.map(str::to_owned).to_vec()] {
            let mut shuffled: Vec<String> = expected.iter().rev().cloned().collect();
            shuffled.sort_by(|left, right| compare(left, right));
            assert_eq!(shuffled, expected);
        }
    }

    proptest! {
        #[test]
        fn is_a_total_order(mut texts in proptest::collection::vec("[a-cA-C:/@é\\x00-\\x03.-]{0,4}", 3)) {
            texts.sort_by(|left, right| compare(left, right));
            let ordered = compare(&texts[0], &texts[1]).is_le()
                && compare(&texts[1], &texts[2]).is_le()
                && compare(&texts[0], &texts[2]).is_le();
            prop_assert!(ordered);
            prop_assert_eq!(compare(&texts[0], &texts[1]).reverse(), compare(&texts[1], &texts[0]));
        }
    }
}
