package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The commands as their user has them, each script against an emulator of its own: failed.txtar under the scenario
// script-failed, and so on.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": testprog.ExitStatus},
		Setup: func(env *testscript.Env) error {
			testprog.Runtime(env)
			// The script's directory is called after it, with script- before the name.
			script, err := scenario.Builtin(filepath.Base(env.WorkDir))
			if err != nil {
				return err
			}
			srv, err := mockserver.New(&mockserver.Options{Scenarios: []*scenario.Scenario{script}})
			if err != nil {
				return err
			}
			env.Defer(func() { srv.Close() })
			if err := srv.Start(); err != nil {
				return err
			}
			authority, err := os.ReadFile(srv.CAFile())
			if err != nil {
				return err
			}
			file := filepath.Join(env.WorkDir, "ca.pem")
			if err := os.WriteFile(file, authority, 0o600); err != nil {
				return err
			}
			for name, value := range map[string]string{
				"UPGRADE_URL": srv.HTTPSURL(), "SSL_CERT_FILE": file, "UPGRADE_CONTRACT": "M123456-abcdef",
			} {
				env.Setenv(name, value)
			}
			return nil
		},
	})
}
