//go:build unix

package main

import "syscall"

const (
	errInUse   = syscall.EADDRINUSE
	errNotOurs = syscall.EADDRNOTAVAIL
)
