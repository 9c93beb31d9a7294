package main

import (
	"path/filepath"
	"testing"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// TestRunScript_bigFileGoesOn: of a single large file, what has arrived is not sent again, from either engine of the
// emulator.
func TestRunScript_bigFileGoesOn(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "rsync", "rsync")
	for name, program := range map[string]string{"in process": "", "rsync": "rsync"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			dump, out := noise(t, dir, "db.sql", 8<<20), filepath.Join(dir, "out")
			script, err := scenario.Parse("cut.yaml", []byte("name: cut\nwhen: {api: script}\n"+
				"upgraded: {archive: '"+dump+"', dump_name: upgraded.sql}\n"+
				"faults:\n  - {on: rsync.download, times: 1, after: 5MiB, disconnect: true}\n"))
			if err != nil {
				t.Fatal(err)
			}
			srv := mockservertest.New(t, &mockserver.Options{Scenarios: []*scenario.Scenario{script}, Rsync: program})
			r := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dump, "--out", out)...)
			if r.code != 0 || !sameFiles(t, dump, filepath.Join(out, "upgraded.sql")) {
				t.Fatalf("%+v", r)
			}
			var sent []int64
			for _, e := range srv.Events(journal.Filter{On: "rsync.download"}) {
				sent = append(sent, e.Sent)
			}
			if len(sent) != 2 || sent[1] > 4<<20 {
				t.Errorf("sent %d, want the rest the second time", sent)
			}
		})
	}
}
