package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
	"github.com/upgrademock/upgrademock/internal/claim"
)

func (a *app) uploadCommand() *cobra.Command {
	var dump string
	cmd := &cobra.Command{
		Use:   "upload",
		Short: "Upload the dump over HTTPS",
		Long:  `Upload the dump over HTTPS, in one piece. "-" reads standard input. For big dumps sftp-upload is better: it can resume.`,
	}
	cmd.Flags().StringVar(&dump, "dump", "", "the dump, or - for standard input")
	return a.refCommand(cmd, func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
		src, size := a.stdin, int64(-1)
		if dump == "" {
			return usagef(cmd, "--dump is missing")
		}
		if dump != "-" {
			f, info, err := workflow.OpenDump(dump)
			if err != nil {
				return err
			}
			defer f.Close()
			src, size = io.NewSectionReader(f, 0, info.Size()), info.Size()
		}
		a.bars = a.newBars()
		defer a.bars.end()
		began := time.Now()
		var sent int64
		err := c.Upload(cmd.Context(), ref, src, size, &client.UploadOptions{Progress: func(p client.Progress) {
			sent = p.Done
			a.bars.progress("upload", p)
		}})
		a.bars.end()
		if errors.Is(err, client.ErrTransient) {
			return fmt.Errorf("%w. Nothing of it counts at the platform: upload again, or use sftp-upload, which can resume", err)
		}
		if err != nil {
			return err
		}
		return a.done(fmt.Sprintf("Uploaded %s. Next: odoo-upgrade process.", workflow.Size(sent)), map[string]any{
			"request": ref.ID, "bytes": sent, "seconds": time.Since(began).Seconds()})
	})
}

func (a *app) sftpAccessCommand() *cobra.Command {
	var keys []string
	var generate string
	cmd := &cobra.Command{
		Use:   "sftp-access",
		Short: "Open the temporary SFTP server, for a program of your own",
		Long: `Open the temporary SFTP server to your public keys, and print how to reach it. For sftp-upload and "download --via sftp"
this is not needed: they do it themselves. A second call replaces the keys.`,
	}
	cmd.Flags().StringArrayVar(&keys, "authorized-keys", nil, "a file of public keys, such as ~/.ssh/id_ed25519.pub (may be repeated)")
	cmd.Flags().StringVar(&generate, "generate-key", "", "make an ed25519 key for the occasion, and write the private one to this file")
	return a.refCommand(cmd, func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
		var public []byte
		for _, name := range keys {
			raw, err := os.ReadFile(name)
			if err != nil {
				return usagef(cmd, "--authorized-keys %s cannot be read: %v", name, reason(err))
			}
			if strings.Contains(string(raw), "PRIVATE KEY") {
				return usagef(cmd, "--authorized-keys %s holds a private key, which must not leave this machine: name the public one", name)
			}
			public = append(append(public, raw...), '\n')
		}
		identity := ""
		if generate != "" {
			signer, private, err := client.GenerateSSHKey()
			if err != nil {
				return err
			}
			f, err := os.OpenFile(generate, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return usagef(cmd, "--generate-key %s cannot be made: %v", generate, reason(err))
			}
			_, werr := f.Write(private)
			if err := errors.Join(werr, f.Close()); err != nil {
				_ = os.Remove(generate)
				return fmt.Errorf("--generate-key: %w", err)
			}
			public = append(public, client.AuthorizedKeys(signer.PublicKey())...)
			identity = " -i " + generate
		}
		if len(public) == 0 {
			return usagef(cmd, "which keys may log in? Give --authorized-keys or --generate-key")
		}
		access, err := c.RequestSFTPAccess(cmd.Context(), ref, public)
		if err != nil {
			return err
		}
		if a.json {
			return writeJSON(a.stdout, access.Raw)
		}
		command := access.SampleCommand
		if rest, ok := strings.CutPrefix(command, "sftp "); ok && identity != "" {
			command = "sftp" + identity + " " + rest
		}
		return table(a.stdout,
			[2]string{"host", access.Hostname},
			[2]string{"port", fmt.Sprint(access.Port)},
			[2]string{"user", access.User},
			[2]string{"file", access.SharedFile},
			[2]string{"command", command},
		)
	})
}

