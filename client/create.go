package client

import (
	"context"
	"net/url"
	"strconv"
)

// CreateParams are the parameters of a request (row 3.1). All but Timezone are required. They are checked by the
// platform only.
type CreateParams struct {
	Contract string // the Enterprise contract's reference, such as "M123456-abcdef"
	Email    string // where the platform writes to
	Target   string // the Odoo version to upgrade to, such as "8.0"
	Aim      string // "test" or "production"
	Filename string // the dump's name, which the SFTP server will use; it has no path
	Timezone string // of the server, for databases older than Odoo 6.1; may be empty
}

// CreateOptions are the options of [Client.Create]. A nil *CreateOptions is the same as a zero CreateOptions.
type CreateOptions struct {
	// BeforeSend, if not nil, is called when there is a connection and nothing of the parameters has been sent. If it
	// returns an error, nothing is sent and Create returns an *Error that wraps it. A program that must not lose a
	// request notes here that one may exist from now on.
	BeforeSend func() error
}

// Create makes a new request in state draft. If the error is ErrUncertain, there may be a request whose key is not
// known; it stays a draft.
func (c *Client) Create(ctx context.Context, p CreateParams, opts *CreateOptions) (*Request, error) {
	params := url.Values{
		"contract": {p.Contract},
		"email":    {p.Email},
		"target":   {p.Target},
		"aim":      {p.Aim},
		"filename": {p.Filename},
	}
	if p.Timezone != "" {
		params.Set("timezone", p.Timezone)
	}
	var before func() error
	if opts != nil {
		before = opts.BeforeSend
	}
	// An idle connection may be dead, which after sending looks like a lost answer. A new one fails before.
	c.http.CloseIdleConnections()
	a, err := c.form(ctx, "create", params, "", before)
	if err != nil {
		return nil, err
	}
	r, err := a.readRequest("create", Ref{})
	if err != nil {
		return nil, err
	}
	c.log.InfoContext(ctx, "request created", "request", r)
	return r, nil
}

// Process starts the upgrade of the uploaded dump (row 6.1): the request leaves the state draft. If the error is
// ErrUncertain, [Client.Status] shows whether it has.
func (c *Client) Process(ctx context.Context, ref Ref) error {
	_, err := c.form(ctx, "process", ref.values(), ref.Key, nil)
	if err == nil {
		c.log.InfoContext(ctx, "processing requested", "id", ref.ID)
	}
	return err
}

// SkipTest ends the test phase, so that the upgraded database is delivered (row 6.5). Platforms before 13.0 do not
// have it: the error is ErrNotFound.
func (c *Client) SkipTest(ctx context.Context, ref Ref) error {
	_, err := c.form(ctx, "skip_test", ref.values(), ref.Key, nil)
	if err == nil {
		c.log.InfoContext(ctx, "test phase skipped", "id", ref.ID)
	}
	return err
}

// Status returns the present state of the request.
func (c *Client) Status(ctx context.Context, ref Ref) (*Request, error) {
	a, err := c.form(ctx, "status", ref.values(), ref.Key, nil)
	c.noteStatus()
	if err != nil {
		return nil, err
	}
	return a.readRequest("status", ref)
}

func (ref Ref) values() url.Values {
	return url.Values{"request": {strconv.FormatInt(ref.ID, 10)}, "key": {string(ref.Key)}}
}
