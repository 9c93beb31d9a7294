package certify

// Basic are the built-in scenarios that every client should stand: the documented ways, refusals, and the trouble of every day.
var Basic = []string{
	"happy-path", "over-sftp", "refused-target", "unknown-contract", "server-error-for-a-while", "invalid-dump",
}
