package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver"
)

// banner says how to go on: lines to be pasted. The first call over the older API needs no dump of its own, since any
// text counts as one.
func banner(w io.Writer, srv *mockserver.Server, front *proxy.Proxy, opts *mockserver.Options) {
	base, curl := srv.URL(), "curl -sSf"
	if base == "" {
		base, curl = srv.HTTPSURL(), "curl -sSf --cacert "+quoted(srv.CAFile())
	}
	target := "8.0"
	if opts.Edition == mockserver.Edition13 {
		target = "13.0"
	}
	if len(opts.Targets) > 0 {
		target = opts.Targets[len(opts.Targets)-1]
	}
	contract := "M123456-abcdef"
	if len(opts.Contracts) > 0 {
		contract = strings.NewReplacer("*", "1", "?", "1").Replace(opts.Contracts[0])
	}
	fmt.Fprintf(w, "upgrademock %s is ready: a local emulator, for testing only.\n\n", version.String())
	proxied := ""
	if front != nil {
		proxied = front.URL()
	}
	for _, line := range [][2]string{{"HTTP", srv.URL()}, {"HTTPS", srv.HTTPSURL()}, {"Proxy", proxied},
		{"SFTP", srv.SFTPAddr()}, {"Control", srv.AdminURL()}, {"Page", livePage(srv)}, {"Clock", clockNow(opts)},
		{"Scenario", inUse(opts)}, {"Seed", seeded(opts)}, {"CA", srv.CAFile()}} {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-8s  %s\n", line[0], line[1])
		}
	}
	fmt.Fprintf(w, "\nIn another terminal, lead programs here, and have them trust the CA:\n\n  eval \"$(%s %s/env)\"\n",
		curl, srv.AdminURL())
	if srv.HTTPSURL() != "" {
		fmt.Fprintf(w, `
Then run the upgrade script, or examples/script/upgrade_standin.py:

  python3 upgrade test -i db.zip -c %s -t 17.0
`, contract)
	}
	fmt.Fprintf(w, `
Or use the older API: create, upload, process, and poll until it is done.

  echo "SELECT 1;" > db.sql
  BASE=%s/database/v1
  %[2]s "$BASE/create" -d contract=%s -d target=%s -d aim=test \
    -d email=john.doe@example.com -d filename=db.sql > create.json
  REQUEST=$(jq -r .request.id create.json) KEY=$(jq -r .request.key create.json)
  %[2]s "$BASE/upload?request=$REQUEST&key=$KEY" --data-binary @db.sql \
    -H "Content-Type: application/octet-stream"
  %[2]s "$BASE/process?request=$REQUEST&key=$KEY"
  until %[2]s "$BASE/status?request=$REQUEST&key=$KEY" > status.json &&
    jq -e '.request.state == "done"' status.json; do sleep 1; done
  %[2]s "$(jq -r .request.upgraded_dump_url status.json)" -o upgraded.sql
`, base, curl, contract, target)
	if addr := srv.SFTPAddr(); addr != "" {
		host, port, _ := net.SplitHostPort(addr)
		fmt.Fprintf(w, `
In place of the upload, before process, SFTP:

  %s "$BASE/request_sftp_access?request=$REQUEST&key=$KEY" \
    -F ssh_keys=@$HOME/.ssh/id_ed25519.pub
  echo "put db.sql" | sftp -b - -P %s -o UserKnownHostsFile=%s \
    user_$REQUEST@%s
`, curl, port, quoted(srv.KnownHostsFile()), host)
	}
	fmt.Fprint(w, "\nPress Ctrl-C to stop.\n")
}

// clockNow says what the emulator's clock is, and what it says.
func clockNow(opts *mockserver.Options) string {
	if opts.Clock == nil {
		return "real, " + time.Now().UTC().Format(time.DateTime) + " UTC"
	}
	if opts.Skip {
		return "skip, " + opts.Clock.Now().UTC().Format(time.DateTime) + " UTC, where it stands until a client waits"
	}
	return "virtual, " + opts.Clock.Now().UTC().Format(time.DateTime) + " UTC, where it stands until it is advanced"
}

// inUse names the scenarios.
func inUse(opts *mockserver.Options) string {
	if len(opts.Scenarios) == 0 {
		return "none: each request is done after a few polls"
	}
	names := make([]string, len(opts.Scenarios))
	for i, s := range opts.Scenarios {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

// seeded says what keys are made of.
func seeded(opts *mockserver.Options) string {
	if opts.Seed == 0 {
		return "none: keys are random"
	}
	return fmt.Sprintf("%d: keys are the same in each run", opts.Seed)
}

// livePage is the URL of the page that shows the emulator; "" if nothing serves it.
func livePage(srv *mockserver.Server) string {
	if url := srv.AdminURL(); url != "" {
		return url + "/"
	}
	return ""
}

// quoted protects a path from the shell, where that is needed.
func quoted(path string) string {
	if strings.ContainsAny(path, " \t'\"\\$&;()<>*?[]#~`|{}!") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
