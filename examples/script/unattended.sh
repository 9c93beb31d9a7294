#!/bin/sh
# Upgrades a dump or a database with the upgrade script while nobody is there to answer its questions, and says by its exit
# status what became of it: 0 for an upgraded one, 1 for an upgrade that failed or was refused, 2 for one that may be gone on
# with by the same command.
#
#   unattended.sh DUMP TARGET [OUT]
#   unattended.sh -d DATABASE TARGET NEW
#
# The upgraded dump is moved to OUT; without OUT it stays in the folder of DUMP, as upgraded.zip or upgraded.dump. The upgraded
# database is restored as NEW. The environment:
#   CONTRACT        the contract; that of a database comes first
#   AIM             test (default) or production
#   SCRIPT          the script and its interpreter (default: python3 upgrade)
#   STATE           a folder that lasts, for the script's token, key and log (default: .upgrade beside DUMP, or here)
#   TRIES           how often a broken transfer is tried again (default 3)
#
# The script ends with exit status 0 whatever comes of the upgrade, and its sentences change. What does not change is what it
# leaves behind: the token of an upgrade that is not over, and the result of one that went well. The script also prints the
# token, with which everybody can fetch the database: it stays in STATE, which is private, and is not shown.
set -u
umask 077

results="upgraded.zip upgraded.dump upgrade.zip" # the names under which results are known to come

if [ "$1" = -d ]; then
    database=$2 target=$3 new=$4
    folder=$PWD
    set -- -d "$database" -r "$new" ${CONTRACT:+-c "$CONTRACT"}
else
    dump=$1 target=$2 out=${3:-} database=
    folder=$(CDPATH='' cd -- "$(dirname -- "$dump")" && pwd) || exit 1
    set -- -i "$dump" -c "$CONTRACT"
fi
state=${STATE:-$folder/.upgrade}
mkdir -p "$state" || exit 1

# The token of an upgrade that is not over. The folder is ours, so there is none of another dump.
unfinished() {
    for file in "$state"/odoo-upgrade-*; do
        [ -e "$file" ] && return
    done
    return 1
}

# What an earlier run left is moved out of the way, so that it cannot be taken for the result of this one.
if ! unfinished; then
    for name in $results filestore upgrade-report.html upgrade.log; do
        [ ! -e "$folder/$name" ] || { rm -rf "$folder/$name.old" && mv "$folder/$name" "$folder/$name.old"; } || exit 1
    done
fi

tries=${TRIES:-3}
while [ "$tries" -gt 0 ]; do
    tries=$((tries - 1))
    rm -f "$state/status"
    # The answer to "Resume?"; where there is no question, nobody reads it. What the script says goes to its log, and here.
    echo y | {
        { TMPDIR=$state ${SCRIPT:-python3 upgrade} "${AIM:-test}" "$@" -t "$target" || echo $? >"$state/status"; } 2>&1 >&3 |
            tee "$state/log" | sed 's/[[:alnum:]_-]\{40,\}/[token]/g' >&2
    } 3>&1
    unfinished || break
done

if unfinished; then
    echo "unattended.sh: the upgrade is not over; run the same command to go on. If the platform knows it no more, as the" \
        "lines above say then, begin anew: remove $(ls -d "$state"/odoo-upgrade-*) before" >&2
    exit 2
fi
if [ -n "$database" ]; then
    # A restore that broke leaves a database, and is one of the few things that the script's exit status tells.
    if [ ! -e "$state/status" ] && psql -X -A -t -d postgres -c 'SELECT datname FROM pg_database' | grep -qxF -- "$new"; then
        exit 0
    fi
    echo "unattended.sh: the database $new was not restored; see $state/log" >&2
    exit 1
fi
for name in $results; do
    if [ -e "$folder/$name" ]; then
        [ -z "$out" ] || exec mv "$folder/$name" "$out"
        exit 0
    fi
done
echo "unattended.sh: no upgraded dump came back; see $state/log" >&2
exit 1
