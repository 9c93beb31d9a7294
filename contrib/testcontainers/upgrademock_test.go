package upgrademock

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	var req testcontainers.GenericContainerRequest
	for _, opt := range []testcontainers.CustomizeRequestOption{
		WithScenario("bad-gateway", "filestore"),
		WithScenarioFile(filepath.Join("my", "tuesday.yaml")),
		WithFlag("clock", "virtual"),
		WithFlag("sftp-hostname", "mock"),
		WithFlag("host", "a", "b"),
	} {
		if err := opt.Customize(&req); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"UPGRADEMOCK_SERVE_SCENARIO":      "bad-gateway,filestore,/tmp/0-tuesday.yaml",
		"UPGRADEMOCK_SERVE_CLOCK":         "virtual",
		"UPGRADEMOCK_SERVE_SFTP_HOSTNAME": "mock",
		"UPGRADEMOCK_SERVE_HOST":          "a,b",
	} {
		if got := req.Env[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	want := testcontainers.ContainerFile{HostFilePath: filepath.Join("my", "tuesday.yaml"),
		ContainerFilePath: "/tmp/0-tuesday.yaml", FileMode: 0o644}
	if !slices.Equal(req.Files, []testcontainers.ContainerFile{want}) {
		t.Errorf("files %v, want %v", req.Files, want)
	}
}

func TestOptions_refused(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]testcontainers.CustomizeRequestOption{
		"has a comma":    WithFlag("host", "a,b", "c"),
		"without a name": WithFlag("", "x"),
		"name has a":     WithScenarioFile("a,b.yaml"),
	} {
		err := opt.Customize(&testcontainers.GenericContainerRequest{})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, wanted an error that has %q", err, name)
		}
	}
}

// What Run asks for, seen by an option behind it, which refuses to go on.
func TestRun_request(t *testing.T) {
	t.Parallel()
	var req testcontainers.GenericContainerRequest
	stop := testcontainers.CustomizeRequestOption(func(r *testcontainers.GenericContainerRequest) error {
		req = *r
		return context.Canceled
	})
	if _, err := Run(t.Context(), "image:1", WithScenario("bad-gateway"), stop); err == nil {
		t.Fatal("an option that fails is passed over")
	}
	if req.Image != "image:1" || !req.Started || !slices.Equal(req.ExposedPorts, ports) {
		t.Errorf("image %s, started %t, ports %v", req.Image, req.Started, req.ExposedPorts)
	}
	all, ok := req.WaitingFor.(*wait.MultiStrategy)
	if !ok || len(all.Strategies) != 1 {
		t.Fatalf("it waits for %v", req.WaitingFor)
	}
	if health, ok := all.Strategies[0].(*wait.HTTPStrategy); !ok || health.Path != "/_mock/healthz" ||
		health.Port.String() != portHTTP {
		t.Errorf("it waits for %v", all.Strategies[0])
	}
	if got := req.Env["UPGRADEMOCK_SERVE_SCENARIO"]; got != "bad-gateway" {
		t.Errorf("the scenario is %q", got)
	}
}

// fake is a container whose control API is a handler.
func fake(t *testing.T, handler http.HandlerFunc) *Container {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return &Container{host: u.Hostname(), mapped: map[string]int{
		portHTTP: port, portHTTPS: 1443, portSFTP: 1220, portTransfer: 1221, portProxy: 1481,
	}}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	c := fake(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("of " + r.URL.Path)) })
	dir := t.TempDir()
	env, err := c.Env(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"UPGRADE_URL=https://127.0.0.1:1443", "HTTPS_PROXY=http://127.0.0.1:1481", "UPGRADEMOCK_SFTP_PORT=1220",
		"UPGRADEMOCK_URL=" + c.URL(), "SSL_CERT_FILE=" + filepath.Join(dir, "ca.pem"),
	} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	for file, want := range map[string]string{"ca.pem": "of /_mock/ca.pem", "known_hosts": "of /_mock/known_hosts"} {
		if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(text) != want {
			t.Errorf("%s has %q, %v", file, text, err)
		}
	}
}

func TestAdvertise(t *testing.T) {
	t.Parallel()
	var got map[string]any
	c := fake(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Path == "/_mock/advertise" {
			json.NewDecoder(r.Body).Decode(&got)
		}
	})
	if err := c.advertise(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got["sftp_host"] != "127.0.0.1" || got["sftp_port"] != 1220.0 || got["transfer_port"] != 1221.0 {
		t.Errorf("advertised %v", got)
	}
}

func TestAddScenario_refused(t *testing.T) {
	t.Parallel()
	c := fake(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "line 3 is wrong", http.StatusBadRequest) })
	if err := c.AddScenario(t.Context(), []byte("x")); err == nil || !strings.Contains(err.Error(), "line 3 is wrong") {
		t.Errorf("%v", err)
	}
}

// The image itself, where there is a container engine: UPGRADEMOCK_IMAGE names it.
func TestRun(t *testing.T) {
	image := os.Getenv("UPGRADEMOCK_IMAGE")
	if image == "" {
		t.Skip("UPGRADEMOCK_IMAGE does not name an image to start")
	}
	testcontainers.SkipIfProviderIsNotHealthy(t)
	file := filepath.Join(t.TempDir(), "later.yaml")
	text := "name: later\nsteps: [{state: pending, for: released}, {state: done}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Run(t.Context(), image, WithScenarioFile(file))
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := c.CA(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		t.Fatalf("no certificate in %q", authority)
	}
	proxy, err := url.Parse(c.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: pool},
	}}
	resp, err := client.Get("https://upgrade.odoo.com/database/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	conn, err := net.Dial("tcp", c.SFTPAddress())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
