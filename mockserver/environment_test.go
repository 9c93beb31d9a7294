package mockserver_test

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

func TestControl_authorityAndHostKeys(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, nil)
	block, _ := pem.Decode([]byte(asked(srv, "http://mock:80", "/ca.pem")))
	if block == nil {
		t.Fatal("ca.pem is no PEM")
	}
	if cert, err := x509.ParseCertificate(block.Bytes); err != nil || !cert.Equal(srv.Certificate()) {
		t.Errorf("ca.pem: %v, %v", cert, err)
	}
	_, port, err := net.SplitHostPort(srv.SFTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	if lines := asked(srv, "http://mock:80", "/known_hosts"); !strings.Contains(lines, "[mock]:"+port) ||
		!strings.Contains(lines, " ecdsa-sha2-nistp256 ") {
		t.Errorf("known_hosts: %s", lines)
	}
	off := mockservertest.New(t, &mockserver.Options{SFTPAddr: mockserver.Off})
	if got := asked(off, "http://mock:80", "/known_hosts"); !strings.Contains(got, "there is no SFTP server") {
		t.Errorf("without SFTP: %s", got)
	}
	if got := asked(off, "http://mock:80", "/env"); strings.Contains(got, "UPGRADEMOCK_SFTP") {
		t.Errorf("without SFTP: %s", got)
	}
}

// asked is what the control API answers to a call of base.
func asked(srv *mockserver.Server, base, path string) string {
	recorder := httptest.NewRecorder()
	srv.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, base+"/_mock"+path, nil))
	return recorder.Body.String()
}

// The addresses are those by which the caller comes, unless others are known.
func TestControl_environment(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, nil)
	port := func(base string) string {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		return u.Port()
	}
	for _, tc := range []struct {
		base      string
		advertise mockserver.Advertise
		want      []string
	}{
		{"http://mock:9090", mockserver.Advertise{}, []string{"UPGRADEMOCK_URL='http://mock:9090'",
			"UPGRADEMOCK_HTTPS_URL='https://mock:" + port(srv.HTTPSURL()) + "'", "UPGRADEMOCK_SFTP_HOST='mock'",
			"UPGRADEMOCK_ADMIN_URL='http://mock:9090/_mock'", "DATA_SERVER_NAME='mock'",
			`SSL_CERT_FILE="$UPGRADEMOCK_DIR/ca-bundle.pem"`}},
		{"https://mock:9091", mockserver.Advertise{}, []string{"UPGRADE_URL='https://mock:9091'",
			"UPGRADEMOCK_URL='http://mock:" + port(srv.URL()) + "'", "UPGRADEMOCK_ADMIN_URL='https://mock:9091/_mock'"}},
		{"http://[::1]:9090", mockserver.Advertise{}, []string{"UPGRADEMOCK_HTTPS_URL='https://[::1]:"}},
		{"http://mock:80", mockserver.Advertise{URL: "https://other:1", SFTPHost: "files", SFTPPort: 2222},
			[]string{"UPGRADE_SERVER_NAME='https://other:1'", "UPGRADEMOCK_SFTP_HOST='files'",
				"UPGRADEMOCK_SFTP_PORT='2222'", "[files]:2222", "[mock]:2222"}},
		{"http://m'ock:80", mockserver.Advertise{}, []string{`UPGRADEMOCK_URL='http://m'\''ock:80'`}},
	} {
		if err := srv.SetAdvertise(tc.advertise); err != nil {
			t.Fatal(err)
		}
		got := asked(srv, tc.base, "/env")
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in\n%s", tc.base, want, got)
			}
		}
		if strings.Contains(got, "HTTPS_PROXY") {
			t.Errorf("%s: there is no proxy", tc.base)
		}
	}
}
