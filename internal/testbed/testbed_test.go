package testbed_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/mockserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStart_leavesNothingBehind(t *testing.T) { // not parallel: it sets TMPDIR
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	st, err := testbed.Start(testbed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) == 0 {
		t.Errorf("%v, %v; want the run's files", files, err)
	}
	for range 2 {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v; want nothing", files, err)
	}
	// Nor when something is in the way.
	opts := &mockserver.Options{HTTPAddr: "127.0.0.1:99999"}
	if st, err := testbed.Start(testbed.Options{Server: opts}); err == nil {
		st.Close()
		t.Error("a port that there cannot be was taken")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v; want nothing", files, err)
	}
}

func TestStart_environment(t *testing.T) {
	t.Parallel()
	wgetrc := filepath.Join(t.TempDir(), "wgetrc")
	if err := os.WriteFile(wgetrc, []byte("tries = 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := testbed.Start(testbed.Options{
		Server:  &mockserver.Options{SFTPAddr: mockserver.Off, HTTPSAddr: mockserver.Off},
		Environ: []string{"KEPT=1", "https_proxy=http://192.0.2.1", "all_proxy=x", "WGETRC=" + wgetrc},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	value := func(name string) string {
		for _, entry := range st.Env {
			if v, ok := strings.CutPrefix(entry, name+"="); ok {
				return v
			}
		}
		return "none"
	}
	for name, want := range map[string]string{
		"KEPT":                    "1",
		"https_proxy":             st.Proxy.URL(),
		"all_proxy":               "none",
		"UPGRADE_URL":             st.Server.URL(), // there is no HTTPS
		"UPGRADEMOCK_SFTP_PORT":   "none",
		"UPGRADEMOCK_KNOWN_HOSTS": "none",
	} {
		if got := value(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !slices.Contains(st.Env, st.Mark) {
		t.Errorf("the mark %s is not in the environment", st.Mark)
	}
	lines, err := os.ReadFile(value("WGETRC"))
	if err != nil || !strings.HasPrefix(string(lines), "tries = 7\nca_certificate = /") {
		t.Errorf("%q, %v", lines, err)
	}
}
