package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"golang.org/x/crypto/ssh"
)

const scriptPath = "/upgrade/request/"

// Script makes the calls of the script API, which the platform's upgrade script for Odoo 14.0 and later uses.
// [Client.Script] returns one. Its methods may be called by several goroutines at the same time.
//
// The way of an upgrade is Create, Upload, Process, Wait, Download; the example shows it.
//
// Calls that fail return an *[Error]. What the platform itself refuses is in its Failures, with a message only.
// [Script.Create] must not be repeated without care, since each call makes a request; the others do no harm when they
// are repeated, and [Retry] with RetryOptions.Uncertain repeats them.
type Script struct{ c *Client }

// Script returns the calls of the script API. It is an error if the URL of the platform is not https, since the token
// of a request and its dump must not be read on the way (row S1.2).
func (c *Client) Script() (*Script, error) {
	if c.base.Scheme != "https" {
		return nil, fmt.Errorf("client: the script API is called by https only, and the URL is %s: "+
			"give the platform's https URL", c.base)
	}
	return &Script{c}, nil
}

// A ScriptRef names a request of the script API.
type ScriptRef struct {
	ID    string // the number that the platform gave the request; for messages only
	Token Key    // the secret that came with it

	// Host is the host, and perhaps port, to which the platform assigned the request. If empty, the platform itself is
	// called, whose answer to [Script.Status] then has the host.
	Host string
}

// ScriptParams are the parameters of a request of the script API (section S2 of docs/fidelity.md). They are checked
// by the platform only.
type ScriptParams struct {
	Contract string        // the Enterprise contract's reference, such as "M123456-abcdef"
	Target   string        // the Odoo version to upgrade to, such as "18.0"
	Aim      string        // "test" or "production"
	EnvVars  []string      // settings of the upgrade, each NAME=value; usually none
	SSHKey   ssh.PublicKey // whose private key logs in to the transfers
}

// A ScriptRequest is the answer to [Script.Create].
type ScriptRequest struct {
	ID    string // the number of the request
	Token Key    // the secret that gives access to it
	Host  string // to which it is assigned
	Info  string // what the platform says to the customer; usually empty

	// Extra holds the keys that have no field here; nil if there are none.
	Extra map[string]json.RawMessage
}

// Ref returns what names the request in other calls.
func (r *ScriptRequest) Ref() ScriptRef { return ScriptRef{r.ID, r.Token, r.Host} }

// Create makes a new request in state new (row S2.8). If the error is ErrUncertain, there may be a request whose token
// is not known; nothing comes of it.
func (s *Script) Create(ctx context.Context, p ScriptParams, opts *CreateOptions) (*ScriptRequest, error) {
	const op = "create"
	var before func() error
	if opts != nil {
		before = opts.BeforeSend
	}
	env := p.EnvVars
	if env == nil {
		env = []string{}
	}
	key := ""
	if p.SSHKey != nil {
		key = string(ssh.MarshalAuthorizedKey(p.SSHKey))
	}
	// An idle connection may be dead, which after sending looks like a lost answer. A new one fails before.
	s.c.http.CloseIdleConnections()
	a, err := s.call(ctx, op, ScriptRef{}, map[string]any{"contract": p.Contract, "target": p.Target, "aim": p.Aim,
		"actuator": "cli", "env_vars": env, "ssh_key": key, "api_version": "0.2"}, before)
	if err != nil {
		return nil, err
	}
	r := &ScriptRequest{ID: text(a.fields["request_id"]), Token: Key(text(a.fields["token"])),
		Info:  text(a.fields["info"]),
		Extra: without(a.fields, "request_id", "token", "assigned_host_uri", "info")}
	if r.ID == "" || r.Token == "" {
		return nil, a.lacks(op, "request_id or token")
	}
	if r.Host, err = s.assigned(text(a.fields["assigned_host_uri"])); err != nil {
		return nil, &Error{Op: op, Status: http.StatusOK, Raw: a.raw, uncertain: true, Err: redacted(err, r.Token)}
	}
	s.c.log.InfoContext(ctx, "request created", "id", r.ID, "host", r.Host)
	return r, nil
}

