package api

import (
	"bytes"
	"html/template"
	"net/http"
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

var notesPage = template.Must(
	template.New("notes").Parse(`<p>The database of request {{.ID}} was upgraded to version {{.Target}}.</p>
<p>This emulator upgrades nothing: unless its scenario says otherwise, what you download is what you uploaded.</p>`))

// WritePage writes an HTML page for people.
func (c *Call) WritePage(title string, body *template.Template, data any) {
	var inner, page bytes.Buffer
	err := body.Execute(&inner, data)
	if err == nil { // inner was escaped by its own template
		err = frame.Execute(&page, map[string]any{"Title": title, "Body": template.HTML(inner.String())})
	}
	if err != nil {
		panic("api: page: " + err.Error())
	}
	c.W.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	c.W.Header().Set("X-Content-Type-Options", "nosniff")
	c.Send(http.StatusOK, "text/html; charset=utf-8", page.Bytes())
}

// ServePage answers with a page that the journal does not mention.
func ServePage(w http.ResponseWriter, r *http.Request, title string, body *template.Template, data any) {
	c := &Call{W: recorder{ResponseWriter: w}, R: r}
	c.WritePage(title, body, data)
}
