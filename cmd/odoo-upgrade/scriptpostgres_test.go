//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// child runs the command in a process of its own, with the environment in which PostgreSQL is found.
func child(t *testing.T, pg *testprog.Postgres, env map[string]string, args ...string) ran {
	t.Helper()
	cmd := childCommand(t, pg, env, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func childCommand(t *testing.T, pg *testprog.Postgres, env map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), childVariable+"=1"), pg.Env()...)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// loaded starts a server with the fixtures' database in it, under the name source.
func loaded(t *testing.T) *testprog.Postgres {
	t.Helper()
	pg := testprog.StartPostgres(t)
	load(t, pg, "source")
	return pg
}

// load makes a database of the fixtures'.
func load(t *testing.T, pg *testprog.Postgres, database string) {
	t.Helper()
	sql, err := os.Open(filepath.Join("..", "..", "fixtures", "dumps", "openchs.sql"))
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close()
	pg.Load(t, database, sql)
}

// TestRunScript_postgres runs the tests that can share a server, which takes its time to be made.
func TestRunScript_postgres(t *testing.T) {
	t.Parallel()
	pg := loaded(t)
	for name, test := range map[string]func(*testing.T, *testprog.Postgres){
		"database": testDatabase, "restore forms": testRestoreForms, "incompatible": testIncompatible,
		"refused dump": testRefusedDump,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, pg)
		})
	}
}

