package client

import (
	"context"
	"net/url"
	"strconv"
)

// CreateParams is what a request is made from (3.1). All but Timezone are required; the platform judges them.
type CreateParams struct {
	Contract string // the Enterprise contract's reference, such as "M123456-abcdef"
	Email    string
	Target   string // the Odoo version to upgrade to, such as "8.0"
	Aim      string // "test" or "production"
	Filename string // the dump's name, which the SFTP server will use; it has no path
	Timezone string // the server's, for databases older than 6.1; may be empty
}

// CreateOptions are for programs that must not lose a request. Nil means all zero values.
type CreateOptions struct {
	// BeforeSend runs when the connection stands and before the first byte of the parameters leaves. When it returns an
	// error, nothing is sent and Create returns an *Error that wraps it.
	BeforeSend func() error
}

// Create makes a new request in state draft. It is never repeated by itself: an error that is ErrUncertain means that a
// request may exist whose key nobody knows. Such a request stays a draft for ever.
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
	// A kept connection may have died unseen, which after sending looks like a lost answer. A fresh one fails before.
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

// Process hands the uploaded dump over to be upgraded (6.1). The state leaves draft. When the outcome is ErrUncertain, Status tells.
func (c *Client) Process(ctx context.Context, ref Ref) error {
	_, err := c.form(ctx, "process", ref.values(), ref.Key, nil)
	if err == nil {
		c.log.InfoContext(ctx, "processing requested", "id", ref.ID)
	}
	return err
}

// SkipTest ends the testing phase and has the upgraded database delivered (6.5). Older platforms do not know it: ErrNotFound.
func (c *Client) SkipTest(ctx context.Context, ref Ref) error {
	_, err := c.form(ctx, "skip_test", ref.values(), ref.Key, nil)
	if err == nil {
		c.log.InfoContext(ctx, "test phase skipped", "id", ref.ID)
	}
	return err
}

// Status asks where the request stands.
func (c *Client) Status(ctx context.Context, ref Ref) (*Request, error) {
	a, err := c.form(ctx, "status", ref.values(), ref.Key, nil)
	c.statusAsked()
	if err != nil {
		return nil, err
	}
	return a.readRequest("status", ref)
}

func (ref Ref) values() url.Values {
	return url.Values{"request": {strconv.FormatInt(ref.ID, 10)}, "key": {string(ref.Key)}}
}
