//! The table of operations: one row for each route and method, by listener.

mod admin;
mod gateway;
mod public;

/// Where an operation is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Browsers and apps.
    Public,
    /// Proxies and services.
    Gateway,
    /// Operators, trusted back ends, Prometheus.
    Admin,
}

impl Listener {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Public, Self::Gateway, Self::Admin];

    /// Its name, as in settings, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Gateway => "gateway",
            Self::Admin => "admin",
        }
    }

    /// Who it is for.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Public => "Browsers and apps.",
            Self::Gateway => "Proxies and services; on a private network.",
            Self::Admin => "Operators, trusted back ends and Prometheus; on loopback or a private network.",
        }
    }

    /// Where it listens unless the settings say otherwise.
    #[must_use]
    pub fn default_address(self) -> &'static str {
        match self {
            Self::Public => "127.0.0.1:8080",
            Self::Gateway => "127.0.0.1:8081",
            Self::Admin => "127.0.0.1:9090",
        }
    }
}

/// A parameter of the query or a header.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// `query` or `header`.
    pub place: &'static str,
    /// A type of JSON Schema.
    pub kind: &'static str,
    /// Whether there is no answer without it.
    pub required: bool,
    /// What it does.
    pub meaning: &'static str,
}

/// What an operation reads.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// In which forms.
    pub media_types: &'static [&'static str],
    /// The shape.
    pub schema: &'static str,
    /// Whether there must be one.
    pub required: bool,
}

/// One way in which an operation succeeds, or refuses without a problem document.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// What it means.
    pub meaning: &'static str,
    /// The form of the body.
    pub media_type: &'static str,
    /// The shape of the body; none where it is empty.
    pub schema: Option<&'static str>,
}

/// One route and method.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// A stable name for generated clients.
    pub id: &'static str,
    /// Where it is served.
    pub listeners: &'static [Listener],
    /// The method; of those that a route takes alike, the usual one.
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// The scope that a client's credential needs.
    pub scope: Option<&'static str>,
    /// Whether a session token is presented.
    pub by_session: bool,
    /// Parameters besides those of the path.
    pub parameters: &'static [Parameter],
    /// What is read.
    pub body: Option<Body>,
    /// How it is answered.
    pub answers: &'static [Answer],
    /// Codes of problems beyond those that any route may have.
    pub problems: &'static [&'static str],
}

const ADMIN: &[Listener] = &[Listener::Admin];

const JSON: &str = "application/json";
const HTML: &str = "text/html";

const NOTHING: Operation = Operation {
    id: "",
    listeners: ADMIN,
    method: "GET",
    path: "",
    summary: "",
    scope: None,
    by_session: false,
    parameters: &[],
    body: None,
    answers: &[],
    problems: &[],
};

const fn ok(meaning: &'static str, schema: &'static str) -> Answer {
    Answer { status: 200, meaning, media_type: JSON, schema: Some(schema) }
}

const fn page(status: u16, meaning: &'static str) -> Answer {
    Answer { status, meaning, media_type: HTML, schema: Some("Page") }
}

const fn empty(status: u16, meaning: &'static str) -> Answer {
    Answer { status, meaning, media_type: JSON, schema: None }
}

const fn query(name: &'static str, kind: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, place: "query", kind, required: false, meaning }
}

const WAIT: Parameter = query("wait", "string", "`all`: answer only once no replica mints for them any more.");
const IF_NONE_MATCH: Parameter = Parameter {
    name: "If-None-Match",
    place: "header",
    kind: "string",
    required: false,
    meaning: "An earlier `ETag`.",
};
const REVOKED: Answer = ok("How many ended, and by when that holds everywhere.", "Revoked");
const UNCHANGED: Answer = empty(304, "What the client has is current.");
const PLAIN_FORM: &str = "application/x-www-form-urlencoded";

/// Every operation: those of the public listener, of the gateway listener and of both, of the admin listener.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    [public::OPERATIONS, gateway::OPERATIONS, admin::OPERATIONS].into_iter().flatten()
}