// access opens the SFTP server to the signers' public keys.
func (a *app) access(ctx context.Context, c *client.Client, ref client.Ref, signers []ssh.Signer) (*client.SFTPAccess, error) {
	var keys []ssh.PublicKey
	for _, s := range signers {
		keys = append(keys, s.PublicKey())
	}
	var access *client.SFTPAccess
	err := a.patient(ctx, func(ctx context.Context) (err error) {
		access, err = c.RequestSFTPAccess(ctx, ref, client.AuthorizedKeys(keys...))
		return err
	})
	return access, err
}

// sftp prepares an SFTP transfer that shows its progress.
func (a *app) sftp(ctx context.Context, c *client.Client, ref client.Ref, flags *sshFlags, what string) (*client.SFTPAccess, *client.SFTPOptions, error) {
	signers, err := flags.signers(a)
	if err != nil {
		return nil, nil, err
	}
	hosts, err := flags.hostKeys(a)
	if err != nil {
		return nil, nil, err
	}
	access, err := a.access(ctx, c, ref, signers)
	if err != nil {
		return nil, nil, err
	}
	a.bars = a.newBars()
	return access, &client.SFTPOptions{
		Signers:  signers,
		HostKeys: hosts,
		Progress: func(p client.Progress) { a.bars.progress(what, p) },
		Renew:    func(ctx context.Context) (*client.SFTPAccess, error) { return a.access(ctx, c, ref, signers) },
		Retry:    &client.RetryOptions{OnRetry: a.tellTrouble},
	}, nil
}

func (a *app) sftpUploadCommand() *cobra.Command {
	var dump string
	var flags sshFlags
	cmd := &cobra.Command{
		Use:   "sftp-upload",
		Short: "Upload the dump over SFTP, resuming what is there",
		Long: `Upload the dump over SFTP. What an earlier, broken upload left at the server is compared with the dump, and continued.
Connections that break are made again.`,
	}
	cmd.Flags().StringVar(&dump, "dump", "", "the dump")
	flags.register(cmd)
	return a.refCommand(cmd, func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
		if dump == "" {
			return usagef(cmd, "--dump is missing")
		}
		if err := flags.check(cmd); err != nil {
			return err
		}
		if err := a.distinct(cmd, &flags, namedFile{what: "--dump", path: dump}); err != nil {
			return err
		}
		f, info, err := workflow.OpenDump(dump)
		if err != nil {
			return err
		}
		defer f.Close()
		defer flags.close()
		access, o, err := a.sftp(cmd.Context(), c, ref, &flags, "upload")
		if err != nil {
			return err
		}
		began := time.Now()
		t, err := c.UploadSFTP(cmd.Context(), access, f, info.Size(), o)
		a.bars.end()
		if err != nil {
			return err
		}
		return a.done(transferred("Uploaded", t)+" Next: odoo-upgrade process.", transferDetails(ref, t, began))
	})
}

func transferred(verb string, t *client.SFTPTransfer) string {
	s := fmt.Sprintf("%s %s.", verb, workflow.Size(t.Size))
	if t.From > 0 {
		s += fmt.Sprintf(" %s of it were there already.", workflow.Size(t.From))
	}
	return s
}

func transferDetails(ref client.Ref, t *client.SFTPTransfer, began time.Time) map[string]any {
	return map[string]any{"request": ref.ID, "bytes": t.Size, "from": t.From, "sent": t.Sent, "connections": t.Tries,
		"seconds": time.Since(began).Seconds()}
}

// downloads are the files that --what can name, and where a request says that they are.
var downloads = []struct {
	name string
	page bool // may be HTML
	url  func(*client.Request) string
	file func(*client.Request) string
}{
	{"upgraded", false, func(r *client.Request) string { return r.UpgradedDumpURL }, func(r *client.Request) string { return "upgraded_" + r.Filename }},
	{"upgraded-sql", false, func(r *client.Request) string { return r.UpgradedSQLURL }, func(*client.Request) string { return "upgraded.sql" }},
	{"original", false, func(r *client.Request) string { return r.OriginalDumpURL }, func(r *client.Request) string { return r.Filename }},
	{"original-sql", false, func(r *client.Request) string { return r.OriginalSQLURL }, func(*client.Request) string { return "original.sql" }},
	{"modules", false, func(r *client.Request) string { return r.ModulesURL }, func(*client.Request) string { return "modules.zip" }},
	{"notes", true, func(r *client.Request) string { return r.NotesURL }, func(*client.Request) string { return "notes.html" }},
	{"status", true, func(r *client.Request) string { return r.StatusURL }, func(*client.Request) string { return "status.html" }},
}

