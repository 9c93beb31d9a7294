//go:build manual

package main

import (
	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/manual"
	"github.com/upgrademock/upgrademock/internal/version"
)

func init() {
	forReleases = func() *cobra.Command { return manual.Command(version.String()) }
}
