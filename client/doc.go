// Package client talks to the Odoo Database Upgrade platform: the JSON methods under /database/v1, the URLs it hands
// out, and its temporary SFTP server.
//
// One [Client] serves one platform. A request is born by [Client.Create], which answers with its id and key; the two
// together are a [Ref], which every other call wants:
//
//	c, err := client.New(client.ProductionURL, nil)
//	req, err := c.Create(ctx, client.CreateParams{Contract: "M123456-abcdef", …}, nil)
//	err = c.Upload(ctx, req.Ref(), file, size, nil)
//	err = c.Process(ctx, req.Ref())
//	req, err = c.Wait(ctx, req.Ref(), nil)
//	_, err = c.Download(ctx, req.UpgradedDumpURL, "upgraded.dump", nil)
//
// Reading is tolerant, writing is strict. An answer's unknown keys are kept, numbers may come as strings, states and
// failure reasons nobody has heard of are carried along as they are. Whatever is sent has exactly the documented form.
//
// What goes wrong comes back as *[Error], which holds the platform's list of failures and the raw answer; [ErrNotFound],
// [ErrInvalidState], [ErrTransient], [ErrUncertain] and others answer the common questions through errors.Is.
//
// Each API method is one exchange and never repeats itself: only the caller knows what a repetition may cost. [Retry]
// repeats politely; [Client.Wait], [Client.Download], [Client.UploadSFTP] and [Client.DownloadSFTP] do it by themselves,
// because they can do so without harm.
//
// A request's key opens the customer's database. It is a [Key], which prints as "[key]", and neither errors nor log
// records ever hold it, not even inside a URL.
//
// All types are safe for concurrent use unless they say otherwise. Where a comment gives a row (4.1), it is a row of the
// wire contract that docs/fidelity.md lists.
package client
