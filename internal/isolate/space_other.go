//go:build !linux

package isolate

import (
	"errors"
	"net"
	"os/exec"
)

// Init does nothing: there are no spaces on this system.
func Init() {}

// Space cannot be made on this system.
type Space struct{}

// Start returns a *[RefusedError].
func Start() (*Space, error) {
	return nil, &RefusedError{"make namespaces", errors.ErrUnsupported,
		"only Linux has them: run it in a Linux container or virtual machine, or without isolation"}
}

// Listen is not called.
func (*Space) Listen(string, string) (net.Listener, error) { return nil, errors.ErrUnsupported }

// ListenPacket is not called.
func (*Space) ListenPacket(string, string) (net.PacketConn, error) { return nil, errors.ErrUnsupported }

// Mount is not called.
func (*Space) Mount(...Mount) error { return errors.ErrUnsupported }

// Run is not called.
func (*Space) Run(*exec.Cmd) error { return errors.ErrUnsupported }

// Close is not called.
func (*Space) Close() error { return nil }
