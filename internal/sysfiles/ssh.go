package sysfiles

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sshConfig is what ssh reads for all users.
const sshConfig = "/etc/ssh/ssh_config"

// ssh makes the files that ssh's configuration includes the user's own. ssh refuses to run where one of them is neither
// root's nor the user's, and root's files are nobody's in a space of somebody else.
func (m *maker) ssh() error {
	if !m.Foreign {
		return nil
	}
	var done []string
	for waiting := []string{m.system(sshConfig)}; len(waiting) > 0; waiting = waiting[1:] {
		data, err := os.ReadFile(waiting[0])
		if err != nil {
			continue // there is none, or ssh may not read it either
		}
		for _, path := range included(data) {
			found, _ := filepath.Glob(m.system(path))
			for _, path := range found {
				if !slices.Contains(done, path) {
					done, waiting = append(done, path), append(waiting, path)
				}
			}
		}
		if waiting[0] == m.system(sshConfig) { // whose owner is of no account
			continue
		}
		made := filepath.Join(m.Dir, fmt.Sprintf("ssh%d", len(m.mounts)))
		if err := os.WriteFile(made, data, 0o600); err != nil {
			return err
		}
		m.put(made, waiting[0])
	}
	return nil
}

// included are the globs that a configuration of ssh's includes (ssh_config(5)), but for those of a user's home.
func included(config []byte) (globs []string) {
	for line := range strings.Lines(string(config)) {
		fields := strings.Fields(strings.Replace(line, "=", " ", 1))
		if len(fields) < 2 || !strings.EqualFold(fields[0], "Include") {
			continue
		}
		for _, glob := range fields[1:] {
			glob = strings.Trim(glob, `"`)
			switch {
			case strings.HasPrefix(glob, "#"):
			case filepath.IsAbs(glob):
				globs = append(globs, glob)
			case !strings.HasPrefix(glob, "~"):
				globs = append(globs, filepath.Join(filepath.Dir(sshConfig), glob))
			}
		}
	}
	return globs
}
