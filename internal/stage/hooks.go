package stage

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/proxy"
)

//go:embed hooks
var hookFiles embed.FS

// hooks are what some programs need beside the variables that everybody knows, written into the stage's directory; it returns
// the variables that lead there.
//
//   - GNU Wget built with GnuTLS reads no variable that names authorities: it gets a startup file with one more line than the user's own.
//   - PycURL, since libcurl reads none either: hooks/python.
//   - Node, which ignores proxies: hooks/node.cjs.
func (s *Stage) hooks(opts Options) ([]string, error) {
	if opts.NoHooks {
		return nil, nil
	}
	rc := getenv(opts.Environ, "WGETRC")
	if rc == "" {
		rc = filepath.Join(getenv(opts.Environ, "HOME"), ".wgetrc")
	}
	lines, _ := os.ReadFile(rc) // there need not be one
	lines = slices.Concat(lines, []byte("\nca_certificate = "+s.bundle+"\n"))
	wgetrc := filepath.Join(s.Dir, "wgetrc")
	if err := os.WriteFile(wgetrc, lines, 0o600); err != nil {
		return nil, fmt.Errorf("write a startup file for wget: %w", err)
	}
	if err := os.CopyFS(s.Dir, hookFiles); err != nil {
		return nil, fmt.Errorf("write the hooks: %w", err)
	}
	python := filepath.Join(s.Dir, "hooks", "python")
	if before := getenv(opts.Environ, "PYTHONPATH"); before != "" {
		python += string(os.PathListSeparator) + before
	}
	node := fmt.Sprintf("--require %q", filepath.Join(s.Dir, "hooks", "node.cjs"))
	if before := getenv(opts.Environ, "NODE_OPTIONS"); before != "" {
		node = before + " " + node
	}
	return []string{
		"WGETRC=" + wgetrc,
		"PYTHONPATH=" + python,
		"NODE_OPTIONS=" + node,
		"NODE_USE_ENV_PROXY=1",
		"UPGRADEMOCK_HOSTS=" + strings.Join(append([]string{proxy.Production}, opts.Hosts...), ","),
	}, nil
}