// TransferKind says in which direction files go.
type TransferKind string

// The kinds of transfers.
const (
	TransferUpload   TransferKind = "upload"   // of the dump, in state new
	TransferDownload TransferKind = "download" // of the results, in state done
)

// A Transfer is an SSH server that the platform has opened for one transfer.
type Transfer struct {
	Host string // without a port
	Port int    // to log in at

	// KnownHosts has the host's keys in the form of OpenSSH's file of that name. No other key is trusted.
	KnownHosts string

	DumpName string // of a download: the name of the upgraded dump; a file or a directory
}

// StartTransfer opens an SSH server for a transfer (row S3.1). A second call replaces the first.
func (s *Script) StartTransfer(ctx context.Context, ref ScriptRef, kind TransferKind) (*Transfer, error) {
	const op = "transfer/start"
	a, err := s.call(ctx, op, ref, map[string]any{"token": string(ref.Token), "transfer_type": string(kind)}, nil)
	if err != nil {
		return nil, err
	}
	host := ref.Host
	if host == "" {
		host = s.c.base.Host
	}
	u := url.URL{Host: host}
	t := &Transfer{Host: u.Hostname(), KnownHosts: text(a.fields["known_hosts"]), DumpName: text(a.fields["dump_name"])}
	port, ok := integer(a.fields["ssh_port"])
	if !ok || port < 1 || port > 65535 {
		return nil, a.lacks(op, "ssh_port that is a port")
	}
	t.Port = int(port)
	if kind == TransferDownload {
		if err := checkDumpName(t.DumpName); err != nil {
			return nil, &Error{Op: op, Status: http.StatusOK, Raw: a.raw, Err: redacted(&permanentError{err}, ref.Token)}
		}
	}
	s.c.log.InfoContext(ctx, "transfer opened", "id", ref.ID, "kind", kind, "host", t.Host, "port", t.Port)
	return t, nil
}

// StopTransfer closes the SSH server of a transfer that went well (row S3.8).
func (s *Script) StopTransfer(ctx context.Context, ref ScriptRef) error {
	_, err := s.exchange(ctx, "transfer/stop", ref, map[string]any{"token": string(ref.Token)}, nil, readScriptStop)
	return err
}

// Processing is the answer to [Script.Process].
type Processing struct {
	// PGCompatible is false if the upgraded dump needs a newer PostgreSQL than the one that the dump is of, so that
	// it cannot be restored there (row S6.2).
	PGCompatible bool
}

// Process starts the upgrade of the uploaded dump (row S6.1): the request leaves the state new. If the error is
// ErrUncertain, [Script.Status] shows whether it has.
func (s *Script) Process(ctx context.Context, ref ScriptRef) (*Processing, error) {
	const op = "process"
	a, err := s.call(ctx, op, ref, map[string]any{"token": string(ref.Token)}, nil)
	if err != nil {
		return nil, err
	}
	if _, ok := a.fields["is_pg_version_compatible"]; !ok {
		return nil, a.lacks(op, "is_pg_version_compatible")
	}
	s.c.log.InfoContext(ctx, "processing requested", "id", ref.ID)
	return &Processing{PGCompatible: boolean(a.fields["is_pg_version_compatible"])}, nil
}

// A ScriptState is the state of a request of the script API. The platform may report states that are not known here.
type ScriptState string

// The known states (row S7.2).
const (
	ScriptNew       ScriptState = "new"       // the dump may be uploaded
	ScriptPending   ScriptState = "pending"   // waiting for its turn
	ScriptProgress  ScriptState = "progress"  // being upgraded
	ScriptDone      ScriptState = "done"      // the upgraded database is there
	ScriptFailed    ScriptState = "failed"    // the upgrade failed
	ScriptCancelled ScriptState = "cancelled" // the upgrade was given up
)

// Terminal reports whether the state is final.
func (s ScriptState) Terminal() bool {
	return s == ScriptDone || s == ScriptFailed || s == ScriptCancelled
}

