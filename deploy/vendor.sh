#!/usr/bin/env bash
# Fetches the browser libraries from npm at the versions below and checks them against the hashes that are kept here.
set -euo pipefail
cd "$(dirname "$0")/.."

served=webhook_service/dashboard/static/vendor
tested=tests/dashboard/vendor
temporary=$(mktemp -d)
trap 'rm -r "$temporary"' EXIT

fetch() { # package@version, then pairs of a file in the package and where it goes
    local package=$1 folder
    shift
    folder=$(mktemp -d -p "$temporary")
    (cd "$folder" && npm pack --silent "$package" >/dev/null && tar -xzf ./*.tgz)
    while [ $# -gt 0 ]; do
        cp "$folder/package/$1" "$2"
        shift 2
    done
}

fetch htmx.org@2.0.11 dist/htmx.min.js $served/htmx.min.js LICENSE $served/htmx.LICENSE
fetch uplot@1.6.32 dist/uPlot.iife.min.js $served/uplot.min.js dist/uPlot.min.css $served/uplot.min.css LICENSE $served/uplot.LICENSE
fetch axe-core@4.14.1 axe.min.js $tested/axe.min.js LICENSE $tested/axe.LICENSE
sha256sum --check --strict deploy/vendor.sha256
