#!/usr/bin/env bash
# Does what MODE says with RUN and FLAGS, which are the action's inputs.
set -euo pipefail

fail() {
  echo "::error title=upgrademock::$1"
  exit 2
}

output() { echo "$1=$2" >> "$GITHUB_OUTPUT"; }

MODE=${MODE:-exec} RUN=${RUN:-} FLAGS=${FLAGS:-}

# Flags are split as a shell splits words: at blanks and line ends, with quotes and backslashes, and nothing else.
flags=()
split=$RUNNER_TEMP/upgrademock/flags
if [[ $FLAGS =~ [^[:space:]] ]]; then
  printf '%s\n' "$FLAGS" | xargs printf '%s\0' > "$split" || fail "flags: a quote has no end: $FLAGS"
  while IFS= read -r -d '' flag; do flags+=("$flag"); done < "$split"
fi

upgrademock=$RUNNER_TEMP/upgrademock/upgrademock
needs_run() { [ -n "$RUN" ] || fail "run is empty: wanted the commands to run with mode $MODE"; }

case "$MODE" in
  exec)
    needs_run
    exec "$upgrademock" exec ${flags[@]+"${flags[@]}"} -- bash -euo pipefail -c "$RUN"
    ;;

  certify)
    needs_run
    report=
    for i in ${flags[@]+"${!flags[@]}"}; do
      case "${flags[i]}" in
        --junit) report=${flags[i + 1]:-} ;;
        --junit=*) report=${flags[i]#--junit=} ;;
      esac
    done
    if [ -z "$report" ]; then
      report=$RUNNER_TEMP/upgrademock/certify.xml
      flags+=(--junit "$report")
    fi
    output report "$report"
    table=$RUNNER_TEMP/upgrademock/table
    status=0
    "$upgrademock" certify "${flags[@]}" -- bash -euo pipefail -c "$RUN" > "$table" || status=$?
    cat "$table"
    {
      echo '### upgrademock certify'
      echo
      echo '~~~text'
      cat "$table"
      echo '~~~'
    } >> "$GITHUB_STEP_SUMMARY"
    exit $status
    ;;

  service)
    [ -z "$RUN" ] || fail "with mode service the emulator runs for the steps that follow: give them the commands, and leave run out"
    directory=$(mktemp -d "$RUNNER_TEMP/upgrademock/service.XXXXXX")
    ready=$directory/ready.json log=$directory/serve.log
    nohup "$upgrademock" serve --http 127.0.0.1:0 --https 127.0.0.1:0 --sftp 127.0.0.1:0 --proxy 127.0.0.1:0 \
      ${flags[@]+"${flags[@]}"} --ready-file "$ready" > "$log" 2>&1 < /dev/null &
    emulator=$!
    until "$upgrademock" ready --wait 1s "$ready" 2>/dev/null; do
      if ! kill -0 $emulator 2>/dev/null; then
        cat "$log"
        fail "the emulator did not start"
      fi
    done
    value() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" "$ready"; }
    for key in url https_url admin_url proxy_url sftp_host sftp_port ca_file known_hosts_file; do
      output "${key//_/-}" "$(value $key)"
    done
    curl -fsS --noproxy '*' --cacert "$(value ca_file)" "$(value admin_url)/env" > "$directory/env.sh"
    output env "$directory/env.sh"
    output pid "$emulator"
    ;;

  *) fail "mode is '$MODE': choose exec, certify or service" ;;
esac
