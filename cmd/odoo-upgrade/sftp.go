package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
)

func (a *app) sftpAccessCommand() *cobra.Command {
	var keys []string
	var generate string
	cmd := &cobra.Command{
		Use:   "sftp-access",
		Short: "Open the temporary SFTP server, for a program of your own",
		Long: `Open the temporary SFTP server to your public keys, and print how to reach it. For sftp-upload and
"download --via sftp" this is not needed: they do it themselves. A second call replaces the keys.`,
	}
	cmd.Flags().StringArrayVar(&keys, "authorized-keys", nil,
		"a `file` of public keys, such as ~/.ssh/id_ed25519.pub (may be repeated)")
	cmd.Flags().StringVar(&generate, "generate-key", "",
		"make an ed25519 key for the occasion, and write the private one to this `file`")
	return a.refCommand(cmd, func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
		var public []byte
		for _, name := range keys {
			raw, err := os.ReadFile(name)
			if err != nil {
				return usagef(cmd, "--authorized-keys %s cannot be read: %v", name, reason(err))
			}
			if strings.Contains(string(raw), "PRIVATE KEY") {
				return usagef(cmd, "--authorized-keys %s holds a private key, which must not leave this machine: "+
					"name the public one", name)
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
func (a *app) access(
	ctx context.Context, c *client.Client, ref client.Ref, signers []ssh.Signer,
) (*client.SFTPAccess, error) {
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
func (a *app) sftp(
	ctx context.Context, c *client.Client, ref client.Ref, flags *sshFlags, what string,
) (*client.SFTPAccess, *client.SFTPOptions, error) {
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
		Retry:    &client.RetryOptions{OnRetry: a.reportRetry},
	}, nil
}

func (a *app) sftpUploadCommand() *cobra.Command {
	var dump string
	var flags sshFlags
	cmd := &cobra.Command{
		Use:   "sftp-upload",
		Short: "Upload the dump over SFTP, resuming what is there",
		Long: `Upload the dump over SFTP. What an earlier, broken upload left at the server is compared with the dump, and
continued. Connections that break are made again.`,
	}
	cmd.Flags().StringVar(&dump, "dump", "", "the `file` with the dump")
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
