package sftpserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/sftpserver"
)

// shares is a double of the platform: users, their keys, and a file in memory for each.
type shares struct {
	mu    sync.Mutex
	users map[string]*share
}

func (s *shares) Share(user string, key gossh.PublicKey) (sftpserver.Share, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.users[user]
	if sh == nil {
		return nil, fmt.Errorf("there is no user %q: %w", user, sftpserver.ErrDenied)
	}
	for _, k := range sh.keys {
		if bytes.Equal(k.Marshal(), key.Marshal()) {
			return sh, nil
		}
	}
	return nil, fmt.Errorf("the key is not one of %q: %w", user, sftpserver.ErrDenied)
}

// share is one file in memory that remembers, as the real storage does, what was written without a hole.
type share struct {
	name     string
	keys     []gossh.PublicKey
	readOnly bool
	mtime    time.Time

	mu      sync.Mutex
	data    []byte
	holes   []sftpserver.Range // what was never written, though the file is longer
	revoked bool
	fail    error // what every write answers
	unfit   error // what every STAT and OPEN answers
	opens   int
	closes  int
	aborts  []error
}

func (s *share) Stat() (sftpserver.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked {
		return sftpserver.Info{}, sftpserver.ErrRevoked
	}
	if s.unfit != nil {
		return sftpserver.Info{}, s.unfit
	}
	return sftpserver.Info{Name: s.name, Size: int64(len(s.data)), ModTime: s.mtime, ReadOnly: s.readOnly}, nil
}

func (s *share) Open(flag int) (sftpserver.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if flag&^(os.O_RDONLY|os.O_WRONLY|os.O_RDWR|os.O_TRUNC) != 0 {
		return nil, fmt.Errorf("opened with flag %#x", flag)
	}
	if s.revoked {
		return nil, sftpserver.ErrRevoked
	}
	if flag&os.O_TRUNC != 0 {
		s.data, s.holes = nil, nil
	}
	s.opens++
	return &file{share: s, flag: flag}, nil
}

func (s *share) Truncate(size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.truncateLocked(size)
}

func (s *share) truncateLocked(size int64) error {
	if s.fail != nil {
		return s.fail
	}
	if size > 1<<30 {
		return fmt.Errorf("/var/lib/secret: %w", syscall.EFBIG)
	}
	if size <= int64(len(s.data)) {
		s.data = s.data[:size]
		return nil
	}
	s.data = append(s.data, make([]byte, size-int64(len(s.data)))...)
	return nil
}

func (s *share) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.data)
}

func (s *share) set(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.holes = bytes.Clone(data), nil
}

func (s *share) protect(readOnly bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readOnly = readOnly
}

// ended counts opens that were not closed or aborted, and returns the causes of aborts.
func (s *share) ended() (open int, aborts []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opens - s.closes - len(s.aborts), slices.Clone(s.aborts)
}

type file struct {
	share *share
	flag  int
	once  sync.Once
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.share.mu.Lock()
	defer f.share.mu.Unlock()
	if f.share.revoked {
		return 0, sftpserver.ErrRevoked
	}
	if off >= int64(len(f.share.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.share.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.share.mu.Lock()
	defer f.share.mu.Unlock()
	return f.share.writeLocked(p, off)
}

func (f *file) Append(p []byte, limit int64) (off int64, n int, err error) {
	f.share.mu.Lock()
	defer f.share.mu.Unlock()
	off = int64(len(f.share.data))
	n, err = f.share.writeLocked(p[:min(int64(len(p)), max(limit-off, 0))], off)
	return off, n, err
}

func (s *share) writeLocked(p []byte, off int64) (int, error) {
	switch {
	case s.revoked:
		return 0, sftpserver.ErrRevoked
	case s.fail != nil:
		return 0, s.fail
	case off > 1<<30:
		return 0, errors.New("/var/lib/secret: too far for memory")
	}
	end := off + int64(len(p))
	if size := int64(len(s.data)); end > size {
		if off > size {
			s.holes = append(s.holes, sftpserver.Range{From: size, To: off})
		}
		s.data = append(s.data, make([]byte, end-size)...)
	}
	copy(s.data[off:], p)
	var left []sftpserver.Range
	for _, h := range s.holes {
		if h.From < off {
			left = append(left, sftpserver.Range{From: h.From, To: min(h.To, off)})
		}
		if h.To > end {
			left = append(left, sftpserver.Range{From: max(h.From, end), To: h.To})
		}
	}
	s.holes = left
	return len(p), nil
}

func (f *file) Truncate(size int64) error {
	f.share.mu.Lock()
	defer f.share.mu.Unlock()
	return f.share.truncateLocked(size)
}

func (f *file) end(how func()) error {
	err := errors.New("ended twice")
	f.once.Do(func() {
		f.share.mu.Lock()
		defer f.share.mu.Unlock()
		how()
		err = nil
	})
	return err
}

func (f *file) Close() error { return f.end(func() { f.share.closes++ }) }

func (f *file) Abort(cause error) error {
	return f.end(func() {
		first := int64(math.MaxInt64)
		for _, h := range f.share.holes {
			first = min(first, h.From)
		}
		f.share.data, f.share.holes = f.share.data[:min(first, int64(len(f.share.data)))], nil
		f.share.aborts = append(f.share.aborts, cause)
	})
}
