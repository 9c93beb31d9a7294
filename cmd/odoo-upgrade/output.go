package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/upgrademock/upgrademock/client"
)

// reportError writes what went wrong: for people to standard error, and with --json for programs to standard output.
func (a *app) reportError(err error) {
	fmt.Fprintf(a.stderr, "odoo-upgrade: %s\n", forPeople(err))
	if !a.json {
		return
	}
	type failure struct {
		Reason   string   `json:"reason"`
		Message  string   `json:"message"`
		Code     string   `json:"code,omitempty"`
		Value    string   `json:"value,omitempty"`
		Expected []string `json:"expected,omitempty"`
	}
	out := struct {
		Event    string    `json:"event"`
		Error    string    `json:"error"`
		Failures []failure `json:"failures"`
	}{"error", forPeople(err), []failure{}}
	if e, ok := errors.AsType[*client.Error](err); ok {
		for _, f := range e.Failures {
			out.Failures = append(out.Failures, failure{f.Reason, f.Message, f.Code, f.Value, f.Expected})
		}
	}
	raw, merr := json.Marshal(out)
	if merr == nil {
		fmt.Fprintf(a.secrets.wrap(a.stdout), "%s\n", raw)
	}
}

// forPeople returns the text of an error without the package's name, and with the flag that helps.
func forPeople(err error) string {
	text := clean(strings.ReplaceAll(err.Error(), "client: ", ""))
	if _, ok := errors.AsType[*client.TrustError](err); ok {
		text += ": --ca-file FILE, or SSL_CERT_FILE=FILE"
	}
	return text
}

// clean returns a text that came over the network without control characters for a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// writeJSON writes one value, indented.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeJSONLine writes one value in one line.
func writeJSONLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table writes aligned pairs; those without a value are left out.
func table(w io.Writer, rows ...[2]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if r[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", r[0], clean(strings.ReplaceAll(r[1], "\t", " ")))
		}
	}
	return t.Flush()
}

// requestRows describes a request for people, without its key.
func requestRows(r *client.Request) [][2]string {
	moment := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format("2006-01-02 15:04:05 UTC")
	}
	yes := ""
	if r.Filestore {
		yes = "moved out of the database, the upgraded archive is a zip"
	}
	rows := [][2]string{
		{"request", fmt.Sprint(r.ID)},
		{"state", string(r.State)},
		{"message", r.CustomerMessage},
		{"target", r.Target},
		{"aim", r.Aim},
		{"email", r.Email},
		{"file", r.Filename},
		{"file size", r.Filesize},
		{"file format", strings.Join(r.Compressions, ", ")},
		{"database version", r.DatabaseVersion},
		{"PostgreSQL", r.PostgreSQL},
		{"database uuid", r.DatabaseUUID},
		{"attachments", yes},
		{"created", moment(r.CreatedAt)},
		{"processed", moment(r.ProcessedAt)},
		{"estimated time", r.EstimatedTime},
		{"elapsed", r.Elapsed},
	}
	if r.Issue != 0 {
		rows = append(rows, [2]string{"issue", fmt.Sprintf("%d (%s)", r.Issue, r.IssueStage)})
	}
	for i := range rows {
		rows[i][1] = client.Redact(rows[i][1], r.Key)
	}
	return rows
}

// showRequest writes a request: as the platform gave it for programs, as a table for people.
func (a *app) showRequest(r *client.Request, more ...[2]string) error {
	if a.json {
		return writeJSON(a.stdout, r.Raw)
	}
	return table(a.stdout, append(requestRows(r), more...)...)
}
