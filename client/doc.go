// Package client calls the Odoo Database Upgrade platform by either of its APIs: the database API (the JSON methods
// under /database/v1, the URLs they hand out, and the temporary SFTP server), and the script API, which the platform's
// upgrade script uses (JSON-RPC under /upgrade/request, and rsync over a temporary SSH server).
//
// A [Client] calls one platform. [Client.Create] makes a request and returns its id and key; the two together are a
// [Ref], which all other calls take:
//
//	c, err := client.New(client.ProductionURL, nil)
//	req, err := c.Create(ctx, client.CreateParams{Contract: "M123456-abcdef", …}, nil)
//	err = c.Upload(ctx, req.Ref(), file, size, nil)
//	err = c.Process(ctx, req.Ref())
//	req, err = c.Wait(ctx, req.Ref(), nil)
//	_, err = c.Download(ctx, req.UpgradedDumpURL, "upgraded.dump", nil)
//
// [Client.Script] returns the calls of the script API, which upgrades to Odoo 14.0 and later. They follow the same
// rules. [Script] shows the whole way; rsync and ssh are spoken in process, so that neither has to be installed.
//
// Reading is tolerant, writing is strict. Unknown keys of an answer are kept, numbers may be strings, and unknown
// states and failure reasons are returned as they are. What is sent has exactly the documented form.
//
// A call that fails returns an *[Error], which holds the platform's list of failures and the raw answer. errors.Is
// reports for it whether it is [ErrNotFound], [ErrInvalidState], [ErrTransient], [ErrUncertain] or another error of
// this package.
//
// Each API method makes one exchange and is not repeated, since a repetition may do harm that only the caller can
// judge. [Retry] repeats calls, with growing pauses. [Client.Wait], [Client.Download], [Client.UploadSFTP] and
// [Client.DownloadSFTP] can be repeated without harm, and do so themselves.
//
// A request's key, or token, gives access to the customer's database. It is a [Key], which prints as "[key]". Errors
// and log records never hold it, not even inside a URL.
//
// A row in a comment, such as row 4.1, is a row of the wire contract in docs/fidelity.md.
package client
