//go:build !linux

package main

import "testing"

const limitVariable = "ODOO_UPGRADE_TEST_FILE_SIZE"

// Elsewhere there is always room.
func limitFiles()                                {}
func fill(*testing.T, string, int64) bool        { return false }
func leaveRoom(*testing.T, string, int64) func() { return func() {} }
