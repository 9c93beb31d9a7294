package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver"
)

// banner says how to go on: lines to be pasted.
func banner(w io.Writer, srv *mockserver.Server, front *proxy.Proxy, opts *mockserver.Options) {
	base, curl := srv.URL(), "curl -sS"
	if base == "" {
		base, curl = srv.HTTPSURL(), "curl -sS --cacert "+quoted(srv.CAFile())
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
	fmt.Fprintf(w, "upgrademock %s is ready: a local emulator of the Odoo Database Upgrade API, for testing only.\n",
		version.String())
	fmt.Fprintln(w)
	proxied := ""
	if front != nil {
		proxied = front.URL() + `  (eval "$(` + curl + " " + srv.AdminURL() + `/env)")`
	}
	for _, line := range [][2]string{{"HTTP", srv.URL()}, {"HTTPS", srv.HTTPSURL()}, {"Proxy", proxied},
		{"SFTP", srv.SFTPAddr()}, {"Control", srv.AdminURL()}, {"Live", livePage(srv)}, {"CA", srv.CAFile()}} {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-8s %s\n", line[0], line[1])
		}
	}
	if u := testbed.ScriptURL(srv); u != "" {
		fmt.Fprintf(w, `
Run the upgrade script, or examples/script/upgrade_standin.py, in another terminal:

  export UPGRADE_SERVER_NAME=%s SSL_CERT_FILE=%s
  python3 upgrade test -i db.zip -c %s -t 17.0
`, u, quoted(srv.CAFile()), contract)
	}
	fmt.Fprintf(w, `
Or use the older API. Create a request, and keep its id and key:

  %s "%s/database/v1/create?contract=%s&email=john.doe@example.com&target=%s&aim=test&filename=db_name.dump" | tee create_result.json
  REQUEST=$(jq -r .request.id create_result.json) KEY=$(jq -r .request.key create_result.json)

Upload a dump, over HTTP or over SFTP, have it processed, and poll:

  %s --data-binary @db_name.dump -H "Content-Type: application/octet-stream" "%s/database/v1/upload?request=$REQUEST&key=$KEY"
`, curl, base, contract, target, curl, base)
	if addr := srv.SFTPAddr(); addr != "" {
		host, port, _ := net.SplitHostPort(addr)
		fmt.Fprintf(w, `
  %s -F ssh_keys=@$HOME/.ssh/id_ed25519.pub "%s/database/v1/request_sftp_access?request=$REQUEST&key=$KEY"
  echo "put db_name.dump" | sftp -b - -P %s -o UserKnownHostsFile=%s user_$REQUEST@%s
`, curl, base, port, quoted(srv.KnownHostsFile()), host)
	}
	fmt.Fprintf(w, `
  %s "%s/database/v1/process?request=$REQUEST&key=$KEY"
  %s "%s/database/v1/status?request=$REQUEST&key=$KEY"

Press Ctrl-C to stop.
`, curl, base, curl, base)
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
