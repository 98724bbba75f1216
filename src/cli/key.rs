//! `shild key …`

use clap::Subcommand;
use serde_json::Value;
use shild::audit::Actor;
use shild::config::{Settings, Sources};
use shild::{Origin, Shild, reset_keys};

use super::server::Server;
use super::{Failure, print, runtime};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the keys that still verify tokens.
    List {
        /// As one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Sign with a new key from now on; tokens under the old one stay good until they expire.
    Rotate,
    /// The emergency brake: tokens under this key die at once.
    Retire {
        /// The key's id, k4.pid.…
        #[arg(value_name = "KID")]
        kid: String,
    },
    /// Throw all keys away and make new ones, when the master key is lost: everybody signs in again, no account is lost.
    Reset,
}

/// Does what `verb` says: through the running server if there is one, else on its store.
pub(super) fn run(sources: &Sources, verb: Verb) -> Result<(), Failure> {
    let settings = Settings::load(sources)?;
    let server = Server::running(&settings)?;
    match (verb, server) {
        (Verb::Reset, Some(_)) => Err("the server is running: stop it first, then reset the keys".into()),
        (Verb::Reset, None) => {
            runtime()?.block_on(reset_keys(settings))?;
            Ok(print("the keys are new; everybody has to sign in again\n")?)
        }
        (verb, Some(server)) => through(&server, verb),
        (verb, None) => runtime()?.block_on(on_the_store(settings, verb)),
    }
}

fn through(server: &Server, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::List { json } => show(&server.get("/keys")?["keys"], json),
        Verb::Rotate => show(&server.post("/keys/rotate")?["keys"], false),
        Verb::Retire { kid } => {
            server.delete(&format!("/keys/{kid}"))?;
            show(&server.get("/keys")?["keys"], false)
        }
        Verb::Reset => unreachable!("never sent to a server"),
    }
}

async fn on_the_store(settings: Settings, verb: Verb) -> Result<(), Failure> {
    let shild = Shild::builder(settings).build().await?;
    let as_json = match &verb {
        Verb::List { json } => *json,
        Verb::Rotate | Verb::Retire { .. } | Verb::Reset => false,
    };
    let done = match verb {
        Verb::Rotate => shild.rotate_keys(Actor::Operator, &Origin::default()).await.map(drop),
        Verb::Retire { kid } => shild
            .retire_key(&kid, Actor::Operator, &Origin::default())
            .await
            .map(drop),
        Verb::List { .. } | Verb::Reset => Ok(()),
    };
    let keys = serde_json::to_value(shild.public_keys())?;
    shild.close().await?;
    done?;
    show(&keys, as_json)
}

fn show(keys: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(print(&format!("{keys}\n"))?);
    }
    let mut text = String::new();
    for key in keys.as_array().into_iter().flatten() {
        let word = |name: &str| key[name].as_str().unwrap_or("-").to_owned();
        text += &format!("{}  {:8}  {}\n", word("kid"), word("status"), word("retires_at"));
    }
    Ok(print(&text)?)
}
