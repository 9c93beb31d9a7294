package transfer

import (
	"log/slog"
	"net"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// User is the one user of a transfer (row S4.2).
const User = "odoo"

// Defaults of [Options].
const (
	DefaultTimeout = 5 * time.Minute // row S3.12
	DefaultMax     = 1024
)

// Options say what a [Host] is to be. HostKeys, Engine and Record are required.
type Options struct {
	// Addr is where to listen: a host, or host:0, for a free port of it for each transfer; host:port for one port that
	// all share, which Listen opens. "" is a free port of 127.0.0.1 for each.
	Addr string

	// Listen makes the listeners, which must be for TCP. If nil, it is net.Listen.
	Listen func(network, address string) (net.Listener, error)

	// Timeout ends a transfer in which nothing has moved for so long. Zero means DefaultTimeout.
	Timeout time.Duration

	// HandshakeTimeout bounds the time from a connection to its login. Zero means 2 minutes.
	HandshakeTimeout time.Duration

	// Max bounds the transfers at one time, zero means DefaultMax, and MaxConns their connections; further ones are
	// closed at once, zero means 1024.
	Max, MaxConns int

	// MaxBytes and MaxFiles bound what an upload may hold; zero means any number.
	MaxBytes int64
	MaxFiles int

	// Engine speaks rsync.
	Engine rsync.Engine

	// HostKeys are shown to clients, at most one of each type. OtherKeys makes those that a scenario has shown in their
	// place.
	HostKeys  []gossh.Signer
	OtherKeys func() ([]gossh.Signer, error)

	// Names returns further names and addresses by which clients reach the host, beside its own and loopback. If nil,
	// there are none.
	Names func() []string

	// Outside returns the port by which clients reach the one that all transfers share, where something else is between,
	// such as a port that a container maps; 0 is the port itself. If nil, it is.
	Outside func() int

	// Record gets the journal's events. It must be quick, and must not call the Host.
	Record func(*journal.Event)

	// Uploaded is called when an upload has made a dump complete, before the client gets the exit status. If nil, nothing
	// is.
	Uploaded func(id int64)

	// Now is the emulator's clock. If nil, it is time.Now.
	Now func() time.Time

	// Logger gets warnings about the server itself. If nil, they are discarded.
	Logger *slog.Logger
}

// splitAddr reads Options.Addr.
func splitAddr(addr string) (host string, port int, err error) {
	if addr == "" {
		return "127.0.0.1", 0, nil
	}
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0, nil // a host alone; if it is none, listening says so
	}
	port, err = net.LookupPort("tcp", text)
	return host, port, err
}
