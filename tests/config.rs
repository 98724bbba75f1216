//! Settings: where they come from, which is stronger, and what a wrong one is told.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rocket::Config;
use rocket::data::ByteUnit;
use shild::config::{
    Overrides, Period, Registration, Secret, Setting, Settings, SettingsError, Sources, StoreKind, listen_address,
    rocket_figment, workers,
};
use tempfile::TempDir;

/// A file and an environment, and nothing of this process's own.
struct World {
    dir: TempDir,
    sources: Sources,
}

impl World {
    fn new(file: &str, environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Rocket.toml");
        fs::write(&path, file).unwrap();
        let environment = environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect();
        Self {
            dir,
            sources: Sources {
                file: Some(path),
                environment,
                overrides: Overrides::default(),
            },
        }
    }

    fn load(&self) -> Result<Settings, SettingsError> {
        Settings::load(&self.sources)
    }

    /// What is wrong, with the file's path shortened to its name.
    fn complaint(&self) -> String {
        let message = self.load().expect_err("these settings are wrong").to_string();
        message.replace(&format!("{}/", self.dir.path().display()), "")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn from_file(shild: &str) -> World {
    World::new(&format!("[default.shild]\n{shild}"), &[])
}

fn from_environment(environment: &[(&str, &str)]) -> World {
    World::new("", environment)
}

#[test]
fn nothing_set_is_the_default() {
    assert_eq!(from_file("").load(), Ok(Settings::default()));
    assert_eq!(
        Settings::from_figment(&figment::Figment::new()),
        Ok(Settings::default())
    );
    assert_eq!(Settings::default().validate(), Ok(()));
}

#[test]
fn the_file_in_the_repository_is_the_default_and_mentions_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Rocket.toml");
    let sources = Sources {
        file: Some(path.clone()),
        ..Sources::default()
    };
    assert_eq!(Settings::load(&sources), Ok(Settings::default()));

    let mut table = String::new();
    let mut mentioned = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        if let Some(header) = line.strip_prefix('[') {
            header.trim_end_matches(']').clone_into(&mut table);
        } else if let Some((key, rest)) = line.trim_start_matches("# ").split_once(" = ") {
            assert!(table == "default" || rest.contains(" # "), "no comment: {line}");
            mentioned.push(format!("{table}.{key}"));
        }
    }
    for setting in Setting::ALL {
        let name = format!("default.shild.{}", setting.name);
        assert_eq!(mentioned.iter().filter(|m| **m == name).count(), 1, "{name}");
    }
}

#[test]
fn the_command_line_is_over_the_environment_is_over_the_profile_is_over_the_file() {
    let file = "
        [default.shild]
        data_dir = 'from default'
        store = 'memory'
        registration = 'closed'
        access_token_ttl = '1m'
        [release.shild]
        data_dir = 'from profile'
        registration = 'open'
        access_token_ttl = '2m'
        [debug.shild]
        data_dir = 'another profile'
    ";
    let mut world = World::new(
        file,
        &[
            ("ROCKET_PROFILE", "release"),
            ("SHILD_ACCESS_TOKEN_TTL", "3m"),
            ("SHILD_DATA_DIR", "from environment"),
        ],
    );
    world.sources.overrides.data_dir = Some("from flag".into());
    let settings = world.load().unwrap();
    assert_eq!(settings.store, StoreKind::Memory);
    assert_eq!(settings.registration, Registration::Open);
    assert_eq!(settings.access_token_ttl, Period::minutes(3));
    assert_eq!(settings.data_dir, Path::new("from flag"));
}

