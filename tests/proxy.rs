//! shild behind the proxies whose settings are in `deploy/`: the real nginx and Caddy with those very files, the real binary, and
//! a program that tells what it was told. A test whose proxy is not installed says `SKIPPED`, by name, and passes.

mod server;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use server::{PASSWORD, Server, member, shild};
use tempfile::TempDir;

/// Where the settings are.
fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// A proxy that runs in the background until the test ends.
struct Proxy {
    pid_file: PathBuf,
    /// Where shild is behind it, with the name to ask for.
    id: (SocketAddr, String),
    /// Where the program is behind it, likewise.
    app: (SocketAddr, String),
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(&self.pid_file) {
            drop(Command::new("kill").arg(pid.trim()).status());
        }
    }
}

/// The program of this name, if it is installed; else says so.
fn installed(name: &str) -> Option<PathBuf> {
    let places = [name.to_owned(), format!("/usr/sbin/{name}")];
    let runs = |place: &String| {
        let silent = Command::new(place)
            .arg("-h")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        silent.is_ok()
    };
    let found = places.into_iter().find(runs);
    if found.is_none() {
        let test = std::thread::current();
        let test = test.name().unwrap_or(name);
        // Not by a macro, whose output a test that passes does not show.
        let line = format!("SKIPPED {test}: {name} is not installed (apt-get install {name})\n");
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
    found.map(PathBuf::from)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// `text` with each of these parts replaced, which must be there.
fn adapted(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the settings have no {from:?} any more");
        text.replace(from, to)
    })
}

/// Starts it; when the command returns, it listens.
#[track_caller]
fn start(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().expect("it can be started");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
}

/// nginx with `deploy/nginx/`: other addresses, and no certificates.
fn nginx(home: &Path, shild: &str, app: u16) -> Option<Proxy> {
    let program = installed("nginx")?;
    let port = free_port();
    let dir = deploy().join("nginx");
    let site = fs::read_to_string(dir.join("shild.conf")).expect("deploy/nginx/shild.conf");
    let site: String = site
        .split_inclusive('\n')
        .filter(|line| !line.trim_start().starts_with("ssl_certificate"))
        .collect();
    let site = adapted(
        &site,
        &[
            ("server 127.0.0.1:8000;", &format!("server 127.0.0.1:{shild};")),
            ("server 127.0.0.1:3000;", &format!("server 127.0.0.1:{app};")),
            ("listen 443 ssl;", &format!("listen 127.0.0.1:{port};")),
            ("/etc/nginx/", &format!("{}/", dir.display())),
        ],
    );
    let pid_file = home.join("nginx.pid");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", home.display()))
        .concat();
    let main = format!(
        "pid {};\nerror_log {}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{site}}}\n",
        pid_file.display(),
        home.display(),
    );
    fs::write(home.join("nginx.conf"), main).expect("it can be written");
    let mut command = Command::new(program);
    command.arg("-p").arg(home).arg("-c").arg(home.join("nginx.conf"));
    command.arg("-e").arg(home.join("error.log"));
    start(command);
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Some(Proxy {
        pid_file,
        id: (at, "id.example.org".to_owned()),
        app: (at, "app.example.org".to_owned()),
    })
}

/// Caddy with `deploy/caddy/`, unchanged: the addresses are in its environment.
fn caddy(home: &Path, shild: &str, app: u16) -> Option<Proxy> {
    let program = installed("caddy")?;
    let [id, front] = [free_port(), free_port()];
    let pid_file = home.join("caddy.pid");
    let dir = deploy().join("caddy");
    // Each test has a Caddy of its own, which only the admin endpoint would keep apart.
    let main = format!(
        "{{\n\tadmin off\n}}\nimport {}\nimport {}\n",
        dir.join("Caddyfile").display(),
        dir.join("forward-auth.Caddyfile").display()
    );
    fs::write(home.join("Caddyfile"), main).expect("it can be written");
    let mut command = Command::new(program);
    command.args(["start", "--adapter", "caddyfile", "--config"]);
    command.arg(home.join("Caddyfile")).arg("--pidfile").arg(&pid_file);
    command
        .env("HOME", home)
        .env("XDG_DATA_HOME", home)
        .env("XDG_CONFIG_HOME", home);
    command.env("SHILD_SITE", format!("http://127.0.0.1:{id}"));
    command.env("SHILD_ADDRESS", format!("127.0.0.1:{shild}"));
    command.env("APP_SITE", format!("http://127.0.0.1:{front}"));
    command.env("APP_ADDRESS", format!("127.0.0.1:{app}"));
    // What it would go on to say goes nowhere: an output that stays open would keep this test waiting.
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    assert!(command.status().expect("it can be started").success());
    let at = |port| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        (address, address.to_string())
    };
    Some(Proxy {
        pid_file,
        id: at(id),
        app: at(front),
    })
}

