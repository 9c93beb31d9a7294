#!/bin/sh
# A good client with curl, jq and sftp; the upgraded dump comes with wget. PATIENCE is how often it tries what fails (default 10).
set -u
base=${BASE_OF_CLIENT:-https://upgrade.odoo.com}/database/v1
patience=${PATIENCE:-10}
login=

fail() {
    echo "$1" >&2
    exit 1
}

# call METHOD CURL-ARGUMENT... leaves the answer in answer.json. It returns 1 where trying again may help, and ends the client where it does not.
call() {
    method=$1
    shift
    (umask 077 && printf 'url = "%s"\n' "$base/$method$login" >url)
    : >answer.json
    code=$(curl -sS --max-time 10 -o answer.json -D headers -w '%{http_code}' -K url "$@" 2>curl.err) || return 1
    if [ "$code" -ge 500 ]; then
        after=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]*\).*/\1/p' headers)
        sleep "${after:-1}"
        return 1
    fi
    jq -e '.failures | type == "array"' answer.json >/dev/null 2>&1 || return 1
    [ "$(jq '.failures | length' answer.json)" = 0 ] && return 0
    jq -e 'all(.failures[]; .reason == "SERVER:ERROR")' answer.json >/dev/null && return 1
    fail "$(jq -r '.failures[] | "\(.reason): \(.message)"' answer.json)"
}

# again METHOD ... tries until it works or patience is lost.
again() {
    tries=1
    until call "$@"; do
        [ $tries -ge "$patience" ] && return 1
        echo "$1: no answer, trying again"
        sleep $tries
        tries=$((tries + 1))
    done
}

call create -G --data-urlencode "contract=$UPGRADEMOCK_CONTRACT" --data-urlencode "email=$UPGRADEMOCK_EMAIL" \
    --data-urlencode "target=$UPGRADEMOCK_TARGET" --data-urlencode "aim=$UPGRADEMOCK_AIM" \
    --data-urlencode "filename=$(basename "$UPGRADEMOCK_DUMP")" || fail "create: no answer"
login=$(jq -r '"?request=\(.request.id)&key=\(.request.key)"' answer.json)
again status || fail "status: no answer"

if [ "$UPGRADEMOCK_VIA" = sftp ]; then
    sendings=1
    while :; do
        again request_sftp_access -F "ssh_keys=@$UPGRADEMOCK_SSH_PUB" || fail "request_sftp_access: no answer"
        user=$(jq -r '"\(.request.sftp_user)@\(.request.hostname)"' answer.json)
        echo "put -a \"$UPGRADEMOCK_DUMP\" \"$(jq -r .request.shared_file answer.json)\"" >commands
        sftp -q -b commands -P "$(jq -r .request.sftp_port answer.json)" -i "$UPGRADEMOCK_SSH_KEY" -o IdentitiesOnly=yes \
            -o StrictHostKeyChecking=yes -o "UserKnownHostsFile=$UPGRADEMOCK_KNOWN_HOSTS" "$user" >sftp.out 2>&1 && break
        grep -q 'HOST IDENTIFICATION HAS CHANGED' sftp.out && fail "the host key has changed"
        [ $sendings -ge "$patience" ] && fail "the dump could not be sent: $(tail -n 1 sftp.out)"
        sleep $sendings
        sendings=$((sendings + 1))
    done
else
    again upload --max-time 600 -H "Content-Type: application/octet-stream" --data-binary "@$UPGRADEMOCK_DUMP" || fail "upload: given up"
fi
again status || fail "status: no answer"

call process || {
    again status || fail "status: no answer"
    [ "$(jq -r .request.state answer.json)" != draft ] || again process || fail "process: given up"
}
while :; do
    again status || fail "status: given up"
    state=$(jq -r .request.state answer.json)
    echo "state: $state"
    case $state in
    done | delivered) break ;;
    invalid) fail "$(jq -r .request.customer_message answer.json)" ;;
    esac
    sleep 1
done
(umask 077 && jq -r .request.upgraded_dump_url answer.json >dump.url)
tries=1
until wget -q --continue --tries=1 --timeout=10 --ca-certificate="$UPGRADEMOCK_CA_FILE" -O upgraded -i dump.url; do
    [ $tries -ge "$patience" ] && fail "download: given up"
    sleep $tries
    tries=$((tries + 1))
done
mv upgraded "$UPGRADEMOCK_OUT"
