// Package conformance judges a server: does it speak the Odoo Database Upgrade API?
//
//	rep, err := conformance.Run(ctx, conformance.Target{URL: "http://127.0.0.1:8480", Contract: "M123456-abcdef"}, nil)
//	if err != nil {
//		return err // no check could be made
//	}
//	if !rep.OK() { … rep.Results … }
//
// Package conformancetest makes each check a subtest of a Go test.
//
// The suite is a table of checks. Each has an id that stays put (`create/target-invalid`), the rows of the wire
// contract it judges, the evidence for them, and a sentence of what is asked. The evidence decides when a check
// is asked at all: what is only assumed about the platform is judged at [LevelAssumed] and never below it, so
// two faithful servers that chose differently both pass at [LevelObserved].
//
// It speaks HTTP through net/http's transport and bare sockets, and SFTP packet by packet over
// golang.org/x/crypto/ssh, and knows neither the emulator nor the client of this project: a reading of the
// contract of its own, so that one mistake can't be right three times.
//
// Verdicts: [Pass]; [Fail], the server is wrong; [Skip], not judged and the reason; [Error], the suite could not
// judge. A run in which nothing was judged is an error, never a success. Where a step before the one judged goes
// wrong (no request could be created), the checks that needed it are skipped naming the check that failed; if no
// check names that trouble, they are errors.
//
// A server may hang, flood, reset or talk rubbish: every call has a time limit and a bound on what is read,
// and every check ends with a verdict of its own.
package conformance
