//! `If-Match` (RFC 9110 §13.1.1): change it only if it is still as I know it.

/// The versions that a change is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Whatever it is.
    Any,
    /// One of these. Weak tags and whatever is not one of ours match nothing.
    Versions(Vec<u64>),
}

impl IfMatch {
    /// Whether a change of an object with this version may go on.
    pub(crate) fn admits(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }

    /// Reads all `If-Match` headers; none means any.
    pub(crate) fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Self {
        let tags: Vec<_> = headers.flat_map(|line| line.split(',')).map(str::trim).collect();
        if tags.is_empty() || tags.contains(&"*") {
            return Self::Any;
        }
        let version = |tag: &&str| {
            let version = tag.strip_prefix('"')?.strip_suffix('"')?.parse::<u64>().ok()?;
            // Tags are compared byte by byte: "07" is not "7".
            (format!("\"{version}\"") == **tag).then_some(version)
        };
        Self::Versions(tags.iter().filter_map(version).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_tags_of_the_version_admit_and_nothing_else() {
        let admits = |header: &str, version| IfMatch::read(std::iter::once(header)).admits(version);
        assert!(IfMatch::read(std::iter::empty()).admits(7));
        assert!(admits("*", 7) && admits("\"7\"", 7) && admits("\"1\", \"7\"", 7));
        assert!(!admits("\"07\"", 7) && !admits("\"+7\"", 7));
        assert!(!admits("\"8\"", 7) && !admits("W/\"7\"", 7) && !admits("7", 7) && !admits("", 7));
    }
}
