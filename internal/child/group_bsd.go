//go:build unix && !linux

package child

import "syscall"

func adopt(*syscall.SysProcAttr) {}

func reap(int) {}

// awaitEnd returns when the program has ended. Deliberately: without Linux's waitid it is reaped by it, and a program that is
// stopped at the terminal does not stop us.
func (g *group) awaitEnd() { g.cmd.Wait() }

// marked finds processes on Linux only.
func marked(string) []int { return nil }
