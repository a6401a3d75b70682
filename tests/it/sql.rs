//! Every statement against the real schema.

use ephemint::storage::queries;

use crate::support::database::TestDatabase;

#[tokio::test]
async fn every_statement_prepares_against_the_migrated_schema() {
    let client = TestDatabase::migrated().await.client().await;
    for query in queries::ALL {
        if let Err(error) = client.prepare(query.text).await {
            panic!("{}: {error:?}", query.name);
        }
    }
}
