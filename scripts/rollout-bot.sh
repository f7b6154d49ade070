#!/bin/sh
# The rollout bot: tells the router what it cannot count (open P0 and P1 issues), has it decide about each release's
# plan, and prints the report. .github/workflows/rollout.yml runs it each hour; a person can as well.
#
#   CARO_TOKEN   a token of the role bot (required)
#   CARO_API     the router, https://api.caro.sh if unset
#   RELEASES     names, separated by blanks; every release that has a plan if unset
#   ISSUES       `p0_open=0 p1_open=2`: numbers to be told first, if set
#   DRY_RUN      1: decide, but do nothing
#
# The router itself decides each hour, too: this neither adds a way to advance nor takes one away. Exit codes: 0 done,
# 1 a call failed, 2 usage, 3 something is critical.
set -eu

api=${CARO_API:-https://api.caro.sh}
[ -n "${CARO_TOKEN-}" ] || {
  echo "rollout-bot: set CARO_TOKEN to a token of the role bot (POST /admin/tokens mints one)" >&2
  exit 2
}
command -v jq >/dev/null || {
  echo "rollout-bot: jq is needed" >&2
  exit 2
}

# METHOD PATH [BODY]: prints the answer's body; an error goes to stderr with what the router says. The token is
# handed over by a file descriptor, so that no list of processes shows it.
call() {
  answer=$(printf 'header = "Authorization: Bearer %s"\n' "$CARO_TOKEN" |
    curl -sS --max-time 30 --retry 2 --config - -X "$1" -H 'Content-Type: application/json' \
      -w '\n%{http_code}' ${3+--data "$3"} "$api$2") || return 1
  status=${answer##*
}
  body=${answer%
*}
  case $status in
    2??) printf '%s\n' "$body" ;;
    *)
      printf 'rollout-bot: %s %s: %s %s\n' "$1" "$2" "$status" \
        "$(printf '%s' "$body" | jq -r '.detail // .' 2>/dev/null || printf '%s' "$body")" >&2
      return 1
      ;;
  esac
}

worst=0
names=${RELEASES-}
if [ -z "$names" ]; then
  looked=$(call GET /status.json)
  names=$(printf '%s' "$looked" | jq -r '.releases[].name')
fi
query=
[ "${DRY_RUN:-0}" = 0 ] || query='?dry_run=1'

for name in $names; do
  # A release without a plan is steered by hand.
  if [ -z "${RELEASES-}" ] && ! call GET "/rollout/$name/plan" >/dev/null 2>&1; then
    continue
  fi
  if [ -n "${ISSUES-}" ]; then
    # shellcheck disable=SC2086 # several words
    numbers=$(printf '%s\n' $ISSUES | jq -Rn '[inputs | split("=") | {(.[0]): (.[1] | tonumber)}] | add')
    call POST "/rollout/$name/signals" "{\"numbers\":$numbers,\"reason\":\"rollout bot\"}" >/dev/null || worst=1
  fi
  if decision=$(call POST "/rollout/$name/evaluate$query" '{"reason":"rollout bot"}'); then
    printf '%s\n' "$decision" | jq -r '.decision | "Decision: \(.done) (\(.why))",
      (.gates[]? | "- \(.gate): \(.verdict), \(.why)"), (.halts[]? | "- halt \(.halt): \(.why)"),
      (if .suggestion then "Suggested: \(.suggestion)" else empty end)'
    echo
  else
    worst=1
  fi
  if report=$(call GET "/rollout/$name/report?kind=status"); then
    printf '%s\n' "$report" | jq -r .text
    [ "$(printf '%s' "$report" | jq -r .daily.light)" != critical ] || [ "$worst" = 1 ] || worst=3
  else
    worst=1
  fi
done
exit "$worst"
