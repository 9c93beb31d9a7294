package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cli/browser"
	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/narrate"
	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/internal/tty"
	"github.com/upgrademock/upgrademock/mockserver"
)

// grace is how long transfers may go on after an interrupt.
const grace = 3 * time.Second

func newServeCommand() *cobra.Command {
	var flags serveFlags
	var front proxyFlags
	var readyFile string
	var proxyAddr address
	var checkDumps, open, silent bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the emulator until interrupted",
		Long: `serve runs an emulator, prints how to go on, and then a line for each thing that happens.

Each flag can also be set by a variable, such as UPGRADEMOCK_SERVE_CLOCK=virtual, with the values of a repeatable one apart by
commas; and in the YAML file of --config, such as

  clock: virtual
  scenario: [bad-gateway, mine.yaml]

The command line comes before the variables, and these before the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			from, err := configure(cmd, os.Environ())
			if err != nil {
				return err
			}
			defer func() { err = from.explain(err) }()
			opts, err := flags.options(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			keepAuthority(opts)
			if err := checkOutput("ready-file", readyFile); err != nil {
				return err
			}
			start, err := front.starter(cmd, proxyAddr, opts)
			if err != nil {
				return err
			}
			s := service{opts: opts, start: start, readyFile: readyFile, checkDumps: checkDumps, open: open,
				stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
			if !silent && !flags.verbose {
				s.lines = narrate.New(s.stdout, tty.Colours(s.stdout, os.Getenv))
				opts.OnControl = s.lines.Called
			}
			return withJournal(flags.journal, opts, func() error { return s.run(cmd.Context()) })
		},
	}
	flags.add(cmd.Flags(), "127.0.0.1:8480", "127.0.0.1:8443", "127.0.0.1:2200")
	cmd.Flags().BoolVar(&checkDumps, "check-dumps", false,
		"with --data-dir, compare the dumps in it with their checksums before serving")
	cmd.Flags().BoolVar(&open, "open", false, "open the live page in the browser")
	cmd.Flags().BoolVarP(&silent, "quiet", "q", false, "don't print what happens; nor does --verbose, which logs it")
	cmd.Flags().StringVar(&readyFile, "ready-file", "",
		"write the addresses to this `file` once every listener accepts")
	cmd.Flags().Var(&proxyAddr, "proxy",
		"`address` of a proxy that leads https://upgrade.odoo.com here, for programs with a fixed URL (default: none)")
	front.add(cmd.Flags())
	cmd.Flags().String("config", "", "take flags that are not given from this YAML `file`")
	return cmd
}

// withJournal runs an emulator that writes its journal to the file.
func withJournal(path string, opts *mockserver.Options, run func() error) error {
	if path == "" {
		return run()
	}
	f, err := openJournal(path)
	if err != nil {
		return err
	}
	opts.JournalWriter = f
	if err := run(); err != nil {
		f.Close()
		return err
	}
	return failed(f.Close())
}

// openJournal opens the file of --journal, which may be a pipe that somebody reads. An error is a wrong command line.
func openJournal(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o600)
	if info, statErr := os.Stat(path); err != nil && statErr == nil && info.Mode()&os.ModeNamedPipe != 0 {
		err = errors.New("nothing reads this pipe")
	}
	if err != nil {
		return nil, fmt.Errorf("--journal %s: %w; name a file that can be written", path, reasonOf(err))
	}
	return f, nil
}

// openPage opens the live page in the browser. An emulator without one goes on.
func openPage(srv *mockserver.Server, stderr io.Writer) {
	browser.Stdout, browser.Stderr = stderr, stderr
	if err := browser.OpenURL(livePage(srv)); err != nil {
		fmt.Fprintf(stderr, "upgrademock: no browser can be opened (%v): open %s yourself\n", err, livePage(srv))
	}
}

// service is what a run of serve is about.
type service struct {
	opts             *mockserver.Options
	start            startProxy // starts the proxy; nil: there is none
	readyFile        string
	checkDumps, open bool
	lines            *narrate.Narrator // nil: none are printed
	stdout, stderr   io.Writer
}

// run runs an emulator until ctx ends.
func (s *service) run(ctx context.Context) error {
	keepLean()
	srv, err := mockserver.New(s.opts)
	if err != nil {
		return failed(err)
	}
	defer srv.Close()
	if s.checkDumps {
		if err := srv.CheckDumps(ctx); err != nil {
			return failed(err)
		}
	}
	if err := srv.Start(); err != nil {
		return failed(startError(err))
	}
	var front *proxy.Proxy
	if s.start != nil {
		if front, err = s.start(srv); err != nil {
			return failed(err)
		}
		defer front.Close()
	}
	if s.readyFile != "" {
		if err := writeReadyFile(s.readyFile, srv, front); err != nil {
			return failed(err)
		}
		defer removeReadyFile(s.readyFile)
	}
	banner(s.stdout, srv, front, s.opts)
	if s.open {
		openPage(srv, s.stderr)
	}
	end := s.narrate(srv)
	<-ctx.Done()
	end()
	ending, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if front != nil { // first: the emulator waits for calls that came through it
		front.Shutdown(ending)
	}
	return failed(srv.Shutdown(ending))
}

// narrate prints what happens from now on, until the returned function is called.
func (s *service) narrate(srv *mockserver.Server) (end func()) {
	const last = "\nStopping …\n"
	if s.lines == nil {
		return func() { io.WriteString(s.stdout, last) }
	}
	// Who has read enough of the lines ends no emulator by that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	now, virtual := time.Now(), s.opts.Clock != nil
	if virtual {
		now = s.opts.Clock.Now()
	}
	s.lines.Start(srv, now, virtual)
	return func() { s.lines.Stop(last, time.Second) }
}
