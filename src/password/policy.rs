//! Which passwords may be set: length and strength (requirements W1, W2, W5; decision D2).

use std::fmt;

use zxcvbn::matching::patterns::MatchPattern;

use super::Password;

/// The rule for a new password, the same on every way to set one (requirement W5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Fewest code points (decision D2).
    pub min_length: usize,
    /// Most code points. A longer password is refused, never cut (requirement W1).
    pub max_length: usize,
    /// Lowest zxcvbn score, 0 to 4; 3 stands for more than 10⁸ guesses.
    pub min_strength: u8,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_length: 8,
            max_length: 128,
            min_strength: 3,
        }
    }
}

impl PasswordPolicy {
    /// Whether this may be a new password. `context` is what a guesser would try first: the username, the names of the
    /// service. Takes half a millisecond for an ordinary password and some 70 ms, two hashes, for the worst one known:
    /// [`Hasher::check_and_hash`](super::Hasher::check_and_hash) keeps it off the async threads. zxcvbn makes copies of
    /// parts of the password that are not wiped.
    ///
    /// # Errors
    /// [`WeakPassword`] says why not, and what would help.
    pub fn check(&self, password: &Password, context: &[&str]) -> Result<(), WeakPassword> {
        let password = password.expose();
        let length = password.chars().count();
        if length < self.min_length {
            return Err(WeakPassword::TooShort {
                given: length,
                min: self.min_length,
            });
        }
        if length > self.max_length {
            return Err(WeakPassword::TooLong {
                given: length,
                max: self.max_length,
            });
        }
        let judged = zxcvbn::zxcvbn(affordable_part(password), &words(context));
        if u8::from(judged.score()) < self.min_strength {
            return Err(too_weak(&judged));
        }
        Ok(())
    }
}

/// Each text whole, and the words in it of three characters and more: `juliet@example.com` makes `juliet99` easy to
/// guess too.
fn words<'a>(context: &[&'a str]) -> Vec<&'a str> {
    let parts = context
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    context
        .iter()
        .copied()
        .chain(parts.filter(|word| word.chars().count() >= 3))
        .collect()
}

fn too_weak(judged: &zxcvbn::Entropy) -> WeakPassword {
    let from_context = judged.sequence().iter().any(|part| match &part.pattern {
        // zxcvbn has no name for this dictionary that could be imported.
        MatchPattern::Dictionary(found) => format!("{:?}", found.dictionary_name) == "UserInputs",
        _ => false,
    });
    let feedback = judged.feedback();
    let warning = match feedback.and_then(zxcvbn::feedback::Feedback::warning) {
        _ if from_context => Some("It contains the username or the name of this service.".to_owned()),
        warning => warning.map(|warning| warning.to_string()),
    };
    let mut suggestions: Vec<_> = feedback
        .map(|feedback| feedback.suggestions().iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    if suggestions.is_empty() {
        suggestions.push("Add another word or two. Uncommon words are better.".to_owned());
    }
    WeakPassword::TooWeak { warning, suggestions }
}

/// The characters that zxcvbn 3.1 takes for each of twelve letters.
const LEET: [&str; 12] = ["4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2"];

/// What zxcvbn may spend, in readings times substrings: at most some 70 ms.
const BUDGET: usize = 200_000;

/// The longest beginning that zxcvbn can judge within its budget: nearly always the whole.
///
/// It tries every way of reading the characters of [`LEET`] as letters, and for each every substring; one hundred
/// well-chosen characters keep it busy for two seconds. A beginning that is hard to guess makes the whole at least as hard to guess,
/// and one that holds so many different symbols is.
fn affordable_part(password: &str) -> &str {
    let mut kinds = [0; LEET.len()];
    for (n, (at, c)) in password.char_indices().enumerate() {
        if !password[..at].contains(c) {
            for (kind, characters) in kinds.iter_mut().zip(LEET) {
                *kind += usize::from(characters.contains(c));
            }
        }
        let readings: usize = kinds.iter().map(|&kind| kind.max(1)).product();
        if readings * (n + 1) * (n + 1) > BUDGET {
            return &password[..at];
        }
    }
    password
}

/// Why a password may not be set, and what would help (requirement W5).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeakPassword {
    /// It has too few code points.
    TooShort {
        /// Its length in code points.
        given: usize,
        /// The setting `password.min_length`.
        min: usize,
    },
    /// It has too many code points.
    TooLong {
        /// Its length in code points.
        given: usize,
        /// The setting `password.max_length`.
        max: usize,
    },
    /// It is too easy to guess.
    TooWeak {
        /// What makes it so, as a sentence, if one thing does.
        warning: Option<String>,
        /// What would help, as sentences; at least one.
        suggestions: Vec<String>,
    },
}

impl std::error::Error for WeakPassword {}

