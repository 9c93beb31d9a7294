package main

import "github.com/upgrademock/upgrademock/internal/helptext"

// flagGroups are the titles under which help shows flags.
var flagGroups = []helptext.Group{
	{Title: "Connection", Flags: `http https sftp control proxy host allow-host passthrough isolate no-hooks
		public-url region sftp-hostname sftp-host-key transfer rsync url ca-file insecure sftp-addr upstream`},
	{Title: "Scenario", Flags: `scenario pack clock seed doc target contract script failure-status sftp-access-ttl via
		dump param expect`},
	{Title: "Judged", Flags: `api level run skip shard baseline production resume-from fail-fast email
		unknown-contract list`},
	{Title: "Limits", Flags: `max-dump max-connections max-sessions max-requests journal-size transfer-timeout timeout
		call-timeout wait pause parallel tries`},
	{Title: "Files", Flags: `data-dir check-dumps config keep`},
	{Title: "Output", Flags: `quiet verbose log-format journal ready-file open json junit color capsule record save
		out`},
}