#[test]
fn every_setting_can_be_set_in_the_environment() {
    let master_key = format!("k4.local.{}", "A".repeat(43));
    let given = [
        ("data_dir", "/var/lib/shild"),
        ("store", "memory"),
        ("issuer", "https://id.example"),
        ("audience", "12345"),
        ("token_path", "/oauth2/token"),
        ("registration", "closed"),
        ("access_token_ttl", "5m"),
        ("refresh_idle_ttl", "1d"),
        ("session_ttl", "2d"),
        ("refresh_retry_window", "1s"),
        ("request_timeout", "5s"),
        ("idle_timeout", "1m"),
        ("trusted_proxies", "10.0.0.0/8, ::1"),
        ("metrics_token", "true"),
        ("master_key", &master_key),
        ("key_rotation", "90d"),
        ("hash_threads", "3"),
        ("hash_queue", "4"),
        ("cache_capacity", "16777216"),
        ("verified_tokens", "0"),
        ("log", "json"),
        ("log_level", "warn"),
        ("password.min_length", "15"),
        ("password.max_length", "256"),
        ("password.min_strength", "4"),
        ("password.argon2.memory_kib", "65536"),
        ("password.argon2.iterations", "3"),
        ("password.argon2.lanes", "4"),
        ("username.max_length", "32"),
        ("throttle.per_source.per_minute", "60"),
        ("throttle.per_source.burst", "10"),
        ("throttle.max_failures", "50"),
        (
            "cors.allow_origins",
            "[\"https://app.example\", \"http://localhost:3000\"]",
        ),
        ("audit.max_age", "30d"),
        ("audit.max_events", "1000"),
        ("snapshot_interval", "2h"),
    ];
    let variables: Vec<_> = given
        .iter()
        .map(|(name, value)| (Setting::find(name).unwrap().variable(), *value))
        .collect();
    let environment: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let settings = from_environment(&environment).load().unwrap();

    let defaults = serde_json::to_value(Settings::default()).unwrap();
    let changed = serde_json::to_value(&settings).unwrap();
    for setting in Setting::ALL {
        let pointer = format!("/{}", setting.name.replace('.', "/"));
        assert_ne!(
            changed.pointer(&pointer),
            defaults.pointer(&pointer),
            "{} was not set",
            setting.name
        );
    }
    assert_eq!(settings.audience_at(([127, 0, 0, 1], 1).into()), "12345");
    assert_eq!(settings.metrics_token, Some(Secret::new("true".to_owned())));
    assert_eq!(settings.cache_capacity.bytes(), 16 << 20);
    assert!(settings.trusts_proxy("10.1.2.3".parse().unwrap()) && settings.trusts_proxy("::1".parse().unwrap()));
    assert_eq!(settings.cors.allow_origins.len(), 2);
}

#[test]
fn a_table_can_be_set_by_one_variable() {
    let world = from_environment(&[("SHILD_PASSWORD__ARGON2", "{memory_kib=64, iterations=1, lanes=2}")]);
    let argon2 = world.load().unwrap().password.argon2;
    assert_eq!((argon2.memory_kib, argon2.iterations, argon2.lanes), (64, 1, 2));
}

#[test]
fn a_secret_is_read_from_a_file_but_for_one_line_break_at_its_end() {
    for (content, secret) in [("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc")] {
        let mut world = from_environment(&[]);
        let path = world.path("secret");
        fs::write(&path, content).unwrap();
        world
            .sources
            .environment
            .push(("SHILD_METRICS_TOKEN_FILE".into(), path.into()));
        assert_eq!(
            world.load().unwrap().metrics_token,
            Some(Secret::new(secret.to_owned())),
            "{content:?}"
        );
    }
}

