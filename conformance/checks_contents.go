package conformance

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// textual ends the check unless the answer is plain SQL.
func (c *checker) textual(a raw.Answer) {
	plain := string(a.Body)
	isSQL := strings.Contains(plain, "CREATE TABLE") || strings.Contains(plain, "SET ") ||
		strings.Contains(plain, "INSERT ") || strings.Contains(plain, "COPY ")
	if !a.OK() || a.Broken != "" {
		c.wrong(a.What, "the database as SQL text", a.Summary())
	}
	if !isSQL || a.Size <= raw.KeptBody && !utf8.Valid(a.Body) || strings.HasPrefix(plain, "PGDMP") ||
		strings.HasPrefix(plain, "PK\x03\x04") {
		c.wrong(a.What, "plain SQL text", a.Summary())
	}
}

func checkURLsSQLIsText(c *checker) {
	for _, name := range []string{"main", "gzip", "zip"} {
		j := c.lifecycle(name)
		j.doneOrStop(c)
		for _, key := range []string{"original_sql_url", "upgraded_sql_url"} {
			// A server may be unable to read a form of dump, and say so.
			if a := c.fetch(c.reachable(text(j.field(key)))); a.OK() {
				a.What += " of " + lifecyclePlans[name].form
				c.textual(a)
			}
		}
	}
}

func checkURLsUpgradedWhole(c *checker) {
	for _, name := range []string{"main", "gzip", "zip"} {
		j := c.lifecycle(name)
		j.doneOrStop(c)
		a := c.archive("upgraded_dump_url", c.reachable(text(j.field("upgraded_dump_url"))))
		if problem := unpacks(a.Body); problem != nil {
			c.wrong(a.What, "a whole archive", fmt.Sprintf("%d bytes that cannot be unpacked: %v", a.Size, problem))
		}
		c.notCut(a.What, a.Body, j.dump)
	}
	j := c.lifecycle("gzip")
	sql := c.fetch(c.reachable(text(j.field("upgraded_sql_url"))))
	c.notCut(sql.What, sql.Body, fixture("openchs.sql"))
}

func checkURLsOriginalSQL(c *checker) {
	j := c.lifecycle("gzip")
	j.doneOrStop(c)
	a := c.fetch(c.reachable(text(j.field("original_sql_url"))))
	if want := fixture("openchs.sql"); !a.OK() || !a.Is(want) {
		c.wrong(a.What+" of a gzip'ed plain dump", "its text", a.Summary()+", "+a.Diff(want))
	}
}

func checkURLsOriginalSQLZip(c *checker) {
	j := c.lifecycle("zip")
	j.doneOrStop(c)
	want := unzip(j.dump, "dump.sql")
	if a := c.fetch(c.reachable(text(j.field("original_sql_url")))); !a.OK() || !a.Is(want) {
		c.wrong(a.What+" of an Odoo zip", "its dump.sql", a.Summary()+", "+a.Diff(want))
	}
}

func checkURLsOriginalSQLPlain(c *checker) {
	j := c.lifecycle("sftp")
	j.doneOrStop(c)
	if a := c.fetch(c.reachable(text(j.field("original_sql_url")))); !a.OK() || !a.Is(j.dump) {
		c.wrong(a.What+" of a plain dump", "its text", a.Summary()+", "+a.Diff(j.dump))
	}
}

func checkURLsOriginalSQLCustom(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	c.textual(c.fetch(c.reachable(text(j.field("original_sql_url")))))
}

func checkURLsUpgradedSQL(c *checker) {
	name := "gzip"
	if c.opts.Production {
		name = "main"
	}
	j := c.lifecycle(name)
	j.doneOrStop(c)
	c.textual(c.fetch(c.reachable(text(j.field("upgraded_sql_url")))))
}

func checkURLsFilestoreZip(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	if j.field("filestore") != true {
		c.skipf("the upgraded database has no filestore")
	}
	a := c.archive("upgraded_dump_url", c.reachable(text(j.field("upgraded_dump_url"))))
	z, err := zip.NewReader(bytes.NewReader(a.Body), a.Size)
	if err != nil {
		c.wrong(a.What+" with filestore true", "a zip", err.Error())
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		if unzip(a.Body, f.Name) == nil && !strings.HasSuffix(f.Name, "/") && f.UncompressedSize64 > 0 {
			c.wrong(a.What, "a zip that can be unpacked", f.Name+" can't be read")
		}
	}
	if !slices.Contains(names, "dump.sql") ||
		!slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "filestore/") }) {
		c.wrong(a.What+" with filestore true", "a zip with dump.sql and filestore/…", fmt.Sprintf("%q", names))
	}
}

// notCut ends the check when what was got is the beginning of what was uploaded, and no more.
func (c *checker) notCut(sent string, got, uploaded []byte) {
	if len(got) < len(uploaded) && bytes.HasPrefix(uploaded, got) {
		c.wrong(sent, "all of the upgraded database",
			fmt.Sprintf("the first %d of the %d bytes that were uploaded", len(got), len(uploaded)))
	}
}

// unpacks returns why data that begins as a gzip or zip file cannot be unpacked to its end.
func unpacks(data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, z)
		return err
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return err
		}
		for _, f := range z.File {
			if !f.FileInfo().IsDir() && unzip(data, f.Name) == nil && f.UncompressedSize64 > 0 {
				return fmt.Errorf("the file %q in it is broken", f.Name)
			}
		}
	}
	return nil
}

// unzip returns one file of a zip, nil if it is not there or broken.
func unzip(data []byte, name string) []byte {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil
	}
	for _, f := range z.File {
		if f.Name == name {
			r, err := f.Open()
			if err != nil {
				return nil
			}
			defer r.Close()
			var buf bytes.Buffer
			if _, err := buf.ReadFrom(r); err != nil {
				return nil
			}
			return buf.Bytes()
		}
	}
	return nil
}
