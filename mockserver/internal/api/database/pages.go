package database

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

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
	page := statusTable(text("state"), text("customer_message"), rows)
	return api.Content(func() { c.WritePage(title, page) }), nil
}

func statusTable(state, message string, rows []row) api.HTML {
	var page api.HTML
	if message != "" {
		page = api.Format(`<p class="message">%s</p>`, message)
	}
	page += api.Format("\n<table>\n<tr><th>State<td><span class=\"state\">%s</span>\n", state)
	for _, r := range rows {
		if r.Link != "" {
			page += api.Format("<tr><th>%s<td><a href=\"%s\">%s</a>\n", r.Name, r.Link, r.Text)
		} else {
			page += api.Format("<tr><th>%s<td>%s\n", r.Name, r.Text)
		}
	}
	return page + "</table>"
}

// frontPage is what a browser shows that opens the emulator.
func (a *API) frontPage(w http.ResponseWriter, r *http.Request) {
	scheme, host := a.Base(r)
	var sftp api.HTML
	if addr := a.SFTPAddr(); addr != "" {
		sftp = api.Format(" The SFTP server\nis at <code>%s</code>.", addr)
	}
	var live api.HTML
	if url := a.LivePage(); url != "" {
		live = api.Format("\n<p><a href=\"%s\">Watch what happens, live</a>: requests, what their clients did, and what "+
			"went wrong.</p>", url)
	}
	query := "contract=M123456-abcdef&email=john.doe@example.com&target=" + a.Targets[len(a.Targets)-1] +
		"&aim=test&filename=db_name.dump"
	api.ServePage(w, r, "upgrademock", api.Format(
		`<p>This is <b>upgrademock</b>, a local emulator of the Odoo Database Upgrade API.
It is here for testing programs that talk to the upgrade platform.</p>
<p>Create a request:</p>
<pre>curl -sS "%s/database/v1/create?%s"</pre>
<p>Then upload a dump, call <code>process</code>, and poll <code>status</code>; the answer names the URLs.%s</p>%s`,
		scheme+host, query, sftp, live))
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
