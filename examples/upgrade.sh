#!/bin/sh
# Upgrades a database dump by the documented way, with curl, jq and sftp: create, upload, process, poll, download.
#
#   upgrade.sh DUMP OUT
#
# Settings come from the environment:
#   CONTRACT, EMAIL, TARGET, AIM   what create is given
#   VIA                            https (default) or sftp: how the dump is sent
#   SSH_KEY                        for sftp: the private key to log in with; its public half is in SSH_KEY.pub
#   KNOWN_HOSTS                    for sftp: a known_hosts file (default: ssh's own)
#   POLL                           seconds between two polls (default 60)
set -u

dump=$1
out=$2
base=https://upgrade.odoo.com/database/v1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

login= # the request's id and key, once there is one

# call METHOD CURL-ARGUMENT... calls a method and leaves its answer in $work/answer. It fails when the platform cannot be reached, or
# answers anything but its JSON.
call() {
    method=$1
    shift
    # The key opens everything: curl gets the address from a file that only we can read, never from a command line that all can see.
    (umask 077 && printf 'url = "%s"\n' "$base/$method$login" >"$work/url")
    curl -sS --max-time 60 -o "$work/answer" -K "$work/url" "$@" &&
        jq -e '.failures | type == "array"' "$work/answer" >/dev/null 2>&1
}

# failures prints what the platform refuses, if anything.
failures() { jq -r '.failures[] | "\(.reason): \(.message)"' "$work/answer"; }

# must METHOD CURL-ARGUMENT... is a call that has to succeed.
must() {
    if ! call "$@"; then
        echo "$1: the platform gave no answer" >&2
        exit 1
    fi
    if [ -n "$(failures)" ]; then
        failures >&2
        exit 1
    fi
}

must create --data-urlencode "contract=$CONTRACT" --data-urlencode "email=$EMAIL" --data-urlencode "target=$TARGET" \
    --data-urlencode "aim=$AIM" --data-urlencode "filename=$(basename "$dump")"
request=$(jq -r .request.id "$work/answer")
login=$(jq -r '"?request=\(.request.id)&key=\(.request.key)"' "$work/answer")
echo "request $request was created"

if [ "${VIA:-https}" = sftp ]; then
    must request_sftp_access -F "ssh_keys=@$SSH_KEY.pub"
    port=$(jq -r .request.sftp_port "$work/answer")
    user=$(jq -r '"\(.request.sftp_user)@\(.request.hostname)"' "$work/answer")
    file=$(jq -r .request.shared_file "$work/answer")
    sent=no
    for attempt in 1 2 3 4 5; do
        # The first attempt begins at 0, since that is all there is: put -a continues where the last one was broken off.
        if echo "put -a \"$dump\" \"$file\"" | sftp -q -b - -P "$port" -i "$SSH_KEY" -o IdentitiesOnly=yes \
            ${KNOWN_HOSTS:+-o "UserKnownHostsFile=$KNOWN_HOSTS"} "$user" >/dev/null; then
            sent=yes
            break
        fi
        sleep "$attempt"
    done
    if [ $sent = no ]; then
        echo "the dump could not be sent" >&2
        exit 1
    fi
else
    must upload --max-time 36000 -H "Content-Type: application/octet-stream" --data-binary "@$dump"
fi
echo "the dump was sent"

must process

while :; do
    if ! call status; then
        echo "no answer, asking again"
    elif [ -z "$(failures)" ]; then
        state=$(jq -r .request.state "$work/answer")
        echo "state: $state"
        case $state in
        done | delivered) break ;;
        invalid)
            jq -r '.request.customer_message // "the platform does not say why"' "$work/answer" >&2
            exit 1
            ;;
        esac
    elif jq -e 'all(.failures[]; .reason == "SERVER:ERROR")' "$work/answer" >/dev/null; then
        echo "the platform has trouble, asking again"
    else
        failures >&2
        exit 1
    fi
    sleep "${POLL:-60}"
done

(umask 077 && jq -r '"url = \"\(.request.upgraded_dump_url)\""' "$work/answer" >"$work/url")
part=$(mktemp "$out.XXXXXX") || exit 1 # a name that nobody else has, in the same folder
if ! curl -sSf -K "$work/url" -o "$part"; then
    rm -f "$part"
    echo "the upgraded dump could not be downloaded" >&2
    exit 1
fi
mv "$part" "$out"
echo "the upgraded dump is in $out"
