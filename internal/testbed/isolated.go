package testbed

import (
	"cmp"
	"encoding/pem"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/isolate"
	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/internal/sysfiles"
	"github.com/upgrademock/upgrademock/mockserver"
)

// makeSpace makes the space in which the program is isolated, and has the emulator listen there, as the platform does.
func (b *Testbed) makeSpace(server *mockserver.Options) (err error) {
	if b.space, err = isolate.Start(); err != nil {
		return err
	}
	b.Run = b.space.Run
	server.Listen = b.space.Listen
	server.HTTPAddr = cmp.Or(server.HTTPAddr, "127.0.0.1:80")
	server.HTTPSAddr = cmp.Or(server.HTTPSAddr, "127.0.0.1:443")
	server.SFTPHostname = cmp.Or(server.SFTPHostname, proxy.Production)
	return nil
}

// furnish puts files in the place of the system's, so that names lead to the emulator, which is trusted.
func (b *Testbed) furnish(server *mockserver.Options, opts Options) error {
	names := []string{proxy.Production}
	for _, host := range opts.Hosts {
		names = appendName(names, host)
	}
	if u, err := url.Parse(server.PublicURL); err == nil {
		names = appendName(names, u.Hostname())
	}
	names = appendName(names, server.SFTPHostname)
	conn, err := b.space.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	b.names = serveNames(conn, names)
	dir := filepath.Join(b.Dir, "system")
	if err := os.Mkdir(dir, 0o711); err != nil {
		return err
	}
	mounts, err := sysfiles.Make(sysfiles.Options{
		Dir: dir, Names: names, Bundle: b.bundle, Environ: opts.Environ, Foreign: os.Geteuid() != 0,
		Authority: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Server.Certificate().Raw}),
	})
	if err != nil {
		return err
	}
	return b.space.Mount(mounts...)
}

// appendName appends a host if it is a name that leads nowhere so far.
func appendName(names []string, host string) []string {
	host = strings.ToLower(host)
	_, err := netip.ParseAddr(host)
	if err == nil || host == "" || host == "localhost" || slices.Contains(names, host) {
		return names
	}
	return append(names, host)
}
