#!/bin/sh
# Writes random secrets for docker-compose.yml to ./secrets, or to the directory in the first argument. It never replaces a
# file: to sign with a secret that your backend already has, write it to secrets/jwt-secret first.
set -eu

directory=${1:-secrets}
umask 077
mkdir -p "$directory"
# The containers read the files as different users, so the directory is what keeps others out.
chmod 700 "$directory"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# keep NAME TEXT: writes the file unless it exists, and prints its content.
keep() {
  if [ ! -e "$directory/$1" ]; then
    printf '%s' "$2" >"$directory/$1"
    echo "wrote $directory/$1" >&2
  fi
  chmod 644 "$directory/$1"
  cat "$directory/$1"
}

keep jwt-secret "$(random)" >/dev/null
postgres=$(keep postgres-password "$(random)")
keep database-url "postgres://chat:$postgres@postgres:5432/chat" >/dev/null
conf=$(keep redis-conf "$(printf 'requirepass %s\nsave ""\nappendonly no' "$(random)")")
redis=$(printf '%s\n' "$conf" | sed -n 's/^requirepass //p')
keep redis-url "redis://:$redis@redis:6379" >/dev/null
