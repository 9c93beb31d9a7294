package mockserver

import (
	"bytes"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// frame is the one look of all pages for people.
var frame = template.Must(template.New("frame").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{.Title}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; overflow-wrap: anywhere }
th { width: 12rem; font-weight: 600 }
code, pre { background: #f4f4f4; padding: .1rem .3rem; border-radius: 3px } pre { padding: .6rem; overflow-x: auto }
.state { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; background: #714b67; color: #fff }
.message { border-left: 4px solid #714b67; padding: .3rem .8rem; background: #f7f2f6 }
footer { color: #666; font-size: .85rem; margin-top: 2rem }
@media (prefers-color-scheme: dark) { body { background: #1c1c1e; color: #eee } code, pre { background: #333 } th, td { border-color: #444 } .message { background: #2d262b } footer { color: #999 } a { color: #c9a3be } }
</style>
<h1>{{.Title}}</h1>
{{.Body}}
<footer>upgrademock: an emulator for testing, not affiliated with the platform it emulates.</footer>
</html>
`))

var statusPage = template.Must(template.New("status").Parse(`{{with .Message}}<p class="message">{{.}}</p>{{end}}
<table>
<tr><th>State<td><span class="state">{{.State}}</span>
{{range .Rows}}<tr><th>{{.Name}}<td>{{if .Link}}<a href="{{.Link}}">{{.Text}}</a>{{else}}{{.Text}}{{end}}
{{end}}</table>`))

var notesPage = template.Must(template.New("notes").Parse(`<p>The database of request {{.ID}} was upgraded to version {{.Target}}.</p>
<p>This emulator upgrades nothing: unless its scenario says otherwise, what you download is what you uploaded.</p>`))

var frontPage = template.Must(template.New("front").Parse(`<p>This is <b>upgrademock</b>, a local emulator of the Odoo Database Upgrade API.
It is here for testing programs that talk to the upgrade platform.</p>
<p>Create a request:</p>
<pre>curl -sS "{{.Base}}/database/v1/create?contract=M123456-abcdef&amp;email=john.doe@example.com&amp;target={{.Target}}&amp;aim=test&amp;filename=db_name.dump"</pre>
<p>Then upload a dump, call <code>process</code>, and poll <code>status</code>; the answer names the URLs.{{if .SFTP}} The SFTP server
is at <code>{{.SFTP}}</code>.{{end}}</p>`))

// page writes an HTML page for people.
func (s *Server) page(c *call, title string, body *template.Template, data any) {
	var inner, whole bytes.Buffer
	err := body.Execute(&inner, data)
	if err == nil {
		err = frame.Execute(&whole, map[string]any{"Title": title, "Body": template.HTML(inner.String())}) // escaped by its own template
	}
	if err != nil {
		panic("mockserver: page: " + err.Error())
	}
	c.w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	s.send(c, http.StatusOK, []string{"text/html; charset=utf-8"}, whole.Bytes())
}

type row struct{ Name, Text, Link string }

// serveStatusPage is the page of a request, for people (row 8.7).
func (s *Server) serveStatusPage(c *call) {
	snapshot := c.request.Snapshot()
	c.note(&snapshot)
	scheme, host := s.base(c.r)
	status := s.described(snapshot, scheme, host)
	values := status.values()
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
		{"Created (UTC)", "created_at"}, {"Upgrade began (UTC)", "processed_at"}, {"Estimated time", "estimated_time"}, {"Elapsed", "elapsed"},
	} {
		if value := text(shown.key); value != "" {
			rows = append(rows, row{Name: shown.name, Text: value})
		}
	}
	if snapshot.HasDump {
		rows = append(rows, row{"Original", "archive", text("original_dump_url")}, row{"", "SQL", text("original_sql_url")})
	}
	if snapshot.Upgradable() {
		rows = append(rows, row{"Upgraded", "archive", text("upgraded_dump_url")}, row{"", "SQL", text("upgraded_sql_url")}, row{"", "notes", text("notes_url")})
	}
	s.page(c, "Database upgrade request "+strconv.FormatInt(snapshot.ID, 10), statusPage, map[string]any{
		"State": text("state"), "Message": text("customer_message"), "Rows": rows,
	})
}

func (s *Server) serveNotes(c *call) {
	s.scriptedOr(c, (*platform.Request).Notes, "text/html; charset=utf-8", func(snapshot platform.Snapshot) {
		s.page(c, "Upgrade notes", notesPage, snapshot)
	})
}

// emptyZip is an archive without files: its end-of-directory record alone.
const emptyZip = "PK\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// serveModules hands out the custom modules: none (assumed), unless the scenario names an archive.
func (s *Server) serveModules(c *call) {
	s.scriptedOr(c, (*platform.Request).Modules, "application/zip", func(snapshot platform.Snapshot) {
		c.w.Header().Set("Content-Disposition", attachment("modules.zip"))
		c.w.Header().Set("Content-Type", "application/zip")
		http.ServeContent(&c.w, c.r, "", snapshot.CreatedAt, strings.NewReader(emptyZip))
	})
}

// scriptedOr serves the file that a scenario names, or what the emulator has of its own; nothing before the request is done.
func (s *Server) scriptedOr(c *call, open func(*platform.Request) (*platform.Content, error), contentType string, own func(platform.Snapshot)) {
	s.content(c, open, func(c *call, content *platform.Content) {
		if content != nil {
			c.w.Header().Set("Content-Type", contentType)
			http.ServeContent(&c.w, c.r, "", content.ModTime, io.NewSectionReader(content, 0, content.Size))
			return
		}
		own(c.request.Snapshot())
	})
}

// serveFrontPage greets whoever opens the emulator in a browser.
func (s *Server) serveFrontPage(w http.ResponseWriter, r *http.Request) {
	c := &call{w: recorder{ResponseWriter: w}, r: r}
	scheme, host := s.base(r)
	s.page(c, "upgrademock", frontPage, map[string]string{
		"Base": scheme + host, "Target": s.opts.Targets[len(s.opts.Targets)-1], "SFTP": s.SFTPAddr(),
	})
}

// serveNotFound answers what nobody routes (docs/fidelity.md, section 1). It is loud in the journal: a misspelt method is a bug of the client.
func (s *Server) serveNotFound(w http.ResponseWriter, r *http.Request) {
	c := s.begin(journal.OnUnknown, w, r)
	c.event.Why = "nothing answers at this path"
	if name, ok := strings.CutPrefix(r.URL.Path, apiBase); ok {
		c.event.Why = "there is no such method"
		if strings.Trim(name, "/") == "skip_test" {
			c.event.Why = "skip_test is a method of the 13.0 page; this emulator speaks " + s.opts.Edition
		}
	}
	plainNotFound(&c.w)
	s.end(c)
}
