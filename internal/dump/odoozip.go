package dump

import (
	"archive/zip"
	"cmp"
	"compress/flate"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// OdooZip says what BuildOdooZip builds. Every zero value is fine.
type OdooZip struct {
	DBName     string // default "upgraded"
	Version    string // Odoo's version, such as "8.0", which is the default
	UUID       string // database.uuid; default 00000000-0000-4000-8000-000000000000
	PostgreSQL string // version of the server, such as "9.4"; default "15.0"
	// SQL becomes dump.sql, byte for byte. Nil: a tiny database with these values in it, which psql can load.
	SQL io.Reader
	// Padding is the size of one more file in the filestore, of zeros that are not compressed, for an archive of at
	// least that size.
	Padding int64
	// Filestore is what filestore/ holds: regular files and directories; nil: the one file of the tiny database.
	Filestore fs.FS
	// NoFilestore leaves filestore/ out.
	NoFilestore bool
	// Fast packs quickly rather than well, for large dumps.
	Fast bool
}

// attachment is the one file of the filestore, and the text of the attachment that a built dump.sql has.
const attachment = "An attachment that became a file.\n"

// BuildOdooZip writes a small valid backup as Odoo makes it: dump.sql, manifest.json and filestore/xx/<sha1 of the
// file>. The same values always give the same bytes (with the same release of Go). Errors are those of w, of o.SQL
// and of o.Filestore.
func BuildOdooZip(w io.Writer, o OdooZip) error {
	o.DBName = cmp.Or(o.DBName, "upgraded")
	o.Version = cmp.Or(o.Version, "8.0")
	o.UUID = cmp.Or(o.UUID, "00000000-0000-4000-8000-000000000000")
	o.PostgreSQL = cmp.Or(o.PostgreSQL, "15.0")
	sum := sha1.Sum([]byte(attachment)) // Odoo's way to name the files of its filestore
	stored := hex.EncodeToString(sum[:])
	stored = stored[:2] + "/" + stored

	sql := o.SQL
	if sql == nil {
		sql = strings.NewReader(o.sql(stored))
	}
	manifest, err := o.manifest()
	if err != nil {
		return fmt.Errorf("dump: build a backup: manifest.json: %w", err)
	}
	z := &zipWriter{zip.NewWriter(w)}
	if o.Fast {
		z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
			return flate.NewWriter(w, flate.BestSpeed)
		})
	}
	err = z.add("dump.sql", sql, zip.Deflate)
	if err == nil {
		err = z.add("manifest.json", strings.NewReader(manifest), zip.Deflate)
	}
	if err == nil && !o.NoFilestore {
		err = z.filestore(&o, stored)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return fmt.Errorf("dump: build a backup: %w", err)
	}
	return nil
}

// zipWriter writes the members of a backup.
type zipWriter struct{ *zip.Writer }

func (z *zipWriter) add(name string, from io.Reader, method uint16) error {
	// The time is the first that a zip can tell: it has to be the same every time.
	to, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0,
		time.UTC)})
	if err == nil {
		_, err = io.Copy(to, from)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// filestore writes the files of filestore/.
func (z *zipWriter) filestore(o *OdooZip, stored string) (err error) {
	if o.Filestore == nil {
		err = z.add("filestore/"+stored, strings.NewReader(attachment), zip.Deflate)
	} else {
		err = fs.WalkDir(o.Filestore, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			f, err := o.Filestore.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			return z.add("filestore/"+name, f, zip.Deflate)
		})
	}
	if err == nil && o.Padding > 0 {
		err = z.add("filestore/00/padding", io.LimitReader(zeros{}, o.Padding), zip.Store)
	}
	return err
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// manifest is manifest.json with the keys that Odoo writes, in its order.
func (o *OdooZip) manifest() (string, error) {
	b, err := json.MarshalIndent(struct {
		OdooDump     string            `json:"odoo_dump"`
		DBName       string            `json:"db_name"`
		Version      string            `json:"version"`
		VersionInfo  []any             `json:"version_info"`
		MajorVersion string            `json:"major_version"`
		PgVersion    string            `json:"pg_version"`
		Modules      map[string]string `json:"modules"`
	}{"1", o.DBName, o.Version, o.versionInfo(), o.Version, o.PostgreSQL,
		map[string]string{"base": o.Version + ".1.3"}}, "", "    ")
	return string(b) + "\n", err
}

// versionInfo is the version as Odoo's release.version_info has it: numbers where it is made of numbers.
func (o *OdooZip) versionInfo() []any {
	major, minor, _ := strings.Cut(o.Version, ".")
	part := func(s string) any {
		if n, err := strconv.Atoi(s); err == nil {
			return n
		}
		return s
	}
	return []any{part(major), part(cmp.Or(minor, "0")), 0, "final", 0, ""}
}

// sql is a database of three tables with what a reader of Odoo's dumps looks for.
func (o *OdooZip) sql(stored string) string {
	literal := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	return strings.NewReplacer(
		"$server", strings.Join(strings.Fields(o.PostgreSQL), " "),
		"$uuid", literal(o.UUID),
		"$version", literal(o.Version+".1.3"),
		"$stored", literal(stored),
		"$size", strconv.Itoa(len(attachment)),
	).Replace(`--
-- PostgreSQL database dump
--

-- Dumped from database version $server

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET client_min_messages = warning;

CREATE TABLE public.ir_attachment (
    id integer NOT NULL,
    name character varying NOT NULL,
    store_fname character varying,
    file_size integer
);

CREATE TABLE public.ir_config_parameter (
    id integer NOT NULL,
    key character varying NOT NULL,
    value text NOT NULL
);

CREATE TABLE public.ir_module_module (
    id integer NOT NULL,
    name character varying NOT NULL,
    latest_version character varying,
    state character varying
);

INSERT INTO public.ir_attachment (id, name, store_fname, file_size) VALUES (1, 'attachment.txt', $stored, $size);
INSERT INTO public.ir_config_parameter (id, key, value) VALUES (1, 'database.uuid', $uuid);
INSERT INTO public.ir_module_module (id, name, latest_version, state) VALUES (1, 'base', $version, 'installed');

ALTER TABLE ONLY public.ir_attachment ADD CONSTRAINT ir_attachment_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ir_config_parameter ADD CONSTRAINT ir_config_parameter_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ir_module_module ADD CONSTRAINT ir_module_module_pkey PRIMARY KEY (id);

--
-- PostgreSQL database dump complete
--
`)
}
