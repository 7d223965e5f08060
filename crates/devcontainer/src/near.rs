//! Finds the word that a misspelt one was probably meant to be.

/// The candidate that looks most like `word`; `None` when none comes near, or when `word` is one of them.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = plain(word);
    // One slip in a short word, three in a long one: more would suggest words that merely exist.
    let allowed = match plain.chars().count() {
        0..=2 => return None,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    };
    let mut best = None;
    for candidate in candidates {
        if candidate == word {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&plain, &self::plain(candidate));
        if distance <= allowed && best.is_none_or(|(_, least)| distance < least) {
            best = Some((candidate, distance));
        }
    }
    best.map(|(candidate, _)| candidate)
}

/// Without case and separators, in which people slip most often.
fn plain(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_not_other_words() {
        let known =
            ["image", "build", "mounts", "forwardPorts", "postCreateCommand", "postStartCommand", "init"];
        let table = [
            ("imgae", Some("image")),
            ("Image", Some("image")),
            ("mount", Some("mounts")),
            ("forward_ports", Some("forwardPorts")),
            ("postCreateComand", Some("postCreateCommand")),
            ("postStratCommands", Some("postStartCommand")),
            ("image", None),
            ("tasks", None),
            ("id", None),
            ("version", None),
        ];
        for (word, expected) in table {
            assert_eq!(closest(word, known), expected, "{word}");
        }
    }
}
