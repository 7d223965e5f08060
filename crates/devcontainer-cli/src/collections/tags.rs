//! Which tags a new version gets: its own, and each shorter one and `latest` where no newer version has it.

use devcontainer::feature::Version;

/// A version that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the version \"{written}\" of `{id}` is not a semantic version, expected for example \"1.2.3\"")]
pub(crate) struct NoVersion {
    /// Whose version.
    pub(crate) id: String,
    /// As it is written.
    pub(crate) written: String,
}

/// The tags for `version`, from the shortest to the longest and `latest`; `None` where it is published already.
pub(crate) fn plan(id: &str, version: &str, published: &[String]) -> Result<Option<Vec<String>>, NoVersion> {
    if published.iter().any(|tag| tag == version) {
        return Ok(None);
    }
    let new: Version =
        version.parse().map_err(|_| NoVersion { id: id.to_owned(), written: version.to_owned() })?;
    let released: Vec<Version> = published.iter().filter_map(|tag| tag.parse().ok()).collect();
    let is_newest = |range: &str| released.iter().filter(|old| old.satisfies(range)).all(|old| *old < new);
    let (major, minor) = (new.major.to_string(), format!("{}.{}", new.major, new.minor));
    let mut tags = Vec::new();
    for short in [major, minor] {
        if is_newest(&short) {
            tags.push(short);
        }
    }
    tags.push(version.to_owned());
    if is_newest("*") {
        tags.push("latest".to_owned());
    }
    Ok(Some(tags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn planned(version: &str, published: &str) -> String {
        let published: Vec<String> = published.split_whitespace().map(str::to_owned).collect();
        match plan("x", version, &published) {
            Ok(Some(tags)) => tags.join(" "),
            Ok(None) => "already".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// As the reference answered for the same versions and tags.
    #[test]
    fn only_newer_versions_move_shorter_tags() {
        for (version, published, expected) in [
            ("1.2.3", "", "1 1.2 1.2.3 latest"),
            ("1.2.3", "1 1.2 1.2.3 latest", "already"),
            ("1.2.4", "1 1.2 1.2.3 latest", "1 1.2 1.2.4 latest"),
            ("1.1.9", "1 1.2 1.2.3 latest", "1.1 1.1.9"),
            ("1.1.9", "1 1.1 1.1.8 1.2.3 latest", "1.1 1.1.9"),
            ("1.2.2", "1 1.2 1.2.3 latest", "1.2.2"),
            ("2.0.0-rc.1", "1.0.0 1.2.3", "2 2.0 2.0.0-rc.1 latest"),
            ("1.3.0", "1.2.3 2.0.0-rc.1", "1 1.3 1.3.0 latest"),
            ("1.3.0", "1.2.3 2.0.0", "1 1.3 1.3.0"),
            ("0.0.1", "nightly old-1.0.0", "0 0.0 0.0.1 latest"),
        ] {
            assert_eq!(planned(version, published), expected, "{version} beside {published}");
        }
        assert!(planned("1.x", "").contains("not a semantic version"));
    }

    proptest! {
        #[test]
        fn a_version_always_gets_its_own_tag(
            version in "[0-9]{1,2}\\.[0-9]\\.[0-9](-[a-z0-9.]{1,4})?|[0-9.x-]{0,8}",
            published in proptest::collection::vec("[0-9.]{0,5}|[0-9]\\.[0-9]\\.[0-9]|[a-z]{0,6}", 0..6),
        ) {
            if let Ok(Some(tags)) = plan("x", &version, &published) {
                prop_assert!(tags.contains(&version) && !published.contains(&version));
                prop_assert!(tags.len() <= 4);
            }
        }
    }
}
