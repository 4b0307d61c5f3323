#!/bin/sh
# write-secret-files.sh FILE FOLDER: writes the env file as a file for containers, and for PostgreSQL its password and the
# URL that has it.
set -eu
file=$1
folder=$2
. "$(dirname "$0")/secret-files.sh"

put settings <"$file"
password=$(value POSTGRES_PASSWORD)
if [ -n "$password" ]; then
    printf %s "$password" | put postgres_password
    printf 'postgresql://webhook_service:%s@postgres/webhook_service' "$(printf %s "$password" | encoded)" |
        put database_url
fi
note_changes
