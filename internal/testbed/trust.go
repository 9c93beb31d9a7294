package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/upgrademock/upgrademock/internal/clientenv"
)

// WriteBundle writes a new file with a [Bundle].
func WriteBundle(path string, ours []byte, environ []string) error {
	all, err := Bundle(ours, environ)
	if err != nil {
		return err
	}
	if err := writeAs(path, all, 0o644); err != nil {
		return fmt.Errorf("write the bundle of authorities: %w", err)
	}
	return nil
}

// Bundle returns our authority, and behind it those that the system trusts, or those that environ names instead:
// other TLS goes on working.
func Bundle(ours []byte, environ []string) ([]byte, error) {
	theirs, err := trusted(environ)
	if err != nil {
		return nil, err
	}
	all := bytes.Clone(ours)
	// ours may be among them, in a run within a run, or in this very file
	if rest := bytes.TrimSpace(bytes.ReplaceAll(theirs, bytes.TrimSpace(ours), nil)); len(rest) > 0 {
		all = append(append(all, rest...), '\n')
	}
	return all, nil
}

// trusted are the authorities that programs trust so far.
func trusted(environ []string) ([]byte, error) {
	var files []string
	for _, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"} {
		if file := getenv(environ, name); file != "" {
			files = append(files, file)
			break
		}
	}
	for _, file := range append(files, clientenv.Bundles...) {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || isDir(file) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the authorities that this system trusts: %w", err)
		}
		return data, nil
	}
	return nil, nil // a machine without authorities
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func getenv(environ []string, name string) string {
	value := ""
	for _, entry := range environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}
