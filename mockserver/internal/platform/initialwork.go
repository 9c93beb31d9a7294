package platform

// initialWork is the work of all new requests. Requests are held by the hundred thousand, and most of them wait: with a
// work of its own, each would take half as much memory again; see bench/README.md.
var initialWork = new(work)

// update changes what has become of the request, and returns what that was before. The work is replaced, since several
// requests may have it in common.
func (rec *record) update(change func(*work)) (before *work) {
	before = rec.work
	next := *before
	change(&next)
	rec.work = &next
	return before
}
