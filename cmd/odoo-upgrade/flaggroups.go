package main

import "github.com/upgrademock/upgrademock/internal/helptext"

// flagGroups are the titles under which help shows flags.
var flagGroups = []helptext.Group{
	{Title: "Request", Flags: `contract email target aim filename timezone env request key state new-request skip-test
		yes api`},
	{Title: "Files", Flags: `dump database out restore-into merge-filestore jobs what`},
	{Title: "Transfers", Flags: `via sftp-from download-via ssh-key ssh-agent known-hosts accept-new-host-key
		authorized-keys generate-key`},
	{Title: "Connection", Flags: `url ca-file call-timeout interval max-outage timeout`},
	{Title: "Output", Flags: `json verbose follow from`},
}
