#!/bin/sh
# print-next-steps.sh FILE: how to send the running containers a delivery and read it back with the secrets in the
# env file, which are read when the lines run and are not shown.
set -eu
file=$1
url=http://$(docker compose port nginx 8080 | sed 's/^0\.0\.0\.0:/localhost:/')
cat <<END

A delivery, signed with WEBHOOK_SECRET:

body='{"message_id":"hello-$(date +%s)","from":"+4915112345678","to":"+4930123456","ts":"$(date -u +%FT%TZ)","text":"Hello"}'
signature=\$(printf %s "\$body" | openssl dgst -sha256 -r -hmac "\$(sed -n 's/^WEBHOOK_SECRET=\\(.\\)/\\1/p' $file)" | cut -d ' ' -f 1)
curl $url/webhook -H "X-Signature: \$signature" -H 'Content-Type: application/json' -d "\$body"

or, without openssl:

docker compose exec app webhook-service send --url http://nginx:8080 --text 'Hello'

What is stored:

curl $url/messages -H "Authorization: Bearer \$(sed -n 's/^API_TOKEN=\\(.\\)/\\1/p' $file)"

END
