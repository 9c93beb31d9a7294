package dump

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/upgrademock/upgrademock/internal/dump/pgarchive"
)

const (
	configTable = "ir_config_parameter"
	moduleTable = "ir_module_module"
)

// facts is what the SQL of a dump has about the database.
type facts struct {
	server  string // version of PostgreSQL
	version string // of Odoo's module base, or as the manifest has it
	uuid    string
}

func (f *facts) complete() bool { return f.server != "" && f.version != "" && f.uuid != "" }

// scanArchive reads the two tables of an archive that have facts.
func (f *facts) scanArchive(a *pgarchive.Archive) {
	tables := map[string]string{} // name → CREATE TABLE
	for _, e := range a.Entries {
		wanted := e.Tag == configTable && f.uuid == "" || e.Tag == moduleTable && f.version == ""
		switch {
		case !wanted:
		case e.Desc == "TABLE":
			tables[e.Tag] = e.Definition
		case e.Desc == "TABLE DATA":
			data, err := a.Data(e)
			if err != nil {
				continue
			}
			data = io.LimitReader(data, sniffUnpacked)
			f.scan(io.MultiReader(strings.NewReader(tables[e.Tag]+"\n"+e.Copy), data))
		}
	}
}

// scan reads SQL until all is known or it ends, with or without an error: COPY data line by line, all else statement
// by statement.
func (f *facts) scan(r io.Reader) {
	s := &scanner{
		facts: f,
		// A line of COPY data is seen up to this length; the columns that are wanted are short and stand well before.
		lines:   bufio.NewReaderSize(r, 256<<10),
		columns: map[string][]string{},
	}
	s.statement.done = s.run
	s.statement.comment = s.readComment
	for !f.complete() {
		line, err := s.lines.ReadSlice('\n')
		if s.copying {
			s.copyLine(line)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = s.lines.ReadSlice('\n')
			}
		} else {
			s.statement.write(line)
			s.copying = s.copyNext
			s.copyNext = false
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// A scanner is the state of reading one text.
type scanner struct {
	facts     *facts
	lines     *bufio.Reader
	statement lexer
	columns   map[string][]string // of the wanted tables, from CREATE TABLE

	copying  bool     // the lines are COPY data
	copyNext bool     // from the next line on they are
	table    string   // that is copied, when it is wanted; else empty
	order    []string // of its columns
}

func (s *scanner) readComment(text []byte) {
	if version, ok := bytes.CutPrefix(text, []byte(" Dumped from database version ")); ok && s.facts.server == "" {
		s.facts.server = strings.TrimSpace(string(version))
	}
}

// run looks at one statement.
func (s *scanner) run(text []byte) {
	t := &tokens{rest: text}
	switch t.word() {
	case "SET":
		if t.word() == "STANDARD_CONFORMING_STRINGS" {
			s.statement.escapes = bytes.Contains(bytes.ToLower(text), []byte("off"))
		}
	case "CREATE":
		s.create(t)
	case "COPY":
		s.table = wanted(t.name())
		s.order = t.list()
		s.copyNext = t.word() == "FROM" && t.word() == "STDIN"
	case "INSERT":
		if t.word() == "INTO" {
			s.insert(t)
		}
	}
}

// create remembers the columns of a wanted table: without them an INSERT does not show which value is which.
func (s *scanner) create(t *tokens) {
	word := t.word()
	for word == "UNLOGGED" || word == "GLOBAL" || word == "LOCAL" || word == "TEMPORARY" || word == "TEMP" {
		word = t.word()
	}
	if word != "TABLE" {
		return
	}
	table := wanted(t.name())
	if table == "" {
		return
	}
	var names []string
	first, depth := true, 0
	for {
		switch token := t.next(); {
		case token.kind == 0:
			s.columns[table] = names
			return
		case token.is("("):
			depth++
		case token.is(")"):
			depth--
		case token.is(",") && depth == 1:
			first = true
			continue
		case first && depth == 1:
			names = append(names, token.text) // of a column; constraints stand behind those
			first = false
		}
	}
}

// insert reads the rows of an INSERT into a wanted table.
func (s *scanner) insert(t *tokens) {
	table := wanted(t.name())
	if table == "" {
		return
	}
	order := t.list()
	if order == nil {
		order = s.columns[table]
	}
	for {
		token := t.next()
		if token.kind == 0 {
			return
		}
		if token.kind == 'w' && strings.EqualFold(token.text, "VALUES") {
			break
		}
	}
	row, value, depth := []string(nil), "", 0
	for {
		switch token := t.next(); {
		case token.kind == 0:
			return
		case token.is("("):
			depth++
			if depth == 1 {
				row, value = nil, ""
			}
		case token.is(")"):
			depth--
			if depth == 0 {
				s.row(table, order, append(row, value))
			}
		case token.is(",") && depth == 1:
			row, value = append(row, value), ""
		case token.kind == '\'':
			value = token.text
		}
	}
}

// copyLine reads one line of COPY data, perhaps cut short.
func (s *scanner) copyLine(line []byte) {
	line = bytes.TrimRight(line, "\r\n")
	if string(line) == `\.` {
		s.copying = false
		return
	}
	if s.table == "" {
		return
	}
	var row []string
	for field := range bytes.SplitSeq(line, []byte("\t")) {
		row = append(row, copyValue(field))
	}
	s.row(s.table, s.order, row)
}

// copyValue decodes a value of COPY's text format; NULL is empty.
func copyValue(field []byte) string {
	if string(field) == `\N` {
		return ""
	}
	if !bytes.Contains(field, []byte(`\`)) {
		return string(field)
	}
	return strings.NewReplacer(`\\`, `\`, `\b`, "\b", `\f`, "\f", `\n`, "\n", `\r`, "\r", `\t`, "\t", `\v`,
		"\v").Replace(string(field))
}

// plausible is what a database.uuid may look like: people set others than UUIDs, but nothing with spaces in it.
var plausible = regexp.MustCompile(`^[!-~]{1,64}$`)

// row takes the facts of a row of a wanted table; the first row that has one counts.
func (s *scanner) row(table string, order, values []string) {
	value := func(column string) string {
		for i, name := range order {
			if name == column && i < len(values) {
				return values[i]
			}
		}
		return ""
	}
	switch table {
	case configTable:
		if v := value("value"); s.facts.uuid == "" && value("key") == "database.uuid" && plausible.MatchString(v) {
			s.facts.uuid = v
		}
	case moduleTable:
		if v := value("latest_version"); s.facts.version == "" && value("name") == "base" && odooName(v) != "" {
			s.facts.version = v
		}
	}
}

// wanted returns a table's name if its rows have facts.
func wanted(table string) string {
	if table == configTable || table == moduleTable {
		return table
	}
	return ""
}
