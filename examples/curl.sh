#!/usr/bin/env bash
# REST with curl and jq: creates a room, invites a user, sends messages, retries one of them without storing it twice,
# and reads the history page by page.
#
#   CHAT_TOKEN=... bash curl.sh [URL]        the token needs level 100, the minimum for creating rooms
set -euo pipefail

url=${1:-http://127.0.0.1:7777}
ben=bbbbbbbb-0000-4000-8000-000000000002

# call METHOD PATH [curl's options]: prints the response. An error response goes to stderr and ends the script.
call() {
  local response
  response=$(curl --silent --show-error --fail-with-body --max-time 20 --request "$1" "$url$2" "${@:3}" \
    --header "Authorization: Bearer $CHAT_TOKEN" --header 'Content-Type: application/json') || {
    printf '%s\n' "$response" >&2
    exit 1
  }
  printf '%s\n' "$response"
}

# send CLIENT_MSG_ID CONTENT: if you get no response, or 429, 500 or 503, call it again with the same arguments. The
# message is stored once.
send() {
  call POST "/rooms/$room/messages" \
    --data "$(jq --null-input --arg id "$1" --arg content "$2" '{ $content, client_msg_id: $id }')" |
    jq --raw-output '"\(.meta.code): seq \(.content.seq)\(if .meta.duplicate then ", a duplicate" else "" end)"'
}

room=$(call POST /rooms --data '{ "name": "Launch" }' | jq .content.room.id)
echo "Room $room"

call PUT "/rooms/$room/members" --data "{ \"userUUID\": \"$ben\", \"permissions\": \"rw\" }" |
  jq --raw-output '.content | "\(.entity_UUID) may \(.permissions)"'

send one 'Fueled up and ready to go'
send two 'Go!'
send two 'Go!'
send three 'Lift-off'

echo 'The history, two messages per page, newest page first:'
before=
while :; do
  page=$(call GET "/rooms/$room/messages?limit=2${before:+&before=$before}")
  jq --raw-output '.content[] | "\(.seq) \(.content)"' <<<"$page"
  [[ $(jq .meta.has_more <<<"$page") == true ]] || break
  before=$(jq '.content[0].seq' <<<"$page")
done
