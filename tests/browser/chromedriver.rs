//! One chromedriver for the whole test process, gone when the process is.

use std::{net::TcpListener, path::PathBuf, sync::Mutex, time::Duration};

use ephemint::dev::supervisor::{Program, Supervised};
use tokio::{
    net::TcpStream,
    sync::{OnceCell, Semaphore, SemaphorePermit},
};

/// Where it runs; kept so that it lives as long as the process.
struct Driver {
    url: String,
    // A value that lives until the end of the process is never dropped; the kernel closes its lifeline, and that ends the driver.
    _running: Mutex<Supervised>,
}

static DRIVER: OnceCell<Driver> = OnceCell::const_new();
/// How many browsers may be open at once: more only wait for each other.
static PLACES: Semaphore = Semaphore::const_new(3);

/// The URL of the driver, which is started at the first call.
pub(crate) async fn url() -> &'static str {
    &DRIVER.get_or_init(start).await.url
}

/// Places for so many browsers, to be held while they are open. A test takes all that it needs at once.
pub(crate) async fn places(count: u32) -> SemaphorePermit<'static> {
    PLACES.acquire_many(count).await.unwrap()
}

async fn start() -> Driver {
    // For its log and what browsers leave behind; deleted by its watcher, after us.
    let directory = tempfile::tempdir().unwrap().keep();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut program = Program::new(installed("chromedriver", "chromium-driver"))
        .arguments([format!("--port={port}"), "--log-level=SEVERE".to_owned()])
        .environment("HOME", &directory)
        .environment("TMPDIR", &directory);
    program.remove_after = vec![directory.clone()];
    let log = directory.join("chromedriver.log");
    let mut running = Supervised::spawn(&program, &log).unwrap();
    let listens = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let ended = running.try_wait().unwrap();
            assert!(ended.is_none(), "chromedriver ended: {}", std::fs::read_to_string(&log).unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listens).await.expect("chromedriver listens within 20 s");
    Driver { url: format!("http://127.0.0.1:{port}"), _running: Mutex::new(running) }
}

/// The path of a program that these tests cannot do without.
pub(crate) fn installed(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("the tests need {name} (apt-get install {package})"))
}
