# A wrapper of the upgrade script, which is the first argument and on. It goes by what comes back, not by the script's
# exit status, and runs the script again as long as it has a token to go on with. $BUG makes it one of the wrappers that
# people have.
set -u
export TMPDIR="$PWD/tmp" HOME="$PWD" SSH_KEY_NAME="$UPGRADEMOCK_SSH_KEY"
mkdir -p tmp
cp -p "$UPGRADEMOCK_DUMP" db.dump

upgrade() {
	yes | "$@" "$UPGRADEMOCK_AIM" -i db.dump -c "$UPGRADEMOCK_CONTRACT" -t "$UPGRADEMOCK_TARGET"
}

for attempt in 1 2 3 4; do
	upgrade "$@"
	status=$?
	[ "${BUG-}" = status ] && exit $status
	if [ "${BUG-}" = new-request ]; then # it thinks that a token is of no use
		rm -f tmp/odoo-upgrade-*
	fi
	for result in upgraded.zip upgrade.zip upgraded.dump; do
		[ "${BUG-}" = one-name ] && [ $result != upgraded.zip ] && continue
		if [ -e $result ]; then
			mv $result "$UPGRADEMOCK_OUT"
			exit 0
		fi
	done
	ls tmp/odoo-upgrade-* >/dev/null 2>&1 || [ "${BUG-}" = new-request ] || break # there is nothing to go on with
	sleep $((attempt / 2))
done
[ "${BUG-}" = leaves-log ] && cp upgrade.log "$UPGRADEMOCK_OUT"
echo 'There is no upgraded dump.' >&2
exit 1
