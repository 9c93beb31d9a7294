package api

import (
	"fmt"
	"html"
	"net/http"
)

// HTML is a part of a page, in which all that came from outside is escaped.
type HTML string

// Format returns the format with the values, as [fmt.Sprintf] does. Strings among them are escaped, for the text of an
// element and for an attribute in quotes; HTML and numbers are not. html/template would know the place of each, but a
// program with it links all methods of all types, which is a tenth of the emulator.
func Format(format string, values ...any) HTML {
	for i, value := range values {
		if text, ok := value.(string); ok {
			values[i] = html.EscapeString(text)
		}
	}
	return HTML(fmt.Sprintf(format, values...))
}

// frame is the one look of all pages for people.
const frame = `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>%[1]s</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100%% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; overflow-wrap: anywhere }
th { width: 12rem; font-weight: 600 }
code, pre { background: #f4f4f4; padding: .1rem .3rem; border-radius: 3px } pre { padding: .6rem; overflow-x: auto }
.state { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; background: #714b67; color: #fff }
.message { border-left: 4px solid #714b67; padding: .3rem .8rem; background: #f7f2f6 }
footer { color: #666; font-size: .85rem; margin-top: 2rem }
@media (prefers-color-scheme: dark) { body { background: #1c1c1e; color: #eee } code, pre { background: #333 } th, td { border-color: #444 } .message { background: #2d262b } footer { color: #999 } a { color: #c9a3be } }
</style>
<h1>%[1]s</h1>
%[2]s
<footer>upgrademock: an emulator for testing, not affiliated with the platform it emulates.</footer>
</html>
`

// WritePage writes an HTML page for people.
func (c *Call) WritePage(title string, body HTML) {
	c.W.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	c.W.Header().Set("X-Content-Type-Options", "nosniff")
	c.Send(http.StatusOK, "text/html; charset=utf-8", []byte(Format(frame, title, body)))
}

// ServePage answers with a page that the journal does not mention.
func ServePage(w http.ResponseWriter, r *http.Request, title string, body HTML) {
	c := &Call{W: recorder{ResponseWriter: w}, R: r}
	c.WritePage(title, body)
}
