//! A real PostgreSQL for tests, with data of its own, thrown away after.
//!
//! It needs version 15 or later: Debian's `postgresql`, whose own cluster it leaves alone, or one in `PATH`. Where it is
//! missing, [`Postgres::start`] gives `None` and says so, or panics under `COVE_REQUIRE_POSTGRES=1`.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::free_port;

/// Who may do everything.
pub const USER: &str = "cove";
/// The password that it wants over the network. It has what addresses must have written in another way.
pub const PASSWORD: &str = "s3cret@/?#";

const INSTALL: &str = "`cargo xtask setup` installs Debian's `postgresql`, and starts nothing";

/// The oldest version that sorts as languages do wherever it runs.
const OLDEST: u32 = 15;

/// How long the server may take to answer. After it was killed it reads its log first.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// Ends with the process that started it, even a killed one: it reads a pipe that then closes.
const KEEPER: &str = r#"
    log=$1
    shift
    exec 3<&0
    "$@" </dev/null >>"$log" 2>&1 3<&- &
    server=$!
    (read -r _ <&3; kill -QUIT "$server") &
    watch=$!
    wait "$server"
    kill "$watch"
"#;

/// A running server. Dropping it ends it.
pub struct Postgres {
    keeper: Option<Child>,
    folder: TempDir,
    programs: Utf8PathBuf,
    /// As whom it runs, where that is not whoever runs the tests: it refuses to be root's.
    account: Option<&'static str>,
    port: u16,
}

