package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net"
	"net/textproto"
	"strconv"

	"golang.org/x/crypto/ssh"
)

// SFTPAccess says how to reach the temporary SFTP server (row 5.4).
type SFTPAccess struct {
	Hostname      string // of the server
	Port          int    // of the server
	User          string // the name to log in with
	SharedFile    string // the name of the dump there, which is CreateParams.Filename
	RequestID     int64  // the request's number
	SampleCommand string // a command of OpenSSH's sftp, for people

	// Extra holds the keys that have no field here; nil if there are none.
	Extra map[string]json.RawMessage

	// Raw is the object as it came.
	Raw json.RawMessage
}

// Addr returns the host and port to connect to.
func (a *SFTPAccess) Addr() string { return net.JoinHostPort(a.Hostname, strconv.Itoa(a.Port)) }

// AuthorizedKeys returns the keys in the form that [Client.RequestSFTPAccess] takes, one a line.
func AuthorizedKeys(keys ...ssh.PublicKey) []byte {
	var b bytes.Buffer
	for _, k := range keys {
		b.Write(ssh.MarshalAuthorizedKey(k))
	}
	return b.Bytes()
}

// RequestSFTPAccess opens the temporary SFTP server to the given public keys: for uploading in state draft, and for
// downloading in state done (row 5.3). authorizedKeys has the form of OpenSSH's file of that name: keys, blank lines
// and comments. A second call replaces the keys of the first.
func (c *Client) RequestSFTPAccess(ctx context.Context, ref Ref, authorizedKeys []byte) (*SFTPAccess, error) {
	const op = "request_sftp_access"
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	head := textproto.MIMEHeader{}
	head.Set("Content-Disposition", `form-data; name="ssh_keys"; filename="authorized_keys"`)
	head.Set("Content-Type", "text/plain")
	// Writes to a bytes.Buffer do not fail.
	part, _ := form.CreatePart(head)
	_, _ = part.Write(authorizedKeys)
	for name, v := range ref.values() {
		_ = form.WriteField(name, v[0])
	}
	_ = form.Close()
	a, err := c.call(ctx, op, form.FormDataContentType(), body.Bytes(), ref.Key, nil)
	if err != nil {
		return nil, err
	}
	access, err := a.readAccess(op, ref)
	if err == nil {
		c.log.InfoContext(ctx, "SFTP access granted", "id", ref.ID, "addr", access.Addr(), "user", access.User)
	}
	return access, err
}

func (a *answer) readAccess(op string, ref Ref) (*SFTPAccess, error) {
	raw := a.fields["request"]
	var f map[string]json.RawMessage
	if err := json.Unmarshal(raw, &f); err != nil || f == nil {
		return nil, &Error{Op: op, Status: 200, Raw: a.raw,
			Err: fmt.Errorf("%w: it has neither failures nor a request object", ErrNotJSON)}
	}
	access := &SFTPAccess{
		Hostname:      text(f["hostname"]),
		User:          text(f["sftp_user"]),
		SharedFile:    text(f["shared_file"]),
		SampleCommand: text(f["sample_command"]),
		Extra:         without(f, "hostname", "sftp_port", "sftp_user", "shared_file", "request_id", "sample_command"),
		Raw:           raw,
	}
	access.RequestID, _ = integer(f["request_id"])
	port, ok := integer(f["sftp_port"])
	if !ok || port < 1 || port > 65535 || access.Hostname == "" || access.User == "" {
		return nil, &Error{Op: op, Status: 200, Raw: a.raw,
			Err: fmt.Errorf("%w: hostname %q, sftp_port %q, sftp_user %q is no way to connect", ErrNotJSON,
				access.Hostname, Redact(printable(text(f["sftp_port"]), 40), ref.Key), access.User)}
	}
	access.Port = int(port)
	return access, nil
}