// Known reports whether the state is known here.
func (s ScriptState) Known() bool {
	return s == ScriptNew || s == ScriptPending || s == ScriptProgress || s.Terminal()
}

// ScriptStatus is the answer to [Script.Status].
type ScriptStatus struct {
	State    ScriptState // where the request stands
	Reason   string      // why it failed; often empty
	Archived bool        // whether its files are gone
	Host     string      // to which the request is assigned; that of the ref if the answer has none

	// Extra holds the keys that have no field here; nil if there are none.
	Extra map[string]json.RawMessage
}

// Status returns the present state of the request (row S7.1).
func (s *Script) Status(ctx context.Context, ref ScriptRef) (*ScriptStatus, error) {
	const op = "status"
	a, err := s.call(ctx, op, ref, map[string]any{"token": string(ref.Token)}, nil)
	s.c.noteStatus()
	if err != nil {
		return nil, err
	}
	r := &ScriptStatus{State: ScriptState(text(a.fields["status"])), Reason: Redact(text(a.fields["reason"]), ref.Token),
		Archived: boolean(a.fields["archived"]), Host: ref.Host,
		Extra: without(a.fields, "status", "reason", "archived", "host_uri")}
	if r.State == "" {
		return nil, a.lacks(op, "status")
	}
	if host := text(a.fields["host_uri"]); host != "" {
		if r.Host, err = s.assigned(host); err != nil {
			return nil, &Error{Op: op, Status: http.StatusOK, Raw: a.raw, Err: redacted(err, ref.Token)}
		}
	}
	return r, nil
}

// Wiped is the answer to [Script.Wipe].
type Wiped struct {
	Wiped  []string // the requests of which nothing is kept any more
	Failed []string // those of which something is
}

// Wipe has the platform remove the dumps of all requests of a contract, of which ref is one (row S9.1). What is being
// upgraded is cancelled.
func (s *Script) Wipe(ctx context.Context, contract string, ref ScriptRef) (*Wiped, error) {
	const op = "wipe"
	a, err := s.call(ctx, op, ref, map[string]any{"contract": contract, "token": string(ref.Token)}, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"wiped", "failed"} {
		if _, ok := a.fields[name]; !ok {
			return nil, a.lacks(op, name)
		}
	}
	return &Wiped{Wiped: list(a.fields["wiped"]), Failed: list(a.fields["failed"])}, nil
}

// call makes a call whose answer must have a result.
func (s *Script) call(
	ctx context.Context, op string, ref ScriptRef, params map[string]any, before func() error,
) (*answer, error) {
	return s.exchange(ctx, op, ref, params, before, readScriptAnswer)
}

func (s *Script) exchange(ctx context.Context, op string, ref ScriptRef, params map[string]any, before func() error,
	read func(op string, resp *http.Response, raw []byte, key Key) (*answer, *Error)) (*answer, error) {
	u, err := s.endpoint(op, ref)
	if err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	// Strings and lists of strings have a JSON form.
	body, _ := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "method": "not_used", "id": "not_used", "params": params})
	ctx, cancel := context.WithTimeoutCause(ctx, s.c.timeout, &timeoutError{s.c.timeout})
	defer cancel()
	src := &sentinelBody{r: bytes.NewReader(body), before: before}
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, u, io.NopCloser(src))
	if err != nil {
		return nil, &Error{Op: op, Err: &permanentError{errors.New("the URL cannot be made")}}
	}
	hr.ContentLength = int64(len(body))
	hr.Header.Set("Content-Type", "application/json")
	return s.c.exchangeWith(hr, op, ref.Token, src, read)
}

// endpoint returns the URL of a call: at the host that the request is assigned to, by https (row S1.3), or at the
// platform's if the host is not known.
func (s *Script) endpoint(call string, ref ScriptRef) (string, error) {
	u := *s.c.base
	if ref.Host != "" {
		host, err := s.assigned(ref.Host)
		if err != nil {
			return "", err
		}
		u = url.URL{Scheme: "https", Host: host}
	}
	u.Path += scriptPath + call
	return u.String(), nil
}
