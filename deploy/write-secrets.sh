#!/bin/sh
# write-secrets.sh FILE NAME...: gives each NAME that the env file sets neither by itself nor by
# NAME_FILE a random value of 32 bytes in hex.
set -eu
file=$1
shift
umask 077
touch "$file"
chmod 600 "$file"
for name in "$@"; do
    grep -Eq "^$name(_FILE)?=." "$file" && continue
    # A last line without its line feed must not swallow ours.
    [ -z "$(tail -c 1 "$file")" ] || echo >>"$file"
    printf '%s=%s\n' "$name" "$(od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n')" >>"$file"
done
