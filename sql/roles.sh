#!/bin/sh
# Makes the two roles of roles.sql with the passwords that two connection URLs hold, so that each password is written down once.
#
#     DATABASE_URL_FILE=… MIGRATION_URL_FILE=… PGDATABASE=ephemint sql/roles.sh
#
# Run it once, as a superuser, in Ephemint's database. The Postgres image runs it when it prepares an empty volume.
set -eu

# The password of a URL postgresql://user:password@host/database; ours are hexadecimal, so nothing in them is encoded.
password() {
    found=$(sed -n '1s|^[a-z]*://[^:/@]*:\([0-9A-Za-z._~-]*\)@.*$|\1|p' "$1")
    if [ -z "$found" ]; then
        echo "roles.sh: $1 holds no URL with a password of letters, digits and . _ ~ -" >&2
        return 1
    fi
    echo "$found"
}

migrate_password=$(password "$MIGRATION_URL_FILE")
runtime_password=$(password "$DATABASE_URL_FILE")
# Given on standard input: what stands in a command's arguments, others can read.
psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --single-transaction --file=- <<SQL
\\set migrate_password '$migrate_password'
\\set runtime_password '$runtime_password'
\\i ${ROLES:-${0%/*}/roles.sql}
SQL
