package transfer

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh/knownhosts"
)

// knownHosts is the text that ssh is to trust: a line for each host key, with all names by which the port may be
// called, those given among them (rows S3.5, S3.6).
func (h *Host) knownHosts(port int, names []string) string {
	var addrs []string
	for _, name := range slices.Concat([]string{"127.0.0.1", "localhost", "::1", h.host}, h.opts.Names(), names) {
		if ip := net.ParseIP(name); name == "" || ip != nil && ip.IsUnspecified() {
			continue
		}
		addr := knownhosts.Normalize(net.JoinHostPort(name, strconv.Itoa(port)))
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	var text strings.Builder
	for _, key := range h.opts.HostKeys {
		text.WriteString(knownhosts.Line(addrs, key.PublicKey()) + "\n")
	}
	return text.String()
}
