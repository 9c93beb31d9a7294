package main

import (
	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/helptext"
)

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

// completeFlags has shells complete what the flags take.
func completeFlags(root *cobra.Command) {
	helptext.Complete(root, map[string]cobra.CompletionFunc{
		"aim": helptext.Choose("test", "production"),
		"api": helptext.Choose(apiAuto+"\tby the target", apiScript+"\tthe upgrade script's, from 14.0 on",
			apiDatabase+"\t/database/v1"),
		"via": helptext.Choose("https", "sftp"), "download-via": helptext.Choose("https", "sftp"),
		"ca-file": helptext.Files("pem", "crt", "cer"), "state": helptext.Files("json"),
	})
}
