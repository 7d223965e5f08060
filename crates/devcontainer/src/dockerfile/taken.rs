//! What instructions take files from: other stages, or images. As the builder reads it.

use super::text::Line;
use super::word;

/// Something that an instruction takes files from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    /// The stage or image, as written.
    pub(super) from: String,
    /// The line of the instruction, from 1.
    pub(super) line: usize,
    /// Whether a number is that of a stage.
    pub(super) counts_stages: bool,
}

/// What a line takes files from: with `COPY --from`, with `RUN --mount=from=…`, and with those that `ONBUILD` puts off until
/// another stage is built upon this one.
pub(super) fn of(line: &Line, escape: char) -> Vec<Taken> {
    let (keyword, rest) = match line.keyword.as_str() {
        "ONBUILD" => line.rest.trim_start().split_once(char::is_whitespace).unwrap_or_default(),
        keyword => (keyword, line.rest.as_str()),
    };
    let taken = |from: String, counts_stages| Taken { from, line: line.number, counts_stages };
    let words = word::split(rest, escape);
    let options = words.iter().take_while(|word| word.starts_with("--")).map(|word| plain(word, escape));
    if keyword.eq_ignore_ascii_case("COPY") {
        let from = options.filter_map(|option| option.strip_prefix("--from=").map(str::to_owned));
        from.map(|from| taken(from, true)).collect()
    } else if keyword.eq_ignore_ascii_case("RUN") {
        let mounts = options.filter_map(|option| option.strip_prefix("--mount=").map(str::to_owned));
        mounts.filter_map(|mount| from_of(&mount)).map(|from| taken(from, false)).collect()
    } else {
        Vec::new()
    }
}

/// Without quotes and escapes, and with its variables as they are written.
fn plain(word: &str, escape: char) -> String {
    word::expand(word, escape, |name| Some(format!("${name}")))
}

/// What a mount's fields, which are separated by commas, say of where it comes from.
fn from_of(mount: &str) -> Option<String> {
    let fields = mount.split(',').map(|field| field.trim().trim_matches('"'));
    let mut pairs = fields.filter_map(|field| field.split_once('='));
    pairs.rfind(|(key, _)| key.eq_ignore_ascii_case("from")).map(|(_, from)| from.to_owned())
}
