//! Statements that are right behind a pooler in transaction mode, which gives a connection of the server for one transaction only.
//!
//! What is set for a connection, or prepared on it under a name, would be met by others and missed by us. So the limits are set
//! within each transaction, and statements have no name. All messages of a statement on its own are sent at once: it takes one
//! round trip, and a caller who leaves early leaves no transaction open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::Object;
use futures_util::future::join3;
use tokio_postgres::{
    Client, Error, Row,
    types::{ToSql, Type},
};

use super::{
    pool::{limits, takes_writes},
    queries::Query,
    run::Parameters,
};

const COMMIT: &str = "COMMIT";

/// How statements are sent where a pooler stands in between.
pub(super) struct BehindPooler {
    begin: String,
    /// The types of parameters by statement, as the server has found them out.
    types: Mutex<HashMap<&'static str, Arc<[Type]>>>,
}

impl BehindPooler {
    /// The server gives a statement up after `query_timeout`.
    pub(super) fn new(query_timeout: Duration) -> Self {
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; {}; SELECT pg_is_in_recovery()::text",
            limits("LOCAL ", query_timeout)
        );
        Self { begin, types: Mutex::default() }
    }

    /// What a transaction begins with.
    pub(super) fn begin(&self) -> &str {
        &self.begin
    }

    /// Whether the types of a statement's parameters are known, so that it can be sent on its own.
    pub(super) fn knows(&self, query: &Query) -> bool {
        self.known(query).is_some()
    }

    /// Finds out the types of a statement's parameters over a connection that is closed afterwards: were it given back in the middle,
    /// a transaction might be open on it.
    pub(super) async fn learn(&self, connection: Object, query: &'static Query) -> Result<(), Error> {
        let client = Object::take(connection);
        client.batch_execute("BEGIN").await?;
        self.learn_within(&client, query).await?;
        client.batch_execute(COMMIT).await
    }

    /// Within a transaction, reads rows.
    pub(super) async fn rows(
        &self,
        client: &Client,
        query: &'static Query,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let types = self.learn_within(client, query).await?;
        client.query_typed(query.text, &typed(parameters, &types)).await
    }

    /// Within a transaction, changes rows.
    pub(super) async fn execute(
        &self,
        client: &Client,
        query: &'static Query,
        parameters: Parameters<'_>,
    ) -> Result<u64, Error> {
        let types = self.learn_within(client, query).await?;
        client.execute_typed(query.text, &typed(parameters, &types)).await
    }

    /// Reads rows by a statement on its own that is [known](Self::knows). Nothing where the server takes no writes.
    pub(super) async fn rows_alone(
        &self,
        client: &Client,
        query: &Query,
        parameters: Parameters<'_>,
    ) -> Result<Option<Vec<Row>>, Error> {
        let types = self.known(query).unwrap_or_default();
        let parameters = typed(parameters, &types);
        self.alone(client, client.query_typed(query.text, &parameters)).await
    }

    /// Changes rows by a statement on its own that is [known](Self::knows). Nothing where the server takes no writes.
    pub(super) async fn execute_alone(
        &self,
        client: &Client,
        query: &Query,
        parameters: Parameters<'_>,
    ) -> Result<Option<u64>, Error> {
        let types = self.known(query).unwrap_or_default();
        let parameters = typed(parameters, &types);
        self.alone(client, client.execute_typed(query.text, &parameters)).await
    }

    async fn alone<T>(
        &self,
        client: &Client,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, Error> {
        // Each sends its message when it is first polled, in this order, and the answers come in the same.
        let (begun, worked, ended) = join3(client.simple_query(&self.begin), work, client.batch_execute(COMMIT)).await;
        let begun = begun?;
        let value = worked?;
        // Only what is committed has happened.
        ended?;
        Ok(takes_writes(&begun).then_some(value))
    }

    async fn learn_within(&self, client: &Client, query: &'static Query) -> Result<Arc<[Type]>, Error> {
        if let Some(types) = self.known(query) {
            return Ok(types);
        }
        // Its name goes when it is dropped here, while the transaction still holds the server's connection.
        let types: Arc<[Type]> = client.prepare(query.text).await?.params().into();
        let mut known = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(query.name, Arc::clone(&types));
        Ok(types)
    }

    fn known(&self, query: &Query) -> Option<Arc<[Type]>> {
        self.types.lock().unwrap_or_else(PoisonError::into_inner).get(query.name).map(Arc::clone)
    }
}

fn typed<'a>(parameters: Parameters<'a>, types: &[Type]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    parameters.iter().copied().zip(types.iter().cloned()).collect()
}
