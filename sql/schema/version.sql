-- schema/version: the newest migration that has been applied.
-- No parameters.
-- Rows: 1, with schema_version integer or null. Fails if the database has never been migrated.
SELECT max(version) AS schema_version
  FROM refinery_schema_history
