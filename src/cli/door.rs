//! The way in to what the verbs work on: the running server, or the store itself while no server runs. Either way a verb
//! speaks HTTP to the same routes, so that it works alike and every rule is kept in one place.

use std::io::{BufReader, Read};
use std::time::Duration;

use rocket::http::{Header, Method};
use rocket::local::asynchronous::{Client, LocalRequest};
use serde_json::Value;
use shild::audit::Actor;
use shild::config::{Settings, Sources, StoreKind, rocket_figment};
use shild::operator::Credentials;
use shild::transfer::import::{ImportOptions, ImportReport};
use shild::{Origin, Shild, StartError, find_store, log};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;
use ureq::SendBody;

use super::{Failure, runtime};

/// How long the running server's answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of a long answer is read at once.
const PIECE: usize = 64 * 1024;

pub(super) enum Door {
    Server {
        agent: ureq::Agent,
        credentials: Credentials,
    },
    Store {
        // Boxed: much larger than the other.
        store: Box<Store>,
    },
}

/// The store, entered by this process, with the routes over it.
pub(super) struct Store {
    runtime: Runtime,
    shild: Shild,
    client: Client,
    /// Dropped last: it writes the lines that still wait.
    _log: log::Guard,
}

impl Door {
    /// The server on the data directory in force, if one runs; else the store that is there.
    pub(super) fn open(sources: &Sources) -> Result<Self, Failure> {
        Self::enter(sources, |settings| find_store(settings))
    }

    /// The same; where there is no store, one is made.
    pub(super) fn open_or_make(sources: &Sources) -> Result<Self, Failure> {
        Self::enter(sources, |_| Ok(()))
    }

    /// The same, to change nothing: where there is no store, an empty one stands for it, in memory.
    pub(super) fn open_or_pretend(sources: &Sources) -> Result<Self, Failure> {
        Self::enter(sources, |settings| {
            if find_store(settings).is_err() {
                settings.store = StoreKind::Memory;
            }
            Ok(())
        })
    }

    fn enter(sources: &Sources, check: impl FnOnce(&mut Settings) -> Result<(), StartError>) -> Result<Self, Failure> {
        let mut settings = Settings::load(sources)?;
        // Before Rocket installs a logger of its own.
        let log = log::init(settings.log, log::Level::Warn)?;
        if let Some(server) = Self::running(&settings)? {
            return Ok(server);
        }
        if settings.store == StoreKind::Memory {
            let text = "store = \"memory\": what its server keeps in memory cannot be reached from the command line; \
                        use its HTTP routes, or store = \"sled\"";
            return Err(text.into());
        }
        check(&mut settings)?;
        let figment = rocket_figment(sources)?;
        let runtime = runtime()?;
        let (shild, client) = runtime.block_on(async {
            let shild = Shild::builder(settings).untended().build().await?;
            let rocket = rocket::custom(figment).attach(shild.clone().stage());
            let client = Client::untracked(rocket)
                .await
                .map_err(|error| error.kind().to_string())?;
            Ok::<_, Failure>((shild, client))
        })?;
        Ok(Self::Store {
            store: Box::new(Store {
                runtime,
                shild,
                client,
                _log: log,
            }),
        })
    }

    /// The server that runs on the data directory of these settings, if one answers. A file that a killed server has left
    /// behind leads to nobody, and counts as none.
    pub(super) fn running(settings: &Settings) -> Result<Option<Self>, Failure> {
        let Some(credentials) = Credentials::read(&settings.data_dir)? else {
            return Ok(None);
        };
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy in the environment is not for this machine's own server.
            .proxy(None)
            .build()
            .new_agent();
        let answers = agent.get(format!("{}/healthz", credentials.address)).call().is_ok();
        Ok(answers.then_some(Self::Server { agent, credentials }))
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.request(Method::Get, path, None)
    }

