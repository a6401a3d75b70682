-- Two roles for a careful installation. Run it once, as a superuser, in Ephemint's database, before the first migration:
--
--     migrate_password=$(openssl rand -hex 24) runtime_password=$(openssl rand -hex 24)
--     psql -v ON_ERROR_STOP=1 --single-transaction -v migrate_password="$migrate_password" \
--          -v runtime_password="$runtime_password" -f sql/roles.sql ephemint
--
-- ephemint_migrate owns the schema and is named in database.migration_url (or only on the machine that runs `ephemint migrate`).
-- ephemint_runtime is named in database.url: it reads and writes rows, and can neither create, alter nor drop anything.

\if :{?migrate_password}
\else
    \echo 'give both: -v migrate_password=... -v runtime_password=...'
    \quit
\endif

CREATE ROLE ephemint_migrate LOGIN PASSWORD :'migrate_password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE ROLE ephemint_runtime LOGIN PASSWORD :'runtime_password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

-- Nobody else connects or creates objects here by default, temporary ones included.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO ephemint_migrate, ephemint_runtime;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO ephemint_migrate;
GRANT USAGE ON SCHEMA public TO ephemint_runtime;

-- Whatever migrations create from now on, the runtime role may use, row by row.
ALTER DEFAULT PRIVILEGES FOR ROLE ephemint_migrate IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ephemint_runtime;
ALTER DEFAULT PRIVILEGES FOR ROLE ephemint_migrate IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO ephemint_runtime;

-- The history of migrations is made here and not by the first of them, so that the runtime role may only read it: who can
-- change it can have a migration skipped or applied twice.
CREATE TABLE public.refinery_schema_history (
    version    int4         NOT NULL PRIMARY KEY,
    name       varchar(255),
    applied_on varchar(255),
    checksum   varchar(255)
);
ALTER TABLE public.refinery_schema_history OWNER TO ephemint_migrate;
GRANT SELECT ON public.refinery_schema_history TO ephemint_runtime;
