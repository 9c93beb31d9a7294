# A wrapper of the upgrade script, which is the first argument and on. It upgrades a database without the script's restore
# (-x): when the upgrade is done it calls the script's subcommand restore, with the token, and merges the filestore
# itself. $BUG = no-merge leaves that out.
set -u
token=$HOME/token stores=$HOME/.local/share/Odoo/filestore
old=$UPGRADEMOCK_DATABASE new=$UPGRADEMOCK_NEW_DATABASE

masked() { sed 's/[[:alnum:]_-]\{58\}/TOKEN/g' >&2; }
keep() { cat "$TMPDIR"/odoo-upgrade-* >"$token.new" 2>/dev/null && mv "$token.new" "$token"; }
state() { "$@" status -t "$(cat "$token")" 2>/dev/null | cut -d ' ' -f 1; }

if [ ! -e "$token" ]; then
	"$@" "$UPGRADEMOCK_AIM" -d "$old" -x -t "$UPGRADEMOCK_TARGET" </dev/null >out 2>err &
	upgrade=$!
	while kill -0 $upgrade 2>/dev/null; do # the token is gone when the script ends
		keep
		sleep 0.1
	done
	masked <err
fi
[ -e "$token" ] || exit 1
while :; do
	case $(state "$@") in
	PENDING | PROGRESS) sleep 0.2 ;;
	DONE) break ;;
	*) exit 1 ;;
	esac
done
rm -rf upgraded.dump filestore
"$@" restore -t "$(cat "$token")" -d "$old" -r "$new" </dev/null >out 2>&1 || broken=yes
masked <out
[ -z "${broken-}" ] || exit 1 # the script leaves an empty database then
psql -X -A -t -d postgres -c 'SELECT datname FROM pg_database' | grep -qx "$new" || exit 1
if [ "${BUG-}" != no-merge ]; then
	cp -R "$stores/$old" "$stores/$new" && { [ ! -d filestore ] || cp -R filestore/. "$stores/$new/"; } || exit 1
fi
rm -f "$token"
