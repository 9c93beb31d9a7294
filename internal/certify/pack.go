package certify

// Basic names the built-in scenarios that every client should pass: the documented ways, refusals, and common errors.
var Basic = []string{
	"happy-path", "over-sftp", "refused-target", "unknown-contract", "server-error-for-a-while", "invalid-dump",
}

// ScriptBasic names those that every wrapper of the upgrade script should pass: it says by its exit status what became
// of the upgrade, and it comes to an end.
var ScriptBasic = []string{
	"script-done", "script-failed", "script-failed-without-reason", "script-cancelled", "script-contract-expired",
	"script-create-broken", "script-process-refused", "script-upload-never-works", "script-download-never-works",
	"script-dump-missing", "script-resume-failed",
}
