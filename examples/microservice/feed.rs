//! Follows the feed of revocations: by events, and by polling while those cannot be had.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use reqwest::{Client, header};
use tokio::time::timeout;

use crate::tokens::{Statement, Tokens};

/// How often it is polled while there are no events.
const POLL: Duration = Duration::from_millis(500);
/// How many polls there are before events are tried again.
const POLLS: u32 = 4;
/// More than any statement has.
const MOST: usize = 64 * 1024 * 1024;

pub(crate) struct Feed {
    client: Client,
    url: String,
    /// For how long it may say nothing.
    patience: Duration,
    tokens: Arc<Tokens>,
    known: RwLock<Known>,
}

/// Everything that was said and still matters.
#[derive(Default)]
struct Known {
    /// Until when each session is refused.
    sessions: HashMap<String, Instant>,
    /// Sessions with ids up to this one are refused, until then.
    up_to: Option<(String, Instant)>,
    /// The last statement.
    id: Option<String>,
    said_at: Option<Instant>,
}

impl Known {
    /// Takes a statement in. One that continues another than the last one leaves a gap.
    fn take(&mut self, statement: Statement) -> Result<(), &'static str> {
        if statement.after.is_some() && statement.after != self.id {
            return Err("a statement is missing");
        }
        let now = Instant::now();
        let until = now + Duration::from_secs(statement.window);
        self.sessions.retain(|_, until| *until > now);
        self.sessions.extend(statement.sessions.into_iter().map(|session| (session, until)));
        if let Some(up_to) = statement.up_to {
            self.up_to = Some((up_to, until));
        }
        (self.id, self.said_at) = (Some(statement.id), Some(now));
        Ok(())
    }
}

impl Feed {
    pub(crate) fn new(client: Client, url: String, patience: Duration, tokens: Arc<Tokens>) -> Self {
        Self { client, url, patience, tokens, known: RwLock::default() }
    }

    /// Whether a token of this session is to be refused.
    pub(crate) fn is_revoked(&self, sid: &str) -> bool {
        let (known, now) = (self.known.read().unwrap_or_else(PoisonError::into_inner), Instant::now());
        known.sessions.get(sid).is_some_and(|until| *until > now)
            || known.up_to.as_ref().is_some_and(|(up_to, until)| sid <= up_to.as_str() && *until > now)
    }

    /// Whether the feed has said a moment ago what is complete.
    pub(crate) fn is_complete(&self) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.said_at.is_some_and(|at| at.elapsed() < self.patience)
    }

    /// Follows the feed for ever.
    pub(crate) async fn follow(self: Arc<Self>) {
        loop {
            let Err(error) = self.follow_events().await else { continue };
            tracing::warn!(error, "no events; polling");
            for _ in 0..POLLS {
                if let Err(error) = self.poll().await {
                    tracing::warn!(error, "no answer");
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// Takes events in until the stream ends, which a restart of the replica does.
    async fn follow_events(&self) -> Result<(), String> {
        let last = self.known.read().unwrap_or_else(PoisonError::into_inner).id.clone();
        let request = self.client.get(&self.url).header(header::ACCEPT, "text/event-stream");
        let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
        let response = timeout(self.patience, request.send()).await.map_err(|error| error.to_string())?;
        let mut response = response.and_then(reqwest::Response::error_for_status).map_err(|error| described(&error))?;
        let mut buffer = Vec::new();
        // A heartbeat comes at least every second where nothing else does; silence means that the connection is dead.
        while let Some(chunk) = timeout(self.patience, response.chunk())
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| described(&error))?
        {
            buffer.extend_from_slice(&chunk);
            while let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = buffer.drain(..end + 2).collect();
                let data = event.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data: "));
                if let Some(data) = data {
                    self.take(&String::from_utf8_lossy(data)).await?;
                }
            }
            if buffer.len() > MOST {
                return Err("an event without an end".to_owned());
            }
        }
        Ok(())
    }

    async fn poll(&self) -> Result<(), String> {
        let response = self.client.get(&self.url).timeout(self.patience).send().await;
        let text =
            response.and_then(reqwest::Response::error_for_status).map_err(|error| described(&error))?.text().await;
        self.take(&text.map_err(|error| described(&error))?).await
    }

    async fn take(&self, text: &str) -> Result<(), String> {
        let statement = self.tokens.verify_statement(text).await?;
        let taken = self.known.write().unwrap_or_else(PoisonError::into_inner).take(statement);
        if taken.is_err() {
            // Without a place, the next answer is a snapshot.
            self.known.write().unwrap_or_else(PoisonError::into_inner).id = None;
        }
        Ok(taken?)
    }
}

/// An error with its causes.
fn described(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
