#!/usr/bin/env bash
# The `nats` command line against a server: core, streams, consumers, and its bench in both forms. Usage: nats_cli.sh NATS PORT
set -uo pipefail
export XDG_CONFIG_HOME
XDG_CONFIG_HOME=$(mktemp -d)
trap 'rm -rf "$XDG_CONFIG_HOME"' EXIT
nats=("$1" --server "nats://127.0.0.1:$2" --no-context --timeout 10s)
failed=0

check() { # NAME EXPECTED ACTUAL
  if [[ "$3" == *"$2"* ]]; then
    echo "ok   nats $1"
  else
    failed=$((failed + 1))
    echo "FAIL nats $1: expected '$2', got '${3//$'\n'/ }'"
  fi
}

nats() { timeout 60 "${nats[@]}" "$@" 2>&1; }

# What a client that was started says; it is left alone once it has said that it listens.
listen() { # WORD… of the client
  exec {said}< <(exec timeout 30 "${nats[@]}" "$@" 2>&1)
  local line=
  until [[ "$line" == *istening* || "$line" == *Subscribing* || "$line" == *"to stop"* ]]; do
    read -r -t 10 line <&"$said" || line="listening never"
  done
}

# Waits until requests are answered, or whoever was started last has ended.
answered() { # SUBJECT
  until [[ "$(nats request "$1" x)" == *Received* ]]; do kill -0 "$!" 2>/dev/null || break; done
}

listen sub 'cli.*' --count 2
# It may not listen yet when it says so; it ends after two messages, or by its time limit.
while kill -0 "$!" 2>/dev/null; do published=$(nats pub cli.a 'hello'); done
check "pub" "Published" "$published"
check "sub" "hello" "$(cat <&"$said")"

listen reply cli.echo --echo
answered cli.echo
check "request" "to be said again" "$(nats request cli.echo 'to be said again')"

check "stream add" "Stream CLI was created" "$(nats stream add CLI --subjects 'cli.s.>' --storage file --defaults)"
check "pub to a stream" "Stream: CLI" "$(nats pub --jetstream cli.s.a 'one of ten' --count 10)"
check "stream info" "Messages: 10" "$(nats stream info CLI)"
check "stream get" "one of ten" "$(nats stream get CLI 3)"
check "consumer add" "Pending" "$(nats consumer add CLI pulled --pull --defaults)"
check "consumer next" "one of ten" "$(nats consumer next CLI pulled --count 4)"
check "consumer info" "Unprocessed Messages: 6" "$(nats consumer info CLI pulled)"
nats consumer add CLI pushed --target cli.deliver --defaults >/dev/null
check "a push consumer" "one of ten" "$(nats sub cli.deliver --count 10)"
check "stream rmm" "Messages: 9" "$(nats stream rmm CLI 2 -f; nats stream info CLI)"
check "stream purge" "Messages: 0" "$(nats stream purge CLI -f)"
nats stream rm CLI -f >/dev/null
check "stream rm" "No Streams" "$(nats stream ls)"
check "kv" "kept" "$(nats kv add CLI >/dev/null; nats kv put CLI key kept >/dev/null; nats kv get CLI key --raw; nats kv del CLI -f >/dev/null)"
check "account info" "JetStream" "$(nats account info)"

# Its bench: all of a kind that nats-server 2.11 has, too (it has neither `atomic` nor `fast`).
few=(--msgs 5000 --size 64 --no-progress)
many=(--msgs 50000 --size 64 --no-progress)
nats bench sub cli.bench --clients 2 "${few[@]}" >"$XDG_CONFIG_HOME/sub" &
subscribers=$!
# Whoever subscribes late hears what is published then.
while kill -0 "$subscribers" 2>/dev/null; do published=$(nats bench pub cli.bench "${few[@]}"); done
check "bench pub" "msgs/sec" "$published"
check "bench sub" "msgs/sec" "$(<"$XDG_CONFIG_HOME/sub")"
listen bench service serve cli.service --size 64 --no-progress
answered cli.service
check "bench service" "msgs/sec" "$(nats bench service request cli.service "${few[@]}")"
check "bench js pub sync" "msgs/sec" "$(nats bench js pub sync cli.js --create "${few[@]}")"
check "bench js pub async" "msgs/sec" "$(nats bench js pub async cli.js --purge "${many[@]}")"
for what in ordered consume fetch "get sync"; do
  # shellcheck disable=SC2086  # one word or two
  check "bench js $what" "msgs/sec" "$(nats bench js $what "${few[@]}")"
done
check "bench kv put" "msgs/sec" "$(nats bench kv put "${few[@]}")"
check "bench kv get" "msgs/sec" "$(nats bench kv get "${few[@]}")"
nats stream rm benchstream -f >/dev/null
nats kv del benchbucket -f >/dev/null
check "no streams are left" "No Streams" "$(nats stream ls)"
exit "$failed"
