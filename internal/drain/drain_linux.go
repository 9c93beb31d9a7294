// Package drain waits until what was written to a connection has arrived, before a reset would overtake it.
package drain

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Wait waits until the other side has acknowledged all that was written to raw, for a second at most. It returns at
// once where raw is no connection of the system's.
func Wait(ctx context.Context, raw net.Conn) {
	tcp, ok := raw.(syscall.Conn)
	if !ok {
		return
	}
	control, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for ctx.Err() == nil {
		unsent := 0
		control.Control(func(fd uintptr) { unsent, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if err != nil || unsent == 0 {
			return
		}
		timer := time.NewTimer(time.Millisecond)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
