// Package clientenv has the environment in which programs reach an emulator and trust it: the variables that
// docs/reference/environment.md describes, as a list, and as lines for a shell on another machine.
package clientenv

import (
	"cmp"
	"net"
	"strings"
)

// Bundles are where systems keep the authorities that they trust, as one PEM file.
var Bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch, Gentoo
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL 7
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/ssl/cert.pem",                                 // Alpine, macOS, the BSDs
}

// trust are the variables that name a file of authorities: OpenSSL's own, and those of curl, requests, Node,
// git, httplib2 and LWP.
var trust = []string{
	"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
	"HTTPLIB2_CA_CERTS", "PERL_LWP_SSL_CA_FILE",
}

// Trust are the entries of an environment that make programs trust the authorities in the file bundle.
func Trust(bundle string) []string {
	entries := make([]string, len(trust))
	for i, name := range trust {
		entries[i] = name + "=" + bundle
	}
	return entries
}

// Addresses are where a program finds an emulator. What there is not is empty.
type Addresses struct {
	URL, HTTPSURL, AdminURL string
	ScriptURL               string // for the upgrade script; if empty, it is HTTPSURL, or URL
	Proxy                   string // the URL of what leads the platform's own URL to the emulator
	SFTP                    string // HOST:PORT
	TransferHost            string // where the script's transfers listen

	CAFile     string // of the emulator's authority alone
	KnownHosts string // a file with the host keys of the SFTP server
	Bundle     string // a file of the authorities to trust, the emulator's among them
}

// Unset are the variables that a program must not have.
var Unset = []string{"ALL_PROXY", "all_proxy"}

// Proxies are the variables that name proxies, and what needs none.
var Proxies = []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"}

// Variables are the entries of the environment, in the form NAME=VALUE.
func (a Addresses) Variables() []string {
	base := cmp.Or(a.HTTPSURL, a.URL)
	set := []string{
		"UPGRADEMOCK_URL=" + a.URL,
		"UPGRADEMOCK_HTTPS_URL=" + a.HTTPSURL,
		"UPGRADEMOCK_ADMIN_URL=" + a.AdminURL,
		"UPGRADEMOCK_CA_FILE=" + a.CAFile,
		"UPGRADE_URL=" + base,
		"BASE_URL=" + base,
		"UPGRADE_SERVER_NAME=" + cmp.Or(a.ScriptURL, base),
		"DATA_SERVER_NAME=" + a.TransferHost, // copies of the script before 2023 would lead ssh to production
	}
	if host, port, err := net.SplitHostPort(a.SFTP); err == nil {
		set = append(set, "UPGRADEMOCK_SFTP_HOST="+host, "UPGRADEMOCK_SFTP_PORT="+port,
			"UPGRADEMOCK_KNOWN_HOSTS="+a.KnownHosts)
	}
	if a.Proxy != "" {
		for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
			set = append(set, name+"="+a.Proxy)
		}
		// What is on this machine needs no proxy, and everything else comes to ours, whatever was excepted before.
		for _, name := range []string{"NO_PROXY", "no_proxy"} {
			set = append(set, name+"=127.0.0.1,localhost,::1")
		}
	}
	return append(set, Trust(a.Bundle)...)
}

// dir is a directory that the lines of Shell make, as they write it.
const dir = "$UPGRADEMOCK_DIR/"

// Shell are lines for a POSIX shell, which write the authority and the host keys, if there are any, into a new
// directory, whose name is in UPGRADEMOCK_DIR then, and set the variables. The names of files in a are of no account.
func (a Addresses) Shell(authority []byte, knownHosts string) string {
	a.CAFile, a.KnownHosts, a.Bundle = dir+"ca.pem", dir+"known_hosts", dir+"ca-bundle.pem"
	var b strings.Builder
	b.WriteString("export UPGRADEMOCK_DIR=\"$(mktemp -d)\"\n")
	for _, file := range [][2]string{{a.CAFile, string(authority)}, {a.KnownHosts, knownHosts}} {
		b.WriteString("cat > \"" + file[0] + "\" <<'END'\n" + file[1] + "END\n")
	}
	b.WriteString(`for UPGRADEMOCK_FILE in "${SSL_CERT_FILE:-}" "${CURL_CA_BUNDLE:-}" "${REQUESTS_CA_BUNDLE:-}" \
  ` + strings.Join(Bundles, ` \
  `) + `; do
  if [ -s "$UPGRADEMOCK_FILE" ]; then break; fi
  UPGRADEMOCK_FILE=/dev/null
done
cat "` + a.CAFile + `" "$UPGRADEMOCK_FILE" > "` + a.Bundle + `"
unset UPGRADEMOCK_FILE ` + strings.Join(Unset, " ") + "\n")
	for _, entry := range a.Variables() {
		name, value, _ := strings.Cut(entry, "=")
		if file, ok := strings.CutPrefix(value, dir); ok {
			value = `"` + dir + file + `"`
		} else {
			value = `'` + strings.ReplaceAll(value, `'`, `'\''`) + `'`
		}
		b.WriteString("export " + name + "=" + value + "\n")
	}
	return b.String()
}