func (a *app) downloadCommand() *cobra.Command {
	var what, out, via string
	var flags sshFlags
	var names []string
	for _, d := range downloads {
		names = append(names, d.name)
	}
	cmd := &cobra.Command{
		Use:   "download",
		Short: "Download the upgraded dump, or another file of the request",
		Long: `Download a file of the request. It is written beside, to FILE.*.part, and gets its name when it is whole. Broken
connections are continued, and so is what an earlier, interrupted call left.`,
	}
	f := cmd.Flags()
	f.StringVar(&what, "what", "upgraded", "which file: "+strings.Join(names, ", "))
	f.StringVar(&out, "out", "", "where to write it (default: the platform's name for it, in this folder, where that is free)")
	f.StringVar(&via, "via", workflow.HTTPS, "https or sftp; over SFTP only the upgraded dump can be had")
	flags.register(cmd)
	_ = cmd.RegisterFlagCompletionFunc("what", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return a.refCommand(cmd, func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
		which := -1
		for i, d := range downloads {
			if d.name == what {
				which = i
			}
		}
		switch {
		case which < 0:
			return usagef(cmd, "--what %q: choose one of %s", what, strings.Join(names, ", "))
		case via != workflow.HTTPS && via != workflow.SFTP:
			return usagef(cmd, "--via %q: choose https or sftp", via)
		case via == workflow.SFTP && what != "upgraded":
			return usagef(cmd, "over SFTP only the upgraded dump can be had")
		}
		if err := flags.check(cmd); err != nil {
			return err
		}
		named := out != ""
		if named {
			if err := a.free(cmd, &flags, out); err != nil {
				return err
			}
		}
		d := downloads[which]
		var r *client.Request
		err := a.patient(cmd.Context(), func(ctx context.Context) (err error) {
			r, err = c.Status(ctx, ref)
			return err
		})
		if err != nil {
			return err
		}
		if !named {
			out = safeName(d.file(r))
			if _, err := os.Lstat(out); err == nil {
				return usagef(cmd, "%s is there already: --out %s replaces it, another --out keeps it", out, out)
			}
			if err := a.free(cmd, &flags, out); err != nil {
				return err
			}
		}
		began := time.Now()
		if via == workflow.SFTP {
			defer flags.close()
			access, o, err := a.sftp(cmd.Context(), c, ref, &flags, "download")
			if err != nil {
				return err
			}
			t, err := c.DownloadSFTP(cmd.Context(), access, out, o)
			a.bars.end()
			if err != nil {
				return err
			}
			details := transferDetails(ref, t, began)
			details["out"] = out
			return a.done(transferred("Downloaded", t)+" It is "+out+".", details)
		}
		a.bars = a.newBars()
		got, err := c.Download(cmd.Context(), d.url(r), out, &client.DownloadOptions{
			AllowHTML: d.page,
			Progress:  func(p client.Progress) { a.bars.progress("download", p) },
			Retry:     &client.RetryOptions{OnRetry: a.tellTrouble},
		})
		a.bars.end()
		if errors.Is(err, client.ErrNotFound) {
			return fmt.Errorf("%w. The request is %s; the file %s is not there (yet)", err, clean(string(r.State)), what)
		}
		if err != nil {
			return err
		}
		return a.done(fmt.Sprintf("Downloaded %s. It is %s.", workflow.Size(got.Size), out), map[string]any{
			"request": ref.ID, "what": what, "out": out, "bytes": got.Size, "from": got.From, "connections": got.Tries, "seconds": time.Since(began).Seconds()})
	})
}

// free refuses a file to download to that cannot be written, or is another of the command's files.
func (a *app) free(cmd *cobra.Command, flags *sshFlags, out string) error {
	state, _ := cmd.Flags().GetString("state")
	err := a.distinct(cmd, flags, namedFile{what: "--out", path: out, written: true}, namedFile{what: "--state", path: state})
	if err != nil {
		return err
	}
	return claim.Check(out)
}

// safeName makes a name that came over the network one that stays in this folder.
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
