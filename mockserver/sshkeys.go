package mockserver

import (
	"fmt"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
)

// parseSSHKeys reads ssh_keys, and returns the keys in SSH wire form and base64, and everything that is wrong.
func parseSSHKeys(text string) (keys []string, fails platform.Failures) {
	if strings.TrimSpace(text) == "" {
		return nil, platform.Failures{platform.Missing("ssh_keys")}
	}
	keys, problems := sshkeys.Parse(text)
	for _, p := range problems {
		fails = append(fails, platform.Failure{
			Reason:  platform.ReasonSSHKeysInvalid,
			Message: fmt.Sprintf("Invalid line %d in ssh_keys: %s", p.Line, p.Why),
			Fields:  map[string]any{"line": p.Line, "value": p.Quote},
			Why:     fmt.Sprintf("line %d: %s", p.Line, p.Why),
		})
	}
	return keys, fails
}
