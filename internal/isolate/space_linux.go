package isolate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Space is a machine of its own for programs. It must be closed. Its methods may be called concurrently.
type Space struct {
	holder *exec.Cmd

	mu   sync.Mutex // one order at a time
	conn *net.UnixConn
}

// Start makes a space. The program must call [Init] first of all when it starts.
func Start() (*Space, error) {
	uids, gids, groups := mappings()
	s, err := start(uids, gids, groups)
	if errors.Is(err, fs.ErrPermission) && groups { // root, but not everywhere: of a container, for example
		own := func(id int) []syscall.SysProcIDMap {
			return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
		}
		s, err = start(own(os.Geteuid()), own(os.Getegid()), false)
	}
	return s, err
}

// start starts the holder of a space, in which users and groups have the given numbers.
func start(uids, gids []syscall.SysProcIDMap, groups bool) (*Space, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("isolate: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "holder")
	defer theirs.Close()
	ours := os.NewFile(uintptr(pair[0]), "caller")
	made, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, fmt.Errorf("isolate: %w", err)
	}
	s := &Space{conn: made.(*net.UnixConn)}
	s.holder = &exec.Cmd{Path: "/proc/self/exe", Args: []string{holderName}, ExtraFiles: []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
			UidMappings: uids, GidMappings: gids, GidMappingsEnableSetgroups: groups,
			AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE},
		}}
	if err := s.holder.Start(); err != nil {
		s.conn.Close()
		return nil, refused("make a user, a mount and a network namespace", err)
	}
	theirs.Close()
	var ready reply
	_, err = receive(s.conn, &ready)
	if err == nil && ready.Step == "" {
		return s, nil
	}
	s.Close()
	if err != nil {
		return nil, fmt.Errorf("isolate: the process that holds the namespaces did not begin (%v: %w); a program that "+
			"isolates others calls isolate.Init first", s.holder.ProcessState, err)
	}
	if ready.Errno != 0 {
		return nil, refused(ready.Step, ready.Errno)
	}
	return nil, refused(ready.Step, errors.New(ready.Text))
}

// mappings are the numbers of users and groups in a space: for root all that there are, so that it can be each of
// them as before, and for others only their own (user_namespaces(7)).
func mappings() (uids, gids []syscall.SysProcIDMap, groups bool) {
	if os.Geteuid() == 0 {
		uids, gids = allIDs("/proc/self/uid_map"), allIDs("/proc/self/gid_map")
		if uids != nil && gids != nil {
			return uids, gids, true
		}
	}
	return []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}},
		[]syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}, false
}

// allIDs maps each number that the file has to itself.
func allIDs(file string) (ids []syscall.SysProcIDMap) {
	data, _ := os.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		var inside, outside, size int
		if _, err := fmt.Sscan(line, &inside, &outside, &size); err == nil {
			ids = append(ids, syscall.SysProcIDMap{ContainerID: inside, HostID: inside, Size: size})
		}
	}
	return ids
}

// refused explains why there is no space.
func refused(step string, err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	limit := number("/proc/sys/user/max_user_namespaces")
	advice := "run it on a machine whose kernel has namespaces, or without isolation"
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		advice = fmt.Sprintf("user.max_user_namespaces is %d: raise it with sysctl, for the user and for each container "+
			"around it, or run without isolation", limit)
	case number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") > 0:
		advice = "AppArmor keeps user namespaces from those who are not root: run it as root, give it a profile that " +
			"allows userns, or set kernel.apparmor_restrict_unprivileged_userns=0 with sysctl; or run without isolation"
	case number("/proc/sys/kernel/unprivileged_userns_clone") == 0:
		advice = "user namespaces are kept from those who are not root: set kernel.unprivileged_userns_clone=1 with " +
			"sysctl, or run it as root; or run without isolation"
	case errors.Is(err, fs.ErrPermission):
		advice = "the kernel, or the rules of a container, forbid it: with Docker, --security-opt seccomp=unconfined " +
			"--security-opt apparmor=unconfined --security-opt systempaths=unconfined allows it; or run without isolation"
	}
	return &RefusedError{step, err, advice}
}

