-- schema/ping: is the database there, and what time does it think it is?
-- No parameters.
-- Rows: 1, with database_time timestamptz.
SELECT clock_timestamp() AS database_time
