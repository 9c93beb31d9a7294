package workflow

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Postgres runs PostgreSQL's own programs, which find the server by libpq's environment. No password stands on a
// command line.
type Postgres struct {
	Jobs     int       // of pg_dump and pg_restore; 0 means 4
	Ask      bool      // whether the programs may ask for a password, on the terminal
	Messages io.Writer // what the programs write to standard error; nil drops it
}

// need returns an error if a program is missing.
func (p Postgres) need(programs ...string) error {
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			return inputError("the program %s is missing: install PostgreSQL's client programs", name)
		}
	}
	return nil
}

// run runs a program. The error has the line of what it wrote to standard error that says what went wrong.
func (p Postgres) run(ctx context.Context, stdin io.Reader, stdout io.Writer, program string, args ...string) error {
	if !p.Ask {
		args = append([]string{"--no-password"}, args...)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var said tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &said
	if p.Messages != nil {
		cmd.Stderr = io.MultiWriter(&said, p.Messages)
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s failed (%w): %s", program, err, said.problem())
	}
	return nil
}

func (p Postgres) jobs() string {
	if p.Jobs <= 0 {
		return "4"
	}
	return strconv.Itoa(p.Jobs)
}

// dump makes a dump in the directory format at to, which must not exist.
func (p Postgres) dump(ctx context.Context, database, to string) error {
	return p.run(ctx, nil, nil, "pg_dump", "--no-owner", "--format=d", "--jobs="+p.jobs(), "--file="+to,
		"--dbname="+connection(database))
}

// connection returns a name of a database in a form in which it cannot be taken for anything else: libpq reads a name
// that has = in it, or that begins as a URL, as settings of the connection.
func connection(database string) string {
	return "dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database) + "'"
}

// sql runs statements in a database, in which :"name" and :'name' stand for the variables.
func (p Postgres) sql(ctx context.Context, database, statements string, variables ...string) (string, error) {
	args := []string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"}
	for i := 0; i+1 < len(variables); i += 2 {
		args = append(args, "-v", variables[i]+"="+variables[i+1])
	}
	var out bytes.Buffer
	err := p.run(ctx, strings.NewReader(statements), &out, "psql", append(args, "-d", connection(database))...)
	return strings.TrimSpace(out.String()), err
}

// maintenance is the database that statements about databases are run in.
const maintenance = "postgres"

func (p Postgres) exists(ctx context.Context, database string) (bool, error) {
	out, err := p.sql(ctx, maintenance, "SELECT count(*) FROM pg_database WHERE datname = :'name';\n", "name", database)
	return out == "1", err
}

func (p Postgres) create(ctx context.Context, database string) error {
	return p.run(ctx, nil, nil, "createdb", "--", database)
}

// drop removes a database, if it is there, also from under programs that were left behind.
func (p Postgres) drop(ctx context.Context, database string) error {
	quiet := p
	quiet.Messages = nil
	if err := quiet.run(ctx, nil, nil, "dropdb", "--if-exists", "--force", "--", database); err == nil {
		return nil
	}
	return p.run(ctx, nil, nil, "dropdb", "--if-exists", "--", database) // before PostgreSQL 13
}

func (p Postgres) rename(ctx context.Context, from, to string) error {
	_, err := p.sql(ctx, maintenance, "ALTER DATABASE :\"from\" RENAME TO :\"to\";\n", "from", from, "to", to)
	return err
}

// restoreArchive restores a dump in the directory or custom format.
func (p Postgres) restoreArchive(ctx context.Context, dump, database string) error {
	return p.run(ctx, nil, nil, "pg_restore", "--no-owner", "--exit-on-error", "--jobs="+p.jobs(),
		"--dbname="+connection(database), dump)
}

// restoreSQL runs a dump that is SQL.
func (p Postgres) restoreSQL(ctx context.Context, sql io.Reader, database string) error {
	return p.run(ctx, sql, io.Discard, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", connection(database))
}

// randomName returns a name that nobody else has.
func randomName() string {
	raw := make([]byte, 6)
	_, _ = rand.Read(raw)
	return hex.EncodeToString(raw)
}

// tail keeps the end of what is written.
type tail struct{ raw []byte }

const maxTail = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.raw = append(t.raw, p...)
	if extra := len(t.raw) - maxTail; extra > 0 {
		t.raw = append(t.raw[:0], t.raw[extra:]...)
	}
	return len(p), nil
}

// problem returns the first line that reports an error, as far as it is kept, and else the last one. Behind the error
// psql and pg_restore show the statement.
func (t *tail) problem() string {
	lines := strings.Split(strings.TrimSpace(string(t.raw)), "\n")
	at := slices.IndexFunc(lines, func(line string) bool {
		line = strings.ToLower(line)
		return strings.Contains(line, "error:") || strings.Contains(line, "fatal:")
	})
	if at < 0 {
		at = len(lines) - 1
	}
	return strings.TrimSpace(lines[at])
}
