package localca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/localca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLeaf_isTrustedForItsNameOnly(t *testing.T) {
	t.Parallel()
	ca, err := localca.New("mock.test", "10.1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		host    string
		refused bool
	}{
		{host: "localhost"},
		{host: "127.0.0.1"},
		{host: "127.9.9.9"},
		{host: "::1"},
		{host: "upgrade.odoo.com"},
		{host: "mock.test"},
		{host: "sub.mock.test"},
		{host: "10.1.2.3"},
		{host: "10.1.2.4", refused: true},
		{host: "example.com", refused: true},
		{host: "notodoo.com", refused: true},
	} {
		t.Run(tc.host, func(t *testing.T) {
			t.Parallel()
			leaf, err := ca.Leaf(tc.host)
			if err != nil {
				t.Fatal(err)
			}
			_, err = leaf.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: tc.host})
			if refused := err != nil; refused != tc.refused {
				t.Errorf("verification of a certificate for %s: %v, want refused %v", tc.host, err, tc.refused)
			}
			if life := time.Until(leaf.Leaf.NotAfter); life > 25*time.Hour {
				t.Errorf("a leaf lives %v, want a day", life)
			}
		})
	}
}

func TestTLSConfig_handshake(t *testing.T) {
	t.Parallel()
	ca, err := localca.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"127.0.0.1", "localhost", "upgrade.odoo.com"} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", ca.TLSConfig())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if conn, err := l.Accept(); err == nil {
				conn.(*tls.Conn).Handshake()
				conn.Close()
			}
		})
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: ca.Pool(), ServerName: name})
		if err != nil {
			t.Errorf("handshake as %s: %v", name, err)
		} else {
			conn.Close()
		}
		l.Close()
		wg.Wait()
	}
}

func TestOpen_keepsOneAuthority(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	pems := make([]string, 8)
	var wg sync.WaitGroup
	for i := range pems {
		wg.Go(func() {
			ca, err := localca.Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			pems[i] = string(ca.PEM())
		})
	}
	wg.Wait()
	for _, pem := range pems[1:] {
		if diff := cmp.Diff(pems[0], pem); diff != "" {
			t.Errorf("two openings, two authorities (-first +other):\n%s", diff)
		}
	}
	public, err := os.ReadFile(filepath.Join(dir, localca.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pems[0], string(public)); diff != "" {
		t.Errorf("ca.pem (-authority +file):\n%s", diff)
	}
	if strings.Contains(string(public), "PRIVATE") {
		t.Error("ca.pem holds a private key")
	}
	info, err := os.Stat(filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode of ca-key.pem is %v, want 0600", info.Mode())
	}
}

func TestOpen_replacesOneThatCannotSignForTheHosts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := localca.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := localca.Open(dir, "mock.test")
	if err != nil {
		t.Fatal(err)
	}
	if string(first.PEM()) == string(second.PEM()) {
		t.Error("the authority that may not sign for mock.test was kept")
	}
	if _, err := localca.Open(dir, "other.test", "10.1.2.3"); err != nil {
		t.Fatal(err)
	}
	third, err := localca.Open(dir, "mock.test", "10.1.2.3", net.IPv4(127, 0, 0, 5).String())
	if err != nil {
		t.Fatal(err)
	}
	fourth, err := localca.Open(dir, "other.test")
	if err != nil {
		t.Fatal(err)
	}
	if string(third.PEM()) != string(fourth.PEM()) {
		t.Error("an authority that may sign for everything that was ever asked was replaced")
	}
}

func TestOpen_saysWhatIsWrongWithADamagedKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca-key.pem"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := localca.Open(dir)
	if err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("error %v does not say what to do", err)
	}
}

// A file that is not ours stays as it is, whatever it is called and whatever leads to it, and nothing is made
// beside it.
func TestOpen_foreign(t *testing.T) {
	t.Parallel()
	theirs := t.TempDir()
	other, err := localca.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"text": "theirs", "certificate": string(other.PEM())} {
		if err := os.WriteFile(filepath.Join(theirs, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "their CA"},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	both := append(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), cert...)
	write := func(data []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, data, 0o600) }
	}
	link := func(to string) func(string) error {
		return func(path string) error { return os.Symlink(filepath.Join(theirs, to), path) }
	}
	for name, tc := range map[string]struct {
		file string
		put  func(path string) error
	}{
		"another authority's key":         {"ca-key.pem", write(both)},
		"a key that is a link":            {"ca-key.pem", link("text")},
		"a key that is a link to nowhere": {"ca-key.pem", link("nowhere")},
		"a key that is a directory":       {"ca-key.pem", func(path string) error { return os.Mkdir(path, 0o700) }},
		"an empty key":                    {"ca-key.pem", write(nil)},
		"another authority's certificate": {"ca.pem", write(cert)},
		"a text":                          {"ca.pem", write([]byte("theirs"))},
		"an empty file":                   {"ca.pem", write(nil)},
		"a link to a certificate of ours": {"ca.pem", link("certificate")},
		"a link to nowhere":               {"ca.pem", link("nowhere")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, tc.file)
			if err := tc.put(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = localca.Open(dir)
			if !errors.Is(err, localca.ErrForeign) || !strings.Contains(err.Error(), tc.file) ||
				strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("error %v", err)
			}
			after, err := os.Lstat(path)
			if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
				t.Errorf("the file has changed: %v, %v", after, err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("beside it: %v, %v", entries, err)
			}
		})
	}
	if _, err := os.Lstat(filepath.Join(theirs, "nowhere")); err == nil {
		t.Error("a link was followed")
	}
}

// A key file that others can read is taken away from them, and that is said.
func TestOpen_mode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := localca.Open(dir)
	if err != nil || first.Note() != "" {
		t.Fatal(err, first.Note())
	}
	path := filepath.Join(dir, "ca-key.pem")
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o660, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		ca, err := localca.Open(dir)
		if err != nil || !strings.Contains(ca.Note(), "ca-key.pem") {
			t.Errorf("%o: %v, it says %q", mode, err, ca.Note())
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%o became %v, %v", mode, info.Mode(), err)
		}
	}
	if ca, err := localca.Open(dir); err != nil || ca.Note() != "" {
		t.Errorf("%v, it says %q", err, ca.Note())
	}
}

// Find makes nothing.
func TestFind(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	if _, err := localca.Find(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	made, err := localca.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	found, err := localca.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(made.PEM()), string(found.PEM())); diff != "" {
		t.Errorf("(-made +found):\n%s", diff)
	}
	if err := os.Remove(filepath.Join(dir, localca.CertFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := localca.Find(dir); err == nil {
		t.Error("the file that is to be named is not there")
	}
}
