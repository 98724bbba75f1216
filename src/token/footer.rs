//! The footer of an access token: which key signed it (requirements P7, P8).

use super::paserk::KeyId;

const HEAD: &str = r#"{"kid":""#;
const TAIL: &str = r#""}"#;

/// The footer that names `kid`: exactly `{"kid":"k4.pid.…"}`.
pub(super) fn of(kid: KeyId) -> String {
    format!("{HEAD}{kid}{TAIL}")
}

/// Reads what [`of`] writes, and nothing else: no white space, no other member, no escape. So it needs no JSON parser,
/// and is bounded by the length of a key id.
pub(super) fn parse(footer: &[u8]) -> Option<KeyId> {
    std::str::from_utf8(footer)
        .ok()?
        .strip_prefix(HEAD)?
        .strip_suffix(TAIL)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::paserk::PublicKey;

    // P7, P8
    #[test]
    fn one_form_of_the_footer_is_read() {
        let kid = PublicKey::from_bytes([3; 32]).id();
        let footer = of(kid);
        assert_eq!(parse(footer.as_bytes()), Some(kid));
        for other in [
            String::new(),
            "{}".to_owned(),
            "kid".to_owned(),
            kid.to_string(),
            format!(r#"{{"kid": "{kid}"}}"#),
            format!(r#" {{"kid":"{kid}"}}"#),
            format!("{footer}\n"),
            format!(r#"{{"kid":"{kid}","kid":"{kid}"}}"#),
            format!(r#"{{"kid":"{kid}","x":1}}"#),
            format!(r#"{{"kid":{{"kid":"{kid}"}}}}"#),
            format!(r#"{{"kid":["{kid}"]}}"#),
            footer.replace("kid", "Kid"),
            footer.replace("pid", "sid"),
            footer.replace("k4", "k3"),
            footer.replace('k', "\\u006b"),
            format!("{footer}{}", " ".repeat(100_000)),
            "[".repeat(100_000),
        ] {
            assert_eq!(parse(other.as_bytes()), None, "{other:.80}");
        }
        assert_eq!(parse(b"{\"kid\":\"\xff\"}"), None);
    }
}