// H14
#[test]
fn a_secret_is_never_shown() {
    let world = from_environment(&[("SHILD_METRICS_TOKEN", "hunter2hunter2")]);
    let settings = world.load().unwrap();
    for shown in [format!("{settings:?}"), serde_json::to_string(&settings).unwrap()] {
        assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
    }
    for world in [
        from_file("metrics_token = 'hunter2 hunter2'"),
        from_file("metrics_token = ['hunter2']"),
        from_file("metrics_token = { a = 'hunter2' }"),
        from_file("metrics_token = 'hunter2"),
        from_file("metrics_token = hunter2"),
        from_file("master_key = 'hunter2'"),
        World::new("[[default.shild]]\nmetrics_token = 'hunter2'", &[]),
        from_environment(&[("SHILD_MASTER_KEY", "hunter2")]),
    ] {
        let complaint = world.complaint();
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row for each message")]
fn a_wrong_setting_is_told_with_its_name_its_origin_its_value_and_what_is_allowed() {
    let bits = |range: &str| format!("allowed: a whole number from {range}");
    let seconds = "allowed: a text like \"15m\", from 1s to 30d";
    let cases: Vec<(World, String)> = vec![
        // Wrong names.
        (
            from_file("password.minlength = 8"),
            "password.minlength (Rocket.toml) is not a setting of shild; did you mean password.min_length?".into(),
        ),
        (
            from_file("min_length = 8"),
            "min_length (Rocket.toml) is not a setting of shild; did you mean password.min_length?".into(),
        ),
        (from_file("qqqqqq = 8"), "qqqqqq (Rocket.toml) is not a setting of shild".into()),
        (
            from_environment(&[("SHILD_PASWORD__MIN_LENGTH", "8")]),
            "SHILD_PASWORD__MIN_LENGTH (environment variable) is not a setting of shild; \
             did you mean SHILD_PASSWORD__MIN_LENGTH?"
                .into(),
        ),
        (
            from_environment(&[("SHILD_PASSWORD_MIN_LENGTH", "8")]),
            "SHILD_PASSWORD_MIN_LENGTH (environment variable) is not a setting of shild; \
             did you mean SHILD_PASSWORD__MIN_LENGTH?"
                .into(),
        ),
        (
            from_environment(&[("SHILD_PORT", "8")]),
            "SHILD_PORT (environment variable) is not a setting of shild; did you mean ROCKET_PORT?".into(),
        ),
        (
            from_environment(&[("SHILD_STORE_FILE", "x")]),
            "SHILD_STORE_FILE (environment variable) is not a setting of shild".into(),
        ),
        // Wrong types and values.
        (
            from_file("password.min_length = 'abc'"),
            format!("password.min_length = \"abc\" (Rocket.toml); {}", bits("1 to 512")),
        ),
        (
            from_file("password.min_length = 0"),
            format!("password.min_length = 0 (Rocket.toml); {}", bits("1 to 512")),
        ),
        (
            from_file("password.min_strength = -1"),
            format!("password.min_strength = -1 (Rocket.toml); {}", bits("0 to 4")),
        ),
        (
            from_file("password.min_strength = 300"),
            format!("password.min_strength = 300 (Rocket.toml); {}", bits("0 to 4")),
        ),
        (
            from_file("hash_threads = 1.5"),
            format!("hash_threads = 1.5 (Rocket.toml); {}", bits("1 to 1024")),
        ),
        (
            from_environment(&[("SHILD_THROTTLE__PER_SOURCE__BURST", "")]),
            format!(
                "throttle.per_source.burst = \"\" (environment variable SHILD_THROTTLE__PER_SOURCE__BURST); {}",
                bits("1 to 1000000")
            ),
        ),
        (
            from_file("password = 5"),
            "password = 5 (Rocket.toml); allowed: a table of min_length, max_length, min_strength, \
             argon2.memory_kib, argon2.iterations, argon2.lanes"
                .into(),
        ),
        (
            from_environment(&[("SHILD_STORE", "Sled")]),
            if cfg!(feature = "redb") {
                "store = \"Sled\" (environment variable SHILD_STORE); allowed: \"sled\" or \"redb\" or \"memory\""
            } else {
                "store = \"Sled\" (environment variable SHILD_STORE); allowed: \"sled\" or \"memory\""
            }
            .into(),
        ),
        (
            from_file("log_level = 'loud'"),
            "log_level = \"loud\" (Rocket.toml); \
             allowed: \"off\" or \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\""
                .into(),
        ),
        (from_file("access_token_ttl = 900"), format!("access_token_ttl = 900 (Rocket.toml); {seconds}")),
        (
            from_file("access_token_ttl = '15'"),
            format!("access_token_ttl = \"15\" (Rocket.toml): 15 has no unit: d, h, m, s or ms; {seconds}"),
        ),
        (from_file("access_token_ttl = '31d'"), format!("access_token_ttl = \"31d\" (Rocket.toml); {seconds}")),
        (
            from_file("cache_capacity = '32MB'"),
            "cache_capacity = \"32MB\" (Rocket.toml): the units are B, KiB, MiB and GiB, not MB; \
             allowed: a size like \"32MiB\", from 1MiB to 64GiB"
                .into(),
        ),
        (
            from_file("data_dir = ''"),
            "data_dir = \"\" (Rocket.toml); allowed: the path of a directory".into(),
        ),
        (
            from_file("issuer = 'https://id.example/?x'"),
            "issuer = \"https://id.example/?x\" (Rocket.toml): it has a query; \
             allowed: an absolute http or https URL without query and fragment"
                .into(),
        ),
        (
            from_file("token_path = '/users'"),
            "token_path = \"/users\" (Rocket.toml): shild uses /users itself; \
             allowed: a path like \"/shild\", of letters, digits, \"-\", \".\", \"_\", \"~\""
                .into(),
        ),
        (
            from_file("trusted_proxies = ['10.0.0.1', 'proxy']"),
            "trusted_proxies = [\"10.0.0.1\", \"proxy\"] (Rocket.toml): \"proxy\" is neither; \
             allowed: a list of addresses or CIDR blocks, like [\"10.0.0.0/8\"]"
                .into(),
        ),
        (
            from_file("cors.allow_origins = ['*']"),
            "cors.allow_origins = [\"*\"] (Rocket.toml): \"*\" is no origin: it does not begin with http:// or https://; \
             allowed: a list of origins, like [\"https://app.example\"]"
                .into(),
        ),
        (
            from_environment(&[("SHILD_METRICS_TOKEN", "two words")]),
            "metrics_token (environment variable SHILD_METRICS_TOKEN); \
             allowed: a text of A-Z a-z 0-9 - . _ ~ + / and = at its end"
                .into(),
        ),
        (
            from_environment(&[("SHILD_MASTER_KEY", "k4.local.AAAA")]),
            "master_key (environment variable SHILD_MASTER_KEY); \
             allowed: a PASERK key, k4.local. and 43 characters of base64url"
                .into(),
        ),
        // Rules between settings.
        (
            from_file("password.min_length = 200"),
            format!(
                "password.min_length = 200 (Rocket.toml): it is more than password.max_length = 128; {}",
                bits("1 to 512")
            ),
        ),
        (
            from_file("refresh_idle_ttl = '10s'"),
            "refresh_retry_window = \"10s\": it is not shorter than refresh_idle_ttl = \"10s\"; \
             allowed: a text like \"15m\", from 0s to 5m"
                .into(),
        ),
        (
            from_file("key_rotation = '1h'\naccess_token_ttl = '2h'"),
            "key_rotation = \"1h\" (Rocket.toml): it is shorter than access_token_ttl = \"2h\"; \
             allowed: a text like \"15m\", from 1h to 3650d"
                .into(),
        ),
        (
            from_file("password.argon2 = { memory_kib = 8, lanes = 2 }"),
            format!(
                "password.argon2.memory_kib = 8 (Rocket.toml): \
                 Argon2 needs at least 8 KiB for each of the 2 lanes; {}",
                bits("8 to 1048576")
            ),
        ),
        // Sources that are wrong as a whole.
        (
            from_file("store = "),
            "Rocket.toml, line 2: this is not TOML".into(),
        ),
        (
            from_file("store = 'sled'\nstore = 'memory'"),
            "Rocket.toml, line 3: this is not TOML: duplicate key `store` in table `default.shild`".into(),
        ),
        (World::new("[shild]\n", &[]), "Rocket.toml: [shild] is read by nobody; allowed: [default.shild]".into()),
        (
            World::new("port = 1\n", &[]),
            "Rocket.toml: port must stand in a table of a profile, like [default]".into(),
        ),
        (
            World::new("[default]\nshild = 5\n", &[]),
            "shild = 5 (Rocket.toml); allowed: a table of settings, [default.shild]".into(),
        ),
        (
            from_environment(&[("SHILD_METRICS_TOKEN_FILE", "/nowhere/at all")]),
            "SHILD_METRICS_TOKEN_FILE: the file \"/nowhere/at all\" cannot be read: No such file or directory (os error 2)"
                .into(),
        ),
        (
            from_environment(&[("SHILD_METRICS_TOKEN_FILE", "x"), ("SHILD_METRICS_TOKEN", "x")]),
            "SHILD_METRICS_TOKEN_FILE: SHILD_METRICS_TOKEN is set as well; allowed: one of both".into(),
        ),
        // Rocket's own.
        (
            World::new("[default]\nport = 'x'\n", &[]),
            "port = \"x\" (Rocket.toml); allowed: u16".into(),
        ),
        (
            from_environment(&[("ROCKET_ADDRESS", "localhost")]),
            "address = \"localhost\" (environment variable ROCKET_ADDRESS): invalid IP address syntax; \
             allowed: what Rocket documents for it"
                .into(),
        ),
        (
            from_environment(&[("ROCKET_IP_HEADER", "X-Real-IP")]),
            "ip_header = \"X-Real-IP\" (environment variable ROCKET_IP_HEADER): anybody could claim any address; \
             name your proxies in trusted_proxies instead; allowed: false"
                .into(),
        ),
        // Failed before: they were of no effect.
        (
            World::new("[default]\nregistration = 'closed'\n", &[]),
            "registration (Rocket.toml): it stands in a table that shild does not read; allowed: in [default.shild]".into(),
        ),
        (
            from_environment(&[("ROCKET_METRICS_TOKEN", "secret")]),
            "metrics_token (environment variable ROCKET_METRICS_TOKEN): it stands in a table that shild does not read; \
             allowed: in [default.shild]"
                .into(),
        ),
        (
            World::new("[default]\ntls = 'cert.pem'\n", &[]),
            "tls = \"cert.pem\" (Rocket.toml): this server speaks HTTP only; TLS is for the proxy in front of it; allowed: false"
                .into(),
        ),
    ];
    for (world, complaint) in cases {
        assert_eq!(world.complaint(), complaint);
    }
}

#[test]
fn both_ends_of_a_range_are_allowed_and_what_is_past_them_is_not() {
    for (allowed, refused) in [
        ("hash_threads = 1", "hash_threads = 0"),
        ("hash_threads = 1024", "hash_threads = 1025"),
        ("key_rotation = '1h'", "key_rotation = '3599s'"),
        ("key_rotation = '3650d'", "key_rotation = '87600h1ms'"),
        ("cache_capacity = '1MiB'", "cache_capacity = 1048575"),
        ("cache_capacity = '64GiB'", "cache_capacity = '68719476737B'"),
    ] {
        assert!(from_file(allowed).load().is_ok(), "{allowed}");
        assert!(from_file(refused).load().is_err(), "{refused}");
    }
}

#[test]
fn a_file_that_was_named_must_exist() {
    let mut world = from_environment(&[]);
    world.sources.file = Some(world.path("missing.toml"));
    assert_eq!(
        world.complaint(),
        "missing.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn variables_that_kubernetes_makes_up_for_a_service_called_shild_are_passed_over() {
    let world = from_environment(&[
        ("SHILD_SERVICE_HOST", "10.0.0.1"),
        ("SHILD_SERVICE_PORT", "8000"),
        ("SHILD_SERVICE_PORT_HTTP", "8000"),
        ("SHILD_PORT", "tcp://10.0.0.1:8000"),
        ("SHILD_PORT_8000_TCP_ADDR", "10.0.0.1"),
    ]);
    assert_eq!(world.load(), Ok(Settings::default()));
}

// H1, H8, H9
#[test]
fn rocket_gets_defaults_that_suit_shild() {
    let figment = rocket_figment(&from_environment(&[]).sources).unwrap();
    let config: Config = figment.extract().unwrap();
    assert_eq!(config.ip_header, None);
    assert_eq!(config.ident.as_str(), Some("shild"));
    for kind in ["json", "form", "string", "bytes"] {
        assert_eq!(config.limits.get(kind).map(ByteUnit::as_u64), Some(8 << 10), "{kind}");
    }
    assert_eq!(
        (config.shutdown.grace, config.shutdown.mercy, config.shutdown.ctrlc),
        (2, 3, true)
    );
    assert!(config.shutdown.signals.contains(&rocket::config::Sig::Term));
    assert_eq!(config.log_level, rocket::config::LogLevel::Off);
    assert!(!config.cli_colors);
    assert_eq!(listen_address(&figment), Ok(([127, 0, 0, 1], 8000).into()));
}

#[test]
fn rockets_own_settings_keep_their_names_and_their_order() {
    let mut world = World::new(
        "[default]\nport = 1\naddress = '127.0.0.2'\nident = 'mine'\nlimits.json = '1 MiB'\n",
        &[
            ("ROCKET_PORT", "2"),
            ("ROCKET_ADDRESS", "127.0.0.3"),
            ("ROCKET_WORKERS", "7"),
            ("ROCKET_SHUTDOWN", "{grace=7}"),
        ],
    );
    world.sources.overrides.port = Some(3);
    let figment = rocket_figment(&world.sources).unwrap();
    let config: Config = figment.extract().unwrap();
    assert_eq!(listen_address(&figment), Ok(([127, 0, 0, 3], 3).into()));
    assert_eq!(workers(&figment), Ok(7));
    assert_eq!(config.ident.as_str(), Some("mine"));
    assert_eq!(config.limits.get("json").map(ByteUnit::as_u64), Some(1 << 20));
    assert_eq!((config.shutdown.grace, config.shutdown.mercy), (7, 3));
}

// W6, D2
#[test]
fn what_is_weaker_than_recommended_is_accepted_with_a_warning() {
    let local = ([127, 0, 0, 1], 8000).into();
    assert_eq!(Settings::default().warnings(local), Vec::<String>::new());
    let weak = "password.argon2.memory_kib = 8\npassword.min_length = 4\npassword.max_length = 32\n\
                throttle.max_failures = 1000\nmetrics_token = 'short'";
    assert_eq!(from_file(weak).load().unwrap().warnings(local).len(), 5);
    assert_eq!(Settings::default().warnings(([0, 0, 0, 0], 8000).into()).len(), 1);
}

// T22
#[test]
fn issuer_and_audience_default_to_the_address_listened_on() {
    let address = "[::1]:8000".parse().unwrap();
    let settings = Settings::default();
    assert_eq!(settings.issuer_at(address).as_str(), "http://[::1]:8000");
    assert_eq!(settings.audience_at(address), "http://[::1]:8000");
    let settings = from_file("issuer = 'https://id.example'").load().unwrap();
    assert_eq!(settings.audience_at(address), "https://id.example");
}