    pub(super) fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.request(Method::Post, path, body)
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.request(Method::Patch, path, Some(body))
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.request(Method::Delete, path, None)
    }

    /// Calls `each` with the items of a list, page after page; at most `most` of them.
    pub(super) fn each(
        &self,
        path: &str,
        most: usize,
        mut each: impl FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut left = most;
        let mut after = String::new();
        while left > 0 {
            let mut page = self.get(&format!("{path}{joint}limit={}{after}", left.min(200)))?;
            let items = page["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
            left -= items.len().min(left);
            items.into_iter().try_for_each(&mut each)?;
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", encode(next)),
                None => break,
            }
        }
        Ok(())
    }

    /// Gets an answer of any length and duration, and hands it piece by piece to `each`.
    pub(super) fn stream(&self, path: &str, mut each: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        match self {
            Self::Server { agent, credentials } => {
                let request = to_server(credentials, Method::Get, path).body(())?;
                let request = agent.configure_request(request).timeout_global(None).build();
                let mut response = agent.run(request)?;
                let status = response.status().as_u16();
                if status != 200 {
                    answer(status, &response.body_mut().read_to_string()?)?;
                }
                let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
                let mut buffer = vec![0; PIECE];
                loop {
                    match body.read(&mut buffer)? {
                        0 => return Ok(()),
                        len => each(&buffer[..len])?,
                    }
                }
            }
            Self::Store { store } => store.runtime.block_on(store.stream(path, &mut each)),
        }
    }

    /// Takes users in. This one does not go through the routes where there is no server: a local request would hold all of the
    /// input in memory.
    pub(super) fn import(
        &self,
        mut input: Box<dyn Read + Send>,
        options: ImportOptions,
    ) -> Result<ImportReport, Failure> {
        match self {
            Self::Server { agent, credentials } => {
                let path = format!(
                    "/import?format={}&dry_run={}&admins={}",
                    options.format, options.dry_run, options.admins
                );
                let request =
                    to_server(credentials, Method::Post, &path).header("Content-Type", "application/octet-stream");
                let request = request.body(SendBody::from_reader(&mut input))?;
                // As long as it takes.
                let request = agent.configure_request(request).timeout_global(None).build();
                let mut response = agent.run(request)?;
                let report = answer(response.status().as_u16(), &response.body_mut().read_to_string()?)?;
                Ok(serde_json::from_value(report)?)
            }
            Self::Store { store } => {
                let origin = Origin::default();
                let import = store
                    .shild
                    .import(BufReader::new(input), options, Actor::Operator, &origin);
                Ok(store.runtime.block_on(import)?)
            }
        }
    }

    /// Writes out what is not yet written. Dropping the door without it loses nothing that was acknowledged.
    pub(super) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Server { .. } => Ok(()),
            Self::Store { store } => Ok(store.runtime.block_on(store.shild.close())?),
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body = body.map(Value::to_string);
        let (status, text) = match self {
            Self::Server { agent, credentials } => through_server(agent, credentials, method, path, body)?,
            Self::Store { store } => store.runtime.block_on(store.request(method, path, body)),
        };
        answer(status, &text)
    }
}

fn through_server(
    agent: &ureq::Agent,
    credentials: &Credentials,
    method: Method,
    path: &str,
    body: Option<String>,
) -> Result<(u16, String), Failure> {
    let request = to_server(credentials, method, path);
    let mut response = match body {
        Some(body) => agent.run(request.header("Content-Type", "application/json").body(body)?)?,
        None => agent.run(request.body(())?)?,
    };
    Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
}

fn to_server(credentials: &Credentials, method: Method, path: &str) -> ureq::http::request::Builder {
    ureq::http::Request::builder()
        .method(method.as_str())
        .uri(format!("{}{path}", credentials.address))
        .header("Authorization", format!("Bearer {}", credentials.token.expose()))
}

impl Store {
    fn to_itself(&self, method: Method, path: &str) -> LocalRequest<'_> {
        let token = format!("Bearer {}", self.shild.operator_token());
        self.client
            .req(method, path.to_owned())
            .header(Header::new("Authorization", token))
    }

    async fn stream(&self, path: &str, each: &mut impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut response = self.to_itself(Method::Get, path).dispatch().await;
        let status = response.status().code;
        if status != 200 {
            answer(status, &response.into_string().await.unwrap_or_default())?;
            return Ok(());
        }
        let mut buffer = vec![0; PIECE];
        loop {
            match response.read(&mut buffer).await? {
                0 => return Ok(()),
                len => each(&buffer[..len])?,
            }
        }
    }

    async fn request(&self, method: Method, path: &str, body: Option<String>) -> (u16, String) {
        let mut request = self.to_itself(method, path);
        if let Some(body) = body {
            request = request.header(rocket::http::ContentType::JSON).body(body);
        }
        let response = request.dispatch().await;
        let status = response.status().code;
        (status, response.into_string().await.unwrap_or_default())
    }
}

/// The JSON of a good answer; what a problem says, as the failure.
fn answer(status: u16, text: &str) -> Result<Value, Failure> {
    let body = serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let mut words = body["detail"]
        .as_str()
        .map_or_else(|| format!("the server answers {status}"), str::to_owned);
    for fault in body["errors"].as_array().into_iter().flatten() {
        let (pointer, detail) = (fault["pointer"].as_str(), fault["detail"].as_str());
        words = format!(
            "{words} {}: {}",
            pointer.unwrap_or_default(),
            detail.unwrap_or_default()
        );
    }
    Err(words.into())
}

/// A text as it may stand in a query or as a segment of a path.
pub(super) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
