#!/usr/bin/env bash
# Takes RapiDoc out of its npm package, and keeps it only if it has the hashes in SHA256SUMS.
set -euo pipefail
version=9.3.8
target=$(cd "$(dirname "$0")/../webhook_service/contract/page/rapidoc" && pwd)
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

cd "$work"
tar -xzf "$(npm pack --silent "rapidoc@$version")"
cp package/LICENSE.txt package/dist/rapidoc-min.js package/dist/rapidoc-min.js.LICENSE.txt .
sha256sum --check --strict "$target/SHA256SUMS"
cp LICENSE.txt rapidoc-min.js rapidoc-min.js.LICENSE.txt "$target"
