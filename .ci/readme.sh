#!/usr/bin/env bash
#
# Runs the examples of README and other pages against a local stack, so that none of
# them can go stale unnoticed. An example is a console block under a marker:
#
#   <!-- ci:run -->           run as it stands
#   <!-- ci:run gcloud -->    run with gcloud pointed at the stack, by the very
#                             lines that the stack prints for that
#
# Lines that begin with "$ " are commands, "\" at their end goes on; each has to
# exit with 0. Other lines are expected of the output, in this order, with
# anything between; "..." in them stands for any text.

set -euo pipefail
(($#)) || { echo 'usage: readme.sh PAGE...' >&2; exit 2; }
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"

tmp=$(mktemp -d)
stack=''
# shellcheck disable=SC2317 # called by the trap
finish() {
  local code=$?
  if [[ -n $stack ]]; then
    kill "$stack" 2>/dev/null || true
    wait "$stack" 2>/dev/null || true
  fi
  rm -rf "$tmp"
  exit "$code"
}
trap finish EXIT
fail() {
  printf 'FAIL: %s\n' "$*"
  exit 1
}

# Not with "go run", which does not hand a signal on.
go build -o "$tmp/localstack" ./cmd/localstack
# What an example installs is found by the next one, and goes away at the end.
export GOBIN=$tmp/bin PATH=$tmp/bin:$PATH
export BERTH_LOCALSTACK_FILE=$tmp/state.json CLOUDSDK_CONFIG=$tmp/gcloud CLOUDSDK_CORE_DISABLE_PROMPTS=1
"$tmp/localstack" >"$tmp/log" 2>&1 &
stack=$!
for ((i = 0; ; i++)); do
  ! grep -q 'The stack is up' "$tmp/log" || break
  if ! kill -0 "$stack" 2>/dev/null || ((i == 1800)); then
    cat "$tmp/log"
    fail 'the local stack does not come up'
  fi
  sleep 0.1
done
sed -n 's/^ *\(export CLOUDSDK.*\)$/\1/p' "$tmp/log" >"$tmp/gcloud.env"
[[ -s $tmp/gcloud.env ]] || fail 'the stack does not say how to point gcloud at it'

ran=0
# one runs a command and holds the expected lines, which follow it, against its
# output.
one() { # kind, line, command, expected...
  local kind=$1 line=$2 command=$3 code=0 text pattern
  shift 3
  printf '%s:%d: $ %s\n' "$readme" "$line" "$command"
  if [[ $kind == gcloud ]]; then
    command=". $tmp/gcloud.env"$'\n'$command
  fi
  timeout 120 bash -euo pipefail -c "$command" >"$tmp/out" 2>&1 || code=$?
  sed -n '1,12s/^/    /p; 13s/.*/    [...]/p' "$tmp/out"
  ((code == 0)) || fail "$readme:$line: exit $code"
  exec 3<"$tmp/out"
  for text in "$@"; do
    [[ -n $text ]] || continue
    printf -v pattern '%q' "$text"
    pattern=${pattern//.../*}
    while :; do
      IFS= read -r -u 3 got || fail "$readme:$line: the output lacks, in this place: $text"
      # shellcheck disable=SC2053 # a pattern it is
      [[ $got != $pattern ]] || break
    done
  done
  exec 3<&-
  ran=$((ran + 1))
}

# flush runs what has been read of a block.
flush() {
  if [[ -n $command ]]; then
    one "$kind" "$at" "$command" ${expected[@]+"${expected[@]}"}
  fi
  command='' expected=()
}

for readme in "$@"; do
  before=$ran
  state=text kind='' command='' at=0 number=0 expected=()
  while IFS= read -r line <&4 || [[ -n $line ]]; do
    number=$((number + 1))
    case $state in
      text)
        if [[ $line =~ ^'<!-- ci:run'(\ ([a-z]+))?' -->'$ ]]; then
          kind=${BASH_REMATCH[2]:-plain} state=marked
          [[ $kind == plain || $kind == gcloud ]] || fail "$readme:$number: ci:run knows no \"$kind\""
        fi
        ;;
      marked)
        [[ $line == '```console' ]] || fail "$readme:$number: a console block is to follow the marker"
        state=block
        ;;
      block)
        if [[ $line == '```' ]]; then
          flush
          state=text
        elif [[ $command == *\\ && ${#expected[@]} == 0 ]]; then
          command=${command%\\}$line
        elif [[ $line == '$ '* ]]; then
          flush
          command=${line#'$ '} at=$number
        else
          [[ -n $command ]] || fail "$readme:$number: output of no command"
          expected+=("$line")
        fi
        ;;
    esac
  done 4<"$readme"
  [[ $state == text ]] || fail "$readme: the last block does not end"
  # Markers that are misspelt find nothing, and nothing fails.
  ((ran > before)) || fail "$readme has no example to run"
done

kill "$stack"
code=0
wait "$stack" || code=$?
stack=''
((code == 0)) || fail "the local stack stops with $code"
printf '%d examples of %s ran\n' "$ran" "$*"
