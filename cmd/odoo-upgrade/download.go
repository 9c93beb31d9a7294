package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
	"github.com/upgrademock/upgrademock/internal/claim"
)

// downloadable is a file that --what can name.
type downloadable struct {
	name string
	page bool // may be HTML
	url  func(*client.Request) string
	file func(*client.Request) string // the name to save it under
}

func named(name string) func(*client.Request) string {
	return func(*client.Request) string { return name }
}

var downloadables = []downloadable{
	{"upgraded", false, func(r *client.Request) string { return r.UpgradedDumpURL },
		func(r *client.Request) string { return "upgraded_" + r.Filename }},
	{"upgraded-sql", false, func(r *client.Request) string { return r.UpgradedSQLURL }, named("upgraded.sql")},
	{"original", false, func(r *client.Request) string { return r.OriginalDumpURL },
		func(r *client.Request) string { return r.Filename }},
	{"original-sql", false, func(r *client.Request) string { return r.OriginalSQLURL }, named("original.sql")},
	{"modules", false, func(r *client.Request) string { return r.ModulesURL }, named("modules.zip")},
	{"notes", true, func(r *client.Request) string { return r.NotesURL }, named("notes.html")},
	{"status", true, func(r *client.Request) string { return r.StatusURL }, named("status.html")},
}

func downloadableNames() []string {
	var names []string
	for _, d := range downloadables {
		names = append(names, d.name)
	}
	return names
}

// downloadFlags choose what to download, where from and where to.
type downloadFlags struct {
	what, out, via string
	ssh            sshFlags
}

func (f *downloadFlags) register(cmd *cobra.Command) {
	names := downloadableNames()
	flags := cmd.Flags()
	flags.StringVar(&f.what, "what", "upgraded", "the `name` of what to download: "+strings.Join(names, ", "))
	flags.StringVar(&f.out, "out", "",
		"the `file` to write it to (default: the platform's name for it, in this folder, where that is free)")
	flags.StringVar(&f.via, "via", workflow.HTTPS,
		"the `protocol`: https or sftp; over SFTP only the upgraded dump can be had")
	f.ssh.register(cmd)
	_ = cmd.RegisterFlagCompletionFunc("what", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

// check returns what the flags name.
func (f *downloadFlags) check(cmd *cobra.Command) (*downloadable, error) {
	var d *downloadable
	for i := range downloadables {
		if downloadables[i].name == f.what {
			d = &downloadables[i]
		}
	}
	switch {
	case d == nil:
		return nil, usagef(cmd, "--what %q: choose one of %s", f.what, strings.Join(downloadableNames(), ", "))
	case f.via != workflow.HTTPS && f.via != workflow.SFTP:
		return nil, usagef(cmd, "--via %q: choose https or sftp", f.via)
	case f.via == workflow.SFTP && f.what != "upgraded":
		return nil, usagef(cmd, "over SFTP only the upgraded dump can be had")
	}
	return d, f.ssh.check(cmd)
}

func (a *app) downloadCommand() *cobra.Command {
	var flags downloadFlags
	cmd := &cobra.Command{
		Use:   "download",
		Short: "Download the upgraded dump, or another file of the request",
		Long: `Download a file of the request. It is written beside, to FILE.*.part, and gets its name when it is whole.
Broken connections are continued, and so is what an earlier, interrupted call left.`,
	}
	flags.register(cmd)
	return a.refCommand(cmd, func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
		d, err := flags.check(cmd)
		if err != nil {
			return err
		}
		out := flags.out
		if out != "" {
			if err := a.free(cmd, &flags.ssh, out); err != nil {
				return err
			}
		}
		var r *client.Request
		err = a.patient(cmd.Context(), func(ctx context.Context) (err error) {
			r, err = c.Status(ctx, ref)
			return err
		})
		if err != nil {
			return err
		}
		if out == "" {
			out = safeName(d.file(r))
			if _, err := os.Lstat(out); err == nil {
				return usagef(cmd, "%s is there already: --out %s replaces it, another --out keeps it", out, out)
			}
			if err := a.free(cmd, &flags.ssh, out); err != nil {
				return err
			}
		}
		if flags.via == workflow.SFTP {
			return a.downloadSFTP(cmd.Context(), c, ref, &flags.ssh, out)
		}
		return a.downloadHTTPS(cmd.Context(), c, r, d, out)
	})
}

func (a *app) downloadSFTP(ctx context.Context, c *client.Client, ref client.Ref, flags *sshFlags, out string) error {
	began := time.Now()
	defer flags.close()
	access, o, err := a.sftp(ctx, c, ref, flags, "download")
	if err != nil {
		return err
	}
	t, err := c.DownloadSFTP(ctx, access, out, o)
	a.bars.end()
	if err != nil {
		return err
	}
	details := transferDetails(ref, t, began)
	details["out"] = out
	return a.done(transferred("Downloaded", t)+" It is "+out+".", details)
}

func (a *app) downloadHTTPS(
	ctx context.Context, c *client.Client, r *client.Request, d *downloadable, out string,
) error {
	began := time.Now()
	a.bars = a.newBars()
	got, err := c.Download(ctx, d.url(r), out, &client.DownloadOptions{
		AllowHTML: d.page,
		Progress:  func(p client.Progress) { a.bars.progress("download", p) },
		Retry:     &client.RetryOptions{OnRetry: a.reportRetry},
	})
	a.bars.end()
	if errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("%w. The request is %s; the file %s is not there (yet)", err, clean(string(r.State)), d.name)
	}
	if err != nil {
		return err
	}
	return a.done(fmt.Sprintf("Downloaded %s. It is %s.", workflow.Size(got.Size), out), map[string]any{
		"request": r.ID, "what": d.name, "out": out, "bytes": got.Size, "from": got.From, "connections": got.Tries,
		"seconds": time.Since(began).Seconds(),
	})
}

// free refuses an --out that cannot be written, or is another of the command's files.
func (a *app) free(cmd *cobra.Command, flags *sshFlags, out string) error {
	state, _ := cmd.Flags().GetString("state")
	err := a.distinct(cmd, flags,
		namedFile{what: "--out", path: out, written: true}, namedFile{what: "--state", path: state})
	if err != nil {
		return err
	}
	return claim.Check(out)
}

// safeName returns a name that came over the network as one of a file in this folder.
func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == '/' || r == '\\' || r == ':' {
			return '_'
		}
		return r
	}, s)
	s = strings.TrimLeft(s, "-. ") // no option, and no file that is hidden or configures something
	if s == "" {
		return "download"
	}
	return s
}
