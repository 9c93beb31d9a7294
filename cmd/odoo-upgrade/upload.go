package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
)

func (a *app) uploadCommand() *cobra.Command {
	var dump string
	cmd := &cobra.Command{
		Use:   "upload",
		Short: "Upload the dump over HTTPS",
		Long: `Upload the dump over HTTPS, in one piece. "-" reads standard input. For big dumps sftp-upload is better:
it can resume.`,
	}
	cmd.Flags().StringVar(&dump, "dump", "", "the `file` with the dump, or - for standard input")
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
			return fmt.Errorf("%w. Nothing of it counts at the platform: "+
				"upload again, or use sftp-upload, which can resume", err)
		}
		if err != nil {
			return err
		}
		return a.done(fmt.Sprintf("Uploaded %s. Next: odoo-upgrade process.", workflow.Size(sent)), map[string]any{
			"request": ref.ID, "bytes": sent, "seconds": time.Since(began).Seconds()})
	})
}
