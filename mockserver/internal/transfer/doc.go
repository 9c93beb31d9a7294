// Package transfer is the SSH server of the script API's transfers: for each transfer/start a port at which the one
// key of the request logs in, as the user odoo, and runs rsync, and nothing else.
//
// # One transfer
//
// [Host.Start] opens a port of its own for a transfer, and answers it together with the text that ssh is to trust. A
// second Start of the same request replaces the first: its port is gone, and what it has received stays. A transfer
// ends by [Host.Stop], by [Host.End] when its request leaves the state that allowed it, and by itself when nothing has
// moved in it for [Options.Timeout]. Its port then refuses connections, and what runs in it is broken off.
//
// Time without traffic goes by two clocks (assumed). While a session runs, real time counts, since its bytes take real
// time. While none does, the emulator's clock counts, so that advancing it ends a transfer that nobody uses, and a
// clock that stands still keeps the port open.
//
// # One port for all
//
// With a port in [Options.Addr] all transfers share it, and the key that logs in says whose it is. Where several
// transfers have one key, a login belongs to the one that was started last; so two runs of the script at one time need
// keys of their own, or a port for each transfer.
//
// # The way of a session
//
// internal/sshhost logs the client in and takes its command → internal/rsync decides whether it is one that a transfer
// serves, and runs it on the request's files, which the platform has → the session's event goes to the journal, before
// the client gets the exit status. Uploads of one request follow each other: one that comes while another is being
// served waits for its end.
package transfer