impl Postgres {
    /// Starts a server that has no database but its own.
    pub fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(server) => Some(server),
            Err(reason) if std::env::var_os("COVE_REQUIRE_POSTGRES").is_some_and(|value| value == "1") => {
                panic!("no PostgreSQL for this test: {reason}\n{INSTALL}")
            }
            Err(reason) => {
                writeln!(std::io::stderr(), "skipped, no PostgreSQL: {reason}")
                    .expect("standard error is open");
                None
            }
        }
    }

    fn try_start() -> Result<Self, String> {
        let programs = programs()?;
        let account = account()?;
        let folder =
            tempfile::Builder::new().prefix("postgres").tempdir_in("/tmp").map_err(|e| e.to_string())?;
        let mut server = Self { keeper: None, folder, programs, account, port: free_port() };
        server.prepare()?;
        server.run()?;
        Ok(server)
    }

    /// Makes a database, for whose address see [`Postgres::url`].
    ///
    /// # Panics
    /// When it is not made.
    pub fn create(&self, database: &str) {
        self.sql("postgres", &format!("CREATE DATABASE {database}"));
    }

    /// The address of a database by the server's socket, where no password is wanted.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@/{database}?host={}&port={}", self.place(), self.port)
    }

    /// The address of a database by the loopback, with the password. The server offers TLS there, with a certificate for
    /// `localhost` that [`Postgres::authority`] signed.
    pub fn url_by_network(&self, database: &str) -> String {
        let password =
            PASSWORD.replace('@', "%40").replace('/', "%2F").replace('?', "%3F").replace('#', "%23");
        format!("postgres://{USER}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Who signed its certificate: a file of PEM.
    pub fn authority(&self) -> Utf8PathBuf {
        self.place().join("authority.pem")
    }

    /// Says something to a database; what it answered.
    ///
    /// # Panics
    /// When it refuses.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.try_sql(database, statements).unwrap_or_else(|said| panic!("{statements}: {said}"))
    }

    fn try_sql(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-c", statements, &self.url(database)]);
        printed(&mut psql)
    }

    /// Kills the server with all of its processes, as a power cut does; its files are as they are.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut keeper = self.keeper.take().expect("it runs");
        let file = std::fs::read_to_string(self.place().join("data/postmaster.pid")).expect("it runs");
        let server = file.lines().next().expect("its process is in the first line");
        // Stopped first: so it starts none while they are looked up.
        let kill = r#"kill -STOP "$0" && kill -KILL $(pgrep -P "$0") "$0""#;
        let killed = Command::new("sh").args(["-c", kill, server]).status().expect("there is a shell");
        assert!(killed.success(), "the server was killed");
        keeper.wait().expect("its keeper ended");
    }

    /// Starts it again, with the data that it had.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&mut self) {
        self.run().unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// Ends what the server does for others; they must come again.
    pub fn cut_connections(&self) {
        self.sql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
                AND backend_type = 'client backend'",
        );
    }

    /// What the server said, for the message of a test that failed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place().join("log")).unwrap_or_default()
    }

    fn place(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("the prefix and /tmp are UTF-8")
    }

    /// A program of it, as the account that it runs as.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let Some(account) = self.account else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command.args(["--reuid", account, "--regid", &group(account), "--clear-groups", "--"]).arg(program);
        command
    }

    fn prepare(&self) -> Result<(), String> {
        let place = self.place();
        self.write("password", PASSWORD)?;
        self.certify().map_err(|error| error.to_string())?;
        if let Some(account) = self.account {
            let number = |option| printed(Command::new("id").args([option, account]));
            let (user, group) = (number("-u")?, number("-g")?);
            for path in [place.to_owned(), place.join("password"), place.join("server.key")] {
                let owner = (user.parse().ok(), group.parse().ok());
                chown(&path, owner.0, owner.1).map_err(|error| format!("{path}: {error}"))?;
            }
        }
        let mut initdb = self.program("initdb");
        initdb.args(["--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8"]);
        // As a person's server may sort, so that nobody relies on it.
        initdb.args(["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"]);
        initdb.args([format!("--username={USER}"), format!("--pwfile={place}/password")]);
        printed(initdb.args(["-D", place.join("data").as_str()]).current_dir("/"))?;
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{place}'\n\
             ssl = on\nssl_cert_file = '{place}/server.pem'\nssl_key_file = '{place}/server.key'\n\
             shared_buffers = '16MB'\nmax_connections = 60\nfsync = on\n{sync}",
            port = self.port,
            // After a kill all of its files go to the disk, at once where the system can.
            sync = if cfg!(target_os = "linux") { "recovery_init_sync_method = syncfs\n" } else { "" },
        );
        let file = place.join("data/postgresql.conf");
        let mut file = std::fs::OpenOptions::new().append(true).open(&file).map_err(|e| e.to_string())?;
        file.write_all(settings.as_bytes()).map_err(|error| error.to_string())
    }

    fn certify(&self) -> Result<(), Box<dyn std::error::Error>> {
        let mut above = CertificateParams::default();
        above.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        std::fs::write(self.authority(), above.self_signed(&key)?.pem())?;
        let authority = Issuer::new(above, key);
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &authority)?;
        std::fs::write(self.place().join("server.pem"), certificate.pem())?;
        self.write("server.key", &key.serialize_pem())?;
        Ok(())
    }

    /// Writes a file that is nobody else's.
    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.place().join(name);
        std::fs::write(&path, text)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)))
            .map_err(|error| format!("{path}: {error}"))
    }

    fn run(&mut self) -> Result<(), String> {
        let place = self.place();
        let mut server = self.program("postgres");
        server.args(["-D", place.join("data").as_str()]);
        let spawn = || {
            Command::new("sh")
                .args(["-c", KEEPER, "keeper", place.join("log").as_str()])
                .arg(server.get_program())
                .args(server.get_args())
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| format!("could not start `sh`: {error}"))
        };
        let deadline = Instant::now() + START_DEADLINE;
        let mut keeper = spawn()?;
        while let Err(said) = self.try_sql("postgres", "SELECT 1") {
            if Instant::now() > deadline {
                return Err(format!("it did not answer in {START_DEADLINE:?}: {said}\n{}", self.log()));
            }
            if matches!(keeper.try_wait(), Ok(Some(_))) {
                // Processes of a server that was killed may still be on their way out.
                if !self.log().contains("pre-existing shared memory") {
                    return Err(format!("it ended:\n{}", self.log()));
                }
                keeper = spawn()?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.keeper = Some(keeper);
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        // Closing the pipe tells the keeper to end the server, before its folder goes.
        drop(keeper.stdin.take());
        if let Err(error) = keeper.wait() {
            let _ = writeln!(std::io::stderr(), "could not wait for PostgreSQL's end: {error}");
        }
    }
}

/// The folder of the newest version's programs.
fn programs() -> Result<Utf8PathBuf, String> {
    let versions = Utf8Path::new("/usr/lib/postgresql").read_dir_utf8().into_iter().flatten().flatten();
    let mut found: Vec<(u32, Utf8PathBuf)> = versions
        .filter_map(|version| Some((version.file_name().parse().ok()?, version.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    found.sort();
    if let Some((version, folder)) = found.pop() {
        let is_new = version >= OLDEST;
        return if is_new { Ok(folder) } else { Err(format!("version {version} is older than {OLDEST}")) };
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .map(Utf8PathBuf::from)
        .find(|folder| ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).exists()))
        .ok_or_else(|| "there is no `/usr/lib/postgresql/*/bin/initdb`, and none in PATH".to_owned())
}

/// Who runs it in place of root.
fn account() -> Result<Option<&'static str>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let is_there = |account: &&str| printed(Command::new("id").args(["-u", account])).is_ok();
    let account = ["postgres", "nobody"].into_iter().find(is_there);
    account.map(Some).ok_or_else(|| "root cannot run it, and there is no account `nobody`".to_owned())
}

fn group(account: &str) -> String {
    printed(Command::new("id").args(["-g", account])).expect("the account was looked up before")
}

fn printed(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| format!("could not start `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
