package mockserver

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	gossh "golang.org/x/crypto/ssh"
)

// newTransfers makes the SSH servers of the script API's transfers.
func (s *Server) newTransfers() (*transfer.Host, error) {
	engine := rsync.InProcess()
	if s.opts.Rsync != "" {
		engine = rsync.Program(s.opts.Rsync)
	}
	return transfer.New(transfer.Options{
		Listen: s.opts.Listen, Addr: s.opts.Transfer, Timeout: s.opts.TransferTimeout,
		MaxConns: s.opts.MaxSessions, MaxBytes: s.opts.MaxDump,
		Engine: engine, HostKeys: s.trust.hostKeys,
		OtherKeys: sync.OnceValues(func() ([]gossh.Signer, error) { return othersLike(s.trust.hostKeys) }),
		Names:     s.transferNames,
		Outside:   func() int { return s.advertise.Load().TransferPort },
		Record:    func(e *journal.Event) { s.observer.record(e) },
		Uploaded:  func(id int64) { s.database.Uploaded(id) },
		Now:       s.opts.Clock.Now, Logger: s.log,
	})
}

// transferNames are the names that answers may give for this machine.
func (s *Server) transferNames() []string {
	a := s.advertise.Load()
	return slices.DeleteFunc([]string{a.SFTPHost, api.Hostname(a.URL)}, isPlatform)
}

// startTransfer is script.Config's.
func (s *Server) startTransfer(r *platform.Request, kind, assigned string) (int, *string, error) {
	t, err := s.transfers.Start(r, kind, hostOf(assigned))
	return t.Port, t.KnownHosts, err
}

// listenForTransfersLocked opens the port that all transfers share, if they do.
func (s *Server) listenForTransfersLocked() error {
	host, _, _ := net.SplitHostPort(s.opts.Transfer)
	if err := s.transfers.Listen(); err != nil {
		return &ListenError{Listener: "transfer", Addr: s.opts.Transfer, Err: err}
	}
	if addr := s.transfers.Addr(); addr != nil {
		warnIfExposed(s.log, "transfer", addr)
	} else if ip, err := netip.ParseAddr(host); host == "" || err == nil && !ip.IsLoopback() {
		warnIfExposed(s.log, "transfer", &net.TCPAddr{IP: ip.AsSlice()})
	}
	return nil
}
