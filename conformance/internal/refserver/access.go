package refserver

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// access answers request_sftp_access.
func (s *Server) access(req *Request, p map[string]string) (map[string]any, []failure) {
	lines, given := p["ssh_keys"]
	if !given || lines == "" {
		if s.is("sftp-access/requires-keys") {
			lines = "# none"
		} else {
			f := missingFailure("ssh_keys")
			if s.is("sftp-access/missing-keys") {
				f["reason"] = "KEYS:MISSING"
			}
			return nil, []failure{f}
		}
	}
	switch {
	case req.state == "draft" || req.state == "done" || req.state == "delivered":
	case s.is("sftp-access/only-draft-and-done"):
	case s.is("sftp-access/state-invalid") || s.is("differently"):
		return nil, []failure{{"reason": "SFTP:NOT_NOW", "message": "no"}}
	default:
		return nil, stateFailure(req, "draft", "done", "delivered")
	}
	if s.is("sftp/done-access") && req.state == "done" || s.is("skip-test/sftp-delivered") &&
		req.state == "delivered" {
		return nil, stateFailure(req, "draft")
	}
	keys, fails := s.readKeys(lines)
	if fails != nil {
		return nil, fails
	}
	if s.is("sftp-access/several-keys") {
		keys = keys[:1]
	}
	if s.is("sftp-access/replaces-keys") && req.state == "draft" || s.is("sftp/done-old-keys") && req.state == "done" {
		keys = append(keys, req.keys...)
	}
	req.keys = keys
	host, portText, _ := net.SplitHostPort(s.ssh.addr())
	port, _ := strconv.Atoi(portText)
	if s.is("sftp/port") {
		port = s.ssh.deadPort()
	}
	user := "user_" + strconv.Itoa(req.id)
	out := map[string]any{"hostname": host, "sftp_port": port, "sftp_user": user, "shared_file": req.name,
		"request_id":     req.id,
		"sample_command": fmt.Sprintf("sftp -P %d %s@%s", port, user, host)}
	if s.is("sftp-access/number-types") || s.is("differently") {
		out["sftp_port"], out["request_id"] = strconv.Itoa(port), strconv.Itoa(req.id)
	}
	return map[string]any{"request": out}, nil
}

// readKeys reads the lines of ssh_keys.
func (s *Server) readKeys(lines string) ([]ssh.PublicKey, []failure) {
	var keys []ssh.PublicKey
	for i, line := range strings.Split(lines, "\n") {
		if !s.is("sftp-access/keys-crlf") {
			line = strings.TrimSuffix(line, "\r")
		}
		if s.is("sftp-access/no-key-in-comments") && strings.HasPrefix(line, "#ssh") {
			line = line[1:]
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") && !s.is("sftp-access/keys-with-comments") {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if strings.HasSuffix(line, "\r") {
			continue
		}
		if err != nil {
			value := line
			if len(value) > 80 {
				value = value[:80]
			}
			f := failure{"reason": "SSH_KEYS:INVALID", "message": "no key", "line": i + 1, "value": value}
			if s.is("sftp-access/keys-invalid") {
				f["line"] = i
			}
			return nil, []failure{f}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 && !s.is("sftp-access/requires-keys") && !s.is("sftp-access/keys-crlf") {
		return nil, []failure{{"reason": "SSH_KEYS:INVALID", "message": "no key"}}
	}
	return keys, nil
}
