package testbed

import (
	"fmt"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// Remarks are what the user of a program should know beyond what the program printed.
type Remarks struct {
	// Refused are the hosts that the program called, and that the proxy did not let it reach. If it was Isolated, they
	// are the names that led nowhere.
	Refused  []string
	Isolated bool
	// Silence explains why the emulator got no call at all; "" if it got one.
	Silence string
}

// Remarks returns what there is to say of the program that has run.
func (b *Testbed) Remarks() Remarks {
	if b.Proxy == nil {
		return b.isolatedRemarks()
	}
	r := Remarks{Refused: b.Proxy.Refused()}
	tunnels, calls := b.Proxy.Taken()
	switch {
	case calls > 0 || len(b.Server.Events(journal.Filter{})) > 0: // the program may have emptied the journal
	case tunnels > 0:
		r.Silence = fmt.Sprintf(
			"the program connected %d times and made no call: it did not trust the certificate; have it trust "+
				"UPGRADEMOCK_CA_FILE", tunnels)
	default:
		r.Silence = `the program never called the emulator. The usual causes:
  - it made no call, or ended before it did;
  - it does not look at HTTPS_PROXY, or sets proxies of its own: give it the address in UPGRADE_URL;
  - it runs the upgrade script with an UPGRADE_SERVER_NAME of its own;
  - it calls another name than upgrade.odoo.com: see --host NAME;
  - it cleans its environment, as sudo, env -i, tox and containers do.`
	}
	return r
}

func (b *Testbed) isolatedRemarks() Remarks {
	r := Remarks{Refused: b.names.Refused(), Isolated: true}
	if len(b.Server.Events(journal.Filter{})) == 0 {
		r.Silence = `the program never called the emulator. The usual causes:
  - it made no call, or ended before it did;
  - it does not trust the certificate, since its authorities are not the system's: have it trust UPGRADEMOCK_CA_FILE;
  - it calls another name than upgrade.odoo.com, or an address: see --host NAME;
  - a container or a daemon makes the calls for it, outside.`
	}
	return r
}
