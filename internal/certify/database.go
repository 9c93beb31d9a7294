package certify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/postgres"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// databases is a PostgreSQL server with what clients upgrade.
type databases struct {
	server  *postgres.Server
	missing string // why there is none; ""
	asked   bool   // the command has a place for the name of a database, so that each of its runs gets one
}

const template = "template_of_certify" // is copied for each run

// wantsDatabase reports whether the command has a place for the name of a database.
func wantsDatabase(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool { return strings.Contains(arg, "{database}") })
}

// startDatabases starts the server where one is of use, with the dump restored in it.
func startDatabases(ctx context.Context, opts *Options, dump string) (_ *databases, err error) {
	dbs := &databases{asked: wantsDatabase(opts.Args)}
	if !slices.ContainsFunc(opts.Scenarios, dbs.usedUnder) {
		return dbs, nil
	}
	if dbs.server, err = postgres.Start(ctx); errors.Is(err, postgres.ErrMissing) {
		dbs.missing, err = "it is about a database, and "+err.Error(), nil
	}
	if dbs.server == nil || err != nil {
		return dbs, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, dbs.close())
		}
	}()
	if _, err := dbs.server.Run(ctx, nil, "createdb", "-T", "template0", template); err != nil {
		return dbs, err
	}
	file, err := os.Open(dump)
	if err != nil {
		return dbs, err
	}
	defer file.Close()
	_, err = dbs.server.Run(ctx, file, "pg_restore", "--no-owner", "-d", template)
	return dbs, err
}

func (dbs *databases) close() error {
	if dbs.server == nil {
		return nil
	}
	return dbs.server.Close()
}

// usedUnder reports whether the client gets a database under the scenario.
func (dbs *databases) usedUnder(script *scenario.Scenario) bool {
	return script.Run.Database || dbs.asked && script.When["api"] == scenario.APIScript
}

// database is what one run upgrades.
type database struct {
	server             *postgres.Server
	old, made          string // its name, and that of the database to make of it
	oldFiles, newFiles string // their filestores
	content            string // what was in it
}

// newDatabase makes a database for a run whose HOME that is, and its filestore.
func newDatabase(ctx context.Context, server *postgres.Server, name, contract, home string) (*database, error) {
	stores := filepath.Join(home, ".local", "share", "Odoo", "filestore")
	db := &database{server: server, old: name, made: name + "_upgraded"}
	db.oldFiles, db.newFiles = filepath.Join(stores, db.old), filepath.Join(stores, db.made)
	if _, err := server.Run(ctx, nil, "createdb", "-T", template, name); err != nil {
		return nil, err
	}
	sql := "INSERT INTO ir_config_parameter (key, value) VALUES ('database.enterprise_code', '" +
		strings.ReplaceAll(contract, "'", "''") + "')"
	if _, err := server.Run(ctx, nil, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", name, "-c", sql); err != nil {
		return nil, err
	}
	for file, content := range map[string]string{
		"3f/3f786850e387550fdab836ed7e6dc881de23001b": "a\n",
		"89/89e6c98d92887913cadf06b2adb97f26cde4849b": "b\n",
	} {
		file = filepath.Join(db.oldFiles, file)
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o600))
		if err != nil {
			return nil, err
		}
	}
	var err error
	db.content, err = db.dump(ctx, name)
	return db, err
}

// restrict is the line with a random key that pg_dump writes since August 2025.
var restrict = regexp.MustCompile(`(?m)^\\(un)?restrict .*\n`)

// dump is a database as SQL. Databases with the same content give the same text.
func (db *database) dump(ctx context.Context, name string) (string, error) {
	sql, err := db.server.Run(ctx, nil, "pg_dump", "--no-owner", name)
	return restrict.ReplaceAllString(sql, ""), err
}

// result is what became of the database. What the upgrade makes of it is known only where it is what was sent.
func (db *database) result(ctx context.Context, script *scenario.Scenario) (*mockserver.Database, error) {
	out := &mockserver.Database{Name: db.made, OldFiles: db.oldFiles, NewFiles: db.newFiles}
	listed, err := db.server.Run(ctx, nil, "psql", "-X", "-A", "-t", "-d", "postgres", "-c",
		"SELECT datname FROM pg_database WHERE starts_with(datname, '"+db.old+"')")
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.TrimSpace(listed), "\n")
	out.Exists = slices.Contains(names, db.made)
	others := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == db.old || name == db.made })
	switch {
	case !slices.Contains(names, db.old):
		out.Differs = fmt.Sprintf("the database %s, which was to be upgraded, is gone", db.old)
		return out, nil
	case len(others) > 0:
		out.Differs = fmt.Sprintf("a database %s beside %s", strings.Join(others, ", "), db.old)
		if !out.Exists {
			out.Differs += ", and no " + db.made
		}
		return out, nil
	}
	now, err := db.dump(ctx, db.old)
	if err != nil {
		return nil, err
	}
	if now != db.content {
		out.Differs = fmt.Sprintf("the database %s, which was to be upgraded, has changed: %s", db.old,
			difference(db.content, now))
		return out, nil
	}
	if out.Exists {
		// The upgrade script makes the database before it restores, and leaves it empty when there is nothing to restore.
		out.Exists, err = db.filled(ctx)
	}
	if err != nil || !out.Exists || script.Upgraded.Archive != "" {
		return out, err
	}
	if now, err = db.dump(ctx, db.made); err == nil && now != db.content {
		out.Differs = fmt.Sprintf("the database %s is not what came back: %s", db.made, difference(db.content, now))
	}
	return out, err
}

// filled reports whether anything is in the new database.
func (db *database) filled(ctx context.Context) (bool, error) {
	const firstOfUsers = "16384" // PostgreSQL's FirstNormalObjectId
	found, err := db.server.Run(ctx, nil, "psql", "-X", "-A", "-t", "-d", db.made, "-c",
		"SELECT count(*) FROM pg_class WHERE oid >= "+firstOfUsers)
	return strings.TrimSpace(found) != "0", err
}

// difference is the first line in which two databases differ.
func difference(want, got string) string {
	wanted, found := strings.Split(want, "\n"), strings.Split(got, "\n")
	cut := func(line string) string { return fmt.Sprintf("%.60q", line) }
	for i, line := range wanted {
		if i >= len(found) || found[i] != line {
			if i < len(found) {
				return cut(found[i]) + " in place of " + cut(line)
			}
			return "it ends before " + cut(line)
		}
	}
	return "it has more, beginning with " + cut(found[len(wanted)])
}

// sentDump reports whether the client sent its dump, and not the database, of which there are several files.
func sentDump(events []journal.Event, dump string) bool {
	toc, _ := os.Stat(filepath.Join(dump, "toc.dat"))
	for _, e := range events {
		if e.On != scenario.OnRsyncUpload || e.Rsync == nil {
			continue
		}
		for _, f := range e.Rsync.Files {
			folder, name := path.Split(f.Name)
			if folder == "" || name == "toc.dat" && toc != nil && toc.Size() == f.Size {
				return true
			}
		}
	}
	return false
}
