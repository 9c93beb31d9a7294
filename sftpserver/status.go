package sftpserver

import (
	"errors"
	"io"
	"io/fs"
	"syscall"

	"github.com/pkg/sftp"
)

// status is an answer with a fixed text. The texts of the storage's errors may hold local paths, so only events have
// them.
type status struct {
	text string
	code error // one of pkg/sftp's, which takes the number from it
}

func (s *status) Error() string { return s.text }
func (s *status) Unwrap() error { return s.code }

// The texts are those of OpenSSH's server, since some clients compare them.
var (
	statusDenied      = &status{"Permission denied", sftp.ErrSSHFxPermissionDenied}
	statusNoFile      = &status{"No such file", sftp.ErrSSHFxNoSuchFile}
	statusFailure     = &status{"Failure", sftp.ErrSSHFxFailure}
	statusExists      = &status{"File already exists", sftp.ErrSSHFxFailure}
	statusDirectory   = &status{"Is a directory", sftp.ErrSSHFxFailure}
	statusUnreadable  = &status{"The file cannot be read", sftp.ErrSSHFxFailure}
	statusFull        = &status{"No space left on device", sftp.ErrSSHFxFailure}
	statusTooBig      = &status{"File too large", sftp.ErrSSHFxFailure}
	statusTooMany     = &status{"Too many open handles", sftp.ErrSSHFxFailure}
	statusHandle      = &status{"Invalid handle", sftp.ErrSSHFxFailure}
	statusScattered   = &status{"Too many separate ranges", sftp.ErrSSHFxFailure}
	statusUnsupported = &status{"Operation unsupported", sftp.ErrSSHFxOpUnsupported}
)

// toStatus returns the status for an error of the storage or of ours. It keeps io.EOF.
func toStatus(err error) error {
	var known *status
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.Is(err, ErrDenied), errors.Is(err, ErrRevoked), errors.Is(err, fs.ErrPermission):
		return statusDenied
	case errors.Is(err, ErrUnreadable):
		return statusUnreadable
	case errors.Is(err, fs.ErrNotExist):
		return statusNoFile
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return statusFull
	case errors.Is(err, syscall.EFBIG):
		return statusTooBig
	}
	return statusFailure
}
