//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"time"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// certify is how long our own client takes to be judged under all scenarios of an API, with its own patience. It
// mostly waits, so that the processor time, that of the client and the emulators together, is small.
func (b *bench) certify() ([]row, error) {
	client, err := rig.Build(b.ctx, b.dir, "cmd/odoo-upgrade")
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, pack := range []struct {
		name string
		args []string
	}{
		{"full", []string{"--via", "https", "--", client, "run", "--email", "{email}"}},
		{"script-full", []string{"--", client, "run"}},
	} {
		s, err := b.judged(append(append([]string{"certify", "--pack", pack.name}, pack.args...),
			"--contract", "{contract}", "--target", "{target}", "--aim", "{aim}", "--dump", "{dump}", "--out", "{out}"))
		if err != nil {
			return rows, fmt.Errorf("%s: %w", pack.name, err)
		}
		rows = append(rows, row{name: "certify --pack " + pack.name, unit: "s", lessIsGood: true, ours: s, cpuUnit: "s",
			bound: 45})
	}
	return rows, nil
}

// judged runs certify, which must find nothing wrong.
func (b *bench) judged(args []string) (sample, error) {
	cmd := exec.CommandContext(b.ctx, b.binary, args...)
	cmd.Dir = b.dir
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	err := cmd.Run()
	s := sample{value: time.Since(began).Seconds()}
	if err != nil {
		return s, fmt.Errorf("%w\n%s", err, output.String())
	}
	s.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return s, nil
}