/// A program that knows nothing of tokens: it answers with the head of the request that it got.
fn app() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let intro = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                head.len()
            );
            drop(stream.write_all(intro.as_bytes()));
            drop(stream.write_all(&head));
        }
    });
    port
}

/// What came back.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// All values of a header in the answer.
    fn headers(&self, name: &str) -> Vec<&str> {
        values(&self.head, name)
    }

    /// The one value of a header that the program was given.
    #[track_caller]
    fn told(&self, name: &str) -> &str {
        let [value] = values(&self.body, name)[..] else {
            panic!("{name}: {}", self.body)
        };
        value
    }
}

fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let wanted = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    wanted.map(|(_, value)| value).collect()
}

/// One request as it is written here, from 127.0.0.5.
fn send(to: &(SocketAddr, String), method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut stream: TcpStream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from((CLIENT, 0)))
            .expect("all of 127.0.0.0/8 is this host");
        socket
            .connect(to.0)
            .await
            .expect("the proxy listens")
            .into_std()
            .expect("it is a socket")
    });
    stream.set_nonblocking(false).expect("it is a socket");
    let headers = headers.iter().fold(String::new(), |mut lines, (name, value)| {
        let _ = write!(lines, "{name}: {value}\r\n");
        lines
    });
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        to.1,
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("the proxy reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the proxy answers in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("{answer}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

fn get(to: &(SocketAddr, String), path: &str, token: Option<&str>, more: &[(&str, &str)]) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = more.to_vec();
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    send(to, "GET", path, &headers, "")
}

