package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

// readyPause is the pause between two looks at a ready file.
const readyPause = 50 * time.Millisecond

func newReadyCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "ready FILE",
		Short: "Report whether the emulator that wrote a ready file serves, and wait for it",
		Long: `ready looks at the file that serve --ready-file writes, and asks the emulator that it names whether all its listeners serve. It
exits with 0 if they do, and with 1 if they do not, or not within --wait: a health check for containers, and a gate for scripts.`,
		Example: `  upgrademock serve --ready-file ready.json &
  upgrademock ready --wait 10s ready.json`,
		Args: arguments(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait < 0 {
				return fmt.Errorf("--wait %v: wanted a time that is not negative, such as 30s", wait)
			}
			return failed(awaitReady(cmd.Context(), args[0], wait))
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "`duration` to wait for it (default: do not wait)")
	return cmd
}

// awaitReady returns nil as soon as the emulator serves; else, when the time is over, why it does not.
func awaitReady(ctx context.Context, file string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait+5*time.Second) // a call that is under way may end
	defer cancel()
	until := time.Now().Add(wait)
	for {
		err := checkReady(ctx, file)
		if err == nil || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(readyPause):
		}
	}
}

func checkReady(ctx context.Context, file string) error {
	data, err := safefile.ReadNamed(file, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("not ready: %s is not there yet, or no longer", file)
	}
	if err != nil {
		return err
	}
	var r ready
	if err := json.Unmarshal(data, &r); err != nil || r.AdminURL == "" {
		return fmt.Errorf("%s: not a file that serve --ready-file has written", file)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.AdminURL+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	authorities := x509.NewCertPool()
	if pem, err := safefile.ReadNamed(r.CAFile, 16<<20); err == nil { // needed only when there is no plain HTTP
		authorities.AppendCertsFromPEM(pem)
	}
	// and not the environment's proxy
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: authorities}}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
