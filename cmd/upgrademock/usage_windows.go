package main

import "syscall"

// The numbers of Windows Sockets.
const (
	errInUse   = syscall.Errno(10048) // WSAEADDRINUSE
	errNotOurs = syscall.Errno(10049) // WSAEADDRNOTAVAIL
)
