-- Two roles for a careful installation. Run it once, as a superuser, in Ephemint's database:
--
--     psql -v migrate_password="$(openssl rand -hex 24)" -v runtime_password="$(openssl rand -hex 24)" -f sql/roles.sql ephemint
--
-- ephemint_migrate owns the schema and is named in database.migration_url (or only on the machine that runs `ephemint migrate`).
-- ephemint_runtime is named in database.url: it reads and writes rows, and can neither create, alter nor drop anything.

CREATE ROLE ephemint_migrate LOGIN PASSWORD :'migrate_password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE ROLE ephemint_runtime LOGIN PASSWORD :'runtime_password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

-- Nobody else creates objects here or connects by default.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO ephemint_migrate;
GRANT USAGE ON SCHEMA public TO ephemint_runtime;

-- Whatever migrations create from now on, the runtime role may use, row by row.
ALTER DEFAULT PRIVILEGES FOR ROLE ephemint_migrate IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ephemint_runtime;
ALTER DEFAULT PRIVILEGES FOR ROLE ephemint_migrate IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO ephemint_runtime;
