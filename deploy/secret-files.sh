# Read by the scripts that write what containers read as files instead of from their environment, which `docker inspect`
# shows. They set `file`, the env file, and `folder`.
umask 077
mkdir -p "$folder"
chmod 700 "$folder" # The files are for the containers' users, whom nobody here is; the folder keeps everyone else out.
changed=

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

# value NAME: what the env file sets a name to, without its quotes.
value() {
    sed -n "s/^$1=\(['\"]\{0,1\}\)\(.*\)\1\$/\2/p" "$file" | tail -n 1
}

# encoded: standard input with each byte as %XX, so that none of them means something in a URL.
encoded() {
    od -An -v -tx1 | tr -d '\n' | sed 's/ /%/g'
}

# note_changes: Compose looks at its configuration alone to tell whether a container is up to date, and this is a part of it.
note_changes() {
    if [ -n "$changed" ] || [ ! -e "$folder/written.env" ]; then
        date -u +SECRETS_WRITTEN=%Y-%m-%dT%H:%M:%SZ | put written.env
    fi
}
