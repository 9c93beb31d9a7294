package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/localca"
	"github.com/upgrademock/upgrademock/internal/stage"
)

func newCACommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show the certificate authority that clients must trust",
		Long: `ca shows the certificate authority behind the emulator's HTTPS, which is made on first use and kept in the user's
cache directory, or in --data-dir. It can vouch for nothing but this machine and the platform's domain.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("say what to show: print, path or env; see '%s --help'", cmd.CommandPath())
		},
	}
	cmd.PersistentFlags().StringVar(&dir, "data-dir", "", "the `directory` that serve keeps its data in (default: the user's cache directory)")
	open := func() (ca *localca.CA, path string, err error) {
		where := dir
		if where == "" {
			cache, err := os.UserCacheDir()
			if err != nil {
				return nil, "", failed(fmt.Errorf("ca: %w; say where with --data-dir", err))
			}
			where = filepath.Join(cache, "upgrademock")
		}
		if ca, err = localca.Open(where); err == nil {
			path, err = filepath.Abs(filepath.Join(where, localca.CertFile))
		}
		return ca, path, failed(err)
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "print",
			Short: "Print the authority's certificate, as PEM",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				ca, _, err := open()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(ca.PEM())
				return failed(err)
			},
		},
		&cobra.Command{
			Use:   "path",
			Short: "Print the name of the file with the authority's certificate",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, path, err := open()
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
				return failed(err)
			},
		},
		&cobra.Command{
			Use:     "env",
			Short:   "Print shell commands that make the programs of this shell trust the authority",
			Long:    "env writes a bundle of the authorities that this system trusts and ours, and prints the shell commands that make programs use it.",
			Example: `  eval "$(upgrademock ca env)"`,
			Args:    cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				ca, path, err := open()
				if err != nil {
					return err
				}
				bundle := filepath.Join(filepath.Dir(path), "ca-bundle.pem")
				if err := stage.WriteBundle(bundle, ca.PEM(), os.Environ()); err != nil {
					return failed(err)
				}
				var lines bytes.Buffer
				for _, v := range stage.TrustVariables(quoted(bundle)) {
					fmt.Fprintf(&lines, "export %s\n", v)
				}
				_, err = cmd.OutOrStdout().Write(lines.Bytes())
				return failed(err)
			},
		},
	)
	return cmd
}
