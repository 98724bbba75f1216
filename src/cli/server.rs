//! The running server as the command line sees it: found and entered by the file that it leaves in its data directory.

use std::time::Duration;

use serde_json::Value;
use shild::config::Settings;
use shild::operator::Credentials;

use super::Failure;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Server {
    agent: ureq::Agent,
    credentials: Credentials,
}

impl Server {
    /// The server that runs on the data directory of these settings, if one answers. A file that a killed server has left behind
    /// leads to nobody, and counts as none.
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
        let server = Self { agent, credentials };
        let answers = server
            .agent
            .get(format!("{}/healthz", server.credentials.address))
            .call()
            .is_ok();
        Ok(answers.then_some(server))
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        answer(
            self.agent
                .get(self.url(path))
                .header("Authorization", self.bearer())
                .call()?,
        )
    }

    pub(super) fn post(&self, path: &str) -> Result<Value, Failure> {
        answer(
            self.agent
                .post(self.url(path))
                .header("Authorization", self.bearer())
                .send_empty()?,
        )
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, Failure> {
        answer(
            self.agent
                .delete(self.url(path))
                .header("Authorization", self.bearer())
                .call()?,
        )
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.credentials.address)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.credentials.token.expose())
    }
}

/// The JSON of a good answer; the detail of a problem as the failure.
fn answer(mut response: ureq::http::Response<ureq::Body>) -> Result<Value, Failure> {
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string()?;
    let body = serde_json::from_str::<Value>(&text).unwrap_or(Value::Null);
    if (200..300).contains(&status) {
        return Ok(body);
    }
    Err(body["detail"]
        .as_str()
        .map_or_else(|| format!("the server answers {status}"), str::to_owned)
        .into())
}