impl fmt::Display for WeakPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { given, min } => {
                write!(
                    f,
                    "the password has {given} characters; at least {min} are needed: add a word or two"
                )
            }
            Self::TooLong { given, max } => write!(f, "the password has {given} characters; at most {max} are allowed"),
            Self::TooWeak { warning, suggestions } => {
                f.write_str("the password is too easy to guess.")?;
                for sentence in warning.iter().chain(suggestions) {
                    write!(f, " {sentence}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(raw: &str) -> Result<(), WeakPassword> {
        PasswordPolicy::default().check(&Password::parse(raw).unwrap(), &["xkqzw@example.com", "shild"])
    }

    // W1, D2
    #[test]
    fn length_is_counted_in_code_points() {
        assert_eq!(check("é7ü€😀ßž"), Err(WeakPassword::TooShort { given: 7, min: 8 }));
        // Eight are long enough, but zxcvbn takes the guesses for any eight characters to be 10⁸: score 2.
        let policy = PasswordPolicy {
            min_strength: 2,
            ..PasswordPolicy::default()
        };
        assert_eq!(policy.check(&Password::parse("é7ü€😀ßž!").unwrap(), &[]), Ok(()));
        assert_eq!(check("é7ü€😀ßž!π"), Ok(()));
        let longest = "vqkž7€".repeat(22)[..].chars().take(128).collect::<String>();
        assert_eq!(check(&longest), Ok(()));
        assert_eq!(
            check(&format!("{longest}x")),
            Err(WeakPassword::TooLong { given: 129, max: 128 })
        );
    }

    // W2
    #[test]
    fn no_kind_of_character_is_asked_for() {
        for raw in [
            "violet gravel monsoon",
            "vqkzhwpxnb",
            "93715062840518",
            "ひらがなのことば秘密",
        ] {
            assert_eq!(check(raw), Ok(()), "{raw}");
        }
    }

    // W5
    #[test]
    fn common_passwords_are_refused_with_reason_and_help() {
        for raw in [
            "password",
            "P4ssw0rd!",
            "12345678",
            "qwertyuiop",
            "aaaaaaaaaaaaaaaa",
            "letmein123",
            "iloveyou",
        ] {
            let Err(error @ WeakPassword::TooWeak { .. }) = check(raw) else {
                panic!("{raw} passed")
            };
            assert!(
                error.to_string().len() > "the password is too easy to guess. ".len(),
                "{error}"
            );
        }
        assert_eq!(
            check("password").unwrap_err().to_string(),
            "the password is too easy to guess. This is a top-10 common password. Add another word or two. Uncommon \
             words are better."
        );
    }

    // W5
    #[test]
    fn the_username_and_the_service_are_easy_to_guess() {
        let policy = PasswordPolicy::default();
        for raw in ["xkqzw@example.com", "XKQZW@example.com", "xkqzwshild", "xkqzw5hild"] {
            assert_eq!(policy.check(&Password::parse(raw).unwrap(), &[]), Ok(()), "{raw}");
            let error = check(raw).expect_err(raw).to_string();
            assert!(error.contains("the username or the name of this service"), "{error}");
        }
        // The words of a name count each for itself.
        let password = Password::parse("bvnmrxkqzw").unwrap();
        assert_eq!(policy.check(&password, &[]), Ok(()));
        assert!(policy.check(&password, &["xkqzw@bvnmr.org"]).is_err());
    }

    #[test]
    fn every_strength_has_its_say() {
        let policy = |min_strength| PasswordPolicy {
            min_strength,
            ..PasswordPolicy::default()
        };
        let password = Password::parse("password").unwrap();
        assert_eq!(policy(0).check(&password, &[]), Ok(()));
        // Of score 3, for which zxcvbn gives no advice of its own.
        let good = Password::parse("vqkzhwpxn").unwrap();
        assert_eq!(policy(3).check(&good, &[]), Ok(()));
        let Err(WeakPassword::TooWeak { suggestions, .. }) = policy(4).check(&good, &[]) else {
            panic!("passed")
        };
        assert_eq!(suggestions.len(), 1);
    }

    #[test]
    fn a_password_made_to_keep_the_judge_busy_is_judged_by_its_beginning() {
        let hostile = "4@8({[<369!1|70$5+7%2".repeat(6);
        let judged = affordable_part(&hostile).len();
        assert!((15..=24).contains(&judged), "{judged}");
        assert_eq!(check(&hostile), Ok(()));
        for raw in [
            &"p4ssw0rd!".repeat(14),
            &"a".repeat(128),
            &"correct horse 123456789".repeat(4),
        ] {
            assert_eq!(affordable_part(raw), raw.as_str());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn any_password_is_judged_without_panic(raw in "\\PC{0,40}", name in "\\PC{0,20}") {
            if let Ok(password) = Password::parse(&raw) {
                let _ = PasswordPolicy::default().check(&password, &[&name]);
            }
        }
    }
}
