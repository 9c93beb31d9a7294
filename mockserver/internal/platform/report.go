package platform

import (
	"cmp"
	"fmt"
	"html"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
)

// report is upgrade-report.html: what was upgraded, to what, and for what aim.
func report(s Snapshot, at time.Time) string {
	var page strings.Builder
	page.WriteString("<!DOCTYPE html>\n<html lang=\"en\">\n" +
		"<head><meta charset=\"utf-8\"><title>Upgrade report</title></head>\n<body>\n")
	fmt.Fprintf(&page, "<h1>Upgrade report: request %d to Odoo %s, for %s</h1>\n", s.ID, html.EscapeString(s.Target),
		html.EscapeString(s.Aim))
	page.WriteString("<table>\n")
	row := func(name, value string) {
		fmt.Fprintf(&page, "<tr><th>%s</th><td>%s</td></tr>\n", name, html.EscapeString(cmp.Or(value, "unknown")))
	}
	row("Request", fmt.Sprint(s.ID))
	row("Aim", s.Aim)
	row("Target", s.Target)
	row("Contract", s.Contract)
	row("Neutralised", map[string]string{ // row S10.6
		"test":       "no; the database of a test upgrade would be, and this one is emulated",
		"production": "no, as this upgrade is for production",
	}[strings.TrimSpace(s.Aim)])
	row("State", s.State)
	row("Uploaded", s.Filename)
	row("Size", dump.Size(s.DumpSize))
	row("Version before", s.Described.DatabaseVersion)
	row("PostgreSQL before", s.Described.PostgreSQL)
	if s.ProcessedAt != nil {
		row("Began", s.ProcessedAt.UTC().Format(time.DateTime))
	}
	row("Ended", at.UTC().Format(time.DateTime))
	page.WriteString("</table>\n<p>This upgrade was emulated: the database is the one that was uploaded, " +
		"unless the scenario has another one.</p>\n</body>\n</html>\n")
	return page.String()
}
