# The upgrade script alone, which is the first argument and on, as people run it: what it leaves is the result, and its exit
# status says whether there is one.
if [ -n "$UPGRADEMOCK_DATABASE" ]; then
	"$@" "$UPGRADEMOCK_AIM" -d "$UPGRADEMOCK_DATABASE" -r "$UPGRADEMOCK_NEW_DATABASE" -t "$UPGRADEMOCK_TARGET"
else
	"$@" "$UPGRADEMOCK_AIM" -i "$UPGRADEMOCK_DUMP" -c "$UPGRADEMOCK_CONTRACT" -t "$UPGRADEMOCK_TARGET"
fi
status=$?
for result in "$(dirname "$UPGRADEMOCK_DUMP")"/upgraded.dump "$(dirname "$UPGRADEMOCK_DUMP")"/upgrade*.zip; do
	[ ! -e "$result" ] || mv "$result" "$UPGRADEMOCK_OUT"
done
exit $status
