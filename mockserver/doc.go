// Package mockserver is a faithful emulator of the Odoo Database Upgrade platform. It serves two APIs side by side:
// the script API, which the upgrade script of today uses (the calls below /upgrade/request/, and rsync over a temporary
// SSH server), and the database API (the methods below /database/v1/, the URLs in their answers, and the temporary
// SFTP server).
//
// It emulates what is known of the platform's behaviour on the wire, row by row of docs/fidelity.md, and
// follows a convention of its own where nobody outside knows; those rows are marked "assumed". It upgrades
// nothing: the dump that comes back is the one that was sent, unless a scenario says otherwise.
//
//	srv, err := mockserver.New(nil)
//	if err != nil { … }
//	defer srv.Close()
//	if err := srv.Start(); err != nil { … }
//	resp, err := http.Get(srv.URL() + "/database/v1/status?request=10534&key=…")
//
// Inside tests [github.com/upgrademock/upgrademock/mockserver/mockservertest] does all that in one call. A
// *Server is an [net/http.Handler] too, which works without Start, but for SFTP and rsync. Any number of servers live
// side by side in one process.
//
// A call's way stands in docs/architecture.md.
package mockserver
