//! `shild user …`

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use clap::Subcommand;
use serde_json::{Map, Value, json};
use shild::config::Sources;
use shild::user::Username;
use zeroize::Zeroizing;

use super::door::{Door, encode};
use super::table::{Columns, show, show_one};
use super::{Failure, Usage, print};

const COLUMNS: Columns = &["username", "id", "scopes", "disabled", "created_at"];

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a user; asks for the password on a terminal.
    Add {
        /// The user's name.
        name: String,
        /// A scope that the user is to have; may be given several times [default: user].
        #[arg(long = "scope", value_name = "S")]
        scopes: Vec<String>,
        /// Read the password from standard input instead; one line end after it is taken off.
        #[arg(long)]
        password_stdin: bool,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List users.
    List {
        /// Only those whose names begin with this, in order of name.
        #[arg(long, value_name = "P")]
        prefix: Option<String>,
        /// As one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show a user.
    Show {
        /// The user's name.
        name: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Change a user.
    Set {
        /// The user's name.
        name: String,
        /// A new name.
        #[arg(long, value_name = "NEW")]
        username: Option<String>,
        /// A scope; may be given several times. Those given replace the whole set.
        #[arg(long = "scope", value_name = "S")]
        scopes: Vec<String>,
        /// Whether the user is disabled; disabling ends its sessions.
        #[arg(long, value_name = "true|false")]
        disabled: Option<bool>,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Delete a user, for good.
    Delete {
        /// The user's name.
        name: String,
        /// Do not ask; needed where there is no terminal.
        #[arg(long)]
        yes: bool,
    },
    /// Start a password reset; the token for it is the last line of the output.
    ResetPassword {
        /// The user's name.
        name: String,
    },
}

/// Does what `verb` says.
pub(super) fn run(sources: &Sources, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Add {
            name,
            scopes,
            password_stdin,
            json,
        } => {
            let password = if password_stdin {
                read_password()?
            } else {
                ask_password(&name)?
            };
            let mut body = json!({ "username": name, "password": password.as_str() });
            if !scopes.is_empty() {
                body["scopes"] = json!(scopes);
            }
            ask(
                Door::open_or_make(sources)?,
                |door| door.post("/users", Some(&body)),
                json,
            )
        }
        Verb::List { prefix, json } => {
            let path = prefix.map_or_else(
                || "/users".to_owned(),
                |prefix| format!("/users?username_prefix={}", encode(&prefix)),
            );
            let door = Door::open(sources)?;
            let mut users = Vec::new();
            door.each(&path, usize::MAX, |user| {
                users.push(user);
                Ok(())
            })?;
            door.close()?;
            show(users, COLUMNS, json)
        }
        Verb::Show { name, json } => ask(Door::open(sources)?, |door| find(door, &name), json),
        Verb::Set {
            name,
            username,
            scopes,
            disabled,
            json,
        } => {
            let mut change = Map::new();
            change.extend(username.map(|name| ("username".to_owned(), json!(name))));
            change.extend((!scopes.is_empty()).then(|| ("scopes".to_owned(), json!(scopes))));
            change.extend(disabled.map(|disabled| ("disabled".to_owned(), json!(disabled))));
            if change.is_empty() {
                return Err(Usage("nothing to set: give --username, --scope or --disabled".to_owned()).into());
            }
            let change = Value::Object(change);
            ask(
                Door::open(sources)?,
                |door| door.patch(&path_of(&find(door, &name)?), &change),
                json,
            )
        }
        Verb::Delete { name, yes } => {
            let door = Door::open(sources)?;
            let user = find(&door, &name)?;
            if !yes && !confirm(&format!("delete {name} for good?"))? {
                return Err("nothing was deleted".into());
            }
            door.delete(&path_of(&user))?;
            door.close()
        }
        Verb::ResetPassword { name } => {
            let door = Door::open(sources)?;
            let started = door.post(&format!("{}/password-reset", path_of(&find(&door, &name)?)), None)?;
            door.close()?;
            let word = |member: &str| started[member].as_str().unwrap_or_default().to_owned();
            writeln!(
                io::stderr(),
                "a token to set a new password with, at /#/reset of the account page or by POST /password-reset (reset_token, new_password); good once, until {}:",
                word("expires_at")
            )?;
            Ok(print(&format!("{}\n", word("reset_token")))?)
        }
    }
}

fn ask(door: Door, what: impl FnOnce(&Door) -> Result<Value, Failure>, json: bool) -> Result<(), Failure> {
    let user = what(&door)?;
    door.close()?;
    show_one(&user, json)
}

/// The user of this name, as JSON.
pub(super) fn find(door: &Door, name: &str) -> Result<Value, Failure> {
    let mapped =
        Username::parse(name, usize::MAX).map_err(|error| format!("there is no user named {name:?}: {error}"))?;
    // In order of name the very name comes first.
    let mut found = door.get(&format!("/users?limit=1&username_prefix={}", encode(mapped.as_str())))?;
    let first = found["items"].as_array_mut().and_then(Vec::pop);
    let user = first.filter(|user| user["username"] == mapped.as_str());
    user.ok_or_else(|| format!("there is no user named {mapped}").into())
}

/// Where a user is found.
pub(super) fn path_of(user: &Value) -> String {
    format!("/users/{}", user["id"].as_str().unwrap_or_default())
}

fn read_password() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(4096));
    io::stdin().take(4096).read_to_string(&mut text)?;
    let password = text
        .strip_suffix('\n')
        .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Zeroizing::new(password.to_owned()))
}

fn ask_password(name: &str) -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Usage("there is no terminal to ask for the password on: give --password-stdin".to_owned()).into());
    }
    let first = Zeroizing::new(rpassword::prompt_password(format!("password for {name}: "))?);
    let second = Zeroizing::new(rpassword::prompt_password("once more: ")?);
    if first == second {
        Ok(first)
    } else {
        Err("the two are not the same; nothing was done".into())
    }
}

fn confirm(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Usage("there is no terminal to ask on: give --yes".to_owned()).into());
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
