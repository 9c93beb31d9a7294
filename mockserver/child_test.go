package mockserver_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// An emulator in a process of its own, for tests that kill it or starve it: this test binary, told by a
// variable of the environment to be one. The variable says how: "serve", with the scenario and the method that
// the kills need, or "starve" for one that cannot write a file of more than starvedSize.
const (
	childVariable  = "UPGRADEMOCK_TEST_CHILD"
	childDirectory = "UPGRADEMOCK_TEST_DIR"
	starvedSize    = 1 << 20
)

// childReady is what a child writes once it accepts.
type childReady struct{ URL, HTTPSURL, SFTPAddr, KnownHosts, CAFile string }

// beChild serves until standard input ends, or a signal ends the process.
func beChild() int {
	if os.Getenv(childVariable) == "starve" {
		if err := limitFileSize(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	opts := mockserver.Options{DataDir: os.Getenv(childDirectory)}
	if os.Getenv(childVariable) == "serve" {
		opts.Edition, opts.Targets = mockserver.Edition13, []string{"8.0"} // with skip_test
		opts.Scenarios = []*scenario.Scenario{heldInTesting()}
	}
	srv, err := mockserver.New(&opts)
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	json.NewEncoder(os.Stdout).Encode(childReady{srv.URL(), srv.HTTPSURL(), srv.SFTPAddr(), srv.KnownHostsFile(),
		srv.CAFile()})
	io.Copy(io.Discard, os.Stdin)
	if err := srv.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// heldInTesting is a scenario for contracts of their own: tested until somebody ends the tests.
func heldInTesting() *scenario.Scenario {
	return &scenario.Scenario{
		Name: "held", When: map[string]string{"contract": "TESTED*"},
		Steps: []scenario.Step{{State: "testing", For: scenario.For{Released: true}}, {State: "done"}},
	}
}

// child is a running child.
type child struct {
	*wire
	cmd   *exec.Cmd
	stdin io.Closer
	end   sync.Once
}

// childCommand is the command that is a child.
func childCommand(tb testing.TB, how, dir string) *exec.Cmd {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+how, childDirectory+"="+dir)
	cmd.Stderr = tb.Output()
	return cmd
}

// startChild runs a child on a data directory. It is killed when the test ends, if it still runs then.
func startChild(tb testing.TB, how, dir string) *child {
	tb.Helper()
	cmd := childCommand(tb, how, dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	c := &child{cmd: cmd, stdin: stdin}
	tb.Cleanup(c.kill)
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	var ready childReady
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		tb.Fatalf("the child did not get ready: %v", err)
	}
	ca, err := os.ReadFile(ready.CAFile)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	tb.Cleanup(transport.CloseIdleConnections)
	c.wire = &wire{
		TB: tb, base: ready.URL, httpsBase: ready.HTTPSURL, sftpAddr: ready.SFTPAddr,
		knownHosts: ready.KnownHosts, caFile: ready.CAFile,
		sessions: new(sync.Map), http: &http.Client{Transport: transport},
	}
	return c
}

// kill ends the child as nobody can prevent, and waits until it is gone.
func (c *child) kill() {
	c.end.Do(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
		c.stdin.Close()
	})
}

// stop ends the child in order.
func (c *child) stop() {
	c.Helper()
	c.end.Do(func() {
		c.stdin.Close()
		if err := c.cmd.Wait(); err != nil {
			c.Errorf("the child ended with %v", err)
		}
	})
}