// number is what a file of /proc says, -1 if there is none.
func number(file string) int {
	data, err := os.ReadFile(file)
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(data)))
	if err != nil {
		return -1
	}
	return n
}

// do has the holder carry out an order, and returns the socket that comes back, if one does.
func (s *Space) do(o order, files ...*os.File) (answer reply, socket *os.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := send(s.conn, o, files...); err != nil {
		return answer, nil, fmt.Errorf("isolate: the process that holds the namespaces has ended: %w", err)
	}
	passed, err := receive(s.conn, &answer)
	if err != nil {
		return answer, nil, fmt.Errorf("isolate: the process that holds the namespaces has ended: %w", err)
	}
	if len(passed) > 0 {
		socket = passed[0]
		closeAll(passed[1:])
	}
	return answer, socket, nil
}

// Listen is [net.Listen] for TCP in the space. There, each port is free, and may be taken without being root.
func (s *Space) Listen(network, address string) (net.Listener, error) {
	answer, socket, err := s.do(order{Listen: &listenOrder{network, address}})
	if err != nil {
		return nil, err
	}
	if err := answer.error(); err != nil || socket == nil {
		return nil, fmt.Errorf("isolate: %w", err)
	}
	defer socket.Close()
	return net.FileListener(socket)
}

// ListenPacket is [net.ListenPacket] for UDP in the space.
func (s *Space) ListenPacket(network, address string) (net.PacketConn, error) {
	answer, socket, err := s.do(order{Listen: &listenOrder{network, address}})
	if err != nil {
		return nil, err
	}
	if err := answer.error(); err != nil || socket == nil {
		return nil, fmt.Errorf("isolate: %w", err)
	}
	defer socket.Close()
	return net.FilePacketConn(socket)
}

// Mount puts files and directories in the place of others, for the programs that are in the space.
func (s *Space) Mount(mounts ...Mount) error {
	if len(mounts) == 0 {
		return nil
	}
	answer, _, err := s.do(order{Mount: mounts})
	if err == nil {
		err = answer.error()
	}
	if err != nil {
		return fmt.Errorf("isolate: %w", err)
	}
	return nil
}

// Run starts the program of cmd in the space, in place of [exec.Cmd.Start], as a child of this process; its error is
// that of Start. Of cmd it looks at Path, Args, Env, Dir, at the files Stdin, Stdout and Stderr, which must be nil or
// an *[os.File], and at Setpgid, Foreground and Ctty. If this process ends, the program is killed.
func (s *Space) Run(cmd *exec.Cmd) error {
	o := &runOrder{Path: []byte(cmd.Path), Dir: []byte(cmd.Dir), Args: toBytes(cmd.Args),
		Env: toBytes(cmd.Environ())}
	files := make([]*os.File, 0, maxFiles)
	for _, stream := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		file, ok := stream.(*os.File)
		if !ok {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer null.Close()
			file = null
		}
		files = append(files, file)
	}
	if attr := cmd.SysProcAttr; attr != nil {
		o.Setpgid = attr.Setpgid
		if attr.Foreground {
			fd, err := unix.FcntlInt(uintptr(attr.Ctty), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return os.NewSyscallError("fcntl", err)
			}
			tty := os.NewFile(uintptr(fd), "tty")
			defer tty.Close()
			o.Foreground, files = true, append(files, tty)
		}
	}
	answer, _, err := s.do(order{Run: o}, files...)
	switch {
	case err != nil:
		return err
	case answer.Errno != 0:
		return &fs.PathError{Op: "fork/exec", Path: cmd.Path, Err: answer.Errno}
	case answer.Step != "":
		return fmt.Errorf("isolate: %w", answer.error())
	}
	cmd.Process, err = os.FindProcess(answer.PID)
	return err
}

// Close ends the space. Programs must have ended. It may be called more than once.
func (s *Space) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder.ProcessState != nil {
		return nil
	}
	s.conn.Close()
	if err := s.holder.Wait(); err != nil {
		return fmt.Errorf("isolate: the process that holds the namespaces: %w", err)
	}
	return nil
}
