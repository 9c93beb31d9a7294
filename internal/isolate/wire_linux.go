package isolate

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// order is what the holder is asked to do; one field is set.
type order struct {
	Listen *listenOrder
	Mount  []Mount
	Run    *runOrder
}

type listenOrder struct{ Network, Address string }

// runOrder comes with the files of the program: its first three, and its terminal if it is to have it. Its texts are
// bytes, which need be no UTF-8.
type runOrder struct {
	Path, Dir  []byte
	Args, Env  [][]byte
	Setpgid    bool
	Foreground bool
}

// reply is the holder's answer to an order, or that it is ready. A socket comes as a file.
type reply struct {
	PID   int           // of the program that runs
	Step  string        // what went wrong; "": nothing did
	Errno syscall.Errno // why, if the kernel says so
	Text  string        // the same in words
}

func (r *reply) error() error {
	switch {
	case r.Step == "":
		return nil
	case r.Errno != 0:
		return fmt.Errorf("%s: %w", r.Step, r.Errno)
	}
	return fmt.Errorf("%s: %s", r.Step, r.Text)
}

func failure(step string, err error) reply {
	errno, _ := errors.AsType[syscall.Errno](err)
	return reply{Step: step, Errno: errno, Text: err.Error()}
}

// maxFiles is how many files a message has at most.
const maxFiles = 4

// send writes a message: its length, with which the files go, and its JSON.
func send(conn *net.UnixConn, message any, files ...*os.File) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	if _, _, err := conn.WriteMsgUnix(head, rights, nil); err != nil {
		return err
	}
	_, err = conn.Write(body)
	return err
}

// receive reads a message, and returns the files that came with it, which are the caller's.
func receive(conn *net.UnixConn, message any) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	head := make([]byte, 4)
	rights := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, rightsLen, _, _, err := conn.ReadMsgUnix(head, rights) // with MSG_CMSG_CLOEXEC
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsLen])
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	if _, err := io.ReadFull(conn, head[n:]); err != nil {
		return files, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head))
	if _, err := io.ReadFull(conn, body); err != nil {
		return files, err
	}
	return files, json.Unmarshal(body, message)
}

// toBytes and toStrings convert between texts and their bytes.
func toBytes(texts []string) [][]byte {
	made := make([][]byte, len(texts))
	for i, text := range texts {
		made[i] = []byte(text)
	}
	return made
}

func toStrings(texts [][]byte) []string {
	made := make([]string, len(texts))
	for i, text := range texts {
		made[i] = string(text)
	}
	return made
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
