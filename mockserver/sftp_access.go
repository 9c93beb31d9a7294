package mockserver

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// handleSFTPAccess opens the temporary SFTP server for a request (docs/fidelity.md, section 5).
func (s *Server) handleSFTPAccess(c *call) answer {
	host, port := s.sftpAddress(c)
	if port == 0 {
		return refused(platform.ServerError("There is no SFTP server", fmt.Errorf("the emulator runs with its SFTP listener switched off")))
	}
	keys, invalid := parseSSHKeys(c.params.get("ssh_keys"))
	fails := c.fails
	if fails == nil {
		fails = c.request.MayGrant()
	}
	if fails = append(fails, invalid...); fails != nil { // all at once (row 1.8)
		return refused(fails...)
	}
	access, fails := c.request.Grant(keys)
	if fails != nil {
		return refused(fails...)
	}
	at := host
	if strings.Contains(at, ":") { // IPv6: sftp takes what follows a colon for a path
		at = "[" + at + "]"
	}
	command := fmt.Sprintf("sftp -P %d %s@%s", port, access.User, at)
	return answer{request: object{
		{"hostname", host},
		{"sftp_port", port},
		{"sftp_user", access.User},
		{"shared_file", access.SharedFile},
		{"request_id", access.ID},
		{"sample_command", command},
	}}
}

// sftpAddress is where the client finds the SFTP server: under the host by which it found us, unless told otherwise.
func (s *Server) sftpAddress(c *call) (host string, port int) {
	told := s.advertise.Load()
	host, port = told.SFTPHost, told.SFTPPort
	if host == "" {
		scheme, name := s.base(c.r)
		host = hostname(scheme + name)
	}
	if port == 0 {
		if _, digits, err := net.SplitHostPort(s.addr("sftp")); err == nil {
			port, _ = strconv.Atoi(digits)
		}
	}
	return host, port
}
