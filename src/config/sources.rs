//! Where settings come from, and how they are laid over each other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use figment::providers::{Format, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::names::{self, Form, Setting};
use super::{SettingsError, StoreKind, error};

/// The file that is read when none is named, searched for from the working directory upwards.
const DEFAULT_FILE: &str = "Rocket.toml";

/// All that settings are read from. The process's own by [`Sources::from_process`], anything else in tests.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file to read instead of the one that `ROCKET_CONFIG` names, or `Rocket.toml`. It must exist.
    pub file: Option<PathBuf>,
    /// Variables of the environment; those that do not begin with `SHILD_` or `ROCKET_` are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// What the command line says.
    pub overrides: Overrides,
}

/// Settings that have a flag on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--address`
    pub address: Option<IpAddr>,
    /// `--port`
    pub port: Option<u16>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--store`
    pub store: Option<StoreKind>,
}

impl Sources {
    /// The environment of this process, under `file` and `overrides` from its command line.
    #[must_use]
    pub fn from_process(file: Option<PathBuf>, overrides: Overrides) -> Self {
        Self {
            file,
            environment: env::vars_os().collect(),
            overrides,
        }
    }

    /// The variables of ours and of Rocket's, sorted by name.
    fn variables(&self) -> Result<BTreeMap<&str, &str>, SettingsError> {
        self.environment
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value)))
            .filter(|(name, _)| name.starts_with("SHILD_") || name.starts_with("ROCKET_"))
            .map(|(name, value)| match value.to_str() {
                Some(value) => Ok((name, value)),
                None => Err(SettingsError::source(name, "its value is not UTF-8")),
            })
            .collect()
    }

    /// The path and the text of the file to read, if there is one.
    fn read_file(&self, variables: &BTreeMap<&str, &str>) -> Result<Option<(PathBuf, String)>, SettingsError> {
        let named = self
            .file
            .clone()
            .or_else(|| variables.get("ROCKET_CONFIG").map(PathBuf::from));
        let path = match named {
            Some(path) => path,
            None => match search_upwards(Path::new(DEFAULT_FILE)) {
                Some(path) => path,
                None => return Ok(None),
            },
        };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(e) => Err(SettingsError::source(
                path.display().to_string(),
                &format!("cannot be read: {e}"),
            )),
        }
    }
}

/// The figment for [`rocket::custom`]: Rocket's own settings and shild's, each from Rocket.toml, the environment and
/// the command line, over defaults that suit shild.
///
/// # Errors
/// A file that cannot be read, a variable that sets nothing, a setting of Rocket's with a wrong value.
pub fn rocket_figment(sources: &Sources) -> Result<Figment, SettingsError> {
    let variables = sources.variables()?;
    let profile = variables
        .get("ROCKET_PROFILE")
        .map_or(rocket::Config::DEFAULT_PROFILE, |name| Profile::from(name.trim()));
    let mut figment = Figment::from(rocket::Config::default())
        .merge(rocket_defaults())
        .select(profile);
    if let Some((path, text)) = sources.read_file(&variables)? {
        figment = figment.merge(Layer::file(&path, &text)?);
    }
    for (&name, &value) in &variables {
        if let Some(key) = name.strip_prefix("ROCKET_")
            && !matches!(key, "PROFILE" | "CONFIG")
        {
            figment = figment.merge(Layer::variable(name, &key.to_ascii_lowercase(), parse(value)));
        }
    }
    for (&name, &value) in &variables {
        if let Some(key) = name.strip_prefix("SHILD_")
            && !is_service_link(key, value)
        {
            figment = figment.merge(shild_variable(name, key, value, &variables)?);
        }
    }
    for layer in overrides(&sources.overrides)? {
        figment = figment.merge(layer);
    }
    check_rocket(&figment)?;
    check_place(&figment)?;
    Ok(figment)
}

/// The address that Rocket will listen on under `figment`.
///
/// # Errors
/// `address` or `port` has a wrong value.
pub fn listen_address(figment: &Figment) -> Result<SocketAddr, SettingsError> {
    let config = rocket_config(figment)?;
    Ok(SocketAddr::new(config.address, config.port))
}

/// How many threads are to answer requests under `figment`; at least one.
///
/// # Errors
/// `workers` has a wrong value.
pub fn workers(figment: &Figment) -> Result<usize, SettingsError> {
    Ok(rocket_config(figment)?.workers.max(1))
}

fn rocket_config(figment: &Figment) -> Result<rocket::Config, SettingsError> {
    figment.extract().map_err(|e| SettingsError::from_rocket(figment, &e))
}

/// What shild wants of Rocket where the user says nothing else.
fn rocket_defaults() -> Layer {
    let kib = 1024_u32;
    let limits = ["json", "form", "string", "bytes"].map(|kind| (kind, Value::from(8 * kib)));
    let shutdown = [
        ("ctrlc", Value::from(true)),
        ("signals", Value::from(vec!["term"])),
        ("grace", Value::from(2_u32)),
        ("mercy", Value::from(3_u32)),
    ];
    let table = |members: &[(&str, Value)]| -> Dict {
        members
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    };
    let dict = table(&[
        ("ident", Value::from("shild")),
        ("ip_header", Value::from(false)),
        ("limits", Value::from(table(&limits))),
        ("shutdown", Value::from(table(&shutdown))),
        ("log_level", Value::from("off")),
        ("cli_colors", Value::from(false)),
    ]);
    Layer {
        origin: "shild's default".to_owned(),
        data: Profile::Default.collect(dict),
    }
}

/// Settings of Rocket's that are off whatever is said, and why.
const OFF: [(&str, &str); 2] = [
    (
        "ip_header",
        "anybody could claim any address; name your proxies in trusted_proxies instead",
    ),
    (
        "tls",
        "this server speaks HTTP only; TLS is for the proxy in front of it",
    ),
];

/// Refuses wrong values of Rocket's own settings, and those that would be of no effect, or trust in a header that anybody can send
/// (requirement H8).
fn check_rocket(figment: &Figment) -> Result<(), SettingsError> {
    for (setting, reason) in OFF {
        if let Ok(value) = figment.find_value(setting)
            && value.to_bool() != Some(false)
        {
            return Err(SettingsError::Refused {
                setting: setting.to_owned(),
                value: error::shown(&value),
                origin: figment.find_metadata(setting).map(error::origin_of).unwrap_or_default(),
                reason: reason.to_owned(),
                allowed: "false".to_owned(),
            });
        }
    }
    listen_address(figment).map(drop)
}

/// Refuses what stands one table too high: it would be of no effect, and look as if it were.
fn check_place(figment: &Figment) -> Result<(), SettingsError> {
    for setting in Setting::ALL {
        let top = setting.name.split('.').next().unwrap_or(setting.name);
        // Rocket has one of this name as well.
        if top != "log_level" && figment.find_value(top).is_ok() {
            return Err(SettingsError::Refused {
                setting: top.to_owned(),
                // It may be a secret.
                value: String::new(),
                origin: figment.find_metadata(top).map(error::origin_of).unwrap_or_default(),
                reason: "it stands in a table that shild does not read".to_owned(),
                allowed: "in [default.shild]".to_owned(),
            });
        }
    }
    Ok(())
}

/// What one of our variables sets.
fn shild_variable(
    name: &str,
    key: &str,
    value: &str,
    variables: &BTreeMap<&str, &str>,
) -> Result<Layer, SettingsError> {
    // Names are upper case only: of `SHILD_LOG` and `SHILD_log` nobody could say which counts.
    let setting = key.to_ascii_lowercase().replace("__", ".");
    if key == key.to_ascii_uppercase() {
        if let Some(form) = names::form(&setting) {
            return Ok(Layer::variable(name, &format!("shild.{setting}"), read_as(form, value)));
        }
        if let Some(secret) = setting
            .strip_suffix("_file")
            .and_then(Setting::find)
            .filter(|secret| secret.is_secret())
        {
            let direct = secret.variable();
            if variables.contains_key(direct.as_str()) {
                return Err(SettingsError::source(
                    name,
                    &format!("{direct} is set as well; allowed: one of both"),
                ));
            }
            let text = read_secret(Path::new(value))
                .map_err(|e| SettingsError::source(name, &format!("the file {value:?} cannot be read: {e}")))?;
            return Ok(Layer::variable(
                name,
                &format!("shild.{}", secret.name),
                Value::from(text),
            ));
        }
    }
    let is_rockets = rocket::Config::PARAMETERS.contains(&setting.as_str());
    let meant = if is_rockets {
        Some(format!("ROCKET_{}", setting.to_ascii_uppercase()))
    } else {
        names::nearest(&setting).map(names::variable)
    };
    Err(SettingsError::Unknown {
        name: name.to_owned(),
        origin: "environment variable".to_owned(),
        meant,
    })
}

/// Whether this is one of the variables that Kubernetes makes up for a service that happens to be called `shild`.
fn is_service_link(key: &str, value: &str) -> bool {
    key == "SERVICE_HOST"
        || key.starts_with("SERVICE_PORT")
        || key.starts_with("PORT_")
        || (key == "PORT" && value.contains("://"))
}

fn read_as(form: Form, value: &str) -> Value {
    match form {
        Form::Text => Value::from(value),
        Form::Number => value
            .trim()
            .parse::<u64>()
            .map_or_else(|_| Value::from(value), Value::from),
        Form::Table => parse(value),
        Form::List if value.trim_start().starts_with('[') => parse(value),
        Form::List => {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::from(items.collect::<Vec<_>>())
        }
    }
}

/// Reads a value as Rocket reads the environment.
fn parse(value: &str) -> Value {
    value
        .parse()
        .unwrap_or_else(|never: std::convert::Infallible| match never {})
}

/// The file's content without the line break that an editor puts at its end.
fn read_secret(path: &Path) -> io::Result<String> {
    let mut text = fs::read_to_string(path)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn overrides(given: &Overrides) -> Result<Vec<Layer>, SettingsError> {
    let mut layers = Vec::new();
    if let Some(address) = given.address {
        layers.push(Layer::global("--address", "address", Value::from(address.to_string())));
    }
    if let Some(port) = given.port {
        layers.push(Layer::global("--port", "port", Value::from(port)));
    }
    if let Some(path) = &given.data_dir {
        let Some(path) = path.to_str() else {
            return Err(SettingsError::source(
                "--data-dir",
                &format!("{} is not UTF-8", path.display()),
            ));
        };
        layers.push(Layer::global("--data-dir", "shild.data_dir", Value::from(path)));
    }
    if let Some(store) = given.store {
        let name = match store {
            StoreKind::Sled => "sled",
            #[cfg(feature = "redb")]
            StoreKind::Redb => "redb",
            StoreKind::Memory => "memory",
        };
        layers.push(Layer::global("--store", "shild.store", Value::from(name)));
    }
    Ok(layers)
}

fn search_upwards(name: &Path) -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    // The one beside us is called by its bare name: so it reads in messages.
    if name.is_file() {
        return Some(name.to_owned());
    }
    here.ancestors()
        .skip(1)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// What one source sets, under the name by which messages call that source.
struct Layer {
    origin: String,
    data: Map<Profile, Dict>,
}

impl Layer {
    /// One value that counts in every profile.
    fn global(origin: &str, key: &str, value: Value) -> Self {
        let dict = nest(key, value).into_dict().unwrap_or_default();
        Self {
            origin: origin.to_owned(),
            data: Profile::Global.collect(dict),
        }
    }

    fn variable(name: &str, key: &str, value: Value) -> Self {
        Self::global(&format!("environment variable {name}"), key, value)
    }

    /// A file with one table for each profile.
    fn file(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let origin = path.display().to_string();
        // Parsed here first, since figment's message would show the line at fault, which may hold a secret.
        let tables: toml::Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map_or(1, |span| {
                text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1
            });
            let reason = format!("this is not TOML: {}", e.message());
            SettingsError::source(format!("{origin}, line {line}"), reason.trim_end_matches(": "))
        })?;
        if let Some((name, _)) = tables.iter().find(|(_, value)| !value.is_table()) {
            let reason = format!("{name} must stand in a table of a profile, like [default]");
            return Err(SettingsError::source(origin, &reason));
        }
        if tables.contains_key("shild") {
            return Err(SettingsError::source(
                &origin,
                "[shild] is read by nobody; allowed: [default.shild]",
            ));
        }
        let data = Toml::string(text)
            .nested()
            .data()
            .map_err(|e| SettingsError::source(&origin, &e.kind.to_string()))?;
        Ok(Self { origin, data })
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(self.data.clone())
    }
}
