package database

import (
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var statusTemplate = template.Must(template.New("status").Parse(`{{with .Message}}<p class="message">{{.}}</p>{{end}}
<table>
<tr><th>State<td><span class="state">{{.State}}</span>
{{range .Rows}}<tr><th>{{.Name}}<td>{{if .Link}}<a href="{{.Link}}">{{.Text}}</a>{{else}}{{.Text}}{{end}}
{{end}}</table>`))

var frontTemplate = template.Must(
	template.New("front").Parse(`<p>This is <b>upgrademock</b>, a local emulator of the Odoo Database Upgrade API.
It is here for testing programs that talk to the upgrade platform.</p>
<p>Create a request:</p>
<pre>curl -sS "{{.Base}}/database/v1/create?contract=M123456-abcdef&amp;email=john.doe@example.com&amp;target={{.Target}}&amp;aim=test&amp;filename=db_name.dump"</pre>
<p>Then upload a dump, call <code>process</code>, and poll <code>status</code>; the answer names the URLs.{{if .SFTP}} The SFTP server
is at <code>{{.SFTP}}</code>.{{end}}</p>`))

type row struct{ Name, Text, Link string }

// statusPage is the page of a request, for people (row 8.7).
func (a *API) statusPage(c *api.Call) (any, error) {
	snapshot := c.Request.Snapshot()
	c.Note(&snapshot)
	scheme, host := a.Base(c.R)
	values := a.Status(snapshot, scheme+host)
	text := func(key string) string {
		if s, ok := values[key].(string); ok {
			return s
		}
		return ""
	}
	var rows []row
	for _, shown := range []struct{ name, key string }{
		{"E-mail", "email"}, {"Target", "target"}, {"Aim", "aim"}, {"File", "filename"}, {"File size", "filesize"},
		{"Odoo version", "database_version"}, {"PostgreSQL", "postgresql"}, {"Database", "database_uuid"},
		{"Created (UTC)", "created_at"}, {"Upgrade began (UTC)", "processed_at"}, {"Estimated time", "estimated_time"},
		{"Elapsed", "elapsed"},
	} {
		if value := text(shown.key); value != "" {
			rows = append(rows, row{Name: shown.name, Text: value})
		}
	}
	if snapshot.HasDump {
		rows = append(rows, row{"Original", "archive", text("original_dump_url")}, row{"", "SQL", text("original_sql_url")})
	}
	if snapshot.Upgradable() {
		rows = append(rows, row{"Upgraded", "archive", text("upgraded_dump_url")}, row{"", "SQL", text("upgraded_sql_url")},
			row{"", "notes", text("notes_url")})
	}
	title := "Database upgrade request " + strconv.FormatInt(snapshot.ID, 10)
	data := map[string]any{"State": text("state"), "Message": text("customer_message"), "Rows": rows}
	return api.Content(func() { c.WritePage(title, statusTemplate, data) }), nil
}

// frontPage is what a browser shows that opens the emulator.
func (a *API) frontPage(w http.ResponseWriter, r *http.Request) {
	scheme, host := a.Base(r)
	api.ServePage(w, r, "upgrademock", frontTemplate, map[string]string{
		"Base": scheme + host, "Target": a.Targets[len(a.Targets)-1], "SFTP": a.SFTPAddr(),
	})
}

// NotFound answers a path at which nothing is (docs/fidelity.md, section 1). The journal says so: a misspelt
// method is a bug of the client.
func (a *API) NotFound() http.HandlerFunc {
	return a.Serve(api.Endpoint{
		On: journal.OnUnknown,
		Handle: func(c *api.Call) (any, error) {
			why := "nothing answers at this path"
			if name, ok := strings.CutPrefix(c.R.URL.Path, base); ok {
				why = "there is no such method"
				if strings.Trim(name, "/") == scenario.OnSkipTest {
					why = "skip_test is a method of the 13.0 page; this emulator speaks " + a.Edition
				}
			}
			return nil, c.NotFound(why)
		},
		Write: a.write,
	})
}
