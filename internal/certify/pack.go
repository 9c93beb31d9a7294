package certify

// Basic names the built-in scenarios that every client should pass: the documented ways, refusals, and common errors.
var Basic = []string{
	"happy-path", "over-sftp", "refused-target", "unknown-contract", "server-error-for-a-while", "invalid-dump",
}