// testDatabase: a database is dumped, upgraded and restored, and its filestore merged, with one command.
func testDatabase(t *testing.T, pg *testprog.Postgres) {
	const name, restored = `odd "name' é`, `new "one'`
	load(t, pg, name)
	srv := mockservertest.New(t, &mockserver.Options{Scenarios: mockservertest.Scenarios(t, "script-filestore")})
	dir := t.TempDir()
	store, out := filepath.Join(dir, "store"), filepath.Join(dir, "out")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	args := scriptArgs(srv, "--database", name, "--out", out, "--restore-into", restored, "--merge-filestore", store)
	r := child(t, pg, scriptEnv(srv), args...)
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if diff := cmp.Diff(pg.Dump(t, name), pg.Dump(t, restored)); diff != "" {
		t.Errorf("the databases differ: %.1000s", diff)
	}
	if len(folder(t, store)) == 0 {
		t.Error("no file was merged")
	}
	if left, _ := filepath.Glob(filepath.Join(out, "origin.dump*")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
	again := child(t, pg, scriptEnv(srv), args...)
	if again.code != 0 || !strings.Contains(again.stdout, "an earlier run had finished this") {
		t.Errorf("again: %+v", again)
	}
	// Another name is taken by somebody else: that is said before anything is done.
	r = child(t, pg, scriptEnv(srv), scriptArgs(srv, "--database", name, "--out", filepath.Join(dir, "other"),
		"--restore-into", "postgres")...)
	if r.code != 2 || !strings.Contains(r.stderr, "there is a database postgres already") || len(srv.Requests()) != 1 {
		t.Errorf("%+v", r)
	}
	r = child(t, pg, scriptEnv(srv), scriptArgs(srv, "--database", "none", "--out", filepath.Join(dir, "other"))...)
	if r.code != 1 || !strings.Contains(r.stderr, `"none" does not exist`) || len(srv.Requests()) != 1 {
		t.Errorf("%+v", r)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "other*")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
	// A third name for the same result, without another upgrade.
	r = child(t, pg, scriptEnv(srv), "restore", "--ca-file", srv.CAFile(), "--state", out+".upgrade-state.json",
		"--restore-into", "third")
	if r.code != 0 || pg.Dump(t, "third") != pg.Dump(t, name) {
		t.Errorf("%+v", r)
	}
}

// testRestoreForms: a result that is a file is restored, too.
func testRestoreForms(t *testing.T, pg *testprog.Postgres) {
	srv := mockservertest.New(t, nil)
	names := []string{"openchs.cdump", "openchs.zip", "openchs.sql.gz"}
	if testing.Short() {
		names = names[:1]
	}
	for _, name := range names {
		dir := t.TempDir()
		database := strings.ReplaceAll(name, ".", "_")
		r := child(t, pg, scriptEnv(srv), scriptArgs(srv, "--dump", filepath.Join("..", "..", "fixtures", "dumps", name),
			"--out", filepath.Join(dir, "out"), "--restore-into", database)...)
		if r.code != 0 {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		if diff := cmp.Diff(pg.Dump(t, "source"), pg.Dump(t, database)); diff != "" {
			t.Errorf("%s: the databases differ: %.1000s", name, diff)
		}
	}
}

// testIncompatible: what the platform says to need a newer PostgreSQL is fetched and not restored.
func testIncompatible(t *testing.T, pg *testprog.Postgres) {
	srv := mockservertest.New(t, &mockserver.Options{Scenarios: mockservertest.Scenarios(t, "script-pg-incompatible")})
	out := filepath.Join(t.TempDir(), "out")
	r := child(t, pg, scriptEnv(srv), scriptArgs(srv, "--database", "source", "--out", out, "--restore-into", "new")...)
	if r.code != 1 || !strings.Contains(r.stderr, "newer PostgreSQL") {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(out, "upgraded.dump", "toc.dat")); err != nil {
		t.Error(err)
	}
}

// testRefusedDump: a dump that was made serves the next run, if create was refused.
func testRefusedDump(t *testing.T, pg *testprog.Postgres) {
	broken := mockservertest.New(t, &mockserver.Options{Scenarios: mockservertest.Scenarios(t, "script-create-broken")})
	srv := mockservertest.New(t, nil)
	out := filepath.Join(t.TempDir(), "out")
	args := []string{"--database", "source", "--out", out}
	if r := child(t, pg, scriptEnv(broken), scriptArgs(broken, args...)...); r.code != 3 {
		t.Fatalf("%+v", r)
	}
	r := child(t, pg, scriptEnv(srv), scriptArgs(srv, args...)...)
	if r.code != 0 || !strings.Contains(r.stderr, "Using the dump that an earlier run made") {
		t.Errorf("%+v", r)
	}
}

// TestRunScript_killedBesidePostgres kills the command while a program of PostgreSQL is at work, and runs it again.
func TestRunScript_killedBesidePostgres(t *testing.T) {
	t.Parallel()
	pg := loaded(t)
	srv := mockservertest.New(t, nil)
	for _, program := range []string{"pg_dump", "createdb", "pg_restore", "psql"} {
		t.Run(program, func(t *testing.T) {
			if testing.Short() && program != "pg_restore" {
				t.Skip("-short: each runs the client twice")
			}
			dir := t.TempDir()
			// The program says that it is at work, and waits for the end of the test. A second time it is itself.
			bin, at := filepath.Join(dir, "bin"), filepath.Join(dir, "at")
			if err := os.Mkdir(bin, 0o700); err != nil {
				t.Fatal(err)
			}
			real := filepath.Join(pg.Bin, program)
			when := "true"
			if program == "psql" {
				when = `grep -q "ALTER DATABASE" "$0.in"`
			}
			script := "#!/bin/sh\ncat >\"$0.in\"\nif " + when + " && mkdir '" + at + "' 2>/dev/null; then\n" +
				"while test -d '" + at + "'; do sleep 0.1; done; exit 1; fi\n" +
				"exec '" + real + "' \"$@\" <\"$0.in\"\n"
			if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			env := scriptEnv(srv)
			env["PATH"] = bin + ":" + pg.Bin + ":" + os.Getenv("PATH")
			out, database := filepath.Join(dir, "out"), "new_"+program
			args := scriptArgs(srv, "--database", "source", "--out", out, "--restore-into", database)
			first := childCommand(t, pg, env, args...)
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
				if _, err := os.Stat(at); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the program was not run")
				}
			}
			_ = first.Process.Kill()
			_ = first.Wait()
			r := child(t, pg, env, args...)
			if r.code != 0 {
				t.Fatalf("%+v", r)
			}
			if diff := cmp.Diff(pg.Dump(t, "source"), pg.Dump(t, database)); diff != "" {
				t.Errorf("the databases differ: %.1000s", diff)
			}
			left := pg.Run(t, nil, "psql", "-Atc",
				"select datname from pg_database where datname like '%odoo_upgrade%'")
			if left != "" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}
