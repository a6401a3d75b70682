//! `ephemint dev` as a newcomer uses it: start it, paste what it prints, stop it, or pull its plug.

use std::{net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::support::program::program;

const LIMIT: Duration = Duration::from_secs(60);

/// A running `ephemint dev` and everything it printed until it was ready.
struct Dev {
    child: Child,
    text: String,
    front: String,
}

impl Dev {
    async fn start(arguments: &[&str]) -> Self {
        let ports = free_ports();
        let address = |index: usize| format!("127.0.0.1:{}", ports[index]);
        let mut child = Command::new(program())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .arg("dev")
            .args(arguments)
            .args(["--front", &address(0), "--public", &address(1), "--gateway", &address(2)])
            .args(["--admin", &address(3), "--service", &address(4)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut text = String::new();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                text.push_str(&line);
                text.push('\n');
                if line.starts_with("Ctrl-C stops everything") {
                    return true;
                }
            }
            false
        };
        let ready = timeout(LIMIT, reading).await.unwrap();
        if !ready {
            let output = child.wait_with_output().await.unwrap();
            panic!("it ended early:\n{text}{}", String::from_utf8_lossy(&output.stderr));
        }
        Self { child, text, front: address(0) }
    }

    /// The lines to paste: everything that is a command.
    fn steps(&self) -> Vec<String> {
        let commands = self.text.lines().filter(|line| line.starts_with("SESSION=") || line.starts_with("curl "));
        commands.map(str::to_owned).collect()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap())
    }

    async fn stop(mut self) {
        kill(self.pid(), Signal::SIGINT).unwrap();
        let status = timeout(LIMIT, self.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_steps_work_when_they_are_pasted() {
    let dev = Dev::start(&["--ephemeral"]).await;
    let steps = dev.steps();
    assert_eq!(steps.len(), 5, "{}", dev.text);
    assert!(dev.text.contains(&format!("Open this in a browser:  http://{}/\n", dev.front)), "{}", dev.text);
    assert!(dev.text.contains("name demo, password paper boats on a quiet lake\n"), "{}", dev.text);

    let output = paste(&[&steps[..], &steps[1..2]].concat().join("\necho ---\n")).await;
    let parts: Vec<&str> = output.split("---\n").collect();

    assert!(parts[0].starts_with("the session token: ems_"), "{output}");
    assert!(parts[1].starts_with("HTTP/1.1 200") && parts[1].contains("\"subject\": \"demo\""), "{output}");
    assert!(parts[1].contains("\"session_cookie_received\": false"), "{output}");
    assert!(parts[2].contains("\"revoked\":1"), "{output}");
    assert!(parts[3].starts_with("HTTP/1.1 401"), "{output}");
    assert!(parts[4].starts_with("the browser's cookie: __Host-session=ems_"), "{output}");
    assert!(parts[5].contains("\"subject\": \"ada\"") && parts[5].contains("\"role\": \"admin\""), "{output}");

    let front = dev.front.clone();
    dev.stop().await;
    assert!(TcpListener::bind(&front).is_ok(), "the gateway is still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_is_there_again_after_the_plug_was_pulled() {
    let directory = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let data = directory.path().join("data");
    let arguments = ["--data-dir", data.to_str().unwrap()];

    let mut first = Dev::start(&arguments).await;
    let start_and_call = first.steps()[..2].join("\n") + "\necho \"$SESSION\" > \"$DIRECTORY/session\"";
    let output = paste_in(&start_and_call, directory.path()).await;
    assert!(output.contains("HTTP/1.1 200"), "{output}");
    kill(first.pid(), Signal::SIGKILL).unwrap();
    timeout(LIMIT, first.child.wait()).await.unwrap().unwrap();

    // Whatever was done to the demo account, it signs in again after a start.
    let second = Dev::start(&arguments).await;
    let output = paste(&second.steps()[0]).await;
    assert!(output.starts_with("the session token: ems_"), "{output}");
    let call_again = format!("SESSION=$(cat \"$DIRECTORY/session\")\n{}", second.steps()[1]);
    let output = paste_in(&call_again, directory.path()).await;
    assert!(output.contains("HTTP/1.1 200") && output.contains("\"subject\": \"demo\""), "{output}");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_postgres_dies_it_ends_and_says_so() {
    let directory = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let data = directory.path().join("data");
    let mut dev = Dev::start(&["--data-dir", data.to_str().unwrap()]).await;
    let file = std::fs::read_to_string(data.join("data/postmaster.pid")).unwrap();
    let postmaster: i32 = file.lines().next().unwrap().parse().unwrap();

    kill(Pid::from_raw(postmaster), Signal::SIGKILL).unwrap();

    let status = timeout(LIMIT, dev.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_named_and_nothing_stays_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(program())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["dev", "--ephemeral", "--public", &address])
        .output();
    let output = timeout(LIMIT, output).await.unwrap().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("another address with --public") && errors.contains(&address), "{errors}");
}

async fn paste(script: &str) -> String {
    paste_in(script, Path::new("/")).await
}

async fn paste_in(script: &str, directory: &Path) -> String {
    let output = Command::new("bash").arg("-c").arg(script).env("DIRECTORY", directory).output();
    let output = timeout(LIMIT, output).await.unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

fn free_ports() -> Vec<u16> {
    // Held together, so that they differ; whoever is told to use them binds them a moment later.
    let held: Vec<TcpListener> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
