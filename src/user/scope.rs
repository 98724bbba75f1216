//! Scopes: what a token may be used for (RFC 6749 §3.3).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use schemars::r#gen::SchemaGenerator;
use schemars::schema::Schema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The most characters one scope may have [own].
pub(crate) const MAX_SCOPE_LEN: u8 = 64;

/// The most scopes a set may have [own]: a token that carries them all stays within the
/// 4 KiB of requirement P11.
pub(crate) const MAX_SCOPES: u8 = 32;

/// One scope: 1 to 64 characters of `scope-token` (RFC 6749 §3.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Scope(String);

impl Scope {
    /// A user's own account. Every registered user has it.
    pub const USER: &'static str = "user";
    /// All of administration.
    pub const ADMIN: &'static str = "admin";
    /// May call `/introspect`.
    pub const INTROSPECT: &'static str = "introspect";

    /// The scope as it stands in tokens.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads one scope.
    ///
    /// # Errors
    /// If it is empty, too long, or has a character that RFC 6749 §3.3 does not allow.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if text.is_empty() || text.len() > usize::from(MAX_SCOPE_LEN) || !text.bytes().all(allowed) {
            return Err(InvalidScope);
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::borrow::Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Scope {
    fn is_referenceable() -> bool {
        false
    }

    fn schema_name() -> String {
        "Scope".to_owned()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = String::json_schema(generator).into_object();
        let string = schema.string();
        string.min_length = Some(1);
        string.max_length = Some(MAX_SCOPE_LEN.into());
        string.pattern = Some(r"^[\x21\x23-\x5B\x5D-\x7E]+$".to_owned());
        schema.into()
    }
}

/// A set of scopes, in alphabetical order, at most 32 of them. A clone of it is the same set, and costs next to nothing.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Scopes(Arc<[Scope]>);

impl Scopes {
    /// The scopes of a user who has just registered: `user`.
    #[must_use]
    pub fn registered() -> Self {
        Self(Arc::new([Scope(Scope::USER.to_owned())]))
    }

    /// Reads a space-separated list (RFC 6749 §3.3): `scope-token *( SP scope-token )`.
    ///
    /// # Errors
    /// If the list is empty, has two spaces in a row, or one of its scopes is malformed
    /// (requirement T7).
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        text.split(' ')
            .map(Scope::parse)
            .collect::<Result<BTreeSet<_>, _>>()?
            .try_into()
    }

    /// Whether `scope` is one of them.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|one| one.as_str() == scope)
    }

    /// Whether all of these are in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.iter().all(|scope| other.contains(scope.as_str()))
    }

    /// Those that are in both.
    #[must_use]
    pub fn intersection(self, other: &Self) -> Self {
        // Asked of every request, where it is nearly always so.
        if self.is_subset(other) {
            return self;
        }
        let both = self.iter().filter(|scope| other.contains(scope.as_str()));
        Self(both.cloned().collect())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Roughly how many bytes of memory it takes besides itself.
    pub(crate) fn bytes(&self) -> usize {
        self.iter().map(|scope| size_of::<Scope>() + scope.0.len()).sum()
    }
}

impl TryFrom<BTreeSet<Scope>> for Scopes {
    type Error = InvalidScope;

    fn try_from(set: BTreeSet<Scope>) -> Result<Self, InvalidScope> {
        if set.len() > usize::from(MAX_SCOPES) {
            Err(InvalidScope)
        } else {
            Ok(Self(set.into_iter().collect()))
        }
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl fmt::Display for Scopes {
    /// Space-separated, as in a token's `scope`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&scope.0)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<Scope>::deserialize(deserializer)?;
        let count = list.len();
        let set = BTreeSet::from_iter(list);
        if set.len() < count {
            return Err(de::Error::custom("expected a list in which no scope comes twice"));
        }
        set.try_into().map_err(de::Error::custom)
    }
}

impl JsonSchema for Scopes {
    fn is_referenceable() -> bool {
        false
    }

    fn schema_name() -> String {
        "Scopes".to_owned()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = BTreeSet::<Scope>::json_schema(generator).into_object();
        schema.array().max_items = Some(MAX_SCOPES.into());
        schema.into()
    }
}

/// What is wrong with a scope, and what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a scope is 1 to {MAX_SCOPE_LEN} printable ASCII characters without space, double quote and backslash; at most {MAX_SCOPES} of them, one space between two"
)]
pub struct InvalidScope;

#[cfg(test)]
mod tests {
    use super::*;

    // T7
    #[test]
    fn malformed_lists_are_refused() {
        for text in [
            "",
            " ",
            "user ",
            " user",
            "user  admin",
            "us\"er",
            "us\\er",
            "usér",
            "a\tb",
            "a\u{7f}",
        ] {
            assert_eq!(Scopes::parse(text), Err(InvalidScope), "{text:?}");
        }
        assert_eq!(Scope::parse(&"a".repeat(65)), Err(InvalidScope));
        let many: Vec<_> = (0..33).map(|i| i.to_string()).collect();
        assert_eq!(Scopes::parse(&many.join(" ")), Err(InvalidScope));
    }

    // H11
    #[test]
    fn a_json_list_with_a_scope_that_comes_twice_is_refused() {
        let read = serde_json::from_str::<Scopes>;
        assert_eq!(read(r#"["user","admin"]"#).unwrap().to_string(), "admin user");
        assert!(read(r#"["user","user"]"#).is_err());
    }

    #[test]
    fn a_list_is_a_set() {
        let scopes = Scopes::parse("user admin user").unwrap();
        assert_eq!(scopes.to_string(), "admin user");
        assert!(scopes.contains("admin") && !scopes.contains("adm"));
    }
}
