#!/bin/sh
# write-secret-files.sh FILE FOLDER: writes what the containers read as files instead of from their environment, which
# `docker inspect` shows: the env file itself, and for PostgreSQL its password and the URL that has it.
set -eu
file=$1
folder=$2
umask 077
mkdir -p "$folder"
chmod 700 "$folder" # The files are for the containers' users, whom nobody here is; the folder keeps everyone else out.

# put NAME: keeps standard input as a file of that name; one that is there already with this content is left alone.
put() {
    cat >"$folder/$1.new"
    if cmp -s "$folder/$1.new" "$folder/$1"; then
        rm "$folder/$1.new"
        return
    fi
    chmod 444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    changed=yes
}

changed=
put settings <"$file"
password=$(sed -n "s/^POSTGRES_PASSWORD=\(['\"]\{0,1\}\)\(.*\)\1\$/\2/p" "$file" | tail -n 1)
if [ -n "$password" ]; then
    printf %s "$password" | put postgres_password
    # Each byte as %XX, so that none of them means something in a URL.
    encoded=$(printf %s "$password" | od -An -v -tx1 | tr -d '\n' | sed 's/ /%/g')
    printf 'postgresql://webhook_service:%s@postgres/webhook_service' "$encoded" | put database_url
fi
# Compose looks at its configuration alone to tell whether a container is up to date: this is a part of it.
if [ -n "$changed" ] || [ ! -e "$folder/written.env" ]; then
    date -u +SECRETS_WRITTEN=%Y-%m-%dT%H:%M:%SZ | put written.env
fi
