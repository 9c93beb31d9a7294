package database

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
)

// requestSFTPAccess opens the temporary SFTP server for a request (docs/fidelity.md, section 5).
func (a *API) requestSFTPAccess(c *api.Call) (any, error) {
	host, port := a.sftpAddress(c)
	if port == 0 {
		why := errors.New("the emulator runs with its SFTP listener switched off")
		return nil, platform.Failures{platform.ServerError("There is no SFTP server", why)}
	}
	keys, invalid := parseSSHKeys(ownOf(c).params.get("ssh_keys"))
	fails := c.Fails
	if fails == nil {
		fails = c.Request.MayGrant()
	}
	if fails = append(fails, invalid...); fails != nil { // all at once (row 1.8)
		return nil, fails
	}
	access, fails := c.Request.Grant(keys)
	if fails != nil {
		return nil, fails
	}
	at := host
	if strings.Contains(at, ":") { // IPv6: sftp takes what follows a colon for a path
		at = "[" + at + "]"
	}
	return object{
		{"hostname", host},
		{"sftp_port", port},
		{"sftp_user", access.User},
		{"shared_file", access.SharedFile},
		{"request_id", access.ID},
		{"sample_command", fmt.Sprintf("sftp -P %d %s@%s", port, access.User, at)},
	}, nil
}

// sftpAddress is where the client finds the SFTP server: by default under the host that it called.
func (a *API) sftpAddress(c *api.Call) (string, int) {
	scheme, name := a.Base(c.R)
	host, port := a.AdvertisedSFTP(api.Hostname(scheme + name))
	if port == 0 {
		if _, digits, err := net.SplitHostPort(a.SFTPAddr()); err == nil {
			port, _ = strconv.Atoi(digits)
		}
	}
	return host, port
}

// parseSSHKeys reads ssh_keys, and returns the keys in SSH wire form and base64, and everything that is wrong.
func parseSSHKeys(text string) ([]string, platform.Failures) {
	if strings.TrimSpace(text) == "" {
		return nil, platform.Failures{platform.Missing("ssh_keys")}
	}
	keys, problems := sshkeys.Parse(text)
	var fails platform.Failures
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
