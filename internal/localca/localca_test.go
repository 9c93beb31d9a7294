package localca_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/upgrademock/upgrademock/internal/localca"
	"go.uber.org/goleak"
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
