#!/usr/bin/env bash
# rolling-restart.sh: replaces every container of the app while deliveries go on. Twice as many run for a while: nginx is
# pointed to the new ones when they can store deliveries, and the old ones stop when nginx has no request left with them.
set -euo pipefail

die() { printf '%s\n' "$*" >&2; exit 1; }
containers() { docker compose ps --quiet app; }

running=$(docker compose ps --quiet app) || die 'there is no deployment'
[ -n "$running" ] || die 'the app does not run: make up'
mapfile -t old <<<"$running"
# The files that it was started with, such as those of make up-postgres.
COMPOSE_FILE=$(docker inspect --format '{{index .Config.Labels "com.docker.compose.project.config_files"}}' "${old[0]}" | tr , :)
export COMPOSE_FILE

new=()
undo() {
    [ ${#new[@]} -eq 0 ] || docker rm --force "${new[@]}" >/dev/null
    die 'the new containers did not come up, and the old ones go on; if they wait for a migration: make up'
}

docker compose build --quiet app
wait_for_new=yes
docker compose up --quiet-pull --detach --wait --no-recreate --scale "app=$((2 * ${#old[@]}))" app || wait_for_new=
mapfile -t new < <(containers | grep --invert-match --fixed-strings --line-regexp "$running")
[ -n "$wait_for_new" ] && [ ${#new[@]} -ge ${#old[@]} ] || undo

addresses=$(docker inspect --format \
    '{{range $name, $network := .NetworkSettings.Networks}}{{$name}} {{$network.IPAddress}}{{"\n"}}{{end}}' "${new[@]}" |
    awk '$1 ~ /_app$/ { printf "server %s:8000; ", $2 }')
docker compose exec -T nginx sh -euc "
    cp /tmp/nginx.conf /tmp/nginx.conf.shipped
    sed 's/server app:8000;/$addresses/' /tmp/nginx.conf.shipped >/tmp/nginx.conf
    nginx -c /tmp/nginx.conf -s reload" || undo

# Workers of before the reload end with their last request. A long export is not waited for: it can be taken up again. The
# brackets keep the pattern from matching the commands that look for it.
docker compose exec -T nginx sh -euc '
    sleep 1
    for _ in $(seq 35); do
        grep --quiet --text "[s]hutting down" /proc/[0-9]*/cmdline 2>/dev/null || break
        sleep 1
    done'
docker stop --time 40 "${old[@]}" >/dev/null
docker rm "${old[@]}" >/dev/null
# From here on nginx finds the containers by name again, at its next health check.
docker compose exec -T nginx mv /tmp/nginx.conf.shipped /tmp/nginx.conf
printf '%s of %s containers replaced\n' "${#new[@]}" "${#old[@]}"
