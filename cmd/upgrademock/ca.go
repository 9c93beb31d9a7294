package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/clientenv"
	"github.com/upgrademock/upgrademock/internal/localca"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/internal/testbed"
)

func newCACommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show the certificate authority that clients must trust",
		Long: `ca shows the certificate authority behind the emulator's HTTPS. serve and exec make it when they first run, and keep it in
the user's cache directory, or in --data-dir; ca makes none. It can vouch for nothing but this machine and the platform's domain.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("say what to show: print, path or env; see '%s --help'", cmd.CommandPath())
		},
	}
	cmd.PersistentFlags().StringVar(&dir, "data-dir", "",
		"the `directory` that serve keeps its data in (default: the user's cache directory)")
	cmd.AddCommand(
		&cobra.Command{
			Use:   "print",
			Short: "Print the authority's certificate, as PEM",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				ca, _, err := findAuthority(dir)
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
				_, path, err := findAuthority(dir)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
				return failed(err)
			},
		},
		&cobra.Command{
			Use:   "env",
			Short: "Print shell commands that make the programs of this shell trust the authority",
			Long: "env writes a bundle of the authorities that this system trusts and ours, and prints the shell commands " +
				"that make programs use it.",
			Example: `  eval "$(upgrademock ca env)"`,
			Args:    cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				ca, path, err := findAuthority(dir)
				if err != nil {
					return err
				}
				bundle := filepath.Join(filepath.Dir(path), "ca-bundle.pem")
				if err := writeBundle(bundle, ca); err != nil {
					return failed(fmt.Errorf("ca: %w", err))
				}
				var lines bytes.Buffer
				for _, v := range clientenv.Trust(quoted(bundle)) {
					fmt.Fprintf(&lines, "export %s\n", v)
				}
				_, err = cmd.OutOrStdout().Write(lines.Bytes())
				return failed(err)
			},
		},
	)
	return cmd
}

// findAuthority returns the authority in dir, or in the user's cache directory if dir is empty, and the name of its
// file.
func findAuthority(dir string) (ca *localca.CA, path string, err error) {
	if dir == "" {
		if dir, err = cacheDir(); err != nil {
			return nil, "", failed(fmt.Errorf("ca: %w; say where with --data-dir", err))
		}
	}
	ca, err = localca.Find(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", failed(fmt.Errorf(
			"ca: there is no authority in %s yet: 'upgrademock serve' and 'upgrademock exec' make one", dir))
	}
	if err == nil {
		path, err = filepath.Abs(filepath.Join(dir, localca.CertFile))
	}
	return ca, path, failed(err)
}

// writeBundle writes a bundle of authorities, in place of an earlier one.
func writeBundle(path string, ca *localca.CA) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	have, err := safefile.Read(root, filepath.Base(path), 64<<20)
	if err == nil && !localca.BeginsWithOurs(have) {
		err = errors.New("it is no bundle of ours")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w; it stays as it is: move it away", path, err)
	}
	bundle, err := testbed.Bundle(ca.PEM(), os.Environ())
	if err != nil {
		return err
	}
	return safefile.Replace(root, filepath.Base(path), bundle, 0o644)
}
