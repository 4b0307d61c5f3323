#!/bin/sh
# Makes the role and the database of the service in a new cluster. Patroni calls it, with the URL of the new leader.
set -eu
: "${WEBHOOK_SERVICE_PASSWORD:?is not set}"
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$WEBHOOK_SERVICE_PASSWORD" "$1" <<'SQL'
CREATE ROLE webhook_service LOGIN PASSWORD :'password';
CREATE DATABASE webhook_service OWNER webhook_service TEMPLATE template0 ENCODING 'UTF8';
-- How far a replica is behind, exactly: docs/operations.md, "Reading from a replica".
GRANT pg_read_all_stats TO webhook_service;
SQL
