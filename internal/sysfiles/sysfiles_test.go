package sysfiles_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/upgrademock/upgrademock/internal/localca"
	"github.com/upgrademock/upgrademock/internal/sysfiles"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ before, want string }{
		"usual": {"127.0.0.1 localhost\n# a comment\n\n192.0.2.1 db.example db # ours\n",
			"127.0.0.1\tupgrade.odoo.com own.example\n127.0.0.1\tlocalhost\n192.0.2.1\tdb.example db\n"},
		"it led elsewhere": {"::1 localhost\n192.0.2.1 Upgrade.Odoo.com other\n192.0.2.2 own.example\n",
			"127.0.0.1\tupgrade.odoo.com own.example\n::1\tlocalhost\n192.0.2.1\tother\n"},
		"empty": {"", "127.0.0.1\tupgrade.odoo.com own.example\n127.0.0.1\tlocalhost\n::1\tlocalhost\n"},
	} {
		got := string(sysfiles.Hosts([]byte(tc.before), []string{"upgrade.odoo.com", "own.example"}))
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// write writes files, each named by its path below dir. What begins with -> is a link.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		leads, isLink := strings.CutPrefix(text, "->")
		var err error
		if isLink {
			err = os.Symlink(leads, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// made makes the files for a system, and returns by path below its root what is to be put there.
func made(t *testing.T, root string, ca *localca.CA, environ ...string) map[string]string {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, ca.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	mounts, err := sysfiles.Make(sysfiles.Options{Dir: t.TempDir(), Names: []string{"upgrade.odoo.com"},
		Authority: ca.PEM(), Bundle: bundle, Environ: environ, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range mounts {
		if _, err := os.Stat(m.Target); err != nil {
			t.Errorf("nothing can be put in the place of what is not there: %v", err)
		}
		found[strings.TrimPrefix(m.Target, root)] = m.Source
	}
	return found
}

func authority(t *testing.T) *localca.CA {
	t.Helper()
	ca, err := localca.New()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// Each distribution's places are found, those that programs bring with them as well, and nothing else is touched.
func TestMake(t *testing.T) {
	t.Parallel()
	ca := authority(t)
	for name, tc := range map[string]struct {
		files   map[string]string
		environ []string
		want    []string
	}{
		"Debian": {map[string]string{"etc/nsswitch.conf": "passwd: files\nhosts: resolve [!UNAVAIL=return] files dns\n",
			"etc/resolv.conf": "->../run/resolved", "run/resolved": "nameserver 192.0.2.1\n",
			"run/nscd/socket": "", "etc/ssl/certs/ca-certificates.crt": "theirs", "etc/ssl/certs/java/cacerts": "JKS",
			"usr/lib/jvm/java-17/lib/security/cacerts":         "->../../../../../../etc/ssl/certs/java/cacerts",
			"usr/lib/python3/dist-packages/certifi/cacert.pem": "theirs"},
			nil, []string{"/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/ssl/certs",
				"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/java/cacerts", "/run/nscd",
				"/usr/lib/jvm/java-17/lib/security/cacerts", "/usr/lib/python3/dist-packages/certifi/cacert.pem"}},
		"Fedora": {map[string]string{"etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": "theirs",
			"etc/pki/tls/certs/ca-bundle.crt": "->/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"},
			nil, []string{"/etc/hosts", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/pki/tls/certs"}},
		"Alpine": {map[string]string{"etc/ssl/cert.pem": "->certs/ca-certificates.crt",
			"etc/ssl/certs/ca-certificates.crt": "theirs"},
			nil, []string{"/etc/hosts", "/etc/ssl/cert.pem", "/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt"}},
		"a virtual environment": {map[string]string{
			"home/.local/lib/python3.12/site-packages/certifi/cacert.pem": "theirs",
			"venv/lib/python3.13/site-packages/certifi/cacert.pem":        "theirs",
			"venv/lib/python3.13/site-packages/other/cacert.pem":          "theirs",
			"jdk/bin/java": "", "jdk/lib/security/cacerts": "JKS", "path/java": "->../jdk/bin/java"},
			[]string{"HOME=ROOT/home", "VIRTUAL_ENV=ROOT/venv", "PATH=ROOT/path:relative"},
			[]string{"/etc/hosts", "/home/.local/lib/python3.12/site-packages/certifi/cacert.pem",
				"/jdk/lib/security/cacerts", "/venv/lib/python3.13/site-packages/certifi/cacert.pem"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, root, map[string]string{"etc/hosts": "127.0.0.1 localhost\n"})
			write(t, root, tc.files)
			var environ []string
			for _, entry := range tc.environ {
				environ = append(environ, strings.ReplaceAll(entry, "ROOT", root))
			}
			found := made(t, root, ca, environ...)
			var got []string
			for path, source := range found {
				got = append(got, path)
				if path == "/etc/nsswitch.conf" {
					if data, err := os.ReadFile(source); string(data) != "passwd: files\nhosts: files dns\n" {
						t.Errorf("%q, %v", data, err)
					}
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, err := sysfiles.Make(sysfiles.Options{Dir: t.TempDir(), Root: t.TempDir()}); err == nil {
		t.Error("names are led elsewhere without a file of hosts")
	}
}

// What ssh's configuration includes is the user's own where root's files would be nobody's.
func TestMake_ssh(t *testing.T) {
	t.Parallel()
	ca, root := authority(t), t.TempDir()
	write(t, root, map[string]string{"etc/hosts": "",
		"etc/ssh/ssh_config":               "# Include /etc/no\nInclude /etc/ssh/ssh_config.d/*.conf ~/.ssh/no\n",
		"etc/ssh/ssh_config.d/a.conf":      "->../../../usr/lib/a",
		"etc/ssh/ssh_config.d/b.conf":      "Match all\n  include \"more/c\"\n",
		"etc/ssh/more/c":                   "include /etc/ssh/ssh_config.d/b.conf # again\n",
		"usr/lib/a":                        "User a\n",
		"etc/ssh/ssh_config.d/README.text": "", "etc/no": "",
	})
	for foreign, want := range map[bool][]string{true: {"/etc/hosts", "/etc/ssh/more/c", "/etc/ssh/ssh_config.d/a.conf",
		"/etc/ssh/ssh_config.d/b.conf"}, false: {"/etc/hosts"}} {
		bundle := filepath.Join(t.TempDir(), "bundle.pem")
		write(t, filepath.Dir(bundle), map[string]string{"bundle.pem": string(ca.PEM())})
		mounts, err := sysfiles.Make(sysfiles.Options{Dir: t.TempDir(), Authority: ca.PEM(), Bundle: bundle,
			Foreign: foreign, Root: root})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range mounts {
			got = append(got, strings.TrimPrefix(m.Target, root))
			if data, _ := os.ReadFile(m.Source); strings.HasSuffix(m.Target, "a.conf") && string(data) != "User a\n" {
				t.Errorf("%s is %q", m.Target, data)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("foreign %t: (-want +got)\n%s", foreign, diff)
		}
	}
}

// OpenSSL finds the authority by its name in a directory, and what was there stays.
func TestMake_directory(t *testing.T) {
	t.Parallel()
	openssl := testprog.Need(t, "openssl", "openssl")
	ca, root := authority(t), t.TempDir()
	write(t, root, map[string]string{"etc/hosts": "", "etc/ssl/certs/12345678.0": "->theirs.pem",
		"etc/ssl/certs/theirs.pem": "theirs"})
	dir := made(t, root, ca)["/etc/ssl/certs"]
	if data, err := os.ReadFile(filepath.Join(dir, "12345678.0")); string(data) != "theirs" {
		t.Errorf("what was there: %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "ca-certificates.crt")); !bytes.Equal(data, ca.PEM()) {
		t.Errorf("a system without a bundle: %q, %v", data, err)
	}
	hash := exec.Command(openssl, "x509", "-noout", "-hash")
	hash.Stdin = bytes.NewReader(ca.PEM())
	want, err := hash.Output()
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSpace(string(want)) + ".0"
	if data, err := os.ReadFile(filepath.Join(dir, name)); !bytes.Equal(data, ca.PEM()) {
		t.Errorf("%s: %q, %v", name, data, err)
	}
}

// Java's key store has the bundle's authorities under the usual password.
func TestMake_keyStore(t *testing.T) {
	t.Parallel()
	ca, root := authority(t), t.TempDir()
	write(t, root, map[string]string{"etc/hosts": "", "etc/pki/java/cacerts": "JKS"})
	file, err := os.Open(made(t, root, ca)["/etc/pki/java/cacerts"])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	store := keystore.New()
	if err := store.Load(file, []byte("changeit")); err != nil {
		t.Fatal(err)
	}
	aliases := store.Aliases()
	if len(aliases) != 1 {
		t.Fatalf("it has %q", aliases)
	}
	entry, err := store.GetTrustedCertificateEntry(aliases[0])
	if err != nil || !bytes.Equal(entry.Certificate.Content, ca.Certificate().Raw) {
		t.Errorf("its authority is another one: %v", err)
	}
}
