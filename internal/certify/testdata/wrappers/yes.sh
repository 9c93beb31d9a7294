# A wrapper of the upgrade script, which is the first argument and on. It goes by what comes back, not by the script's
# exit status, and runs the script again as long as it has a token to go on with. $BUG makes it one of the wrappers that
# people have.
set -u
bug=${BUG-}
case $bug in
ssh-options) # so that no host key is ever asked about
	printf '#!/bin/sh\nexec %s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "$@"\n' "$(command -v ssh)" >ssh
	chmod +x ssh
	PATH=$PWD:$PATH
	;;
forgets) # a directory for temporary files that does not last
	TMPDIR=$(mktemp -d)
	trap 'rm -rf "$TMPDIR"' EXIT TERM
	;;
stale) rm -f "$TMPDIR"/odoo-upgrade-* ;; # "the script hangs when there is a token"
other-target) UPGRADEMOCK_TARGET=17.0 ;;
esac

if [ -n "$UPGRADEMOCK_DATABASE" ]; then
	what="-d $UPGRADEMOCK_DATABASE -r $UPGRADEMOCK_NEW_DATABASE"
	[ "$bug" = other-name ] && what="-d $UPGRADEMOCK_DATABASE"
else
	what="-i $UPGRADEMOCK_DUMP -c $UPGRADEMOCK_CONTRACT"
fi
folder=$(dirname "$UPGRADEMOCK_DUMP")

upgrade() {
	# shellcheck disable=SC2086 # several words
	set -- "$@" "$UPGRADEMOCK_AIM" $what -t "$UPGRADEMOCK_TARGET"
	case $bug in
	asks) "$@" 2>log ;;
	pipefail) bash -o pipefail -c 'yes y | "$@" 2>log' bash "$@" ;;
	*) yes | "$@" 2>log ;;
	esac
	code=$?
	case $bug in
	silent) ;;
	prints-token) cat log >&2 ;;
	*) sed 's/[[:alnum:]_-]\{58\}/TOKEN/g' log >&2 ;;
	esac
	return $code
}

restored() {
	psql -X -A -t -d postgres -c 'SELECT datname FROM pg_database' | grep -qx "$UPGRADEMOCK_NEW_DATABASE"
}

for attempt in 1 2 3 4; do
	upgrade "$@" >out
	status=$?
	cat out
	case $bug in
	status | pipefail) # with what came back, if something did
		for result in "$folder"/upgraded.*; do [ -e "$result" ] && mv "$result" "$UPGRADEMOCK_OUT"; done
		exit $status
		;;
	sentence) # which it says nowhere
		for result in "$folder"/upgraded.*; do [ -e "$result" ] && mv "$result" "$UPGRADEMOCK_OUT"; done
		grep -q 'Upgrade finished successfully' out
		exit
		;;
	report) [ -e "$folder/upgrade-report.html" ] || grep -q 'rsync' log && exit 0 ;; # it got as far as the download
	new-request) rm -f "$TMPDIR"/odoo-upgrade-* ;; # "the token is of no use"
	esac
	if [ -n "$UPGRADEMOCK_DATABASE" ]; then
		restored && exit
	fi
	for result in upgraded.zip upgrade.zip upgraded.dump; do
		[ "$bug" = one-name ] && [ $result != upgraded.zip ] && continue
		if [ -z "$UPGRADEMOCK_DATABASE" ] && [ -e "$folder/$result" ]; then
			mv "$folder/$result" "$UPGRADEMOCK_OUT"
			exit 0
		fi
	done
	case $bug in
	new-request | again) continue ;; # also after a failure
	for-ever) while upgrade "$@" >out; do sleep 0.1; done ;;
	esac
	ls "$TMPDIR"/odoo-upgrade-* >/dev/null 2>&1 || break # there is nothing to go on with
	[ "$bug" = once ] && break
	sleep $((attempt / 2))
done
[ "$bug" = leaves-log ] && cp "$folder/upgrade.log" "$UPGRADEMOCK_OUT"
echo 'There is no upgraded dump.' >&2
[ "$bug" = warns ] && exit 0
exit 1
