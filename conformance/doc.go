// Package conformance judges whether a server speaks the APIs of the Odoo Database Upgrade platform: /database/v1 with
// SFTP, and the one that the upgrade script calls, with rsync over SSH.
//
//	target := conformance.Target{URL: "http://127.0.0.1:8480", Contract: "M123456-abcdef"}
//	rep, err := conformance.Run(ctx, target, nil)
//	if err != nil {
//		return err // no check could be made
//	}
//	if !rep.OK() { … rep.Results … }
//
// Package conformancetest makes each check a subtest of a Go test.
//
// The suite is a table of checks. Each has an id that never changes, such as create/target-invalid, the rows of
// docs/fidelity.md that it judges, the evidence for them, and a sentence that says what the server must do. A run
// makes the checks whose evidence its level covers: what is only assumed about the platform is judged at
// [LevelAssumed] and never below it, so two faithful servers that chose differently both pass at [LevelObserved].
//
// The checks of the script API begin with script/. A server is judged by the API that it has, or by both, unless
// [Options] say which; [Report] says which was left out, and why.
//
// The package speaks HTTP, SSH, SFTP and rsync by itself, and knows neither the emulator nor the client of this
// project: it is a reading of the contract of its own, so that one mistake is not made three times.
//
// A verdict is one of [Pass]; [Fail], the server is wrong; [Skip], not judged, with the reason; [Error], the suite
// could not judge. A run in which nothing was judged is an error, never a success. If a step before the one judged
// goes wrong, such as the creation of a request, the checks that need it are skipped and name the check that
// failed; if no check fails for that reason, they fail themselves.
//
// A server may hang, flood, reset or send garbage: every call has a time limit and a bound on what is read, and
// every check ends with a verdict of its own.
package conformance
