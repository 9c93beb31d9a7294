// Package upgrademock runs the emulator of the Odoo Database Upgrade platform in a container, for tests with
// testcontainers-go:
//
//	ctr, err := upgrademock.Run(t.Context(), "ghcr.io/upgrademock/upgrademock:1",
//		upgrademock.WithScenario("server-error-for-a-while"))
//	testcontainers.CleanupContainer(t, ctr)
//	if err != nil {
//		t.Fatal(err)
//	}
//	env, err := ctr.Env(t.Context(), t.TempDir())
//
// A test in Go that needs no container has the emulator as a value: see the package mockservertest of the module
// github.com/upgrademock/upgrademock.
package upgrademock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// The ports of the image.
const (
	portHTTP     = "8480/tcp"
	portHTTPS    = "8443/tcp"
	portSFTP     = "2200/tcp"
	portTransfer = "2201/tcp"
	portProxy    = "8481/tcp"
)

var ports = []string{portHTTP, portHTTPS, portSFTP, portTransfer, portProxy}

// A Container is an emulator that serves. Its methods may be called at the same time.
type Container struct {
	testcontainers.Container

	host   string
	mapped map[string]int // the ports of this machine, by those of the image
}

// Run starts the image, waits until all listeners of the emulator serve, and tells it under which addresses it is
// called. Options are those of this package and of testcontainers.
//
// With an error, the container is returned all the same if there is one, so that [testcontainers.CleanupContainer] can
// end it.
func Run(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (*Container, error) {
	asked := []testcontainers.ContainerCustomizer{
		testcontainers.WithExposedPorts(ports...),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/_mock/healthz").WithPort(portHTTP)),
	}
	ctr, err := testcontainers.Run(ctx, image, append(asked, opts...)...)
	var c *Container
	if ctr != nil {
		c = &Container{Container: ctr}
	}
	if err != nil {
		return c, fmt.Errorf("upgrademock: start the container: %w", err)
	}
	if err := c.connect(ctx); err != nil {
		return c, fmt.Errorf("upgrademock: %w", err)
	}
	return c, nil
}

// connect finds out the addresses, and has the emulator answer with them.
func (c *Container) connect(ctx context.Context) error {
	host, err := c.Host(ctx)
	if err != nil {
		return fmt.Errorf("find the container's host: %w", err)
	}
	c.host, c.mapped = host, make(map[string]int)
	for _, port := range ports {
		to, err := c.MappedPort(ctx, port)
		if err != nil {
			return fmt.Errorf("find what port %s is mapped to: %w", port, err)
		}
		if c.mapped[port], err = strconv.Atoi(to.Port()); err != nil {
			return fmt.Errorf("port %s is mapped to %q: %w", port, to, err)
		}
	}
	return c.advertise(ctx)
}

func (c *Container) advertise(ctx context.Context) error {
	addresses, err := json.Marshal(map[string]any{
		"sftp_host": c.host, "sftp_port": c.mapped[portSFTP], "transfer_port": c.mapped[portTransfer],
	})
	if err != nil {
		return err
	}
	_, err = c.control(ctx, http.MethodPut, "/advertise", addresses)
	return err
}

func (c *Container) address(port string) string {
	return net.JoinHostPort(c.host, strconv.Itoa(c.mapped[port]))
}

// URL is the address of the emulator without TLS, such as http://localhost:32768.
func (c *Container) URL() string { return "http://" + c.address(portHTTP) }

// HTTPSURL is its address with TLS, which needs CA.
func (c *Container) HTTPSURL() string { return "https://" + c.address(portHTTPS) }

// AdminURL is the base of its control API.
func (c *Container) AdminURL() string { return c.URL() + "/_mock" }

// ProxyURL is the proxy that leads https://upgrade.odoo.com to it.
func (c *Container) ProxyURL() string { return "http://" + c.address(portProxy) }

// SFTPAddress is the HOST:PORT of its SFTP server.
func (c *Container) SFTPAddress() string { return c.address(portSFTP) }

// CA returns the certificate of the authority that clients must trust, as PEM.
func (c *Container) CA(ctx context.Context) ([]byte, error) {
	return c.control(ctx, http.MethodGet, "/ca.pem", nil)
}

// KnownHosts returns the host keys of the SFTP server, in the form of OpenSSH's file.
func (c *Container) KnownHosts(ctx context.Context) ([]byte, error) {
	return c.control(ctx, http.MethodGet, "/known_hosts", nil)
}

// AddScenario puts a scenario, in YAML or JSON, before those in use. It drives requests that are created later.
func (c *Container) AddScenario(ctx context.Context, text []byte) error {
	_, err := c.control(ctx, http.MethodPost, "/scenarios", text)
	return err
}

// control makes a call of the control API, and returns its answer.
func (c *Container) control(ctx context.Context, method, call string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.AdminURL()+call, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, call, err)
	}
	if resp.StatusCode >= 400 {
		return nil, fmt.Errorf("%s %s answered %s: %s", method, call, resp.Status, bytes.TrimSpace(answer))
	}
	return answer, nil
}

// WithFlag sets a flag of serve, such as clock to virtual. Several values are those of a flag that is repeatable, none
// of which can contain a comma.
func WithFlag(name string, values ...string) testcontainers.CustomizeRequestOption {
	return func(req *testcontainers.GenericContainerRequest) error {
		for _, value := range values {
			if len(values) > 1 && strings.Contains(value, ",") {
				return fmt.Errorf("upgrademock: flag %s: %q has a comma", name, value)
			}
		}
		return setFlag(req, name, strings.Join(values, ","))
	}
}

// WithScenario has built-in scenarios drive the requests, the first that fits each.
func WithScenario(names ...string) testcontainers.CustomizeRequestOption {
	return func(req *testcontainers.GenericContainerRequest) error {
		for _, name := range names {
			if err := addScenario(req, name); err != nil {
				return err
			}
		}
		return nil
	}
}

// WithScenarioFile copies a file of this machine into the container, and has the scenario in it drive the requests.
// Files that the scenario names are not copied.
func WithScenarioFile(name string) testcontainers.CustomizeRequestOption {
	return func(req *testcontainers.GenericContainerRequest) error {
		there := path.Join("/tmp", strconv.Itoa(len(req.Files))+"-"+filepath.Base(name))
		if strings.Contains(there, ",") {
			return fmt.Errorf("upgrademock: scenario %s: the name has a comma", name)
		}
		req.Files = append(req.Files,
			testcontainers.ContainerFile{HostFilePath: name, ContainerFilePath: there, FileMode: 0o644})
		return addScenario(req, there)
	}
}

func addScenario(req *testcontainers.GenericContainerRequest, name string) error {
	if before := req.Env[variable("scenario")]; before != "" {
		name = before + "," + name
	}
	return setFlag(req, "scenario", name)
}

func setFlag(req *testcontainers.GenericContainerRequest, name, value string) error {
	if name == "" {
		return errors.New("upgrademock: a flag without a name")
	}
	return testcontainers.WithEnv(map[string]string{variable(name): value})(req)
}

// variable is the name under which the emulator looks for a flag of serve.
func variable(flag string) string {
	return "UPGRADEMOCK_SERVE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
