//! Another service checks shild's access tokens itself, with nothing but the public keys: `verify_elsewhere ISSUER AUDIENCE < tokens`.
//!
//! It knows nothing of sessions: one that has been ended is good here until its token expires (setting `access_token_ttl`).

use std::{env, error::Error, io};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use pasetors::{
    Public, claims::ClaimsValidationRules, keys::AsymmetricPublicKey, public, token::UntrustedToken, version4::V4,
};
use serde_json::Value;

/// The claims of a token that is good now.
pub(crate) fn verify(token: &str, keys: &Value, issuer: &str, audience: &str) -> Result<Value, Box<dyn Error>> {
    let token = UntrustedToken::<Public, V4>::try_from(token)?;
    let footer: Value = serde_json::from_slice(token.untrusted_footer())?;
    let key = keys["keys"]
        .as_array()
        .and_then(|all| all.iter().find(|key| key["kid"] == footer["kid"]));
    let paserk = key
        .and_then(|key| key["paserk"].as_str()?.strip_prefix("k4.public."))
        .ok_or("no such key")?;
    let key = AsymmetricPublicKey::<V4>::from(&Base64UrlUnpadded::decode_vec(paserk)?)?;
    let mut rules = ClaimsValidationRules::new(); // exp, nbf and iat are among them
    rules.validate_issuer_with(issuer);
    rules.validate_audience_with(audience);
    Ok(serde_json::from_str(
        public::verify(&key, &token, &rules, None, None)?.payload(),
    )?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let [issuer, audience] = [env::args().nth(1), env::args().nth(2)].map(|given| given.expect("ISSUER AUDIENCE"));
    let keys: Value = ureq::get(format!("{issuer}/keys")).call()?.body_mut().read_json()?;
    for token in io::stdin().lines() {
        match verify(&token?, &keys, &issuer, &audience) {
            Ok(claims) => println!("{} {}", claims["sub"].as_str().unwrap_or_default(), claims["scope"]),
            Err(error) => println!("refused: {error}"),
        }
    }
    Ok(())
}
