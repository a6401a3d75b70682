//! What `ephemint dev` prints: where everything is, and the lines to paste.

use std::{fmt, net::SocketAddr, path::PathBuf};

use super::demo_account;
use crate::version;

/// Everything that the text names.
#[derive(Debug)]
pub struct Walkthrough {
    /// The demo gateway; absent where nginx is not installed.
    pub front: Option<SocketAddr>,
    /// The public listener.
    pub public: SocketAddr,
    /// The gateway listener.
    pub gateway: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The demo microservice.
    pub service: SocketAddr,
    /// The version of Postgres.
    pub postgres: String,
    /// Where data is kept; absent where nothing is.
    pub data: Option<PathBuf>,
    /// Where the database had to be put instead, because its account could not reach the data directory.
    pub relocated: Option<PathBuf>,
    /// The secret of the demonstration's back end.
    pub client_secret: String,
}

impl fmt::Display for Walkthrough {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data.as_ref().map(|data| data.display().to_string());
        writeln!(formatter, "ephemint dev {}: for trying things out on this machine only\n", version::VERSION)?;
        match self.front {
            Some(front) => writeln!(formatter, "Open this in a browser:  http://{front}/")?,
            None => writeln!(formatter, "Open this in a browser:  http://{}/account", self.public)?,
        }
        writeln!(
            formatter,
            "The demo account:        name {}, password {}\n",
            demo_account::NAME,
            demo_account::PASSWORD
        )?;
        match self.front {
            Some(front) => writeln!(formatter, "  gateway       http://{front}   nginx with gateways/nginx.conf")?,
            None => writeln!(formatter, "  gateway       none: nginx is not installed (apt-get install nginx-light)")?,
        }
        writeln!(formatter, "  microservice  http://{}   verifies tokens by key set alone", self.service)?;
        writeln!(formatter, "  public        http://{}   what browsers reach", self.public)?;
        writeln!(formatter, "  exchange      http://{}   what the gateway asks", self.gateway)?;
        writeln!(formatter, "  admin         http://{}   sessions, /metrics, /readyz", self.admin)?;
        let place = self.relocated.as_ref().map(|place| place.display().to_string()).or_else(|| data.clone());
        writeln!(
            formatter,
            "  database      PostgreSQL {}, unix socket only, in {}",
            self.postgres,
            place.as_deref().unwrap_or("a temporary directory")
        )?;
        writeln!(formatter, "\nOr paste these into another terminal, one after the other:\n")?;
        self.steps(formatter)?;
        match data {
            Some(data) => write!(formatter, "Ctrl-C stops everything. Data stays in {data}."),
            None => write!(formatter, "Ctrl-C stops everything, and nothing stays."),
        }
    }
}

impl Walkthrough {
    fn steps(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (admin, secret) = (self.admin, &self.client_secret);
        let token = "sed -n 's/.*\"session_token\":\"\\([^\"]*\\)\".*/\\1/p'";
        writeln!(
            formatter,
            "# 1. Sign in with the demo account, the way an app without cookies does; a browser gets a cookie."
        )?;
        writeln!(
            formatter,
            "SESSION=$(curl -sS http://{}/login -H 'Content-Type: application/json' \
             -d '{{\"username\":\"{}\",\"password\":\"{}\",\"transport\":\"header\"}}' | {token}); \
             echo \"the session token: $SESSION\"\n",
            self.front.unwrap_or(self.public),
            demo_account::NAME,
            demo_account::PASSWORD,
        )?;
        let call = if let Some(front) = self.front {
            writeln!(
                formatter,
                "# 2. Call the microservice through the gateway: the session token goes in, claims come out."
            )?;
            format!("curl -sS -i -H \"Authorization: Session $SESSION\" http://{front}/api/hello; echo")
        } else {
            writeln!(
                formatter,
                "# 2. Do what a gateway does: exchange the session token, then call the microservice with what comes out."
            )?;
            format!(
                "curl -sS -i http://{}/api/hello -H \"$(curl -sS -i -H \"Authorization: Session $SESSION\" http://{}/exchange/demo \
                 | tr -d '\\r' | grep -i '^authorization:')\"; echo",
                self.service, self.gateway
            )
        };
        writeln!(formatter, "{call}\n")?;
        writeln!(formatter, "# 3. Revoke every session of demo, as an operator.")?;
        writeln!(
            formatter,
            "curl -sS -X DELETE 'http://{admin}/admin/sessions?subject={}' -H 'Authorization: Bearer {secret}'; echo\n",
            demo_account::NAME
        )?;
        writeln!(formatter, "# 4. The same call as in step 2 is 401 now.")?;
        writeln!(formatter, "{call}\n")?;
        writeln!(
            formatter,
            "# 5. A back end that signs people in by itself starts a session for ada; then step 2 says her role, too."
        )?;
        writeln!(
            formatter,
            "SESSION=$(curl -sS http://{admin}/admin/sessions -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' \
             -d '{{\"subject\":\"ada\",\"amr\":[\"pwd\"],\"claims\":{{\"role\":\"admin\"}}}}' | {token}); \
             echo \"the browser's cookie: __Host-session=$SESSION\"\n"
        )
    }
}