/// Makes an administrator.
fn add_admin(home: &Path, name: &str) {
    let mut command = shild(
        home,
        &[
            "user",
            "add",
            name,
            "--scope",
            "admin",
            "--scope",
            "user",
            "--password-stdin",
        ],
    );
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    stdin.write_all(PASSWORD.as_bytes()).expect("it reads its input");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

/// shild, the program, and a proxy in front of both.
fn world(proxy: fn(&Path, &str, u16) -> Option<Proxy>) -> Option<(TempDir, Server, Proxy)> {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let settings = "[default.shild]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    fs::write(home.path().join("Rocket.toml"), settings).expect("it can be written");
    let server = Server::start(home.path());
    let proxy = proxy(home.path(), server.port(), app())?;
    Some((home, server, proxy))
}

/// Everything that a program behind the proxy relies on.
fn guards_a_program(proxy: fn(&Path, &str, u16) -> Option<Proxy>) {
    let Some((home, server, proxy)) = world(proxy) else {
        return;
    };
    let user = server.register("fußball");
    let tokens = server.sign_in("fußball");
    let token = member(&tokens, "access_token");
    add_admin(home.path(), "nurse");
    let admin_tokens = server.sign_in("nurse");
    let admin = member(&admin_tokens, "access_token");

    // Nobody without a token, whoever it says it is (B1).
    let forged = [
        ("X-Shild-User-Id", "evil"),
        ("x-shild-username", "evil"),
        ("X-Shild-Scopes", "admin"),
        ("X_Shild_User_Id", "evil"),
        ("X_Shild_Scopes", "admin"),
        ("X-Forwarded-For", "198.51.100.7"),
    ];
    for headers in [&[][..], &forged] {
        let refused = get(&proxy.app, "/cats", None, headers);
        assert_eq!(refused.status, 401, "{}", refused.head);
        assert_eq!(refused.headers("WWW-Authenticate"), ["Bearer realm=\"shild\""]);
    }
    let bad = get(&proxy.app, "/cats", Some("v4.public.AAAA"), &[]);
    assert_eq!(bad.status, 401, "{}", bad.head);
    assert!(
        bad.headers("WWW-Authenticate")[0].contains("error=\"invalid_token\""),
        "{}",
        bad.head
    );

    // Whoever has signed in is known to the program, and nothing that the client says about that arrives.
    for headers in [&[][..], &forged] {
        let served = get(&proxy.app, "/cats?a=b", Some(token), headers);
        assert_eq!(served.status, 200, "{}", served.head);
        assert!(served.body.starts_with("GET /cats?a=b "), "{}", served.body);
        assert_eq!(served.told("X-Shild-User-Id"), member(&user, "id"));
        assert_eq!(served.told("X-Shild-Username"), "fu%C3%9Fball");
        assert_eq!(served.told("X-Shild-Scopes"), "user");
        assert_eq!(served.told("X-Forwarded-For"), CLIENT.to_string());
        assert!(
            !served.body.contains("evil") && !served.body.contains("v4.public."),
            "{}",
            served.body
        );
        assert!(!served.body.to_ascii_lowercase().contains("x_shild"), "{}", served.body);
    }
    let posted = send(
        &proxy.app,
        "POST",
        "/cats",
        &[("Authorization", &format!("Bearer {token}"))],
        "a body",
    );
    assert!(
        posted.status == 200 && posted.body.starts_with("POST /cats "),
        "{}",
        posted.body
    );

    // A scope that lacks is named (B3), however the path is written.
    for path in ["/admin/x", "/%61dmin/x", "//admin/x", "/./admin/x", "/cats/../admin/x"] {
        let refused = get(&proxy.app, path, Some(token), &forged);
        assert_eq!(refused.status, 403, "{path}: {}{}", refused.head, refused.body);
        let [challenge] = refused.headers("WWW-Authenticate")[..] else {
            panic!("{}", refused.head)
        };
        assert!(challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"admin\""));
    }
    let served = get(&proxy.app, "/admin/x", Some(admin), &forged);
    assert_eq!(served.status, 200, "{}", served.head);
    assert_eq!(served.told("X-Shild-Scopes"), "admin user");

    // A sign-out holds at the next request (T19).
    let bearer = format!("Bearer {token}");
    let out = send(&proxy.id, "POST", "/logout", &[("Authorization", &bearer)], "");
    assert_eq!(out.status, 204, "{}", out.head);
    assert_eq!(get(&proxy.app, "/cats", Some(token), &[]).status, 401);
    server.stop();
}

/// H8: the address that sessions and throttles see is the client's, and it cannot say another.
fn passes_the_address_on(proxy: fn(&Path, &str, u16) -> Option<Proxy>) {
    let Some((_home, server, proxy)) = world(proxy) else {
        return;
    };
    let body = json!({"username": "juliet", "password": PASSWORD}).to_string();
    let made = send(
        &proxy.id,
        "POST",
        "/register",
        &[("Content-Type", "application/json")],
        &body,
    );
    assert_eq!(made.status, 201, "{}{}", made.head, made.body);
    let form = format!("grant_type=password&username=juliet&password={PASSWORD}");
    let lies = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Forwarded-For", "198.51.100.7"),
        ("X-Real-IP", "198.51.100.8"),
        ("Forwarded", "for=198.51.100.9"),
    ];
    let signed_in = send(&proxy.id, "POST", "/shild", &lies, &form);
    assert_eq!(signed_in.status, 200, "{}{}", signed_in.head, signed_in.body);
    let metrics = get(&proxy.id, "/metrics", None, &[]).status;
    assert!(
        matches!(metrics, 403 | 404),
        "they are for this host, not for its proxy: {metrics}"
    );
    let tokens = server.sign_in("juliet");
    let (_, sessions): (_, Value) = server.get("/user/me/sessions", Some(member(&tokens, "access_token")));
    let addresses: Vec<_> = sessions["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| &item["ip"])
        .collect();
    assert_eq!(addresses, [&json!(CLIENT), &json!("127.0.0.1")]);
    server.stop();
}

#[test]
fn nginx_lets_through_whom_shild_knows_and_nobody_else() {
    guards_a_program(nginx);
}

#[test]
fn caddy_lets_through_whom_shild_knows_and_nobody_else() {
    guards_a_program(caddy);
}

#[test]
fn nginx_passes_on_the_address_of_the_client() {
    passes_the_address_on(nginx);
}

#[test]
fn caddy_passes_on_the_address_of_the_client() {
    passes_the_address_on(caddy);
}
