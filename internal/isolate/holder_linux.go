package isolate

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Init is to be called first of all by a program that makes spaces, and by its tests. In the process that holds a
// space it does not return.
func Init() {
	if len(os.Args) > 0 && os.Args[0] == holderName {
		os.Exit(hold())
	}
}

// holderSocket is the holder's file that leads to the caller.
const holderSocket = 3

// hold is the process that holds a space. It ends with the caller, and ends then what it has started.
func hold() int {
	// Programs inherit from this thread what is changed here.
	runtime.LockOSThread()
	file := os.NewFile(holderSocket, "caller")
	made, err := net.FileConn(file)
	file.Close()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: this is started by upgrademock, and by nothing else\n", holderName)
		return 1
	}
	conn := made.(*net.UnixConn)
	defer conn.Close()
	// The terminal's signals are for the programs. What is ignored stays so for them.
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	if send(conn, settle()) != nil {
		return 1
	}
	var programs []int // as pidfds
	for {
		var o order
		files, err := receive(conn, &o)
		if err != nil {
			for _, program := range programs {
				unix.PidfdSendSignal(program, unix.SIGKILL, nil, 0)
			}
			if errors.Is(err, io.EOF) {
				return 0
			}
			return 1
		}
		answer, passed := carryOut(&o, files, &programs)
		err = send(conn, answer, passed...)
		closeAll(passed)
		closeAll(files)
		if err != nil {
			return 1
		}
	}
}

// settle makes the new namespaces fit to live in, and has programs start without our capabilities.
func settle() reply {
	if err := linkUp("lo"); err != nil {
		return failure("switch on loopback in a new network namespace", err)
	}
	// Mounts of ours must not be seen outside; those of others may come in.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return failure("keep the mounts of a new mount namespace apart", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return failure("give up capabilities", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	if err == nil {
		data[0].Inheritable, data[1].Inheritable = 0, 0
		err = unix.Capset(&header, &data[0])
	}
	if err != nil {
		return failure("give up capabilities", err)
	}
	return reply{}
}

func linkUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

func carryOut(o *order, files []*os.File, programs *[]int) (answer reply, passed []*os.File) {
	switch {
	case o.Listen != nil:
		socket, err := listen(o.Listen)
		if err != nil {
			return failure("listen on "+o.Listen.Address, err), nil
		}
		return reply{}, []*os.File{socket}
	case o.Mount != nil:
		for _, m := range o.Mount {
			if err := unix.Mount(m.Source, m.Target, "", unix.MS_BIND, ""); err != nil {
				return failure("put another file in the place of "+m.Target, err), nil
			}
		}
		return reply{}, nil
	case o.Run != nil:
		pid, err := run(o.Run, files)
		if err != nil {
			return failure("run", err), nil
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			*programs = append(*programs, fd)
		}
		return reply{PID: pid}, nil
	}
	return failure("understand an order", errors.ErrUnsupported), nil
}

func listen(o *listenOrder) (*os.File, error) {
	var socket interface {
		File() (*os.File, error)
		io.Closer
	}
	switch o.Network {
	case "udp":
		conn, err := net.ListenPacket(o.Network, o.Address)
		if err != nil {
			return nil, err
		}
		socket = conn.(*net.UDPConn)
	default:
		l, err := net.Listen(o.Network, o.Address)
		if err != nil {
			return nil, err
		}
		socket = l.(*net.TCPListener)
	}
	defer socket.Close()
	return socket.File()
}

// run starts a program as a child of our parent. One that cannot be executed stays there as a zombie: its number is
// not known.
func run(o *runOrder, files []*os.File) (pid int, err error) {
	if len(files) < 3 {
		return 0, syscall.EBADF
	}
	attr := &syscall.ProcAttr{Dir: string(o.Dir), Env: toStrings(o.Env),
		Sys: &syscall.SysProcAttr{Setpgid: o.Setpgid, Cloneflags: syscall.CLONE_PARENT}}
	for _, f := range files[:3] {
		attr.Files = append(attr.Files, f.Fd())
	}
	if o.Foreground && len(files) > 3 {
		attr.Sys.Foreground, attr.Sys.Ctty = true, int(files[3].Fd())
	}
	return syscall.ForkExec(string(o.Path), toStrings(o.Args), attr)
}
