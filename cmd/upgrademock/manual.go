//go:build manual

package main

import "github.com/upgrademock/upgrademock/internal/manual"

func init() { forReleases = manual.Command }
