#!/bin/sh
# Makes the role and the database of the service in a new cluster. Patroni calls it, with the URL of the new leader. The
# password is in the environment, or in the file that WEBHOOK_SERVICE_PASSWORD_FILE names; as an argument everyone saw it.
set -eu
if [ -n "${WEBHOOK_SERVICE_PASSWORD_FILE:-}" ]; then
    WEBHOOK_SERVICE_PASSWORD=$(cat "$WEBHOOK_SERVICE_PASSWORD_FILE")
    export WEBHOOK_SERVICE_PASSWORD
fi
: "${WEBHOOK_SERVICE_PASSWORD:?is not set}"
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 "$1" <<'SQL'
\getenv password WEBHOOK_SERVICE_PASSWORD
CREATE ROLE webhook_service LOGIN PASSWORD :'password';
CREATE DATABASE webhook_service OWNER webhook_service TEMPLATE template0 ENCODING 'UTF8';
-- How far a replica is behind, exactly: docs/operations.md, "Reading from a replica".
GRANT pg_read_all_stats TO webhook_service;
SQL
