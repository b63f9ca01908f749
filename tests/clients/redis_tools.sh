#!/usr/bin/env bash
# redis-cli and redis-benchmark against a server. Usage: redis_tools.sh PORT
set -uo pipefail
port=$1
failed=0

check() { # NAME EXPECTED ACTUAL
  if [[ "$3" == *"$2"* ]]; then
    echo "ok   $1"
  else
    failed=$((failed + 1))
    echo "FAIL $1: expected '$2', got '$3'"
  fi
}

for protocol in -2 -3; do
  cli=(redis-cli -p "$port" "$protocol")
  check "redis-cli $protocol PING" PONG "$("${cli[@]}" PING 2>&1)"
  check "redis-cli $protocol INFO" "redis_version:8." "$("${cli[@]}" INFO server 2>&1)"
  # One client subscribes, waits for its confirmation and is sent a message each way.
  coproc listener { exec timeout 10 "${cli[@]}" --csv PSUBSCRIBE 'news.*' 2>&1; }
  line=
  while [[ "$line" != '"'* ]]; do
    read -r -t 5 line <&"${listener[0]}" || line='"nothing"'
  done
  check "redis-cli $protocol PSUBSCRIBE" '"psubscribe","news.*",1' "$line"
  check "redis-cli $protocol PUBLISH" 1 "$("${cli[@]}" PUBLISH news.uk hello 2>&1)"
  read -r -t 5 line <&"${listener[0]}" || line="nothing"
  check "redis-cli $protocol message" '"pmessage","news.*","news.uk","hello"' "$line"
  kill "$listener_PID" 2>/dev/null
  wait "$listener_PID" 2>/dev/null
done

check "redis-benchmark -t ping" "PING_MBULK" "$(timeout 60 redis-benchmark -p "$port" -t ping -n 50000 -q 2>&1)"
check "redis-benchmark PUBLISH" "requests per second" \
  "$(timeout 60 redis-benchmark -p "$port" -n 200000 -P 32 -q PUBLISH channel message 2>&1)"
exit "$failed"
