#!/bin/sh
# From plan to drain with curl: sh examples/worker/plan-to-drain.sh SOCKET MODEL
# SOCKET: of a worker that takes models from where MODEL lies (--root), without tokens.
set -eu
socket=$1
model=$2

# call METHOD PATH [BODY]: what was asked, on stderr; what was answered, on stdout.
call() {
  echo "$1 $2${3:+ $3}" >&2
  curl --silent --show-error --fail-with-body --max-time 60 --unix-socket "$socket" --request "$1" \
    ${3:+--header 'content-type: application/json' --data "$3"} "http://localhost$2"
  echo
}

plan=$(call POST /v1/plan "{\"model\": {\"path\": \"$model\"}}")
echo "$plan"
reservation=$(echo "$plan" | sed -n 's/.*"reservationId":"\([^"]*\)".*/\1/p')

call POST /v1/models "{\"name\": \"demo\", \"path\": \"$model\", \"reservationId\": \"$reservation\"}"
until call GET /v1/models/demo 2> /dev/null | grep -q '"state":"ready"'; do sleep 0.1; done

call POST /v1/models/demo/verify '{}'
call GET /v1/status
call DELETE /v1/models/demo
call POST /v1/drain '{}'
