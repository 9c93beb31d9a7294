package main

import (
	"os"
	"path/filepath"

	"github.com/upgrademock/upgrademock/internal/localca"
	"github.com/upgrademock/upgrademock/mockserver"
)

// cacheDir is where the authority lives that outlives a run.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "upgrademock"), nil
}

// keepAuthority has the emulator use the authority in the user's cache directory, so that it needs to be trusted
// only once. Where it cannot be kept there, the run has one of its own, and says so.
func keepAuthority(opts *mockserver.Options) {
	if opts.DataDir != "" {
		return // it lives there
	}
	dir, err := cacheDir()
	var ca *localca.CA
	if err == nil {
		ca, err = localca.Open(dir, opts.CAHosts...)
	}
	if err != nil {
		opts.Logger.Warn("the certificate authority cannot be kept; this run has one of its own", "error", err)
		return
	}
	if note := ca.Note(); note != "" {
		opts.Logger.Warn("the certificate authority: "+note, "directory", dir)
	}
	opts.CADir = dir
}
