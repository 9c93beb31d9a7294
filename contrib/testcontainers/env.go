package upgrademock

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Env returns entries for the environment of a program, which lead it to the emulator as the command exec does: by
// UPGRADE_URL, and by a proxy that answers for https://upgrade.odoo.com. The files that they name are written into dir,
// which must be there. They come behind the program's own:
//
//	cmd.Env = append(os.Environ(), env...)
func (c *Container) Env(ctx context.Context, dir string) ([]string, error) {
	authority, knownHosts := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "known_hosts")
	files := map[string]func(context.Context) ([]byte, error){authority: c.CA, knownHosts: c.KnownHosts}
	for name, content := range files {
		text, err := content(ctx)
		if err == nil {
			err = os.WriteFile(name, text, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("upgrademock: %s: %w", filepath.Base(name), err)
		}
	}
	host, port, err := net.SplitHostPort(c.SFTPAddress())
	if err != nil {
		return nil, fmt.Errorf("upgrademock: %w", err)
	}
	env := []string{
		"UPGRADEMOCK_URL=" + c.URL(),
		"UPGRADEMOCK_HTTPS_URL=" + c.HTTPSURL(),
		"UPGRADEMOCK_ADMIN_URL=" + c.AdminURL(),
		"UPGRADEMOCK_CA_FILE=" + authority,
		"UPGRADEMOCK_SFTP_HOST=" + host,
		"UPGRADEMOCK_SFTP_PORT=" + port,
		"UPGRADEMOCK_KNOWN_HOSTS=" + knownHosts,
		"UPGRADE_URL=" + c.HTTPSURL(),
		"UPGRADE_SERVER_NAME=" + c.HTTPSURL(),
		"BASE_URL=" + c.HTTPSURL(),
		"DATA_SERVER_NAME=" + c.host,
		"ALL_PROXY=", "all_proxy=",
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		env = append(env, name+"="+c.ProxyURL())
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		env = append(env, name+"=127.0.0.1,localhost,::1,"+c.host)
	}
	for _, name := range []string{
		"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
		"HTTPLIB2_CA_CERTS", "PERL_LWP_SSL_CA_FILE",
	} {
		env = append(env, name+"="+authority)
	}
	return env, nil
}
